//! The kernel's side of a run: one trait, the eBPF implementation of it, and a recorded fake for tests.
//!
//! The runner arms the capture, opens a slot for each watched worker, and collects what the kernel charged to that
//! slot once the worker is gone. Nothing here knows what a case or a scenario is.

pub mod btf;
pub mod ebpf;
mod events;
mod pipeline;
pub mod recorded;

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

pub use events::{
    Births, BlockIo, Calls, Distribution, KernelEvents, Memory, OffCpu, PhaseEvents, Switches, Traced, TracedEvent,
    region_name,
};

pub use pipeline::{InheritedMap, Pipeline, PipelineMaps, PipelineOptions};

/// What went wrong while watching; never the reason for a case to fail, only for its kernel side to be missing.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Live capture cannot be had on this machine or with these privileges; the text says why and what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The kernel refused an operation that worked before.
    #[error("capture: {0}")]
    Kernel(String),
}

/// What a worker must inherit to be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchedWorker {
    /// The slot that the worker writes into its phase cell.
    pub slot: u32,
    /// Descriptor of the mappable array of phase cells.
    pub cells_fd: RawFd,
    /// Index of the worker's own cell in that array.
    pub cell_index: u32,
    /// Descriptor of the map of watched processes; the child enters itself between fork and exec.
    pub watched_fd: RawFd,
}

/// What the capture knows that it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Ring-buffer records that found no room.
    pub ring_dropped: u64,
    /// Events that found a map full.
    pub map_full: u64,
    /// Program runs that the kernel skipped because the same program was running on that CPU.
    pub recursion_missed: u64,
    /// Waits for a processor whose end was not seen: they are missing in the times off the processor, and nowhere else.
    #[serde(default)]
    pub switches_unseen: u64,
    /// Events on their way into handlers that found no room in their ring buffer; the cases say which (`events.lost`). Nothing else is missing for them.
    #[serde(default)]
    pub events_lost: u64,
}

impl Ledger {
    /// Whether every count is exact. What the ring buffer lost is missing in the timeline only.
    #[must_use]
    pub fn counts_are_exact(&self) -> bool {
        self.map_full == 0 && self.recursion_missed == 0
    }
}

/// One kernel program and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// The program's name, which is that of its tracepoint.
    pub name: String,
    /// How often it ran while costs were being counted; `None` when they were not.
    pub run_count: Option<u64>,
    /// Mean nanoseconds of a run; `None` when costs were not counted.
    pub mean_ns: Option<f64>,
    /// Why this program is not attached although the others are.
    pub unavailable: Option<String>,
    /// What it cannot see here although it is attached, and why.
    #[serde(default)]
    pub blind_to: Option<String>,
}

/// Which events the programs at hand can see: what none of them sees is unknown, not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Page faults in user mode.
    pub faults_user: bool,
    /// Page faults in the kernel.
    pub faults_kernel: bool,
    /// Signals.
    pub signals: bool,
    /// Switches.
    pub switches: bool,
    /// When threads become runnable, and so how long they are blocked and how long they wait.
    pub wake_ups: bool,
    /// Moves from processor to processor.
    pub migrations: bool,
    /// New threads and processes.
    pub births: bool,
    /// Requests to block devices.
    pub block_io: bool,
    /// Whether nothing was lost and this very run was watched, so that counts can be held against other counts.
    pub lossless: bool,
    /// Arguments of system calls, and so bytes of address space and futex waits.
    pub arguments: bool,
}

impl Coverage {
    /// Of these programs, in a run of which nothing was lost.
    #[must_use]
    pub fn of(programs: &[ProgramCost]) -> Self {
        let attached =
            |name: &str| programs.iter().find(|program| program.name == name && program.unavailable.is_none());
        let sees = |name: &str| attached(name).is_some();
        Self {
            lossless: true,
            faults_user: sees("page_fault_user") || sees("page_fault"),
            faults_kernel: sees("page_fault_kernel") || sees("page_fault"),
            signals: sees("signal_deliver"),
            switches: sees("sched_switch"),
            wake_ups: sees("sched_switch") && sees("sched_wakeup"),
            migrations: sees("sched_migrate_task"),
            births: sees("sched_process_fork"),
            block_io: sees("block_bio_queue"),
            arguments: attached("sys_enter").is_some_and(|program| program.blind_to.is_none()),
        }
    }
}

/// The kernel's side of a run.
pub trait Capture {
    /// Attaches every program. Idempotent.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn arm(&mut self) -> Result<(), CaptureError>;

    /// Detaches every program, so that unwatched workers run on an untouched kernel. Idempotent.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn disarm(&mut self) -> Result<(), CaptureError>;

    /// Reserves `slot` for the next worker and puts its cell into the phase `spawn`. The label says which worker it is to
    /// whoever stores or replays what is captured.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn open(&mut self, slot: u32, label: &str) -> Result<WatchedWorker, CaptureError>;

    /// Takes out what was charged to the worker in `slot`, whose process has been reaped.
    ///
    /// # Errors
    /// When the maps cannot be read.
    fn collect(&mut self, slot: u32) -> Result<KernelEvents, CaptureError>;

    /// Takes out the single events of the worker in `slot`, in the order of their beginnings. Call it after
    /// [`collect`](Self::collect); a worker that traced nothing has none.
    ///
    /// # Errors
    /// When they cannot be read.
    fn take_trace(&mut self, slot: u32) -> Result<Vec<TracedEvent>, CaptureError>;

    /// Losses so far, over all workers.
    ///
    /// # Errors
    /// When the counters cannot be read.
    fn ledger(&self) -> Result<Ledger, CaptureError>;

    /// Starts counting what the programs themselves cost, until the returned guard is dropped. Counting has a cost of
    /// its own, so this belongs to a pass whose other results are thrown away.
    ///
    /// # Errors
    /// When the kernel keeps no such statistics.
    fn count_costs(&mut self) -> Result<Box<dyn std::any::Any>, CaptureError>;

    /// The kernel's side of a flow of events into a handler.
    ///
    /// # Errors
    /// When it cannot be had: from a stored capture, for one.
    fn pipeline(&mut self, _options: &PipelineOptions) -> Result<Box<dyn Pipeline>, CaptureError> {
        Err(CaptureError::Unavailable("events can flow from a live kernel only, and not be stored".to_owned()))
    }

    /// The programs, with their costs as far as they were counted.
    ///
    /// # Errors
    /// When the counters cannot be read.
    fn programs(&self) -> Result<Vec<ProgramCost>, CaptureError>;
}
