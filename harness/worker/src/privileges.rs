//! Giving up what a guest must never have. The parent alone needs privileges; a worker keeps none, sees no files but the
//! folders of its guest, and has limits that hold whatever becomes of it.
//!
//! Root without capabilities is bound by file permissions like anybody else. So what the request names is read or opened
//! first, and reached through its descriptor from then on: a checkout in a home that only its owner may enter works all the
//! same. What a guest does in a folder it is given is up to that folder's own permissions.

use std::fs::File;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope,
};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::cell::PhaseCell;
use super::limits::{DESCRIPTORS, FILE_BYTES};
use super::protocol::{Subject, Task};
use wasiscope_sys::privileges;

/// Most bytes of a worker's own memory besides the guest's: what compiling may take.
const DATA_BYTES: u64 = 4 << 30;

/// Opens what the request names, then drops every capability, for good, and all else that no guest needs.
///
/// Must be called before any other thread is started: capabilities belong to threads.
///
/// # Errors
/// When something named is not there, or the kernel refuses.
pub fn give_up(subject: &mut Subject, task: &mut Task, cell: &PhaseCell) -> io::Result<()> {
    hold(subject, !matches!(task, Task::Check { .. }))?;
    if let Task::Compare { other, .. } = task {
        hold(other, true)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    privileges::keep_none()?;
    // A binary with capabilities of its own starts with its `/proc` closed to itself.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    // Valgrind keeps descriptors and memory of its own within what these would leave.
    let in_valgrind = matches!(task, Task::Instructions);
    if !in_valgrind {
        limit(subject, cell)?;
    }
    // Where memory runs out, the worker goes and not who measures it. A system without this file has no such choice.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // A native guest is a program like any other, and needs its libraries; valgrind needs its own files.
    if subject.native || in_valgrind {
        return Ok(());
    }
    let mut subjects = vec![&*subject];
    if let Task::Compare { other, .. } = task {
        subjects.push(other);
    }
    let folders = || subjects.iter().flat_map(|subject| &subject.input.folders);
    let own = subjects.iter().map(|subject| &subject.directory);
    let writable: Vec<&PathBuf> = own.chain(folders().map(|folder| &folder.place)).collect();
    let readable: Vec<&PathBuf> = folders().filter_map(|folder| folder.original.as_ref()).collect();
    // What this kernel cannot close stays open; the guest's own sandbox is before it in any case.
    confine(&writable, &readable).map(|_| ()).map_err(io::Error::other)
}

/// Limits of the process, which nothing in it can raise again.
fn limit(subject: &Subject, cell: &PhaseCell) -> io::Result<()> {
    let data = DATA_BYTES.saturating_add(subject.limits.memory_bytes);
    let limits =
        [(Resource::Core, 0), (Resource::Fsize, FILE_BYTES), (Resource::Nofile, DESCRIPTORS), (Resource::Data, data)];
    for (resource, most) in limits {
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // Else the kernel ends whoever writes too much; the write is to fail instead.
    if subject.native {
        // What is ignored stays so in the guest's own process.
        // SAFETY: to ignore a signal runs no code.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    } else {
        cell.note_file_size_signals();
    }
    Ok(())
}

/// Whether this process has as many descriptors as it may: they are given from the lowest number on.
pub fn descriptors_ran_out() -> bool {
    let most = rustix::process::getrlimit(Resource::Nofile).current;
    let last = most.and_then(|most| i32::try_from(most.checked_sub(1)?).ok());
    // SAFETY: asks for a flag of a descriptor, which there may not be.
    last.is_some_and(|last| unsafe { libc::fcntl(last, libc::F_GETFD) } >= 0)
}

/// Closes every file system to this thread and those it will start, but for these folders and what `/proc` says of this
/// process; and the network, and processes outside. As far as this kernel can (Landlock).
fn confine(
    writable: &[&PathBuf],
    readable: &[&PathBuf],
) -> Result<RulesetStatus, Box<dyn std::error::Error + Send + Sync>> {
    const KNOWN: ABI = ABI::V6;
    let files = AccessFs::from_all(KNOWN);
    let mut rules = Ruleset::default()
        .handle_access(files)?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    // Where there is no /proc, there is nothing of it to be left open.
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    if let Ok(own) = PathFd::new("/proc/self") {
        rules = rules.add_rule(PathBeneath::new(own, reading))?;
    }
    let readable = readable.iter().map(|folder| (folder, reading));
    let writable = writable.iter().map(|folder| (folder, files & !AccessFs::Execute));
    for (folder, access) in writable.chain(readable) {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(folder)?, access))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// How well this kernel can confine workers, tried on a thread of its own: `None` when it cannot at all, else whether it
/// knows every restriction.
#[must_use]
pub fn confinement() -> Option<bool> {
    let tried = std::thread::spawn(|| {
        rustix::thread::set_no_new_privs(true).ok()?;
        confine(&[], &[]).ok()
    });
    match tried.join().ok()?? {
        RulesetStatus::NotEnforced => None,
        RulesetStatus::PartiallyEnforced => Some(false),
        RulesetStatus::FullyEnforced => Some(true),
    }
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
    let folders = input.folders.iter_mut().flat_map(|folder| [Some(&mut folder.place), folder.original.as_mut()]);
    [directory].into_iter().chain(folders.flatten()).try_for_each(|path| replace(path, held))
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

    /// Landlock and capabilities belong to threads: this one is as good as a worker. Needs a kernel with Landlock, so it is one
    /// of those that `ci/test` as root requires.
    #[test]
    fn live_who_is_confined_sees_its_folders_and_nothing_else() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&own, &other] {
            std::fs::write(folder.path().join("file"), "text").unwrap();
        }
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let confined = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let folder = held(own.path()).unwrap();
            let status = confine(&[&folder], &[]).unwrap();
            assert_ne!(status, RulesetStatus::NotEnforced, "this kernel has no Landlock");
            assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"text");
            std::fs::write(folder.join("new"), "").unwrap();
            std::fs::remove_file(folder.join("new")).unwrap();
            assert!(std::fs::read("/proc/self/status").is_ok());
            for path in [other.path().join("file"), "/etc/passwd".into(), "/proc/1/cmdline".into()] {
                assert_eq!(std::fs::read(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{path:?}");
            }
            assert!(std::process::Command::new("/bin/true").status().is_err(), "no program can be started");
            // Before Linux 6.12 not all is known, and only files are sure to be closed.
            if status == RulesetStatus::FullyEnforced {
                assert_eq!(std::net::TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
        });
        confined.join().unwrap();
    }
}
