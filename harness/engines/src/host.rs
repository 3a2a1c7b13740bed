//! What the guest sees of the host: WASI preview 1 from wasmtime-wasi, and the marks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use wasiscope_ebpf_abi::Phase;
use wasiscope_workloads::{MARK_END, MARK_START, MARK_TRAP};
use wasmtime::{
    AsContext, Caller, Engine, Extern, Func, Linker, Memory, ResourceLimiter, SharedMemory, Store, StoreLimits,
    StoreLimitsBuilder,
};
use wasmtime_wasi::p0;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::callgrind;
use super::output::OutputPipe;
use crate::is_out_of_memory;
use wasiscope_guest::module::{self, Offered};
use wasiscope_scenario::plan::OWN_FOLDER;
use wasiscope_sys::clock;
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::limits::{Limit, LimitMet};
use wasiscope_worker::protocol::{LastMark, Subject};
use wasiscope_worker::written::{Output, Written};

const WASI: &str = "wasi_snapshot_preview1";
/// Preview 0, as SDKs of 2019 and before call it.
pub const OLD_WASI: &str = "wasi_unstable";
/// What guests written for Sightglass import.
const BENCH: &str = "bench";
const BENCH_MARKS: [(&str, u64); 2] = [("start", MARK_START), ("end", MARK_END)];
/// WASI's errno for a bad descriptor, which is also wasmtime-wasi's answer for the CPU-time clocks.
const ERRNO_BADF: i32 = 8;
/// WASI's errno for an argument that is not valid.
const ERRNO_INVAL: i32 = 28;
/// WASI's errno for a value that is too large.
const ERRNO_OVERFLOW: i32 = 61;

/// The state of one instance.
pub struct Host {
    wasi: WasiP1Ctx,
    /// Bounds on the guest.
    pub limits: Limits,
    /// What the guest has said of where it is.
    pub marks: Marks,
    /// Whether marks are to note the fuel.
    pub counts_fuel: bool,
    /// The guest's memory, once something has asked for it.
    memory: Option<GuestMemory>,
    /// Whether every pass tells what the guest wrote.
    tells_output: bool,
    stdout: OutputPipe,
    stderr: OutputPipe,
}

impl Host {
    /// `stdin` is what the guest reads from standard input.
    pub fn new(subject: &Subject, stdin: Option<&Bytes>, cell: &Arc<PhaseCell>) -> wasmtime::Result<Self> {
        cell.forget_limits();
        let output = || OutputPipe::new(subject.limits.output_bytes, **cell);
        let (stdout, stderr) = (output(), output());
        let mut wasi = WasiCtxBuilder::new();
        // File operations happen on this thread, so that no hand-over to another is measured with them. A preopened
        // folder takes the setting as it is at that moment, so it comes first.
        wasi.allow_blocking_current_thread(true)
            .arg(&subject.name)
            .args(&subject.input.args)
            .envs(&subject.input.environment)
            .stdout(stdout.clone())
            .stderr(stderr.clone());
        if subject.input.own_folder {
            wasi.preopened_dir(&subject.directory, OWN_FOLDER, FsPerms::ReadWrite)?;
        }
        for folder in &subject.input.folders {
            wasi.preopened_dir(&folder.place, &folder.guest, FsPerms::ReadWrite)?;
        }
        if let Some(stdin) = stdin {
            wasi.stdin(MemoryInputPipe::new(stdin.clone()));
        }
        let memory = usize::try_from(subject.limits.memory_bytes).unwrap_or(usize::MAX);
        Ok(Self {
            wasi: wasi.build_p1(),
            limits: Limits {
                allowed: StoreLimitsBuilder::new().memory_size(memory).trap_on_grow_failure(false).build(),
                left: memory,
                cell: Arc::clone(cell),
            },
            marks: Marks::new(Arc::clone(cell), subject.traps_after),
            counts_fuel: false,
            memory: None,
            tells_output: subject.tells_output,
            stdout,
            stderr,
        })
    }

