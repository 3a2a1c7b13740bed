//! What a handler may ask of the host: to read the maps that its scenario grants, and the joint metrics. Nothing else of the kernel.
//!
//! The module `wasiscope` has lengths everywhere. The module `wasm_bpf` has the names and signatures of that project, so that its guests find what
//! they import: lengths that it does not pass are those of the map, and every one is checked against the guest's memory before the kernel sees it. What
//! the kernel writes goes into a buffer of the host's own and is copied from there, so no mistake in a size can reach other memory.
//!
//! Answers are 0 or more, or an errno's negative. A refusal is counted.

use std::io;
use std::ops::Range;

use wasiscope_ebpf_abi::{JOINT_HOST, JOINT_KERNEL, JointMetrics};
use wasmtime::{Caller, Extern, Linker, Memory, StoreLimits};
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use super::maps;
use wasiscope_capture::InheritedMap;

/// The host's state of one instance.
pub(super) struct Host {
    pub(super) wasi: WasiP1Ctx,
    pub(super) limits: StoreLimits,
    pub(super) maps: Granted,
    /// Requests that were refused.
    pub(super) refused: u64,
}

/// What a guest may read.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    /// By handle: the index, and nothing that could be a descriptor.
    pub(super) maps: Vec<InheritedMap>,
    pub(super) joint: InheritedMap,
}

/// An errno's negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal(i32);

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidInput => INVALID,
            _ => Self(-error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }
}

const INVALID: Refusal = Refusal(-libc::EINVAL);
const BAD_ADDRESS: Refusal = Refusal(-libc::EFAULT);
const BAD_HANDLE: Refusal = Refusal(-libc::EBADF);
const NOT_THERE: Refusal = Refusal(-libc::ENOENT);
const NOT_ALLOWED: Refusal = Refusal(-libc::EPERM);
const NOT_OFFERED: Refusal = Refusal(-libc::ENOTSUP);

/// The only object that a guest of `wasm_bpf` can mean: the one that writes its events.
const OBJECT: i64 = 1;
/// Longest name that is looked for.
const NAME_BYTES: usize = 64;
/// The commands of `bpf(2)` that are known.
const LOOK_UP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const NEXT_KEY: i32 = 4;

type Asked = Result<i32, Refusal>;

/// Everything that a handler may import.
pub(super) fn add(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    p1::add_to_linker_sync(linker, |host: &mut Host| &mut host.wasi)?;
    // Who sleeps in the host is not cut off by an epoch, and all events behind would wait.
    linker.allow_shadowing(true);
    linker.func_wrap("wasi_snapshot_preview1", "poll_oneoff", |_: i32, _: i32, _: i32, _: i32| WASI_NOTSUP)?;
    linker.allow_shadowing(false);
    linker.func_wrap("wasiscope", "map_open", |mut caller: Caller<'_, Host>, name: i32, length: i32| {
        let asked = Guest::of(&mut caller).and_then(|guest| guest.open(&caller, name, length));
        answer(&mut caller, asked)
    })?;
    linker.func_wrap(
        "wasiscope",
        "map_lookup",
        |mut caller: Caller<'_, Host>, map: i32, key: i32, key_length: i32, value: i32, value_length: i32| {
            let asked = Guest::of(&mut caller)
                .and_then(|guest| guest.look_up(&mut caller, map, (key, key_length), (value, value_length)));
            answer(&mut caller, asked)
        },
    )?;
    linker.func_wrap(
        "wasiscope",
        "map_next_key",
        |mut caller: Caller<'_, Host>, map: i32, key: i32, key_length: i32, next: i32, next_length: i32| {
            let asked = Guest::of(&mut caller)
                .and_then(|guest| guest.next_key(&mut caller, map, (key, key_length), (next, next_length)));
            answer(&mut caller, asked)
        },
    )?;
    linker.func_wrap("wasiscope", "joint_metrics", |mut caller: Caller<'_, Host>, value: i32, length: i32| {
        let asked = Guest::of(&mut caller).and_then(|guest| guest.joint(&mut caller, value, length));
        answer(&mut caller, asked)
    })?;
    add_wasm_bpf(linker)
}

