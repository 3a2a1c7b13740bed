//! Whether a guest ended as its scenario expects, with the right answer.

use std::time::Duration;

use wasiscope_ebpf_abi::Phase;
use wasiscope_workloads as catalogue;

use super::{Death, Stuck, WorkerRun, limits};
use wasiscope_model::code::Code;
use wasiscope_model::record::{Outcome, Status};
use wasiscope_scenario::plan::Case;
use wasiscope_scenario::{Expectation, ExpectedText};
use wasiscope_worker::{Ending, EndingContext, Iteration, Message, Output, ProtocolLine, Written};

/// Up to this `n`, and this many times the workload's own, the answer of a guest that nobody here built is recomputed, which takes seconds at most.
/// `matmul` at 2^24 would take all memory, and a guest need only print that it did it.
const VERIFIED_N_MAX: u64 = 1 << 24;
const VERIFIED_N_FACTOR: u64 = 64;

/// The check that the guest must print: the scenario's, or the catalogue's own computation; `None` when nobody knows.
pub(super) fn expected_check(case: &Case, line: Option<&ProtocolLine>) -> Option<String> {
    if case.expect.check.is_some() {
        return case.expect.check.clone();
    }
    let find = |name: &str| catalogue::WORKLOADS.iter().find(|workload| workload.name == name);
    let (workload, n) = match case.n {
        Some(n) => (find(&case.workload)?, n),
        // A guest built elsewhere that says it is one of the catalogue is taken at its word.
        None => {
            let (workload, n) = (find(&line?.workload)?, line?.n);
            let most = VERIFIED_N_MAX.min(workload.default_n.saturating_mul(VERIFIED_N_FACTOR));
            (workload, Some(n).filter(|n| *n <= most)?)
        }
    };
    workload.expected_check(n).ok().map(|check| format!("{check:016x}"))
}

/// What a guest gave in the passes to be judged.
pub(super) struct Answer<'a> {
    pub(super) ending: &'a Ending,
    pub(super) line: Option<&'a ProtocolLine>,
    pub(super) outputs: &'a [Output],
}

impl<'a> From<&'a Iteration> for Answer<'a> {
    fn from(iteration: &'a Iteration) -> Self {
        Self { ending: &iteration.ending, line: iteration.line.as_ref(), outputs: &iteration.outputs }
    }
}

/// Whether the guest ended as the scenario expects, with the right answer.
pub(super) fn judge(case: &Case, answer: &Answer<'_>, check: Option<&str>) -> Outcome {
    let failed = |(code, detail): (Code, String)| Outcome::because(Status::Failed, code, detail);
    let judged = |outcome: Outcome| judge_outputs(&case.expect, answer.outputs).map_or_else(failed, |()| outcome);
    let wanted = case.expect.exit_code;
    match answer.ending {
        Ending::Returned if case.expect.trap => {
            failed((Code::NoTrap, "the guest was expected to trap and returned".to_owned()))
        }
        Ending::Returned if wanted != 0 => {
            failed((Code::WrongExitCode, format!("the guest exited with code 0, expected {wanted}")))
        }
        Ending::Returned => judge_answer(case, answer.line, check).map_or_else(failed, |()| judged(Outcome::ok())),
        Ending::Exited { code, .. } if *code == wanted && !case.expect.trap => judged(Outcome::ok()),
        Ending::Exited { code, stderr, context } => {
            let expected = match wanted {
                0 if *code > 0 => format!(" (--expect-exit {code}, or `expect: {{exit_code: {code}}}`, if it should)"),
                0 => String::new(),
                wanted => format!(", expected {wanted}"),
            };
            let what = format!("the guest exited with code {code}{}{expected}", early(context));
            failed(because(context, case, Code::WrongExitCode, &with_stderr(&what, stderr)))
        }
        Ending::Trapped { trap, stderr, context } => {
            let trapped = format!("{trap}{}", early(context));
            let messages = &case.expect.messages;
            let is_right = messages.is_empty() || messages.iter().any(|message| trap.contains(message));
            if case.expect.trap && !is_right {
                let what = format!("{trapped}, where `{}` is expected", messages.join("` or `"));
                return failed(because(context, case, Code::OtherTrap, &with_stderr(&what, stderr)));
            }
            let what = with_stderr(&trapped, stderr);
            if case.expect.trap {
                // A limit that is met on purpose needs no advice.
                return judged(Outcome { expected: true, ..Outcome::because(Status::Trapped, Code::Trapped, what) });
            }
            let (code, detail) = because(context, case, Code::Trapped, &what);
            Outcome::because(Status::Trapped, code, detail)
        }
        Ending::Broken { reason, context } => {
            // A limit brings its phase along.
            let during = context.during.filter(|_| context.limits.is_empty());
            let during = during.map(|phase| format!(", in {}", phase.name())).unwrap_or_default();
            failed(because(context, case, Code::GuestFailed, &format!("{reason}{during}")))
        }
    }
}

fn because(context: &EndingContext, case: &Case, code: Code, what: &str) -> (Code, String) {
    limits::explain(&context.limits, &case.limits, code, what)
}

/// Where the guest was, if it did not get to the function that is measured.
fn early(context: &EndingContext) -> &'static str {
    match context.during {
        Some(Phase::Init) => ", in init, before the function to call",
        Some(_) => ", in its start function (instantiate)",
        None => "",
    }
}

