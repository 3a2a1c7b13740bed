//! The untimed pass over a case: its facts, and what the timed passes need to know.

use std::os::fd::AsRawFd;
use std::path::Path;

use tempfile::Builder;

use super::judge::{Answer, expected_check, judge, judge_death};
use super::known::{COMPILE_SHARE_NS, Known};
use super::{Prepared, Workers, subject};
use wasiscope_guest::executable;
use wasiscope_guest::guest::Artifact;
use wasiscope_guest::module;
use wasiscope_model::code::Code;
use wasiscope_model::record::{Facts, Outcome, Status};
use wasiscope_scenario::plan::Case;
use wasiscope_worker::{Message, Pace, Request, Subject, Task};

/// What came of a facts pass. Without `known` the case cannot be timed; the outcome says why.
pub(super) struct Learnt {
    pub(super) outcome: Outcome,
    pub(super) facts: Facts,
    pub(super) known: Option<Known>,
}

/// Who says which answer of a guest is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// The catalogue of this binary, where the scenario does not.
    Catalogue,
    /// Nobody beyond the scenario: guests of another revision may be of another catalogue.
    Scenario,
}

/// Runs the facts pass of a case.
pub(super) fn learn(workers: &mut dyn Workers, prepared: &Prepared, scratch: &Path, by: Judge) -> Learnt {
    let mut facts = Facts::new();
    let (outcome, known) = match &prepared.guest {
        Ok(artifact) => measure(workers, prepared, artifact, scratch, by, &mut facts),
        Err(no_guest) => (no_guest.outcome(), None),
    };
    Learnt { outcome, facts, known }
}

fn measure(
    workers: &mut dyn Workers,
    prepared: &Prepared,
    artifact: &Artifact,
    scratch: &Path,
    by: Judge,
    facts: &mut Facts,
) -> (Outcome, Option<Known>) {
    let case = &prepared.case;
    match of_file(case, artifact) {
        Ok(found) => facts.extend(found),
        Err(reason) => return (Outcome::because(Status::Failed, Code::CannotRead, reason), None),
    }
    // A name of its own: cases of two scenarios may have one id. Without it, everything is compiled every time.
    let is_wanted = case.engine.settings.is_some() && !case.compiles_always;
    let kept = is_wanted.then(|| Builder::new().prefix("code-").tempfile_in(scratch).ok()?.keep().ok()).flatten();
    let (code, path) = kept.unzip();
    let request = match subject(prepared, &scratch.join("guest"), None) {
        Ok(subject) => {
            Request::new(Subject { code: code.as_ref().map(AsRawFd::as_raw_fd), ..subject }, None, Task::Facts)
        }
        Err(outcome) => return (outcome, None),
    };
    let run = workers.run(&request, None);
    for message in &run.messages {
        if let Message::Facts { marked, traps_after, facts: found, line, ending, outputs, pace } = message {
            facts.extend(found.clone());
            let expected = match by {
                Judge::Catalogue => expected_check(case, line.as_ref()),
                Judge::Scenario => case.expect.check.clone(),
            };
            let answer = Answer { ending, line: line.as_ref(), outputs };
            let outcome = judge(case, &answer, expected.as_deref());
            let check = expected.or_else(|| line.as_ref().map(|line| line.check.clone()));
            let Pace { compile_ns, pass_ns } = *pace;
            let (marked, traps_after) = (*marked, *traps_after);
            let is_long = |ns: u64| ns.saturating_mul(u64::from(case.iterations)) > COMPILE_SHARE_NS;
            let code = path.filter(|_| compile_ns.is_some_and(is_long));
            let known = Known { marked, traps_after, check, repeats: repeats(pass_ns), compile_ns, pass_ns, code };
            let known = outcome.expected.then_some(known);
            return (outcome, known);
        }
    }
    (judge_death(&run, case), None)
}

/// The instructions of `run`.
///
/// # Errors
/// When they cannot be counted, or differ from pass to pass and so are no fact.
pub(super) fn instructions(
    workers: &mut dyn Workers,
    prepared: &Prepared,
    known: &Known,
    scratch: &Path,
) -> Result<u64, String> {
    let subject =
        subject(prepared, &scratch.join("guest"), Some(known)).map_err(|outcome| outcome.detail.unwrap_or_default())?;
    let counts = workers.count_instructions(&Request::new(subject, None, Task::Instructions))?;
    match counts.split_first() {
        Some((first, others)) if others.iter().all(|other| other == first) => Ok(*first),
        _ => {
            let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
            Err(format!("the count differs from pass to pass: {}", counts.join(", ")))
        }
    }
}

/// How many passes make an iteration long enough for the clock: a millisecond, against which neither the clock's
/// 20 ns nor a timer interrupt weighs much.
fn repeats(pass_ns: Option<u64>) -> u32 {
    const LONG_ENOUGH_NS: u64 = 1_000_000;
    const REPEATS_MAX: u64 = 1_000;
    let Some(pass_ns) = pass_ns else { return 1 };
    let repeats = LONG_ENOUGH_NS.div_ceil(pass_ns.max(1)).clamp(1, REPEATS_MAX);
    u32::try_from(repeats).unwrap_or(1)
}

/// What the guest's bytes alone tell.
fn of_file(case: &Case, artifact: &Artifact) -> Result<Facts, String> {
    let bytes = std::fs::read(&artifact.path).map_err(|error| error.to_string())?;
    if case.is_native() { executable::facts(&bytes) } else { module::facts(&bytes).map_err(|error| error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_passes_are_repeated_until_an_iteration_is_long_enough() {
        assert_eq!(repeats(Some(50_000)), 20);
        assert_eq!(repeats(Some(999_999)), 2);
        assert_eq!(repeats(Some(1_000_000)), 1);
        assert_eq!(repeats(Some(0)), 1_000);
        assert_eq!(repeats(None), 1);
    }
}