/// The names and signatures of wasm-bpf (its `wasm_bpf.h`).
fn add_wasm_bpf(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    const MODULE: &str = "wasm_bpf";
    // What the guest brings along is not loaded: who runs guests of others does not run their programs in the kernel. It gets the object that runs.
    linker.func_wrap(MODULE, "wasm_load_bpf_object", |mut caller: Caller<'_, Host>, object: i32, length: i32| {
        let asked = Guest::of(&mut caller).and_then(|guest| guest.range(&caller, object, length)).map(|_| 1);
        i64::from(answer(&mut caller, asked).max(0))
    })?;
    linker.func_wrap(MODULE, "wasm_close_bpf_object", |mut caller: Caller<'_, Host>, object: i64| {
        let asked = is_object(object).map(|()| 0);
        answer(&mut caller, asked)
    })?;
    linker.func_wrap(
        MODULE,
        "wasm_attach_bpf_program",
        |mut caller: Caller<'_, Host>, object: i64, name: i32, _target: i32| {
            // All there is to attach is attached.
            let asked = is_object(object)
                .and_then(|()| Guest::of(&mut caller))
                .and_then(|guest| guest.text(&caller, name).map(|_| 0));
            answer(&mut caller, asked)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "wasm_bpf_buffer_poll",
        |mut caller: Caller<'_, Host>, _: i64, _: i32, _: i32, _: i32, _: i32, _: i32, _: i32| {
            // Events are handed in, one call of `handle_event` for each.
            answer(&mut caller, Err(NOT_OFFERED))
        },
    )?;
    linker.func_wrap(MODULE, "wasm_bpf_map_fd_by_name", |mut caller: Caller<'_, Host>, object: i64, name: i32| {
        let asked = is_object(object).and_then(|()| Guest::of(&mut caller)).and_then(|guest| {
            let name = guest.text(&caller, name)?;
            // Above what any C program takes for standard streams, as wasm-bpf's are.
            handle_of(&caller, &name).map(|handle| handle + FIRST_FD)
        });
        answer(&mut caller, asked)
    })?;
    linker.func_wrap(
        MODULE,
        "wasm_bpf_map_operate",
        |mut caller: Caller<'_, Host>, fd: i32, command: i32, key: i32, value: i32, next: i32, _flags: i64| {
            let asked =
                Guest::of(&mut caller).and_then(|guest| guest.operate(&mut caller, fd, command, (key, value, next)));
            answer(&mut caller, asked)
        },
    )?;
    Ok(())
}

/// WASI's errno for what is not offered.
const WASI_NOTSUP: i32 = 58;
/// What `wasm_bpf` calls the first map.
const FIRST_FD: i32 = 3;

fn answer(caller: &mut Caller<'_, Host>, asked: Asked) -> i32 {
    match asked {
        Ok(value) => value,
        Err(refusal) => {
            caller.data_mut().refused += 1;
            refusal.0
        }
    }
}

fn is_object(object: i64) -> Result<(), Refusal> {
    if object == OBJECT { Ok(()) } else { Err(BAD_HANDLE) }
}

fn handle_of(caller: &Caller<'_, Host>, name: &[u8]) -> Asked {
    let found = caller.data().maps.maps.iter().position(|map| map.name.as_bytes() == name);
    found.and_then(|index| i32::try_from(index).ok()).ok_or(NOT_THERE)
}

fn granted(caller: &Caller<'_, Host>, handle: i32) -> Result<InheritedMap, Refusal> {
    let index = usize::try_from(handle).map_err(|_| BAD_HANDLE)?;
    caller.data().maps.maps.get(index).cloned().ok_or(BAD_HANDLE)
}

/// The memory of the guest that asks.
struct Guest(Memory);

