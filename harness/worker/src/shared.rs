//! Memory that parent and worker, or worker and kernel, both see.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;

/// The first `length` bytes behind `fd`, mapped for reading and writing.
pub(crate) fn map_shared(fd: &OwnedFd, length: usize) -> io::Result<*mut u8> {
    // SAFETY: the kernel chooses the address, so no memory in use is replaced.
    let base = unsafe {
        libc::mmap(null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd(), 0)
    };
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base.cast()) }
}
