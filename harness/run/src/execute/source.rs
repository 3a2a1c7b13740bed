//! Where the kernel's side of a run comes from: the kernel itself, a stored capture, or nowhere.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::process::DumpableBehavior;

use wasiscope_capture::ebpf::{EbpfCapture, Options};
use wasiscope_capture::recorded::{RecordedCapture, Recorder, Recording};
use wasiscope_capture::{Capture, CaptureError};
use wasiscope_model::code::{Code, Coded};
use wasiscope_model::report::{CaptureReport, CaptureStatus};
use wasiscope_sys::destination::Destination;
use wasiscope_sys::files;
use wasiscope_sys::privileges;

/// Bytes of the ring buffer for the events of a traced iteration: some 400,000 of them.
const TRACE_BYTES: u32 = 32 << 20;

/// Names a file with the kernel's BTF, for kernels that do not show it themselves.
const BTF_VARIABLE: &str = "WASISCOPE_BTF";

/// The kernel's side of a run.
pub enum Source {
    /// Nobody looks.
    Off,
    /// It cannot be had, and why.
    Unavailable(CaptureError),
    /// The kernel itself.
    Live(EbpfCapture),
    /// The kernel itself, and what it gives is stored.
    Saved(Recorder<EbpfCapture>, Destination),
    /// A stored capture, and the file it is from.
    Replayed(RecordedCapture, PathBuf),
}

/// What a live capture is to do beside counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Keep the single events of traced iterations.
    pub trace: bool,
    /// Count what the kernel programs themselves cost.
    pub program_costs: bool,
}

/// A stored capture is of something else.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} does not hold the worker `{missing}` (scenario:case, the guest's hash, x iterations, #process); it holds {workers} of them, \
     such as {}: replay it with the scenarios, guests, --iterations and --trace that it was made with",
    path.display(),
    some.join(", ")
)]
pub struct NotRecorded {
    /// The stored capture.
    pub path: PathBuf,
    /// The first worker that it lacks.
    pub missing: String,
    /// How many workers it has.
    pub workers: usize,
    /// Some of them.
    pub some: Vec<String>,
}

impl Coded for NotRecorded {
    fn code(&self) -> Code {
        Code::OtherCapture
    }
}

impl Source {
    /// Loads the kernel programs; with a place, what they give is stored there by [`save`](Self::save).
    ///
    /// # Errors
    /// When this kernel or these privileges do not allow it.
    pub fn live(wanted: Live, place: Option<Destination>) -> Result<Self, CaptureError> {
        let options = Options { trace_bytes: wanted.trace.then_some(TRACE_BYTES), ..kernel_options() };
        let capture = load(&options, wanted.program_costs)?;
        Ok(match place {
            Some(place) => Self::Saved(Recorder::new(capture), place),
            None => Self::Live(capture),
        })
    }

    /// Reads a stored capture.
    ///
    /// # Errors
    /// When the file cannot be read, or is none.
    pub fn replayed(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let json =
            files::read_document(path).map_err(|error| Code::of_read(&error).error(error)).with_context(named)?;
        let recording =
            Recording::from_json(&json).map_err(|error| Code::NotACapture.error(error)).with_context(named)?;
        Ok(Self::Replayed(RecordedCapture::new(recording).with_context(named)?, path.to_owned()))
    }

    /// What watches workers, if anything does.
    pub(super) fn capture(&mut self) -> Option<&mut dyn Capture> {
        match self {
            Self::Off | Self::Unavailable(_) => None,
            Self::Live(capture) => Some(capture),
            Self::Saved(recorder, _) => Some(recorder),
            Self::Replayed(recorded, _) => Some(recorded),
        }
    }

    /// Looks whether everything that these labels will ask for can be had.
    pub(super) fn check(&self, labels: &[String]) -> Result<(), NotRecorded> {
        let Self::Replayed(recorded, path) = self else { return Ok(()) };
        let Some(missing) = recorded.recording().missing(labels) else { return Ok(()) };
        let workers = &recorded.recording().workers;
        let is_shown = |label: &&String| label.ends_with("#0") || label.ends_with("#trace");
        Err(NotRecorded {
            path: path.clone(),
            missing: missing.to_owned(),
            workers: workers.len(),
            some: workers.keys().filter(is_shown).cloned().collect(),
        })
    }

    /// Whether the kernel itself is watched.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_) | Self::Saved(..))
    }

    /// Where a capture is to be stored.
    #[must_use]
    pub fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Saved(_, place) => Some(place),
            _ => None,
        }
    }

    fn as_capture(&self) -> Option<&dyn Capture> {
        match self {
            Self::Off | Self::Unavailable(_) => None,
            Self::Live(capture) => Some(capture),
            Self::Saved(recorder, _) => Some(recorder),
            Self::Replayed(recorded, _) => Some(recorded),
        }
    }

    /// What the report says of it; `trouble` is what went wrong on the way.
    pub(super) fn report(&self, trouble: Option<String>) -> CaptureReport {
        // A ledger that cannot be read is not a clean one.
        let capture = self.as_capture();
        let accounts =
            capture.map(|capture| Ok::<_, CaptureError>((capture.programs()?, capture.ledger()?))).transpose();
        let (accounts, unreadable) = match accounts {
            Ok(accounts) => (accounts.unwrap_or_default(), None),
            Err(error) => (Default::default(), Some(error.to_string())),
        };
        let (status, reason) = match (self, trouble.or(unreadable)) {
            (Self::Unavailable(error), _) => (CaptureStatus::Unavailable, Some(error.to_string())),
            (Self::Off, _) => (CaptureStatus::Off, None),
            (_, Some(trouble)) => (CaptureStatus::Unavailable, Some(trouble)),
            (Self::Replayed(_, path), None) => (CaptureStatus::Replayed, Some(format!("from {}", path.display()))),
            (Self::Live(_) | Self::Saved(..), None) => (CaptureStatus::Live, None),
        };
        CaptureReport { status, reason, programs: accounts.0, ledger: accounts.1 }
    }

    /// Writes what is to be stored, and says where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> anyhow::Result<Option<PathBuf>> {
        let Self::Saved(recorder, place) = self else { return Ok(None) };
        let named = || format!("cannot write {}", place.path().display());
        let recording = recorder.recording()?;
        place.write_with(|out| Ok(serde_json::to_writer(out, &recording)?)).with_context(named)?;
        Ok(Some(place.path().to_owned()))
    }
}

/// Loads the kernel's side. From then on this process keeps only the privileges that watching needs.
///
/// # Errors
/// When this kernel or these privileges do not allow it.
pub fn load(options: &Options, counts_costs: bool) -> Result<EbpfCapture, CaptureError> {
    let capture = EbpfCapture::load(options)?;
    privileges::keep_watching(counts_costs)
        .map_err(|error| CaptureError::Kernel(format!("cannot give up privileges: {error}")))?;
    Ok(capture)
}

/// What the environment says of this kernel. A binary with capabilities of its own, which is what the kernel does not
/// let be dumped, does not listen to whoever starts it.
#[must_use]
pub fn kernel_options() -> Options {
    let listens = matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::Dumpable));
    let btf = std::env::var_os(BTF_VARIABLE).filter(|_| listens).map(PathBuf::from);
    Options { btf, ..Options::default() }
}
