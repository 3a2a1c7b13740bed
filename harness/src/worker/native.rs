//! A guest outside wasm: a native executable that speaks the same protocol. It runs in a process of its own, so its
//! phases are `init` (fork to its first mark), `run` (between its marks) and `teardown` (last mark to its end).

use std::io::{self, Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use serde_json::Value;
use wasiscope_ebpf_abi::Phase;

use super::pass::empty_folder;
use super::protocol::{Ending, Iteration, Message, Pace, ProtocolLine, Subject, Timed};
use crate::clock;
use crate::record::Facts;

/// What one run of the executable gave.
struct Pass {
    started_ns: u64,
    ended_ns: u64,
    /// Where the guest's marks lie on CLOCK_MONOTONIC.
    marks_ns: Option<(u64, u64)>,
    line: Option<ProtocolLine>,
    ending: Ending,
}

/// One timed run.
pub(super) fn iterate(subject: &Subject) -> anyhow::Result<Iteration> {
    let pass = run(subject)?;
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
    })
}

/// One run for its answer.
pub(super) fn facts(subject: &Subject) -> anyhow::Result<Message> {
    let pass = run(subject)?;
    let check = Value::from(pass.line.as_ref().map(|line| line.check.clone()));
    let facts = Facts::from([("check".to_owned(), check)]);
    let marked = pass.marks_ns.is_some();
    Ok(Message::Facts { marked, traps_after: None, facts, line: pass.line, ending: pass.ending, pace: Pace::default() })
}

fn run(subject: &Subject) -> anyhow::Result<Pass> {
    empty_folder(&subject.directory)?;
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut command = Command::new(&subject.guest);
    command.arg0(&subject.name);
    command.args(&subject.input.args).env_clear().current_dir(&subject.directory);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let die_with_worker = || Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?);
    // SAFETY: it makes one system call: no allocation, no lock, as is required between fork and exec.
    unsafe { command.pre_exec(die_with_worker) };
    let started_ns = clock::monotonic_ns();
    let status = command.status()?;
    let ended_ns = clock::monotonic_ns();
    let (said, complained) = (text_of(&mut stdout)?, text_of(&mut stderr)?);
    let ending = match (status.code(), status.signal()) {
        (Some(0), _) => Ending::Returned,
        (Some(code), _) => Ending::Exited { code, stderr: complained.clone() },
        (None, signal) => Ending::Broken { reason: format!("killed by signal {}", signal.unwrap_or_default()) },
    };
    let marks_ns = complained.lines().rev().find_map(marks);
    Ok(Pass { started_ns, ended_ns, marks_ns, line: ProtocolLine::last_in(&said), ending })
}

/// `marks start=123 end=456`, which native guests print to stderr.
fn marks(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.strip_prefix("marks start=")?.split_once(" end=")?;
    Some((start.parse().ok()?, end.parse().ok()?))
}

fn text_of(file: &mut std::fs::File) -> io::Result<String> {
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
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
    }
}
