//! Live capture: the programs of `ebpf/`, loaded and read through aya. Nothing else needs privileges.

mod enter;
mod kernel;

use std::any::Any;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{ProgramError, RawTracePoint};
use aya::sys::{Stats, enable_stats};
use syscalls::Sysno;
use wasiscope_ebpf_abi::{
    Counter, CounterKey, InFlight, KIND_FAULT_KERNEL, KIND_FAULT_USER, KIND_SYSCALL, LEDGER_MAP_FULL, Phase, PhaseCell,
    cell_value,
};

pub use self::enter::enter_watched;
use super::{Capture, CaptureError, KernelEvents, Ledger, PhaseEvents, ProgramCost, Tally, WatchedWorker};

/// Entries of the array of phase cells: how many workers can be open at once.
const CELLS: u32 = 64;

/// The program without which there is no capture at all.
const INDISPENSABLE: &str = "sys_enter";

/// The programs in the kernel, and the maps through which they are asked.
///
/// Dropping it, or dying with it, leaves nothing behind: neither programs nor maps are pinned.
pub struct EbpfCapture {
    ebpf: Ebpf,
    watchers: Vec<Watcher>,
    cells: Array<MapData, PhaseCell>,
    cells_fd: RawFd,
    watched: HashMap<MapData, u32, u32>,
    watched_fd: RawFd,
    counters: PerCpuHashMap<MapData, CounterKey, Counter>,
    in_flight: HashMap<MapData, u32, InFlight>,
    ledger: PerCpuArray<MapData, u64>,
}

/// One program, which bears the name of its tracepoint.
struct Watcher {
    name: &'static str,
    /// Why it cannot be had.
    unavailable: Option<String>,
    /// While attached.
    link: Option<RawTracePointLinkId>,
    /// Its runs and their nanoseconds when costs began to be counted.
    counted_from: Option<(u64, u64)>,
}

impl EbpfCapture {
    /// Loads the programs, attaching none.
    ///
    /// # Errors
    /// [`CaptureError::Unavailable`] when this kernel or these privileges do not allow it, with what to do.
    pub fn load() -> Result<Self, CaptureError> {
        let (mut ebpf, missing) = kernel::load_object()?;
        let mut watchers = Vec::new();
        for (name, missing) in missing {
            let unavailable = match missing {
                Some(reason) => Some(reason),
                None => program(&mut ebpf, name)?.load().err().map(|error| with_causes(&error)),
            };
            if let Some(reason) = unavailable.as_ref().filter(|_| name == INDISPENSABLE) {
                return Err(CaptureError::Unavailable(format!("program {name}: {reason}")));
            }
            watchers.push(Watcher { name, unavailable, link: None, counted_from: None });
        }
        let (cells, cells_fd) = take_map(&mut ebpf, "CELLS")?;
        let (watched, watched_fd) = take_map(&mut ebpf, "WATCHED")?;
        Ok(Self {
            watchers,
            cells: cells.try_into().map_err(refused)?,
            cells_fd,
            watched: watched.try_into().map_err(refused)?,
            watched_fd,
            counters: take_map(&mut ebpf, "COUNTERS")?.0.try_into().map_err(refused)?,
            in_flight: take_map(&mut ebpf, "IN_FLIGHT")?.0.try_into().map_err(refused)?,
            ledger: take_map(&mut ebpf, "LEDGER")?.0.try_into().map_err(refused)?,
            ebpf,
        })
    }

    /// Takes the counters of `slot` out of the map, summed over the CPUs.
    fn take_counters(&mut self, slot: u32) -> Result<Vec<(CounterKey, Counter)>, CaptureError> {
        let mut taken = Vec::new();
        // Removing while iterating would make the kernel start over, so the keys are gathered first.
        for key in self.counters.keys().collect::<Result<Vec<_>, _>>().map_err(refused)? {
            if key.slot == slot {
                let shares = self.counters.get(&key, 0).map_err(refused)?;
                taken.push((key, sum(&shares)));
                self.counters.remove(&key).map_err(refused)?;
            }
        }
        Ok(taken)
    }

