//! The kernel's side of a run: one trait, the eBPF implementation of it, and stored captures for replay. The runner
//! arms the capture, opens a slot for each watched worker, and collects what the kernel charged to that slot once
//! the worker is gone. It knows no case and no scenario.
//!
//! The phase cell is one `u64` (`slot << 8 | phase`) on a cache line of its own in a mappable BPF array. The child
//! enters itself into the map of watched processes between fork and exec, so its `spawn` is watched from its next
//! system call on; it maps its cell from an inherited descriptor and stores into it at each change of phase. Behind
//! the phase lie the regions of its address space, which the worker writes when it knows them. An unwatched worker
//! runs the same instructions on a cell that nobody reads.
//!
//! The programs know watched threads, by the kernel's own numbers, which hold in any pid namespace: from their
//! first system call, or from their birth by a watched one. As long as a thread keeps its processor, that CPU keeps
//! what belongs to it (`Running`), and a system call looks nothing up in a hash table. Everything else is counted
//! in per-CPU maps under one word: cell, phase, kind, id, bucket. Programs that can interrupt each other never
//! count to the same kind.
//!
//! What belongs to which phase: a system call to that of its entry; time off the processor is charged to the phase in
//! which the thread lost it; everything else to that of the moment. Threads started in `compile` count to it for good,
//! because Cranelift's go to sleep when later phases have begun.
//!
//! Positions of tracepoint arguments and offsets of fields come from the running kernel's BTF and go to the
//! programs in one read-only structure (`KernelFacts`), before they are loaded; the verifier drops the code for
//! other kernels. A program that this kernel cannot carry is `unavailable` with a reason. Without the tracepoints
//! of page faults one software perf event counts them.

#[cfg(feature = "ebpf")]
pub mod btf;
#[cfg(feature = "ebpf")]
pub mod ebpf;
pub mod pipeline;
pub mod recorded;

use std::os::fd::RawFd;

use wasiscope_model::code::{Code, Coded};

pub use wasiscope_model::capture::{Coverage, Ledger, ProgramCost};
pub use wasiscope_model::events::{
    BlockIo, Calls, Distribution, KernelEvents, Memory, OffCpu, PhaseEvents, Switches, TasksCreated, Traced,
    TracedEvent, region_name,
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

impl Coded for CaptureError {
    fn code(&self) -> Code {
        match self {
            Self::Unavailable(_) => Code::CaptureUnavailable,
            Self::Kernel(_) => Code::CaptureFailed,
        }
    }
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