    /// The limits that this instance has met.
    pub fn limits_met(&self) -> Vec<LimitMet> {
        self.cell().limits_met()
    }

    /// Where the worker says which phase it is in.
    pub fn cell(&self) -> &PhaseCell {
        &self.limits.cell
    }

    /// What the guest wrote to stdout.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.contents()).into_owned()
    }

    /// Why a guest that returned was not measured as it seems to be; `None` when all is well.
    pub fn complaint(&self) -> Option<String> {
        match (self.marks.start, self.marks.end) {
            (Some(_), None) => Some("the guest marked the start of its measured part and never the end".to_owned()),
            (None, Some(_)) => Some("the guest marked the end of its measured part and never the start".to_owned()),
            (Some(start), Some(end)) if end.at_ns < start.at_ns => {
                Some("the guest marked the end of its measured part before the start".to_owned())
            }
            _ => None,
        }
    }

    /// What the guest wrote to both streams, where the parent wants to know it of every pass.
    pub fn output_if_wanted(&self) -> Option<Output> {
        self.tells_output.then(|| self.output())
    }

    /// What the guest wrote to both streams.
    pub fn output(&self) -> Output {
        Output { stdout: Written::of(&self.stdout.contents()), stderr: Written::of(&self.stderr.contents()) }
    }

    /// The last lines of what the guest wrote to stderr, for messages.
    pub fn stderr_end(&self) -> String {
        const KEPT_BYTES: usize = 400;
        let all = self.stderr.contents();
        String::from_utf8_lossy(&all[all.len().saturating_sub(KEPT_BYTES)..]).trim().to_owned()
    }
}

/// What a guest may use, and who is told when its memory grows.
pub struct Limits {
    /// Of one memory.
    allowed: StoreLimits,
    /// Bytes that all memories and tables together may still grow by.
    left: usize,
    cell: Arc<PhaseCell>,
}

/// What wasmtime stores of an element of a table, whatever it refers to.
const ELEMENT_BYTES: usize = 8;

impl Limits {
    /// Takes so much of what is left, if there is as much.
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = self.allowed.memory_growing(current, desired, maximum)? && self.take(desired - current);
        if allowed {
            self.cell.memory_grew(current as u64, desired as u64);
        } else if maximum.is_none_or(|maximum| desired <= maximum) {
            // Else it is the guest's own maximum that it has met.
            self.cell.meet(Limit::Memory);
        }
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if is_out_of_memory(error.as_ref()) {
            self.cell.meet(Limit::AddressSpace);
        }
        self.allowed.memory_grow_failed(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = (desired - current).saturating_mul(ELEMENT_BYTES);
        let allowed = self.allowed.table_growing(current, desired, maximum)? && self.take(bytes);
        if !allowed && maximum.is_none_or(|maximum| desired <= maximum) {
            self.cell.meet(Limit::Table);
        }
        Ok(allowed)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if is_out_of_memory(error.as_ref()) {
            self.cell.meet(Limit::AddressSpace);
        }
        self.allowed.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.allowed.instances()
    }

    fn tables(&self) -> usize {
        self.allowed.tables()
    }

    fn memories(&self) -> usize {
        self.allowed.memories()
    }
}

/// One mark of the guest.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// On CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Fuel left, when fuel is counted.
    pub fuel_left: Option<u64>,
}

/// The marks that a guest set in one iteration. The first start and the last end count, so that a guest that loops
/// over its measured part is measured from the first pass to the last.
pub struct Marks {
    cell: Arc<PhaseCell>,
    traps_after: Option<LastMark>,
    /// That its measured part begins.
    pub start: Option<Mark>,
    /// That its measured part has ended.
    pub end: Option<Mark>,
    /// That it is about to trap.
    pub fault: Option<Mark>,
}

impl Marks {
    fn new(cell: Arc<PhaseCell>, traps_after: Option<LastMark>) -> Self {
        Self { cell, traps_after, start: None, end: None, fault: None }
    }

