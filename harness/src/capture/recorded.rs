//! A capture that replays what was recorded before: fixtures instead of root.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

use wasiscope_ebpf_abi::{Phase, cell_value};

use super::{Capture, CaptureError, KernelEvents, Ledger, ProgramCost, WatchedWorker};

/// Cells in the stand-in for the kernel's array, and bytes of each.
const CELLS: u32 = 64;
const CELL_BYTES: u32 = 64;

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

/// Gives the first opened slot the first recorded events, the second the second, and so on.
///
/// Workers may run under it: their cells are real memory, and with a negative `watched_fd`
/// [`enter_watched`](super::ebpf::enter_watched) leaves the kernel alone.
#[derive(Debug)]
pub struct RecordedCapture {
    recorded: Vec<KernelEvents>,
    /// Slot → index into `recorded`.
    opened: BTreeMap<u32, usize>,
    cells: File,
    /// What [`Capture::ledger`] answers.
    pub ledger: Ledger,
    /// What [`Capture::programs`] answers.
    pub programs: Vec<ProgramCost>,
    /// What has been called so far.
    pub calls: Calls,
}

impl RecordedCapture {
    /// Replays `recorded`, one element for each slot in the order of opening.
    ///
    /// # Errors
    /// When the kernel gives no memory for the cells.
    pub fn new(recorded: Vec<KernelEvents>) -> io::Result<Self> {
        Ok(Self {
            recorded,
            opened: BTreeMap::new(),
            cells: cells()?,
            ledger: Ledger::default(),
            programs: Vec::new(),
            calls: Calls::default(),
        })
    }

    /// Replays a JSON array of objects from phase to events.
    ///
    /// # Errors
    /// When `json` is not that, or the kernel gives no memory for the cells.
    pub fn from_json(json: &str) -> io::Result<Self> {
        Self::new(serde_json::from_str(json)?)
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

    fn open(&mut self, slot: u32) -> Result<WatchedWorker, CaptureError> {
        self.opened.insert(slot, self.calls.open);
        self.calls.open += 1;
        let cell_index = slot % CELLS;
        self.cells
            .write_all_at(&cell_value(slot, Phase::Spawn).to_ne_bytes(), u64::from(cell_index * CELL_BYTES))
            .map_err(|error| CaptureError::Kernel(error.to_string()))?;
        Ok(WatchedWorker { slot, cells_fd: self.cells.as_raw_fd(), cell_index, watched_fd: -1 })
    }

    fn collect(&mut self, slot: u32, _pid: u32) -> Result<KernelEvents, CaptureError> {
        self.calls.collect += 1;
        let missing = |what| CaptureError::Kernel(format!("slot {slot} {what}"));
        let index = self.opened.remove(&slot).ok_or_else(|| missing("is not open"))?;
        self.recorded.get(index).cloned().ok_or_else(|| missing("has nothing recorded"))
    }

    fn ledger(&self) -> Result<Ledger, CaptureError> {
        Ok(self.ledger)
    }

    fn count_costs(&mut self) -> Result<Box<dyn Any>, CaptureError> {
        Ok(Box::new(()))
    }

    fn programs(&self) -> Result<Vec<ProgramCost>, CaptureError> {
        Ok(self.programs.clone())
    }
}

/// Memory behind a descriptor, laid out as the kernel's array of phase cells.
fn cells() -> io::Result<File> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"wasiscope-cells".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and valid, and nobody else's.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(u64::from(CELLS * CELL_BYTES))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"[
        {"run": {"syscalls": {"write": {"count": 3, "total_ns": 900}}, "faults_user": 1, "faults_kernel": 0}},
        {"instantiate.cold": {"syscalls": {}, "faults_user": 7, "faults_kernel": 2}}
    ]"#;

    #[test]
    fn events_come_in_the_order_of_opening() {
        let mut capture = RecordedCapture::from_json(TWO).unwrap();
        capture.arm().unwrap();
        capture.open(9).unwrap();
        capture.open(4).unwrap();
        assert_eq!(capture.collect(4, 1).unwrap()[&Phase::InstantiateCold].faults_user, 7);
        assert_eq!(capture.collect(9, 1).unwrap()[&Phase::Run].syscalls["write"].count, 3);
        assert_eq!(capture.calls, Calls { arm: 1, disarm: 0, open: 2, collect: 2 });
    }

    #[test]
    fn what_was_not_recorded_is_an_error() {
        let mut capture = RecordedCapture::new(Vec::new()).unwrap();
        assert!(capture.collect(0, 1).is_err(), "never opened");
        capture.open(0).unwrap();
        assert!(capture.collect(0, 1).is_err(), "nothing recorded");
    }

    #[test]
    fn recordings_survive_json() {
        let capture = RecordedCapture::from_json(TWO).unwrap();
        let json = serde_json::to_string(&capture.recorded).unwrap();
        assert_eq!(RecordedCapture::from_json(&json).unwrap().recorded, capture.recorded);
        assert!(RecordedCapture::from_json(r#"[{"lunch": {}}]"#).is_err());
    }

    #[test]
    fn an_open_cell_shows_the_spawn_phase() {
        let mut capture = RecordedCapture::new(Vec::new()).unwrap();
        let worker = capture.open(65).unwrap();
        assert_eq!((worker.cell_index, worker.watched_fd), (1, -1));
        let mut value = [0; 8];
        capture.cells.read_exact_at(&mut value, 64).unwrap();
        assert_eq!(u64::from_ne_bytes(value), cell_value(65, Phase::Spawn));
    }
}