    /// Forgets threads of `slot` that never came out of a system call: exec from another thread ends one so, and so
    /// does disarming.
    fn forget_in_flight(&mut self, slot: u32) -> Result<(), CaptureError> {
        for thread in self.in_flight.keys().collect::<Result<Vec<_>, _>>().map_err(refused)? {
            match self.in_flight.get(&thread, 0) {
                Ok(entry) if entry.key.slot == slot => absent_is_fine(self.in_flight.remove(&thread))?,
                // Another worker's, which goes on while this one is collected.
                Ok(_) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }
}

impl Capture for EbpfCapture {
    fn arm(&mut self) -> Result<(), CaptureError> {
        for watcher in self.watchers.iter_mut().filter(|w| w.unavailable.is_none() && w.link.is_none()) {
            match program(&mut self.ebpf, watcher.name)?.attach(watcher.name) {
                Ok(link) => watcher.link = Some(link),
                Err(error) if watcher.name == INDISPENSABLE => return Err(refused(error)),
                Err(error) => watcher.unavailable = Some(with_causes(&error)),
            }
        }
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), CaptureError> {
        for watcher in &mut self.watchers {
            if let Some(link) = watcher.link.take() {
                program(&mut self.ebpf, watcher.name)?.detach(link).map_err(refused)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, slot: u32) -> Result<WatchedWorker, CaptureError> {
        let cell_index = slot % CELLS;
        let cell = PhaseCell { value: cell_value(slot, Phase::Spawn), padding: [0; 7] };
        self.cells.set(cell_index, cell, 0).map_err(refused)?;
        Ok(WatchedWorker { slot, cells_fd: self.cells_fd, cell_index, watched_fd: self.watched_fd })
    }

    fn collect(&mut self, slot: u32, pid: u32) -> Result<KernelEvents, CaptureError> {
        // A child that died before it could enter itself was never in the map.
        absent_is_fine(self.watched.remove(&pid))?;
        let mut events = KernelEvents::new();
        for (key, counter) in self.take_counters(slot)? {
            add(&mut events, key, counter);
        }
        self.forget_in_flight(slot)?;
        let cell_index = slot % CELLS;
        let cell = self.cells.get(&cell_index, 0).map_err(refused)?;
        // Unless a later worker has the cell by now.
        if cell.value >> 8 == u64::from(slot) {
            self.cells.set(cell_index, PhaseCell { value: 0, padding: [0; 7] }, 0).map_err(refused)?;
        }
        Ok(events)
    }

    fn ledger(&self) -> Result<Ledger, CaptureError> {
        let map_full = self.ledger.get(&LEDGER_MAP_FULL, 0).map_err(refused)?.iter().sum();
        let mut recursion_missed = 0;
        for watcher in self.watchers.iter().filter(|watcher| watcher.unavailable.is_none()) {
            let fd = loaded(&self.ebpf, watcher.name)?.fd().map_err(refused)?;
            recursion_missed += kernel::recursion_misses(fd.as_fd()).map_err(refused)?;
        }
        Ok(Ledger { ring_dropped: 0, map_full, recursion_missed })
    }

    fn count_costs(&mut self) -> Result<Box<dyn Any>, CaptureError> {
        let guard = enable_stats(Stats::RunTime).map_err(|error| {
            let error = with_causes(&error);
            CaptureError::Unavailable(format!("cannot count what programs cost (needs CAP_SYS_ADMIN): {error}"))
        })?;
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.unavailable.is_none()) {
            watcher.counted_from = Some(runs(&self.ebpf, watcher.name)?);
        }
        Ok(Box::new(guard))
    }

    fn programs(&self) -> Result<Vec<ProgramCost>, CaptureError> {
        self.watchers.iter().map(|watcher| watcher.cost(&self.ebpf)).collect()
    }
}

impl Watcher {
    fn cost(&self, ebpf: &Ebpf) -> Result<ProgramCost, CaptureError> {
        let mut cost = ProgramCost {
            name: self.name.to_owned(),
            run_count: None,
            mean_ns: None,
            unavailable: self.unavailable.clone(),
        };
        if let Some((count_before, ns_before)) = self.counted_from {
            let (count, ns) = runs(ebpf, self.name)?;
            let (count, ns) = (count - count_before, ns - ns_before);
            cost.run_count = Some(count);
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ns, which is 104 days in one program")]
            let mean_ns = (count > 0).then(|| ns as f64 / count as f64);
            cost.mean_ns = mean_ns;
        }
        Ok(cost)
    }
}

/// Adds one counter to the phase it was charged to.
fn add(events: &mut KernelEvents, key: CounterKey, counter: Counter) {
    // A byte that is no phase can only come from a worker gone astray; its events are kept, charged to nobody.
    let phase = u8::try_from(key.phase).ok().and_then(Phase::from_u8).unwrap_or(Phase::Outside);
    let PhaseEvents { syscalls, faults_user, faults_kernel } = events.entry(phase).or_default();
    match key.kind {
        KIND_SYSCALL => add_syscall(syscalls, key.id, counter),
        KIND_FAULT_USER => *faults_user += counter.count,
        KIND_FAULT_KERNEL => *faults_kernel += counter.count,
        _ => {}
    }
}

fn add_syscall(syscalls: &mut BTreeMap<String, Tally>, number: u32, counter: Counter) {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    let name = known.map_or_else(|| format!("syscall_{number}"), |known| known.name().to_owned());
    let tally = syscalls.entry(name).or_default();
    tally.count += counter.count;
    tally.total_ns += counter.total_ns;
}

fn sum(shares: &PerCpuValues<Counter>) -> Counter {
    shares.iter().fold(Counter::default(), |total, share| Counter {
        count: total.count + share.count,
        total_ns: total.total_ns + share.total_ns,
    })
}

/// How often a program ran while costs were counted, and for how many nanoseconds.
fn runs(ebpf: &Ebpf, name: &str) -> Result<(u64, u64), CaptureError> {
    let info = loaded(ebpf, name)?.info().map_err(refused)?;
    let ns = u64::try_from(info.run_time().as_nanos()).map_err(refused)?;
    Ok((info.run_count(), ns))
}

fn loaded<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a RawTracePoint, CaptureError> {
    let found = ebpf.program(name).ok_or_else(|| not_in_object(name))?;
    found.try_into().map_err(|error: ProgramError| refused(error))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint, CaptureError> {
    let found = ebpf.program_mut(name).ok_or_else(|| not_in_object(name))?;
    found.try_into().map_err(|error: ProgramError| refused(error))
}

/// A map of the object, with its descriptor, which stays valid (and `CLOEXEC`, as all of BPF's are) as long as the map.
fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<(Map, RawFd), CaptureError> {
    let map = ebpf.take_map(name).ok_or_else(|| not_in_object(name))?;
    let fd = match &map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::PerCpuHashMap(data) => {
            data.fd().as_fd().as_raw_fd()
        }
        _ => return Err(not_in_object(name)),
    };
    Ok((map, fd))
}

fn absent_is_fine(removed: Result<(), MapError>) -> Result<(), CaptureError> {
    match removed {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(MapError::KeyNotFound) | Ok(()) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

fn not_in_object(name: &str) -> CaptureError {
    CaptureError::Unavailable(format!("the embedded BPF object has no {name}: run ci/build-ebpf and build again"))
}

fn refused(error: impl std::error::Error) -> CaptureError {
    CaptureError::Kernel(with_causes(&error))
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let error_text = error.to_string();
        // Several of aya's errors print their cause themselves.
        if !text.contains(&error_text) {
            text = format!("{text}: {error_text}");
        }
        cause = error.source();
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(phase: u32, kind: u32, id: u32) -> CounterKey {
        CounterKey { slot: 1, phase, kind, id }
    }

    #[test]
    fn counters_go_to_their_phase_under_their_name() {
        let mut events = KernelEvents::new();
        let counter = Counter { count: 2, total_ns: 30 };
        let write = u32::try_from(Sysno::write.id()).unwrap();
        add(&mut events, key(Phase::Run as u32, KIND_SYSCALL, write), counter);
        add(&mut events, key(Phase::Run as u32, KIND_SYSCALL, 1_000_000), counter);
        add(&mut events, key(Phase::Run as u32, KIND_FAULT_USER, 0), counter);
        add(&mut events, key(Phase::Init as u32, KIND_FAULT_KERNEL, 0), counter);
        let run = &events[&Phase::Run];
        assert_eq!(run.syscalls["write"], Tally { count: 2, total_ns: 30 });
        assert_eq!(run.syscalls["syscall_1000000"].count, 2);
        assert_eq!((run.faults_user, run.faults_kernel), (2, 0));
        assert_eq!((events[&Phase::Init].faults_user, events[&Phase::Init].faults_kernel), (0, 2));
    }

    #[test]
    fn a_phase_that_nobody_writes_is_charged_to_nobody() {
        let mut events = KernelEvents::new();
        add(&mut events, key(200, KIND_FAULT_USER, 0), Counter { count: 1, total_ns: 0 });
        assert_eq!(events[&Phase::Outside].faults_user, 1);
    }

    #[test]
    fn causes_are_said_once() {
        let inner = std::io::Error::other("inner");
        assert_eq!(with_causes(&CaptureError::Kernel("outer".to_owned())), "capture: outer");
        assert_eq!(with_causes(&super::super::btf::BtfError::Read(inner)), "cannot read the kernel's BTF: inner");
    }
}
