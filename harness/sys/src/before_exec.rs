//! What a child process does between fork and exec, and the descriptors that it inherits: the only caller of `pre_exec`.
//!
//! Only system calls are allowed between the two. Another thread may have held the allocator's lock, or any other, at the time of the fork, and nobody in
//! the child would ever release it. So the steps are known here, and everything they need is made ready before the fork.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

use super::privileges;

/// A step that a caller vouches for.
type Step = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

/// What a child does before it executes its program, in the order of these fields.
#[derive(Default)]
pub struct BeforeExec {
    /// The process with which the child ends.
    parent: Option<Pid>,
    /// The processor on which it is to run.
    cpu: Option<CpuSet>,
    stack: Option<Rlimit>,
    inherited: Vec<RawFd>,
    last: Option<Step>,
    unprivileged: bool,
}

impl BeforeExec {
    /// Whatever ends this process ends the child with it.
    #[must_use]
    pub fn end_with_parent(mut self) -> Self {
        self.parent = Some(rustix::process::getpid());
        self
    }

    /// Runs the child on one processor. Where that is forbidden, the child is started all the same.
    #[must_use]
    pub fn stay_on(mut self, cpu: usize) -> Self {
        let mut set = CpuSet::new();
        set.set(cpu);
        self.cpu = Some(set);
        self
    }

    /// The limit on the child's stack.
    #[must_use]
    pub fn stack_limit(mut self, limit: Rlimit) -> Self {
        self.stack = Some(limit);
        self
    }

    /// Descriptors that the child is to have beside its standard streams, under the same numbers.
    #[must_use]
    pub fn inherit(mut self, descriptors: impl IntoIterator<Item = RawFd>) -> Self {
        self.inherited.extend(descriptors);
        self
    }

    /// One more step, after all others.
    ///
    /// # Safety
    /// It must be safe between fork and exec: it makes system calls only, and neither allocates nor locks.
    #[must_use]
    pub unsafe fn then(mut self, step: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Self {
        self.last = Some(Box::new(step));
        self
    }

    /// Gives up every capability, for good, when all else is done: for programs that are not trusted to do it themselves.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Has the children of this command do so.
    pub fn apply(mut self, command: &mut Command) {
        let prepare = move || self.run();
        // SAFETY: `run` only makes system calls: its own steps neither allocate nor lock, and whoever added the last one has vouched for it.
        unsafe { command.pre_exec(prepare) };
    }

    fn run(&mut self) -> io::Result<()> {
        if let Some(parent) = self.parent {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have ended before that, and nobody is told then.
            if rustix::process::getppid() != Some(parent) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        if let Some(cpu) = &self.cpu {
            let _ = rustix::thread::sched_setaffinity(None, cpu);
        }
        if let Some(stack) = self.stack {
            rustix::process::setrlimit(Resource::Stack, stack)?;
        }
        self.inherited.iter().try_for_each(|fd| keep_open(*fd))?;
        self.last.as_mut().map_or(Ok(()), |last| last())?;
        if self.unprivileged {
            // Else a program of root's has them all again.
            rustix::thread::set_no_new_privs(true)?;
            privileges::keep_none()?;
        }
        Ok(())
    }
}

/// Lets a descriptor survive the coming exec. For use between fork and exec: one system call.
pub fn keep_open(fd: RawFd) -> io::Result<()> {
    // SAFETY: changes a flag of a descriptor, and fails where there is none.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the descriptor that this process inherited under a number it was told. To be called once for each.
///
/// # Errors
/// For a number that cannot be one: below 0, or a standard stream's.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    if fd <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: whoever started this process has given it the descriptor for this one use; nothing else here knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_is_inherited_is_open_and_nothing_else() {
        let (kept, closed) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let (kept, closed) = (kept.as_raw_fd(), closed.as_raw_fd());
        let mut command = shell(&format!("test -e /proc/self/fd/{kept} && ! test -e /proc/self/fd/{closed}"));
        BeforeExec::default().inherit([kept]).apply(&mut command);
        assert!(command.status().unwrap().success());
    }

    #[test]
    fn who_is_unprivileged_has_no_capability_even_as_root() {
        let mut command = shell("grep -q '^CapEff:[[:space:]]*0000000000000000$' /proc/self/status");
        BeforeExec::default().unprivileged().apply(&mut command);
        assert!(command.status().unwrap().success());
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        let mut command = shell("true");
        BeforeExec::default().inherit([-1]).apply(&mut command);
        assert_eq!(command.status().unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert!(inherited(-1).is_err() && inherited(2).is_err());
    }

    #[test]
    fn steps_are_taken_in_the_child() {
        let stack = Rlimit { current: Some(1 << 20), ..rustix::process::getrlimit(Resource::Stack) };
        let mut command = shell("test \"$(ulimit -s)\" = 1024");
        BeforeExec::default().end_with_parent().stack_limit(stack).apply(&mut command);
        assert!(command.status().unwrap().success());
        let mut command = shell("true");
        // SAFETY: it makes no call at all.
        unsafe { BeforeExec::default().then(|| Err(io::ErrorKind::BrokenPipe.into())) }.apply(&mut command);
        assert!(command.status().is_err());
    }
}
