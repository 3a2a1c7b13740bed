//! A capture that is stored, and one that replays it: fixtures instead of root.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::{Phase, PhaseCell, cell_value};

use super::{Capture, CaptureError, KernelEvents, Ledger, ProgramCost, TracedEvent, WatchedWorker};

/// Cells in the stand-in for the kernel's array, and bytes of each.
const CELLS: u32 = 64;
const CELL_BYTES: u64 = size_of::<PhaseCell>() as u64;

/// Version of the stored form.
pub const SCHEMA_VERSION: u32 = 1;

/// All that a capture gave in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The kernel programs.
    pub programs: Vec<ProgramCost>,
    /// What was lost.
    pub ledger: Ledger,
    /// What each worker was charged, by the label it was opened with.
    pub workers: BTreeMap<String, RecordedWorker>,
}

/// What one worker was charged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedWorker {
    /// By phase.
    pub events: KernelEvents,
    /// Event by event, if it was traced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TracedEvent>,
}

impl Default for Recording {
    fn default() -> Self {
        let (programs, ledger, workers) = (Vec::new(), Ledger::default(), BTreeMap::new());
        Self { schema_version: SCHEMA_VERSION, programs, ledger, workers }
    }
}

impl Recording {
    /// Reads a stored one.
    ///
    /// # Errors
    /// When `json` is not one, or one of another version.
    pub fn from_json(json: &[u8]) -> io::Result<Self> {
        /// What says of itself which version it is.
        #[derive(Deserialize)]
        struct Versioned {
            schema_version: u32,
        }
        let none = |reason: serde_json::Error| {
            io::Error::other(format!("this is no stored capture, as `run --capture-save FILE` makes them: {reason}"))
        };
        let Versioned { schema_version } = serde_json::from_slice(json).map_err(none)?;
        if schema_version != SCHEMA_VERSION {
            let text = format!("a stored capture of version {schema_version}; this wasiscope reads {SCHEMA_VERSION}");
            return Err(io::Error::other(text));
        }
        serde_json::from_slice(json).map_err(none)
    }

    /// The first of these workers that it knows nothing of.
    #[must_use]
    pub fn missing<'a>(&self, labels: &'a [String]) -> Option<&'a str> {
        labels.iter().map(String::as_str).find(|label| !self.workers.contains_key(*label))
    }

    /// Of these workers alone.
    pub fn of(workers: impl IntoIterator<Item = (String, KernelEvents)>) -> Self {
        let workers =
            workers.into_iter().map(|(label, events)| (label, RecordedWorker { events, trace: Vec::new() })).collect();
        Self { workers, ..Self::default() }
    }
}

/// Passes everything on to another capture and keeps what it gives.
pub struct Recorder<C> {
    inner: C,
    recording: Recording,
    labels: BTreeMap<u32, String>,
}

impl<C: Capture> Recorder<C> {
    /// Records `inner` from now on.
    pub fn new(inner: C) -> Self {
        Self { inner, recording: Recording::default(), labels: BTreeMap::new() }
    }

    /// What was recorded so far.
    ///
    /// # Errors
    /// When the capture cannot give account of itself.
    pub fn recording(&self) -> Result<Recording, CaptureError> {
        let (programs, ledger) = (self.inner.programs()?, self.inner.ledger()?);
        Ok(Recording { programs, ledger, ..self.recording.clone() })
    }

    fn worker(&mut self, slot: u32) -> Option<&mut RecordedWorker> {
        Some(self.recording.workers.entry(self.labels.get(&slot)?.clone()).or_default())
    }
}

impl<C: Capture> Capture for Recorder<C> {
    fn arm(&mut self) -> Result<(), CaptureError> {
        self.inner.arm()
    }

    fn disarm(&mut self) -> Result<(), CaptureError> {
        self.inner.disarm()
    }

    fn open(&mut self, slot: u32, label: &str) -> Result<WatchedWorker, CaptureError> {
        self.labels.insert(slot, label.to_owned());
        self.inner.open(slot, label)
    }

    fn collect(&mut self, slot: u32) -> Result<KernelEvents, CaptureError> {
        let events = self.inner.collect(slot)?;
        if let Some(worker) = self.worker(slot) {
            worker.events.clone_from(&events);
        }
        Ok(events)
    }

    fn take_trace(&mut self, slot: u32) -> Result<Vec<TracedEvent>, CaptureError> {
        let trace = self.inner.take_trace(slot)?;
        if let Some(worker) = self.worker(slot) {
            worker.trace.clone_from(&trace);
        }
        Ok(trace)
    }

    fn ledger(&self) -> Result<Ledger, CaptureError> {
        self.inner.ledger()
    }

    fn count_costs(&mut self) -> Result<Box<dyn Any>, CaptureError> {
        self.inner.count_costs()
    }

    fn programs(&self) -> Result<Vec<ProgramCost>, CaptureError> {
        self.inner.programs()
    }
}

/// How often each operation was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Of [`Capture::arm`].
    pub arm: usize,
    /// Of [`Capture::disarm`].
    pub disarm: usize,
    /// Of [`Capture::open`].
    pub open: usize,
    /// Of [`Capture::collect`].
    pub collect: usize,
}

/// Gives each worker what was recorded for its label.
///
/// Workers may run under it: their cells are real memory, and with a negative `watched_fd`
/// [`enter_watched`](super::ebpf::enter_watched) leaves the kernel alone.
#[derive(Debug)]
pub struct RecordedCapture {
    recording: Recording,
    /// Slot → label.
    opened: BTreeMap<u32, String>,
    cells: File,
    /// What has been called so far.
    pub calls: Calls,
}

