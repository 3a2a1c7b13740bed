//! Giving up what a guest must never have. The parent alone needs privileges; a worker keeps none.
//!
//! Root without capabilities is bound by file permissions like anybody else. So what the request names is read or opened
//! first, and reached through its descriptor from then on: a checkout in a home that only its owner may enter works all the
//! same. What a guest does in a folder it is given is up to that folder's own permissions.

use std::fs::File;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::protocol::{Subject, Task};

/// Opens what the request names, then drops every capability, for good.
///
/// Must be called before any other thread is started: capabilities belong to threads.
///
/// # Errors
/// When something named is not there, or the kernel refuses.
pub(super) fn give_up(subject: &mut Subject, task: &mut Task) -> io::Result<()> {
    hold(subject, !matches!(task, Task::Check { .. }))?;
    if let Task::Compare { other, .. } = task {
        hold(other, true)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    // Not every kernel has ambient capabilities, and who may not shrink the bounding set has no use for it any more.
    let _ = rustix::thread::clear_ambient_capability_set();
    for capability in CapabilitySet::all().iter() {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    // A binary with capabilities of its own starts with its `/proc` closed to itself.
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}

/// A check has no guest.
fn hold(subject: &mut Subject, has_guest: bool) -> io::Result<()> {
    let Subject { guest, native, directory, input, .. } = subject;
    // An executable must be itself, and nobody but its owner could run it.
    match (has_guest, *native) {
        (false, _) => {}
        (true, true) => replace(guest, held)?,
        (true, false) => replace(guest, copied)?,
    }
    input.stdin.iter_mut().try_for_each(|path| replace(path, copied))?;
    let folders = input.directories.iter_mut().map(|(host, _)| host);
    [directory].into_iter().chain(folders).try_for_each(|path| replace(path, held))
}

fn replace(path: &mut PathBuf, by: fn(&Path) -> io::Result<PathBuf>) -> io::Result<()> {
    *path = by(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(())
}

/// The way to a file or folder that stays open as long as the process lives.
fn held(path: &Path) -> io::Result<PathBuf> {
    Ok(through(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?))
}

/// The way to what is in a file now.
fn copied(path: &Path) -> io::Result<PathBuf> {
    let mut copy = File::from(rustix::fs::memfd_create("wasiscope", MemfdFlags::CLOEXEC)?);
    io::copy(&mut File::open(path)?, &mut copy)?;
    Ok(through(copy.into()))
}

fn through(fd: OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.into_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_within_reach() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("guest"), "bytes").unwrap();
        let (file, directory) = (copied(&folder.path().join("guest")).unwrap(), held(folder.path()).unwrap());
        std::fs::remove_file(folder.path().join("guest")).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"bytes");
        std::fs::write(directory.join("other"), "").unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        let gone = folder.path().join("guest");
        assert!(held(&gone).is_err() && copied(&gone).is_err());
    }
}
