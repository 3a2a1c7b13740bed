//! Live capture: the programs of `ebpf/`, loaded and read through aya. Nothing else needs privileges.

pub mod decode;
mod enter;
mod facts;
mod kernel;
mod layout;
mod pipeline;
mod watcher;

use std::any::Any;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf};
use aya::sys::{Stats, enable_stats};
use wasiscope_ebpf_abi::{
    Counter, CounterKey, KERNEL_EVENTS, LEDGER_MAP_FULL, LEDGER_RING_FULL, LEDGER_SWITCH_UNSEEN, MISSING, Phase,
    PhaseCell, SeenBy, Thread, TraceEvent, cell_value,
};

pub use self::enter::enter_watched;
use self::facts::{FOLLOWING, Found};
pub use self::kernel::Options;
use self::watcher::{PERF_PAGE_FAULT, Watcher};
use super::{Capture, CaptureError, KernelEvents, Ledger, ProgramCost, TracedEvent, WatchedWorker};
use super::{Pipeline, PipelineOptions};

/// How many programs are attached on a kernel that has all their tracepoints.
pub const PROGRAMS: usize = facts::PROGRAMS.len();

/// Entries of the array of phase cells: how many workers can be open at once.
const CELLS: u32 = 64;

/// The programs in the kernel, and the maps through which they are asked.
///
/// Dropping it, or dying with it, leaves nothing behind: neither programs nor maps are pinned.
pub struct EbpfCapture {
    options: Options,
    ebpf: Ebpf,
    watchers: Vec<Watcher>,
    /// Whether the programs rely on seeing that threads lose their processor.
    follows_switches: bool,
    cells: Array<MapData, PhaseCell>,
    cells_fd: RawFd,
    watched: HashMap<MapData, u32, u32>,
    watched_fd: RawFd,
    threads: HashMap<MapData, u32, Thread>,
    heap_ends: Array<MapData, u64>,
    counters: PerCpuHashMap<MapData, CounterKey, Counter>,
    events: RingBuf<MapData>,
    /// Single events by slot, until they are taken out.
    traces: BTreeMap<u32, Vec<TracedEvent>>,
    ledger: PerCpuArray<MapData, u64>,
}

impl EbpfCapture {
    /// Loads the programs, attaching none.
    ///
    /// # Errors
    /// [`CaptureError::Unavailable`] when this kernel or these privileges do not allow it, with what to do.
    pub fn load(options: &Options) -> Result<Self, CaptureError> {
        let (mut ebpf, mut found, mut watchers) = load_programs(options, true)?;
        let mut follows_switches = found.facts.follows_switches == 1;
        if follows_switches && lost_following(&watchers).is_some() {
            // The others have been told that they can rely on them.
            (ebpf, found, watchers) = load_programs(options, false)?;
            follows_switches = false;
        }
        if let Some(enter) = watchers.iter_mut().find(|watcher| watcher.name == "sys_enter") {
            enter.blind_to = found.arguments.map(|reason| format!("{}: {reason}", seen_in_arguments()));
        }
        count_faults_otherwise(&mut ebpf, &mut watchers, found.facts.perf_layout != MISSING)?;
        let (cells, cells_fd) = take_map(&mut ebpf, "CELLS")?;
        let (watched, watched_fd) = take_map(&mut ebpf, "WATCHED")?;
        Ok(Self {
            options: options.clone(),
            watchers,
            follows_switches,
            cells: cells.try_into().map_err(refused)?,
            cells_fd,
            watched: watched.try_into().map_err(refused)?,
            watched_fd,
            threads: take_map(&mut ebpf, "THREADS")?.0.try_into().map_err(refused)?,
            heap_ends: take_map(&mut ebpf, "HEAP_ENDS")?.0.try_into().map_err(refused)?,
            counters: take_map(&mut ebpf, "COUNTERS")?.0.try_into().map_err(refused)?,
            events: take_map(&mut ebpf, "EVENTS")?.0.try_into().map_err(refused)?,
            traces: BTreeMap::new(),
            ledger: take_map(&mut ebpf, "LEDGER")?.0.try_into().map_err(refused)?,
            ebpf,
        })
    }

    /// Takes the counters of the worker with this cell out of the map, summed over the CPUs.
    fn take_counters(&mut self, cell_index: u32) -> Result<Vec<(CounterKey, Counter)>, CaptureError> {
        let mut taken = Vec::new();
        // Removing while iterating would make the kernel start over, so the keys are gathered first.
        for key in self.counters.keys().collect::<Result<Vec<_>, _>>().map_err(refused)? {
            if u32::from(key.parts().cell_index) == cell_index {
                let shares = self.counters.get(&key, 0).map_err(refused)?;
                taken.push((key, sum(&shares)));
                self.counters.remove(&key).map_err(refused)?;
            }
        }
        Ok(taken)
    }