    /// Forgets them all: those set before the function that is measured do not count.
    pub fn forget(&mut self) {
        (self.start, self.end, self.fault) = (None, None, None);
    }

    /// The latest of them.
    pub fn last(&self) -> LastMark {
        let marks = [(self.start, LastMark::Start), (self.end, LastMark::End), (self.fault, LastMark::Fault)];
        let set = marks.into_iter().filter_map(|(mark, which)| Some((mark?.at_ns, which)));
        set.max_by_key(|(at_ns, _)| *at_ns).map_or(LastMark::None, |(_, which)| which)
    }

    /// The phase behind a mark: `trap` behind the last one of a guest that is known to trap.
    fn behind(&self, mark: LastMark, otherwise: Phase) -> Phase {
        if self.traps_after == Some(mark) { Phase::Trap } else { otherwise }
    }

    /// Sets a mark and gives its time.
    fn set(&mut self, tag: u64, fuel_left: Option<u64>) -> u64 {
        match tag {
            MARK_START => {
                callgrind::toggle();
                // The cell first, then the clock: what follows the clock reading belongs to the guest alone.
                self.cell.enter(self.behind(LastMark::Start, Phase::Run));
                let mark = Mark { at_ns: clock::monotonic_ns(), fuel_left };
                self.start.get_or_insert(mark);
                mark.at_ns
            }
            MARK_END => {
                let mark = Mark { at_ns: clock::monotonic_ns(), fuel_left };
                self.end = Some(mark);
                self.cell.enter(self.behind(LastMark::End, Phase::Outside));
                callgrind::toggle();
                mark.at_ns
            }
            _ => {
                self.cell.enter(Phase::Trap);
                let mark = Mark { at_ns: clock::monotonic_ns(), fuel_left };
                self.fault = Some(mark);
                mark.at_ns
            }
        }
    }
}

/// Everything that a guest may import, but for [`OLD_WASI`].
pub fn add_imports(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    p1::add_to_linker_sync(linker, |host: &mut Host| &mut host.wasi)?;
    add_clock(linker, WASI)?;
    // Guests written for Sightglass mark their measured part by these imports.
    for (name, tag) in BENCH_MARKS {
        linker.func_wrap(BENCH, name, move |mut caller: Caller<'_, Host>| {
            let fuel_left = fuel_if_counted(&caller);
            caller.data_mut().marks.set(tag, fuel_left);
        })?;
    }
    Ok(())
}

/// What guests of the old SDKs import, in addition: their linker is made apart, because `link` is timed.
pub fn add_old_wasi(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    p0::add_to_linker_sync(linker, |host: &mut Host| &mut host.wasi)?;
    add_clock(linker, OLD_WASI)
}

fn add_clock(linker: &mut Linker<Host>, module: &str) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.func_wrap(module, "clock_time_get", clock_time_get)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Every function that a guest may import, and how it is called.
///
/// # Errors
/// When wasmtime makes no engine.
pub fn offered() -> wasmtime::Result<Offered> {
    let engine = Engine::default();
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    p0::add_to_linker_sync(&mut linker, |wasi| wasi)?;
    for name in BENCH_MARKS.map(|(name, _)| name) {
        linker.func_wrap(BENCH, name, || {})?;
    }
    let mut store = Store::new(&engine, WasiCtxBuilder::new().build_p1());
    let functions: Vec<_> = linker
        .iter(&mut store)
        .filter_map(|(module, name, item)| Some((module.to_owned(), name.to_owned(), item.into_func()?)))
        .collect();
    let signature = |function: &Func| {
        let ty = function.ty(&store);
        module::signature(ty.params().map(|ty| ty.to_string()), ty.results().map(|ty| ty.to_string()))
    };
    Ok(functions.iter().map(|(module, name, function)| ((module.clone(), name.clone()), signature(function))).collect())
}

/// How the reason of a trap in it begins, in the words of wasmtime-wasi.
const IN_CLOCK: &str = "In func wasi_snapshot_preview1::clock_time_get at write timestamp: ";

