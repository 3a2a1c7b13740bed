//! What the child does between fork and exec.

use std::io;
use std::ptr::{from_mut, from_ref};

use super::super::WatchedWorker;
use wasiscope_sys::before_exec::keep_open;

/// `BPF_MAP_UPDATE_ELEM` of `bpf(2)`.
const MAP_UPDATE_ELEM: libc::c_long = 2;

/// The part of `union bpf_attr` that updating a map uses.
#[repr(C)]
struct UpdateElem {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Puts the calling process under watch, and lets the descriptor of the phase cells survive the coming exec.
///
/// From here on, events are counted. A worker whose `watched_fd` is negative, as the recorded fake gives out, only
/// inherits its cells.
///
/// # Errors
/// When the kernel refuses; the process must not go on as a watched worker then.
///
/// # Safety
/// Both descriptors must be those of [`Capture::open`](super::super::Capture::open), inherited by fork, with the
/// capture that gave them out still alive at that time. Safe between fork and exec: it makes system calls only,
/// and neither allocates nor locks.
pub unsafe fn enter_watched(worker: &WatchedWorker) -> io::Result<()> {
    keep_open(worker.cells_fd)?;
    let Ok(map_fd) = u32::try_from(worker.watched_fd) else { return Ok(()) };
    // SAFETY: cannot fail and touches no memory.
    let process = unsafe { libc::getpid() };
    let mut attributes = UpdateElem {
        map_fd,
        padding: 0,
        key: from_ref(&process).addr() as u64,
        value: from_ref(&worker.cell_index).addr() as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads four bytes each at key and value, which live until the call returns.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, MAP_UPDATE_ELEM, from_mut(&mut attributes), size_of::<UpdateElem>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
