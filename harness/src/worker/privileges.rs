//! Giving up what a guest must never have. The parent alone needs privileges; a worker keeps none.
//!
//! Root without capabilities is bound by file permissions like anybody else. So what the request names is opened first,
//! and reached through its descriptor from then on: a checkout in a home that only its owner may enter works all the same.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
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
    hold(subject)?;
    if let Task::Compare { other, .. } = task {
        hold(other)?;
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

fn hold(subject: &mut Subject) -> io::Result<()> {
    let Subject { guest, directory, input, .. } = subject;
    let folders = input.directories.iter_mut().map(|(host, _)| host);
    for path in [guest, directory].into_iter().chain(folders).chain(&mut input.stdin) {
        *path = held(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// The way to a file or folder that stays open as long as the process lives.
fn held(path: &Path) -> io::Result<PathBuf> {
    let fd: OwnedFd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    Ok(PathBuf::from(format!("/proc/self/fd/{}", fd.into_raw_fd())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_stays_within_reach() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("guest"), "bytes").unwrap();
        let (file, directory) = (held(&folder.path().join("guest")).unwrap(), held(folder.path()).unwrap());
        std::fs::remove_file(folder.path().join("guest")).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"bytes");
        std::fs::write(directory.join("other"), "").unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        assert!(held(&folder.path().join("guest")).is_err());
    }
}