impl Guest {
    fn of(caller: &mut Caller<'_, Host>) -> Result<Self, Refusal> {
        caller.get_export("memory").and_then(Extern::into_memory).map(Self).ok_or(BAD_ADDRESS)
    }

    /// Where so many bytes lie; all of them within the memory.
    fn range(&self, caller: &Caller<'_, Host>, at: i32, length: i32) -> Result<Range<usize>, Refusal> {
        // Both are unsigned in the guest's eyes: a negative length is a huge one.
        let (at, length) = (at.cast_unsigned() as usize, length.cast_unsigned() as usize);
        let end = at.checked_add(length).filter(|end| *end <= self.0.data_size(caller)).ok_or(BAD_ADDRESS)?;
        Ok(at..end)
    }

    fn bytes(&self, caller: &Caller<'_, Host>, at: i32, length: u32) -> Result<Vec<u8>, Refusal> {
        let range = self.range(caller, at, length.cast_signed())?;
        Ok(self.0.data(caller)[range].to_vec())
    }

    fn write(&self, caller: &mut Caller<'_, Host>, at: i32, bytes: &[u8]) -> Result<(), Refusal> {
        self.0.write(caller, at.cast_unsigned() as usize, bytes).map_err(|_| BAD_ADDRESS)
    }

    /// A name that ends with a zero byte.
    fn text(&self, caller: &Caller<'_, Host>, at: i32) -> Result<Vec<u8>, Refusal> {
        let behind = self.0.data(caller).get(at.cast_unsigned() as usize..).ok_or(BAD_ADDRESS)?;
        let end = behind.iter().take(NAME_BYTES).position(|byte| *byte == 0).ok_or(INVALID)?;
        Ok(behind[..end].to_vec())
    }

    fn open(&self, caller: &Caller<'_, Host>, name: i32, length: i32) -> Asked {
        let range = self.range(caller, name, length)?;
        let name = self.0.data(caller)[range].to_vec();
        handle_of(caller, &name)
    }

    fn look_up(&self, caller: &mut Caller<'_, Host>, map: i32, key: (i32, i32), value: (i32, i32)) -> Asked {
        let map = granted(caller, map)?;
        let key = self.key(caller, &map, key)?;
        // More room than it takes does no harm; less would be written over.
        let room = self.range(caller, value.0, value.1)?;
        if room.len() < map.copied_bytes as usize {
            return Err(INVALID);
        }
        let mut copy = vec![0; map.copied_bytes as usize];
        maps::look_up(&map, &key, &mut copy)?;
        self.write(caller, value.0, &copy)?;
        Ok(map.copied_bytes.cast_signed())
    }

    fn key(&self, caller: &Caller<'_, Host>, map: &InheritedMap, (at, length): (i32, i32)) -> Result<Vec<u8>, Refusal> {
        if length.cast_unsigned() != map.key_bytes {
            return Err(INVALID);
        }
        self.bytes(caller, at, map.key_bytes)
    }

    /// With a key of no length, the first. The answer is 1 when there is a next one, else 0.
    fn next_key(&self, caller: &mut Caller<'_, Host>, map: i32, key: (i32, i32), next: (i32, i32)) -> Asked {
        let map = granted(caller, map)?;
        let key = if key.1 == 0 { None } else { Some(self.key(caller, &map, key)?) };
        if self.range(caller, next.0, next.1)?.len() < map.key_bytes as usize {
            return Err(INVALID);
        }
        let mut copy = vec![0; map.key_bytes as usize];
        let more = maps::next_key(&map, key.as_deref(), &mut copy)?;
        if more {
            self.write(caller, next.0, &copy)?;
        }
        Ok(i32::from(more))
    }

    fn joint(&self, caller: &mut Caller<'_, Host>, at: i32, length: i32) -> Asked {
        if self.range(caller, at, length)?.len() < size_of::<JointMetrics>() {
            return Err(INVALID);
        }
        let joint = caller.data().maps.joint.clone();
        let metrics = read_joint(&joint)?;
        self.write(caller, at, &bytes_of(&metrics))?;
        Ok(0)
    }