/// WASI's clock, in place of wasmtime-wasi's because only here the `precision` argument is seen, which carries the
/// guest's marks. Any other precision is the hint that it is elsewhere.
fn clock_time_get(mut caller: Caller<'_, Host>, clock: i32, precision: i64, result: i32) -> wasmtime::Result<i32> {
    let tag = precision.cast_unsigned();
    let marked_ns = matches!(tag, MARK_START | MARK_END | MARK_TRAP).then(|| {
        let fuel_left = fuel_if_counted(&caller);
        caller.data_mut().marks.set(tag, fuel_left)
    });
    let memory = memory_of(&mut caller)?;
    let now_ns = match (clock, marked_ns) {
        (0, _) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()),
        // One reading for the mark and for the guest.
        (1, Some(marked_ns)) => u128::from(marked_ns),
        (1, None) => u128::from(clock::monotonic_ns()),
        (2 | 3, _) => return Ok(ERRNO_BADF),
        _ => return Ok(ERRNO_INVAL),
    };
    let Ok(now_ns) = u64::try_from(now_ns) else { return Ok(ERRNO_OVERFLOW) };
    let at = result.cast_unsigned() as usize;
    let bytes = now_ns.to_le_bytes();
    // As wasmtime-wasi's other functions: who passes a pointer that is none has a mistake, and traps.
    if !at.is_multiple_of(align_of::<u64>()) {
        wasmtime::bail!("{IN_CLOCK}Pointer not aligned to 8: Region {{ start: {at}, len: 8 }}");
    }
    let written = match &memory {
        GuestMemory::Own(memory) => memory.write(&mut caller, at, &bytes).is_ok(),
        GuestMemory::Shared(memory) => write_shared(memory, at, now_ns),
    };
    if !written {
        wasmtime::bail!("{IN_CLOCK}Pointer out of bounds: Region {{ start: {at}, len: 8 }}");
    }
    Ok(0)
}

/// Writes a word where other threads may read; whether it lies within the memory.
fn write_shared(memory: &SharedMemory, at: usize, word: u64) -> bool {
    let data = memory.data();
    let Some(place) = at.checked_add(size_of::<u64>()).and_then(|end| data.get(at..end)) else { return false };
    // SAFETY: eight bytes of a memory that stays mapped as long as `memory` lives, at a multiple of eight of a start that is
    // aligned to a page; every access of other threads is atomic or the guest's own race.
    unsafe { &*place.as_ptr().cast::<AtomicU64>() }.store(word.to_le(), Ordering::Relaxed);
    true
}

/// Fuel left, in the pass that counts it: elsewhere even to ask would be an error made and dropped.
fn fuel_if_counted(caller: &Caller<'_, Host>) -> Option<u64> {
    caller.data().counts_fuel.then(|| caller.get_fuel().ok()).flatten()
}

/// The memory that a guest exports.
#[derive(Clone)]
enum GuestMemory {
    Own(Memory),
    Shared(SharedMemory),
}

/// The guest's memory, looked up by name once in an instance's life.
fn memory_of(caller: &mut Caller<'_, Host>) -> wasmtime::Result<GuestMemory> {
    if let Some(memory) = &caller.data().memory {
        return Ok(memory.clone());
    }
    let found = match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => GuestMemory::Own(memory),
        Some(Extern::SharedMemory(memory)) => GuestMemory::Shared(memory),
        // In the words of wasmtime-wasi.
        _ => wasmtime::bail!("missing required memory export"),
    };
    caller.data_mut().memory = Some(found.clone());
    Ok(found)
}

/// Fuel spent between two marks.
pub fn fuel_between(from: Mark, to: Mark) -> Option<u64> {
    Some(from.fuel_left?.saturating_sub(to.fuel_left?))
}

/// Fuel left in a store, when it counts fuel.
pub fn fuel_left(store: impl AsContext<Data = Host>) -> Option<u64> {
    store.as_context().get_fuel().ok()
}
