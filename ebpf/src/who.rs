//! Who is running: a thread of a watched worker or a stranger.

use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_get_ns_current_pid_tgid;
use wasiscope_ebpf_abi::{LEDGER_MAP_FULL, Owner, PhaseCell, Running, Thread};

use crate::kernel::{fact, read_shared};
use crate::maps::{CELLS, RUNNING, THREADS, WATCHED, note_loss};

/// A watched thread.
#[derive(Clone, Copy)]
pub struct Watched {
    /// As the kernel numbers it.
    pub number: u32,
    /// Whose events they are.
    pub owner: Owner,
}

/// What a worker's cell shows at this moment, for one of its threads.
#[derive(Clone, Copy)]
pub struct Now {
    /// The phase to which events are charged.
    pub phase: u8,
    /// Whether single events are wanted.
    pub traced: bool,
}

/// The thread that runs here, as the kernel numbers it: unlike a namespace's number, unique on the machine.
#[inline(always)]
pub fn current_number() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// What this CPU keeps.
#[inline(always)]
pub fn running() -> Option<*mut Running> {
    RUNNING.get_ptr_mut(0)
}

/// What is remembered of the thread of this number, when it is watched. Entries are removed by their own thread, or by
/// user space when it is dead.
#[inline(always)]
pub fn thread(number: u32) -> Option<*mut Thread> {
    THREADS.get_ptr_mut(number)
}

impl Watched {
    /// The thread that runs here, when it is watched.
    #[inline(always)]
    pub fn current() -> Option<Self> {
        let number = current_number();
        if let Some(running) = running() {
            // SAFETY: this CPU's own element, which no other program changes while this one runs.
            let (kept, owner) = unsafe { ((*running).number, (*running).owner) };
            // The idle task has the number 0, and nothing is kept under it.
            if kept == number && number != 0 {
                return Some(Self { number, owner });
            }
        }
        Self::remembered(number)
    }

    /// The thread of this number, when it is remembered.
    #[inline(always)]
    pub fn remembered(number: u32) -> Option<Self> {
        // SAFETY: the map's element, which outlives this run of the program.
        thread(number).map(|thread| Self { number, owner: unsafe { (*thread).owner } })
    }

    /// The thread that runs here, when it is remembered or its process is to be watched: the first system call after
    /// entering the map of watched processes is how a worker, and any thread whose birth was missed, gets known.
    #[inline(always)]
    pub fn remembered_or_new(number: u32) -> Option<Self> {
        Self::remembered(number).or_else(|| {
            let thread_group = thread_group()?;
            // SAFETY: the value is copied at once. Should user space remove the entry meanwhile, its worker is dead.
            let cell_index = unsafe { WATCHED.get(thread_group) }.copied()?;
            let cell = CELLS.get_ptr(cell_index)?;
            // SAFETY: an element of the array, aligned as the type says.
            let slot = (unsafe { read_shared(&raw const (*cell).value) } >> 8) as u32;
            let owner = Owner { cell_index, slot, home: 0 };
            remember(number, Thread::of(owner));
            Some(Self { number, owner })
        })
    }

    /// What the cell shows; the phase `outside` should there be none.
    #[inline(always)]
    pub fn now(&self) -> Now {
        let Some(cell) = self.cell() else { return Now { phase: 0, traced: false } };
        // SAFETY: the map's element. The worker may write its cell at any time, so it is read exactly once.
        let (value, traced) =
            unsafe { (read_shared(&raw const (*cell).value), read_shared(&raw const (*cell).traced)) };
        let home = self.owner.home;
        Now { phase: if home == 0 { value as u8 } else { home as u8 }, traced: traced != 0 }
    }

    /// The cell of its worker.
    #[inline(always)]
    pub fn cell(&self) -> Option<*const PhaseCell> {
        CELLS.get_ptr(self.owner.cell_index)
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
pub fn thread_group() -> Option<u32> {
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
