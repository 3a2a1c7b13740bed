//! Who is running: a thread of a watched worker or a stranger.

use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_get_ns_current_pid_tgid;
use wasiscope_ebpf_abi::{LEDGER_MAP_FULL, PhaseCell, Thread};

use crate::kernel::{fact, read_shared};
use crate::maps::{CELLS, THREADS, WATCHED, note_loss};

/// A watched thread.
#[derive(Clone, Copy)]
pub struct Watched {
    /// What is remembered of it, in the map.
    pub thread: *mut Thread,
    /// As the kernel numbers it.
    pub number: u32,
}

/// What a worker's cell shows at this moment, for one of its threads.
#[derive(Clone, Copy)]
pub struct Now {
    /// The phase to which events are charged.
    pub phase: u32,
    /// Whether single events are wanted.
    pub traced: bool,
}

impl Watched {
    /// The thread of this number, when it is watched.
    #[inline(always)]
    pub fn thread(number: u32) -> Option<Self> {
        Some(Self { thread: THREADS.get_ptr_mut(number)?, number })
    }

    /// The thread that runs here, when it is watched.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        Self::thread(bpf_get_current_pid_tgid() as u32)
    }

    /// The thread that runs here, when it or its process is to be watched: the first system call after entering the map
    /// of watched processes is how a worker, and any thread whose birth was missed, gets known.
    #[inline(always)]
    pub fn current_or_new() -> Option<Self> {
        Self::current().or_else(|| {
            let thread_group = thread_group()?;
            // SAFETY: the value is copied at once. Should user space remove the entry meanwhile, its worker is dead.
            let cell_index = unsafe { WATCHED.get(thread_group) }.copied()?;
            let cell = CELLS.get_ptr(cell_index)?;
            // SAFETY: an element of the array, aligned as the type says.
            let slot = (unsafe { read_shared(&raw const (*cell).value) } >> 8) as u32;
            let number = bpf_get_current_pid_tgid() as u32;
            remember(number, Thread { cell_index, slot, ..Thread::NEW });
            Self::thread(number)
        })
    }

    /// The cell of its worker.
    #[inline(always)]
    pub fn cell(&self) -> Option<*const PhaseCell> {
        // SAFETY: the map's element; entries are removed by their own thread, or by user space when it is dead.
        CELLS.get_ptr(unsafe { (*self.thread).cell_index })
    }

    /// What the cell shows; the phase `outside` should there be none.
    #[inline(always)]
    pub fn now(&self) -> Now {
        let Some(cell) = self.cell() else { return Now { phase: 0, traced: false } };
        // SAFETY: as in `cell`; the worker may write its cell at any time, so it is read exactly once.
        let (home, value) = unsafe { ((*self.thread).home, read_shared(&raw const (*cell).value)) };
        // SAFETY: as above.
        let traced = unsafe { read_shared(&raw const (*cell).traced) } != 0;
        Now { phase: if home == 0 { (value & 0xff) as u32 } else { home }, traced }
    }
}

/// Puts a thread under watch.
#[inline(always)]
pub fn remember(number: u32, thread: Thread) {
    if THREADS.insert(number, thread, 0).is_err() {
        note_loss(LEDGER_MAP_FULL);
    }
}

/// The current process as wasiscope would number it; `None` outside wasiscope's pid namespace.
#[inline(always)]
fn thread_group() -> Option<u32> {
    let inode = fact!(pid_ns_ino);
    if inode == 0 {
        return Some((bpf_get_current_pid_tgid() >> 32) as u32);
    }
    let device = fact!(pid_ns_dev);
    let mut numbers = bpf_pidns_info { pid: 0, tgid: 0 };
    // SAFETY: the helper fills in the 8 bytes it is given.
    let failed =
        unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut numbers, size_of::<bpf_pidns_info>() as u32) };
    (failed == 0).then_some(numbers.tgid)
}
