//! The kernel's side of a run: one trait, the eBPF implementation of it, and a recorded fake for tests.
//!
//! The runner arms the capture, opens a slot for each watched worker, and collects what the kernel charged to that
//! slot once the worker is gone. Nothing here knows what a case or a scenario is.

#[cfg(feature = "ebpf")]
pub mod btf;
#[cfg(feature = "ebpf")]
pub mod ebpf;
pub mod pipeline;
pub mod recorded;

use std::os::fd::RawFd;

pub use wasiscope_model::capture::{Coverage, Ledger, ProgramCost};
pub use wasiscope_model::events::{
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