impl RecordedCapture {
    /// Replays `recording`.
    ///
    /// # Errors
    /// When the kernel gives no memory for the cells.
    pub fn new(recording: Recording) -> io::Result<Self> {
        Ok(Self { recording, opened: BTreeMap::new(), cells: cells()?, calls: Calls::default() })
    }

    /// What is replayed.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    fn worker(&self, slot: u32) -> Result<&RecordedWorker, CaptureError> {
        let missing = |what| CaptureError::Kernel(what);
        let label = self.opened.get(&slot).ok_or_else(|| missing(format!("slot {slot} is not open")))?;
        self.recording.workers.get(label).ok_or_else(|| {
            missing(format!("the recording has no worker `{label}`: run what it was made with, or record anew"))
        })
    }
}

impl Capture for RecordedCapture {
    fn arm(&mut self) -> Result<(), CaptureError> {
        self.calls.arm += 1;
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), CaptureError> {
        self.calls.disarm += 1;
        Ok(())
    }

    fn open(&mut self, slot: u32, label: &str) -> Result<WatchedWorker, CaptureError> {
        self.opened.insert(slot, label.to_owned());
        self.calls.open += 1;
        let cell_index = slot % CELLS;
        self.cells
            .write_all_at(&cell_value(slot, Phase::Spawn).to_ne_bytes(), u64::from(cell_index) * CELL_BYTES)
            .map_err(|error| CaptureError::Kernel(error.to_string()))?;
        Ok(WatchedWorker { slot, cells_fd: self.cells.as_raw_fd(), cell_index, watched_fd: -1 })
    }

    fn collect(&mut self, slot: u32) -> Result<KernelEvents, CaptureError> {
        self.calls.collect += 1;
        Ok(self.worker(slot)?.events.clone())
    }

    fn take_trace(&mut self, slot: u32) -> Result<Vec<TracedEvent>, CaptureError> {
        Ok(self.worker(slot)?.trace.clone())
    }

    fn ledger(&self) -> Result<Ledger, CaptureError> {
        Ok(self.recording.ledger)
    }

    fn count_costs(&mut self) -> Result<Box<dyn Any>, CaptureError> {
        Ok(Box::new(()))
    }

    fn programs(&self) -> Result<Vec<ProgramCost>, CaptureError> {
        Ok(self.recording.programs.clone())
    }
}

/// Memory behind a descriptor, laid out as the kernel's array of phase cells.
fn cells() -> io::Result<File> {
    let file = File::from(rustix::fs::memfd_create("wasiscope-cells", MemfdFlags::CLOEXEC)?);
    file.set_len(u64::from(CELLS) * CELL_BYTES)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"schema_version": 1, "programs": [],
        "ledger": {"ring_dropped": 0, "map_full": 0, "recursion_missed": 0},
        "workers": {
            "a#0": {"events": {"run": {"syscalls": {"write": {"count": 3}}, "faults_user": {"stack": 1}}}},
            "a#1": {"events": {"instantiate.cold": {"faults_user": {"other": 5, "guard": 2}}}}}}"#;

    fn two() -> RecordedCapture {
        RecordedCapture::new(Recording::from_json(TWO.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn each_worker_gets_what_its_label_was_charged() {
        let mut capture = two();
        capture.arm().unwrap();
        capture.open(9, "a#0").unwrap();
        capture.open(4, "a#1").unwrap();
        assert_eq!(capture.collect(4).unwrap()[&Phase::InstantiateCold].user_faults(), 7);
        assert_eq!(capture.collect(9).unwrap()[&Phase::Run].syscalls["write"].count, 3);
        assert_eq!(capture.take_trace(9).unwrap(), []);
        assert_eq!(capture.calls, Calls { arm: 1, disarm: 0, open: 2, collect: 2 });
    }

    #[test]
    fn what_was_not_recorded_is_an_error() {
        let mut capture = two();
        assert!(capture.collect(0).is_err(), "never opened");
        capture.open(0, "b#0").unwrap();
        assert!(matches!(capture.collect(0), Err(CaptureError::Kernel(text)) if text.contains("`b#0`")));
    }

    #[test]
    fn what_is_recorded_can_be_replayed() {
        let mut recorder = Recorder::new(two());
        recorder.open(1, "a#1").unwrap();
        let events = recorder.collect(1).unwrap();
        recorder.take_trace(1).unwrap();
        let stored = serde_json::to_vec(&recorder.recording().unwrap()).unwrap();
        let mut replayed = RecordedCapture::new(Recording::from_json(&stored).unwrap()).unwrap();
        replayed.open(7, "a#1").unwrap();
        assert_eq!(replayed.collect(7).unwrap(), events);
    }

    #[test]
    fn other_documents_are_refused() {
        assert!(Recording::from_json(b"{}").is_err());
        assert!(Recording::from_json(TWO.replace("\"run\"", "\"lunch\"").as_bytes()).is_err());
        let error = Recording::from_json(TWO.replacen('1', "2", 1).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }

    #[test]
    fn an_open_cell_shows_the_spawn_phase() {
        let mut capture = two();
        let worker = capture.open(65, "").unwrap();
        assert_eq!((worker.cell_index, worker.watched_fd), (1, -1));
        let mut value = [0; 8];
        capture.cells.read_exact_at(&mut value, CELL_BYTES).unwrap();
        assert_eq!(u64::from_ne_bytes(value), cell_value(65, Phase::Spawn));
    }
}