    /// Forgets processes that wanted to be watched into this cell, also one whose exec failed.
    fn stop_watching(&mut self, cell_index: u32) -> Result<(), CaptureError> {
        for process in self.watched.keys().collect::<Result<Vec<_>, _>>().map_err(refused)? {
            match self.watched.get(&process, 0) {
                Ok(its_cell) if its_cell == cell_index => absent_is_fine(self.watched.remove(&process))?,
                Ok(_) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }

    /// Forgets threads of `slot` whose death was missed: exec from another thread ends one so, and so does disarming.
    /// Calls that they were in are counted now.
    fn forget_threads(&mut self, slot: u32, events: &mut KernelEvents) -> Result<(), CaptureError> {
        for number in self.threads.keys().collect::<Result<Vec<_>, _>>().map_err(refused)? {
            match self.threads.get(&number, 0) {
                Ok(thread) if thread.owner.slot == slot => {
                    if thread.call.entered_ns != 0 {
                        decode::add_unfinished(events, thread.call.phase, thread.call.number);
                    }
                    absent_is_fine(self.threads.remove(&number))?;
                }
                // Another worker's, which goes on while this one is collected.
                Ok(_) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }

    /// Takes what there is out of the ring buffer.
    fn drain(&mut self) {
        while let Some(item) = self.events.next() {
            if item.len() < size_of::<TraceEvent>() {
                continue;
            }
            // SAFETY: the buffer holds that many bytes, and any bytes are a valid event.
            let event = unsafe { ptr::read_unaligned(item.as_ptr().cast::<TraceEvent>()) };
            self.traces.entry(event.slot).or_default().extend(decode::traced(&event));
        }
    }
}

/// The events that are seen in the arguments of system calls, by name.
fn seen_in_arguments() -> String {
    let events = KERNEL_EVENTS.iter().filter(|event| event.seen_by == SeenBy::CallArguments);
    events.map(|event| event.name).collect::<Vec<_>>().join(", ")
}

/// One of the programs that the others rely on when they follow threads, if it cannot be had after all.
fn lost_following(watchers: &[Watcher]) -> Option<&Watcher> {
    watchers.iter().find(|watcher| FOLLOWING.contains(&watcher.name) && watcher.unavailable.is_some())
}

/// Loads every program that has a tracepoint here.
fn load_programs(options: &Options, may_follow: bool) -> Result<(Ebpf, Found, Vec<Watcher>), CaptureError> {
    let (mut ebpf, found) = kernel::load_object(options, may_follow)?;
    let load = |(name, missing): &(&'static str, Option<String>)| Watcher::load(&mut ebpf, name, missing.clone());
    let watchers = found.programs.iter().map(load).collect::<Result<_, _>>()?;
    Ok((ebpf, found, watchers))
}

/// Without both tracepoints of page faults, as on most processors but x86, one software perf event counts either kind.
fn count_faults_otherwise(
    ebpf: &mut Ebpf,
    watchers: &mut Vec<Watcher>,
    registers_known: bool,
) -> Result<(), CaptureError> {
    let is_tracepoint = |watcher: &Watcher| watcher.name.starts_with("page_fault_");
    if watchers.iter().filter(|watcher| is_tracepoint(watcher)).all(|watcher| watcher.unavailable.is_none()) {
        return Ok(());
    }
    let unknown = || format!("where {} shows the mode of a fault is not known here", std::env::consts::ARCH);
    let otherwise = Watcher::load(ebpf, PERF_PAGE_FAULT, (!registers_known).then(unknown))?;
    if otherwise.unavailable.is_none() {
        watchers.retain(|watcher| !is_tracepoint(watcher));
    }
    watchers.push(otherwise);
    Ok(())
}

impl Capture for EbpfCapture {
    fn arm(&mut self) -> Result<(), CaptureError> {
        let attached = self.watchers.iter_mut().try_for_each(|watcher| watcher.attach(&mut self.ebpf));
        let armed = attached.and_then(|()| match lost_following(&self.watchers) {
            Some(Watcher { name, unavailable: Some(reason), .. }) if self.follows_switches => {
                Err(CaptureError::Unavailable(format!("program {name}: {reason}")))
            }
            _ => Ok(()),
        });
        if armed.is_err() {
            // Half of the programs would count half of the truth.
            self.disarm()?;
        }
        armed
    }

    fn disarm(&mut self) -> Result<(), CaptureError> {
        let results: Vec<_> = self.watchers.iter_mut().map(|watcher| watcher.detach(&mut self.ebpf)).collect();
        results.into_iter().collect()
    }

    fn open(&mut self, slot: u32, _label: &str) -> Result<WatchedWorker, CaptureError> {
        let cell_index = slot % CELLS;
        // What events may have come of the cell's last worker after it was collected are nobody's.
        self.take_counters(cell_index)?;
        self.heap_ends.set(cell_index, 0, 0).map_err(refused)?;
        self.cells.set(cell_index, PhaseCell::showing(cell_value(slot, Phase::Spawn)), 0).map_err(refused)?;
        Ok(WatchedWorker { slot, cells_fd: self.cells_fd, cell_index, watched_fd: self.watched_fd })
    }

    fn collect(&mut self, slot: u32) -> Result<KernelEvents, CaptureError> {
        let mut events = KernelEvents::new();
        let cell_index = slot % CELLS;
        self.stop_watching(cell_index)?;
        for (key, counter) in self.take_counters(cell_index)? {
            decode::add(&mut events, key, counter);
        }
        self.forget_threads(slot, &mut events)?;
        self.drain();
        let cell = self.cells.get(&cell_index, 0).map_err(refused)?;
        // Unless a later worker has the cell by now.
        if cell.value >> 8 == u64::from(slot) {
            self.cells.set(cell_index, PhaseCell::showing(0), 0).map_err(refused)?;
        }
        Ok(events)
    }

    fn take_trace(&mut self, slot: u32) -> Result<Vec<TracedEvent>, CaptureError> {
        self.drain();
        let mut trace = self.traces.remove(&slot).unwrap_or_default();
        trace.sort_by_key(|event| event.at_ns);
        Ok(trace)
    }

    fn ledger(&self) -> Result<Ledger, CaptureError> {
        let lost = |entry| Ok(self.ledger.get(&entry, 0).map_err(refused)?.iter().sum());
        let mut recursion_missed = 0;
        for watcher in &self.watchers {
            recursion_missed += watcher.recursion_misses(&self.ebpf)?;
        }
        Ok(Ledger {
            ring_dropped: lost(LEDGER_RING_FULL)?,
            map_full: lost(LEDGER_MAP_FULL)?,
            recursion_missed,
            switches_unseen: lost(LEDGER_SWITCH_UNSEEN)?,
            // A flow's own ring buffer is gone with it; what it lost is in the case.
            events_lost: 0,
        })
    }

    fn count_costs(&mut self) -> Result<Box<dyn Any>, CaptureError> {
        let guard = enable_stats(Stats::RunTime).map_err(|error| {
            let error = with_causes(&error);
            CaptureError::Unavailable(format!("cannot count what programs cost (needs CAP_SYS_ADMIN): {error}"))
        })?;
        self.watchers.iter_mut().try_for_each(|watcher| watcher.count_costs(&self.ebpf))?;
        Ok(Box::new(guard))
    }

    fn pipeline(&mut self, options: &PipelineOptions) -> Result<Box<dyn Pipeline>, CaptureError> {
        Ok(Box::new(pipeline::EbpfPipeline::open(&self.options, options)?))
    }

    fn programs(&self) -> Result<Vec<ProgramCost>, CaptureError> {
        self.watchers.iter().map(|watcher| watcher.cost(&self.ebpf)).collect()
    }
}

fn sum(shares: &PerCpuValues<Counter>) -> Counter {
    let mut total = Counter::default();
    shares.iter().for_each(|share| total.merge(share));
    total
}

/// A map of the object, with its descriptor, which stays valid (and `CLOEXEC`, as all of BPF's are) as long as the map.
fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<(Map, RawFd), CaptureError> {
    let map = ebpf.take_map(name).ok_or_else(|| not_in_object(name))?;
    let fd = match &map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::RingBuf(data) => data.fd().as_fd().as_raw_fd(),
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

    #[test]
    fn causes_are_said_once() {
        let inner = std::io::Error::other("inner");
        assert_eq!(with_causes(&CaptureError::Kernel("outer".to_owned())), "capture: outer");
        assert_eq!(with_causes(&super::super::btf::BtfError::Read(inner)), "cannot read the kernel's BTF: inner");
    }
}
