//! Compiled code on its way from the worker that finds out the facts to those that do not compile: in memory of the parent's, which
//! only its workers can reach.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};

use wasiscope_worker::Subject;

/// All of it.
///
/// # Errors
/// When the parent gave no such memory.
pub(crate) fn read(subject: &Subject) -> io::Result<Vec<u8>> {
    let fd = subject.code.ok_or_else(|| io::Error::other("no code was compiled before"))?;
    let (mut code, mut file) = (Vec::new(), inherited(fd));
    file.rewind()?;
    file.read_to_end(&mut code)?;
    Ok(code)
}

/// Leaves it where the parent wants it, if it does.
///
/// # Errors
/// When it does not fit.
pub(crate) fn leave(subject: &Subject, code: &[u8]) -> io::Result<()> {
    let Some(fd) = subject.code else { return Ok(()) };
    let mut file = inherited(fd);
    file.rewind()?;
    file.write_all(code)
}

/// The memory by its descriptor, which stays open.
fn inherited(fd: RawFd) -> ManuallyDrop<File> {
    // SAFETY: the parent opened it for this process, and nothing closes it: the file is never dropped.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}
