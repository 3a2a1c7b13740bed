//! Where the kernel's side of a run comes from: the kernel itself, a stored capture, or nowhere.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rustix::process::DumpableBehavior;

use super::run::destination;
use crate::capture::ebpf::{EbpfCapture, Options};
use crate::capture::recorded::{RecordedCapture, Recorder, Recording};
use crate::capture::{Capture, CaptureError};
use crate::files;
use crate::privileges;
use crate::report::destination::Destination;
use crate::report::document::{CaptureReport, CaptureStatus};

/// Bytes of the ring buffer for the events of a traced iteration: some 400,000 of them.
const TRACE_BYTES: u32 = 32 << 20;

/// Names a file with the kernel's BTF, for kernels that do not show it themselves.
const BTF_VARIABLE: &str = "WASISCOPE_BTF";

#[derive(Debug, Args)]
pub(super) struct CaptureArguments {
    /// Watch the kernel: where possible, always (anything else is an error), or not at all
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) capture: When,
    /// Also count what the kernel programs themselves cost, in a pass of its own (needs CAP_SYS_ADMIN)
    #[arg(long)]
    pub(super) capture_cost: bool,
    /// Also store what the kernel programs gave, so that it can be replayed
    #[arg(long, value_name = "FILE")]
    capture_save: Option<PathBuf>,
    /// Take the kernel's side from a stored capture of the same scenarios; needs no privileges
    #[arg(long, value_name = "FILE", conflicts_with_all = ["capture", "capture_save", "capture_cost"])]
    capture_replay: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    #[default]
    Auto,
    On,
    Off,
}

/// The kernel's side of a run.
pub(super) enum Source {
    Off,
    Unavailable(CaptureError),
    Live(EbpfCapture),
    Saved(Recorder<EbpfCapture>, Destination),
    Replayed(RecordedCapture, PathBuf),
}

impl Source {
    /// Opens what the arguments ask for.
    ///
    /// # Errors
    /// When it is required and cannot be had.
    pub(super) fn open(arguments: &CaptureArguments, trace: bool) -> anyhow::Result<Self> {
        if let Some(path) = &arguments.capture_replay {
            let named = || path.display().to_string();
            let recording =
                files::read_document(path).and_then(|json| Recording::from_json(&json)).with_context(named)?;
            return Ok(Self::Replayed(RecordedCapture::new(recording).with_context(named)?, path.clone()));
        }
        if arguments.capture == When::Off {
            if arguments.capture_save.is_some() || arguments.capture_cost {
                bail!("--capture off leaves nothing for --capture-save to store and --capture-cost to count");
            }
            return Ok(Self::Off);
        }
        let place = arguments.capture_save.as_deref().map(|path| destination("--capture-save", path)).transpose()?;
        let options = Options { trace_bytes: trace.then_some(TRACE_BYTES), ..kernel_options() };
        Ok(match (load(&options, arguments.capture_cost), place) {
            (Ok(capture), Some(place)) => Self::Saved(Recorder::new(capture), place),
            (Ok(capture), None) => Self::Live(capture),
            (Err(error), place) if arguments.capture == When::On || place.is_some() => return Err(error.into()),
            (Err(error), _) => Self::Unavailable(error),
        })
    }

    pub(super) fn capture(&mut self) -> Option<&mut dyn Capture> {
        match self {
            Self::Off | Self::Unavailable(_) => None,
            Self::Live(capture) => Some(capture),
            Self::Saved(recorder, _) => Some(recorder),
            Self::Replayed(recorded, _) => Some(recorded),
        }
    }

    /// Looks whether everything that these labels will ask for can be had.
    ///
    /// # Errors
    /// When a stored capture is of something else.
    pub(super) fn check(&self, labels: &[String]) -> anyhow::Result<()> {
        let Self::Replayed(recorded, path) = self else { return Ok(()) };
        let Some(missing) = recorded.recording().missing(labels) else { return Ok(()) };
        let workers: Vec<&str> = recorded.recording().workers.keys().map(String::as_str).collect();
        let held = |label: &&&str| label.ends_with("#0") || label.ends_with("#trace");
        let some: Vec<&str> = workers.iter().filter(held).copied().collect();
        bail!(
            "{} does not hold the worker `{missing}` (scenario:case, the guest's hash, x iterations, #process); it holds {} of them, \
             such as {}: replay it with the scenarios, guests, --iterations and --trace that it was made with",
            path.display(),
            workers.len(),
            some.join(", ")
        )
    }

    /// Whether the kernel itself is watched.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Live(_) | Self::Saved(..))
    }

    /// Where a capture is to be stored.
    pub(super) fn destination(&self) -> Option<&Destination> {
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
    pub(super) fn save(&self) -> anyhow::Result<Option<PathBuf>> {
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
pub(super) fn load(options: &Options, counts_costs: bool) -> Result<EbpfCapture, CaptureError> {
    let capture = EbpfCapture::load(options)?;
    privileges::keep_watching(counts_costs)
        .map_err(|error| CaptureError::Kernel(format!("cannot give up privileges: {error}")))?;
    Ok(capture)
}

/// What the environment says of this kernel. A binary with capabilities of its own, which is what the kernel does not
/// let be dumped, does not listen to whoever starts it.
pub(super) fn kernel_options() -> Options {
    let listens = matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::Dumpable));
    let btf = std::env::var_os(BTF_VARIABLE).filter(|_| listens).map(PathBuf::from);
    Options { btf, ..Options::default() }
}