    fn operate(
        &self,
        caller: &mut Caller<'_, Host>,
        fd: i32,
        command: i32,
        (key, value, next): (i32, i32, i32),
    ) -> Asked {
        let handle = fd.checked_sub(FIRST_FD).ok_or(BAD_HANDLE)?;
        let map = granted(caller, handle)?;
        let key_length = map.key_bytes.cast_signed();
        match command {
            LOOK_UP => {
                let length = map.copied_bytes.cast_signed();
                self.look_up(caller, handle, (key, key_length), (value, length)).map(|_| 0)
            }
            NEXT_KEY => {
                let first = key == 0;
                let key = (key, if first { 0 } else { key_length });
                match self.next_key(caller, handle, key, (next, key_length))? {
                    0 => Ok(NOT_THERE.0),
                    _ => Ok(0),
                }
            }
            UPDATE | DELETE => Err(NOT_ALLOWED),
            _ => Err(NOT_OFFERED),
        }
    }
}

/// Both sides' metrics, over all CPUs.
pub(super) fn read_joint(map: &InheritedMap) -> io::Result<JointMetrics> {
    let mut all = read_entry(map, JOINT_KERNEL)?;
    all.add(&read_entry(map, JOINT_HOST)?);
    Ok(all)
}

/// One side's metrics, over all CPUs.
pub(super) fn read_entry(map: &InheritedMap, entry: u32) -> io::Result<JointMetrics> {
    let mut values = vec![0; map.copied_bytes as usize];
    maps::look_up(map, &entry.to_ne_bytes(), &mut values)?;
    let mut all = JointMetrics::default();
    values.chunks_exact(size_of::<JointMetrics>()).for_each(|of_cpu| all.add(&metrics_of(of_cpu)));
    Ok(all)
}

/// Writes the host's side: all of it to the first CPU's place, because no CPU is meant.
pub(super) fn write_host(map: &InheritedMap, metrics: &JointMetrics) -> io::Result<()> {
    let mut values = vec![0; map.copied_bytes as usize];
    values[..size_of::<JointMetrics>()].copy_from_slice(&bytes_of(metrics));
    maps::update(map, &JOINT_HOST.to_ne_bytes(), &values)
}

fn metrics_of(bytes: &[u8]) -> JointMetrics {
    let word = |index: usize| super::word(bytes, index * 8);
    JointMetrics {
        events_generated: word(0),
        events_lost: word(1),
        wasm_exec_count: word(2),
        bpf_to_wasm_err: word(3),
        probe_latency_count: word(4),
        probe_latency_us: word(5),
        probe_latency_rest_ns: word(6),
        probe_latency_max_ns: word(7),
    }
}

fn bytes_of(metrics: &JointMetrics) -> [u8; size_of::<JointMetrics>()] {
    let words = [
        metrics.events_generated,
        metrics.events_lost,
        metrics.wasm_exec_count,
        metrics.bpf_to_wasm_err,
        metrics.probe_latency_count,
        metrics.probe_latency_us,
        metrics.probe_latency_rest_ns,
        metrics.probe_latency_max_ns,
    ];
    let mut bytes = [0; size_of::<JointMetrics>()];
    for (at, word) in bytes.chunks_exact_mut(8).zip(words) {
        at.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_lie_where_the_shared_type_says() {
        let metrics = JointMetrics { bpf_to_wasm_err: 7, probe_latency_max_ns: 9, ..JointMetrics::default() };
        let bytes = bytes_of(&metrics);
        assert_eq!(metrics_of(&bytes), metrics);
        for (field, at) in wasiscope_ebpf_abi::JOINT_FIELDS {
            let expected = match field {
                "bpf_to_wasm_err" => 7,
                "probe_latency_max_ns" => 9,
                _ => 0,
            };
            assert_eq!(bytes[at], expected, "{field}");
        }
    }
}
