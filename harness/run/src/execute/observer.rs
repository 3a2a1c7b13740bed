//! Whoever wants to know what happens during a run.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::compare::live;
use crate::runner::Event;
use wasiscope_capture::CaptureError;

/// Is told what happens, as it happens. Every method may be left out.
pub trait Observer {
    /// Something happened to a worker.
    fn on_event(&mut self, _event: &Event<'_>) {}

    /// Something happened while prices were measured.
    fn on_comparison(&mut self, _event: &live::Event<'_>) {}

    /// Something that is good to know.
    fn on_note(&mut self, _note: &Note) {}

    /// Something went wrong, and the run goes on without it.
    fn on_warning(&mut self, _warning: &Warning) {}
}

/// An observer that does not care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Something that is good to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// What is done to get a guest: built, or a toolchain installed.
    Preparing(String),
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preparing(what) => formatter.write_str(what),
        }
    }
}

/// What went wrong without ending the run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A record could not be written. Told once; the report has it all the same.
    #[error("{}: {reason}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The kernel does not tell what its programs cost.
    #[error("what the kernel programs cost is not known: {0}")]
    ProgramCosts(CaptureError),
    /// There are no kernel programs that could cost anything.
    #[error("what the kernel programs cost is not known: there are none (see `capture` above)")]
    NoPrograms,
}