fn judge_answer(case: &Case, line: Option<&ProtocolLine>, check: Option<&str>) -> Result<(), (Code, String)> {
    let Some(check) = check else { return Ok(()) };
    let none = || (Code::NoCheck, format!("the guest printed no line `{} n=… check={check}`", case.workload));
    let line = line.ok_or_else(none)?;
    if line.check != check {
        let detail = format!("wrong check: the guest says {}, expected {check} (n={})", line.check, line.n);
        return Err((Code::WrongCheck, detail));
    }
    if case.n.is_some_and(|n| n != line.n) || case.n.is_some() && case.workload != line.workload {
        let n = case.n.unwrap_or_default();
        let detail = format!("the guest did {} n={}, asked for {} n={n}", line.workload, line.n, case.workload);
        return Err((Code::OtherWork, detail));
    }
    Ok(())
}

fn judge_outputs(expect: &Expectation, outputs: &[Output]) -> Result<(), (Code, String)> {
    for output in outputs {
        for (stream, expected, written) in
            [("stdout", &expect.stdout, &output.stdout), ("stderr", &expect.stderr, &output.stderr)]
        {
            let judged = expected.as_ref().map_or(Ok(()), |expected| judge_text(stream, expected, written));
            judged.map_err(|detail| (Code::WrongOutput, detail))?;
        }
    }
    Ok(())
}

fn judge_text(stream: &str, expected: &ExpectedText, written: &Written) -> Result<(), String> {
    match expected {
        ExpectedText::Exactly(bytes) => {
            let wanted = Written::of(bytes);
            if (wanted.bytes, &wanted.sha256) == (written.bytes, &written.sha256) {
                return Ok(());
            }
            Err(format!("wrong {stream}: {}", first_difference(&wanted, written)))
        }
        ExpectedText::Pattern(pattern) if pattern.matches(&written.text) => Ok(()),
        ExpectedText::Pattern(pattern) => {
            let part = if written.is_whole() { "" } else { "the first MiB of " };
            let found = quoted(&written.text);
            Err(format!("wrong {stream}: `{}` does not match {part}{found}", pattern.as_str()))
        }
        ExpectedText::File(path) => Err(format!("{} was not read", path.display())),
    }
}

/// The first line that is not as expected.
fn first_difference(wanted: &Written, found: &Written) -> String {
    let (mut wanted_lines, mut found_lines) = (wanted.text.split('\n'), found.text.split('\n'));
    for number in 1.. {
        match (wanted_lines.next(), found_lines.next()) {
            (Some(wanted), Some(found)) if wanted == found => {}
            (None, None) => break,
            (wanted, found) => {
                let shown = |line: Option<&str>| line.map_or("its end".to_owned(), quoted);
                return format!("line {number} is {}, expected {}", shown(found), shown(wanted));
            }
        }
    }
    // Equal as far as it was sent, or as far as it is text.
    format!(
        "{} bytes with SHA-256 {:.16}…, expected {} with {:.16}…",
        found.bytes, found.sha256, wanted.bytes, wanted.sha256
    )
}

/// The beginning of a text, on one line.
fn quoted(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let beginning: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if text.chars().nth(SHOWN_CHARS).is_some() { "…" } else { "" };
    format!("{beginning:?}{more}")
}

fn with_stderr(what: &str, stderr: &str) -> String {
    if stderr.is_empty() { what.to_owned() } else { format!("{what}; stderr: {stderr}") }
}

/// How a worker ended that did not get as far as a guest's ending.
pub(super) fn judge_death(run: &WorkerRun, case: &Case) -> Outcome {
    let ended = |status, code, how: &str| {
        let (code, detail) = limits::explain(&run.limits, &case.limits, code, how);
        Outcome::because(status, code, detail)
    };
    for message in &run.messages {
        if let Message::Refused { reason } = message {
            return ended(Status::Failed, Code::NotRun, reason);
        }
    }
    match &run.death {
        Some(Death::TimedOut(stuck)) => ended(Status::Timeout, Code::TimedOut, &timeout(stuck, case.limits.wall)),
        Some(Death::Interrupted) => Outcome {
            expected: true,
            ..Outcome::because(Status::Skipped, Code::Interrupted, "interrupted before its first iteration ended")
        },
        Some(Death::Lost(how)) => ended(Status::Failed, Code::WorkerDied, how),
        None => Outcome::because(Status::Failed, Code::WorkerDied, "the worker ended without a word"),
    }
}

/// In which phase, for how long, and what to do about it.
fn timeout(stuck: &Stuck, wall: Duration) -> String {
    let where_it_was = match stuck.phase {
        Phase::Outside => "between two phases".to_owned(),
        phase => format!("in {}", phase.name()),
    };
    let milliseconds = u64::try_from(stuck.in_phase.min(stuck.limit).as_millis()).unwrap_or(u64::MAX);
    let in_phase = humantime::format_duration(Duration::from_millis(milliseconds));
    let slowed = if stuck.limit > wall { ", doubled while fuel is counted" } else { "" };
    let wall = humantime::format_duration(wall);
    format!(
        "{where_it_was} for {in_phase}, killed (the limit for one iteration is {wall}{slowed}: raise it with --wall, or \
         `limits: wall` in a scenario)"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_guest_that_says_it_did_a_huge_workload_costs_nothing() {
        let own = wasiscope_kinds::parse(Path::new("a.yaml"), "name: a\nwasm: a.wasm\n").expect("valid");
        let case = &own.cases()[0];
        let check = |workload: &str, n| {
            let line = ProtocolLine { workload: workload.to_owned(), n, check: String::new() };
            expected_check(case, Some(&line))
        };
        assert!(check("matmul", 32).is_some() && check("sha256", 1 << 16).is_some());
        assert_eq!(check("matmul", 1 << 24), None, "2 PB");
        assert_eq!(check("nothing", 1), None);
    }
}
