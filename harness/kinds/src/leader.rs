//! What a kind does beside the workers of a flow: the parent leads it, since only the parent speaks with the kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use wasiscope_capture::{CaptureError, Pipeline, PipelineOptions};
use wasiscope_model::code::{Code, Coded};

/// A flow of events, as its parent sees it.
pub trait Leader: fmt::Debug + Send + Sync {
    /// How the kernel's side is set up.
    fn options(&self) -> PipelineOptions;

    /// Whether the guest may read the map of this name.
    fn grants(&self, map: &str) -> bool;

    /// Starts `executable`, which is this one, as what makes the events; on a processor of its own where there is one.
    ///
    /// # Errors
    /// When it cannot be started.
    fn start(&self, executable: &Path, cpu: Option<usize>) -> Result<Box<dyn Source>, FlowError>;

    /// What of these counts cannot be, or is not what the kernel says; `None` when all is as it must be.
    fn problem(&self, counts: &BTreeMap<String, u64>, kernel: &dyn Pipeline) -> Option<String>;
}

/// What makes the events. Dropping it ends it.
pub trait Source: Send + Sync {
    /// Leads the worker at the other end of `worker` through so many flows; gives what was counted on this side. Ends early, without
    /// an error, when the worker is gone: how it died is known elsewhere.
    ///
    /// # Errors
    /// When the source or the kernel fails.
    fn lead(
        &self,
        iterations: u32,
        worker: &OwnedFd,
        kernel: &mut dyn Pipeline,
    ) -> Result<BTreeMap<String, u64>, FlowError>;

    /// Ends it, whatever it does: its worker has ended.
    fn end(&self);
}

/// What went wrong on the parent's side.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The source of events could not be started, or did not answer.
    #[error("the process that makes the calls: {0}")]
    Source(#[source] io::Error),
    /// The kernel's side.
    #[error(transparent)]
    Kernel(#[from] CaptureError),
}

impl Coded for FlowError {
    fn code(&self) -> Code {
        match self {
            Self::Source(_) => Code::NotRun,
            Self::Kernel(error) => error.code(),
        }
    }
}
