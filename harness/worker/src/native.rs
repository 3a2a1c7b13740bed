//! A guest outside wasm: a native executable that speaks the same protocol. It runs in a process of its own, so its
//! phases are `init` (fork to its first mark), `run` (between its marks) and `teardown` (last mark to its end).

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Component, Path};
use std::process::{Command, Stdio};

use wasiscope_ebpf_abi::Phase;

use super::answer;
use super::cell::PhaseCell;
use super::protocol::{Ending, EndingContext, Folder, Iteration, Message, Pace, ProtocolLine, Subject, Timed};
use super::written::{Output, Written};
use wasiscope_sys::before_exec::BeforeExec;
use wasiscope_sys::clock;
use wasiscope_sys::folder::Workspace;

/// What one run of the executable gave.
struct Pass {
    started_ns: u64,
    ended_ns: u64,
    /// Where the guest's marks lie on CLOCK_MONOTONIC.
    marks_ns: Option<(u64, u64)>,
    line: Option<ProtocolLine>,
    ending: Ending,
    output: Output,
}

/// A native executable with the folders that it is given.
pub struct Native {
    subject: Subject,
    cell: PhaseCell,
    workspaces: RefCell<Vec<Workspace>>,
}

impl Native {
    /// Looks at the folders as every run is to find them.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn new(subject: Subject, cell: PhaseCell) -> io::Result<Self> {
        let workspaces = RefCell::new(subject.workspaces()?);
        Ok(Self { subject, cell, workspaces })
    }

    /// Two runs for its answer.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn facts(&self) -> anyhow::Result<Message> {
        let (first, again) = (self.run()?, self.run()?);
        let marked = first.marks_ns.is_some();
        let facts_of = |pass: &Pass| answer::facts(&pass.output, &pass.ending, pass.line.as_ref());
        let facts = answer::steady(facts_of(&first), &facts_of(&again));
        let outputs = answer::outputs(&self.subject, [first.output, again.output]);
        let ending = answer::worse(first.ending, again.ending);
        Ok(Message::Facts {
            marked,
            traps_after: None,
            facts,
            line: first.line,
            ending,
            outputs,
            pace: Pace::default(),
        })
    }

    /// One timed run.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn iterate(&self) -> anyhow::Result<Iteration> {
        let pass = self.run()?;
        let mut timed = Vec::new();
        if let Some((start, end)) = pass.marks_ns {
            timed.push(Timed::once(Phase::Init, start.saturating_sub(pass.started_ns)));
            timed.push(Timed::once(Phase::Run, end.saturating_sub(start)));
            timed.push(Timed::once(Phase::Teardown, pass.ended_ns.saturating_sub(end)));
        } else {
            timed.push(Timed::once(Phase::Run, pass.ended_ns - pass.started_ns));
        }
        let entered = timed.iter().map(|timed| timed.phase).collect();
        Ok(Iteration {
            timed,
            entered,
            spans: Vec::new(),
            memory: Vec::new(),
            measured: Vec::new(),
            counts: Vec::new(),
            spreads: Vec::new(),
            preemptions: None,
            line: pass.line,
            ending: pass.ending,
            outputs: if self.subject.tells_output { vec![pass.output] } else { Vec::new() },
        })
    }

    fn run(&self) -> anyhow::Result<Pass> {
        let Self { subject, cell, workspaces } = self;
        cell.begin_pass(1);
        workspaces.borrow_mut().iter_mut().try_for_each(Workspace::restore)?;
        let home = self.home()?;
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut command = Command::new(&subject.guest);
        command.arg0(&subject.name).args(&subject.input.args).current_dir(home);
        command.env_clear().envs(subject.input.environment.iter().cloned());
        let stdin = subject.input.stdin.as_ref().map(File::open).transpose()?;
        command.stdin(stdin.map_or_else(Stdio::null, Stdio::from));
        command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        BeforeExec::default().end_with_parent().apply(&mut command);
        // Native guests are not watched: this is for the parent, should it have to end one.
        cell.enter(Phase::Run);
        let started_ns = clock::monotonic_ns();
        let status = command.status()?;
        let ended_ns = clock::monotonic_ns();
        cell.enter(Phase::Outside);
        let (said, complained) = (bytes_of(&mut stdout)?, bytes_of(&mut stderr)?);
        // Its marks are no output of the guest's: they are the times of this run.
        let (marks_ns, complained) = without_marks(&String::from_utf8_lossy(&complained));
        let ending = match (status.code(), status.signal()) {
            (Some(0), _) => Ending::Returned,
            (Some(code), _) => {
                Ending::Exited { code, stderr: complained.trim().to_owned(), context: EndingContext::default() }
            }
            (None, signal) => Ending::Broken {
                reason: format!("killed by signal {}", signal.unwrap_or_default()),
                context: EndingContext::default(),
            },
        };
        let output = Output { stdout: Written::of(&said), stderr: Written::of(complained.as_bytes()) };
        let line = ProtocolLine::last_in(&String::from_utf8_lossy(&said));
        Ok(Pass { started_ns, ended_ns, marks_ns, line, ending, output })
    }

    /// The folder in which it runs, where it finds those that it is given under the names that a wasm guest would.
    fn home(&self) -> io::Result<&Path> {
        let Subject { directory, input, .. } = &self.subject;
        let home = input.folders.iter().find(|folder| folder.guest == ".").map_or(directory, |folder| &folder.place);
        for Folder { guest, place, .. } in input.folders.iter().filter(|folder| folder.guest != ".") {
            // An absolute name, or one that leads out, is the machine's.
            let is_inside = Path::new(guest).components().all(|part| matches!(part, Component::Normal(_)));
            let link = home.join(guest);
            if is_inside && !link.exists() {
                link.parent().map(fs::create_dir_all).transpose()?;
                // The link is followed from where it lies.
                symlink(fs::canonicalize(place)?, link)?;
            }
        }
        Ok(home)
    }
}

/// The last marks in what was written to stderr, and the rest of it.
fn without_marks(stderr: &str) -> (Option<(u64, u64)>, String) {
    let (lines, rest): (Vec<&str>, Vec<&str>) = stderr.split_inclusive('\n').partition(|line| marks(line).is_some());
    (lines.last().and_then(|line| marks(line)), rest.concat())
}

/// `marks start=123 end=456`, which native guests print to stderr.
fn marks(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.trim_end().strip_prefix("marks start=")?.split_once(" end=")?;
    Some((start.parse().ok()?, end.parse().ok()?))
}

fn bytes_of(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_from_their_line_only() {
        assert_eq!(marks("marks start=12 end=34"), Some((12, 34)));
        assert_eq!(marks("marks start=12"), None);
        assert_eq!(marks("start=12 end=34"), None);
        assert_eq!(marks("marks start=x end=34"), None);
        let (found, rest) = without_marks("one\nmarks start=12 end=34\ntwo");
        assert_eq!((found, rest.as_str()), (Some((12, 34)), "one\ntwo"));
    }
}
