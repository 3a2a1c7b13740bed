//! Cases as tests.

use std::cell::Cell;
use std::env;
use std::ffi::OsStr;
use std::panic;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

use crate::command::{Case, Command, Facts, Snapshot};

/// `on` requires live capture for measured cases, as `--capture on` does.
pub const CAPTURE_VARIABLE: &str = "WASISCOPE_CAPTURE";

/// How the names of tests begin that measure.
const MEASURED: &str = "measured::";

/// Asserts with insta that the snapshot of this name in this folder has these contents. What differs is left there for
/// `cargo insta review`.
pub type Keep = fn(&Path, &str, &str);

thread_local! {
    /// Whether a panic of this thread is expected, and reported in other words.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn quiet_expected_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            usual(panic);
        }
    }));
}

pub(crate) fn run(command: &Command, arguments: &Arguments, keep: Keep) -> Conclusion {
    if let Some(test) = only_test(arguments) {
        let trial = facts_trial(command, test.to_owned(), keep).with_ignored_flag(arguments.ignored);
        return libtest_mimic::run(arguments, vec![trial]);
    }
    match command.list() {
        Ok(list) => {
            let broken = list.broken.into_iter().map(|broken| failing(&broken.test, broken.reason));
            let cases = list.cases.into_iter().flat_map(|case| of_case(command, case, keep));
            libtest_mimic::run(arguments, broken.chain(cases).collect())
        }
        Err(reason) => {
            let conclusion = libtest_mimic::run(arguments, vec![failing("scenarios", reason.clone())]);
            if !arguments.list && conclusion.num_failed == 0 {
                // A filter left out the only test that could have said so.
                eprintln!("warning: no scenario is tested: {reason}");
            }
            conclusion
        }
    }
}

/// The one test that nextest wants of this process. It comes from this program's own list, so it need not be listed again: there are
/// hundreds of such processes.
fn only_test(arguments: &Arguments) -> Option<&str> {
    let is_alone = env::var_os("NEXTEST_EXECUTION_MODE").is_some_and(|mode| mode == "process-per-test");
    let test = arguments.filter.as_deref().filter(|test| !test.starts_with(MEASURED))?;
    (is_alone && arguments.exact && !arguments.list && arguments.skip.is_empty()).then_some(test)
}

fn failing(test: &str, reason: String) -> Trial {
    Trial::test(test, || Err(Failed::from(reason)))
}

fn facts_trial(command: &Command, test: String, keep: Keep) -> Trial {
    let command = command.clone();
    Trial::test(test.clone(), move || {
        let facts = command.facts(&test)?;
        check(&command, facts, keep)
    })
}

fn of_case(command: &Command, case: Case, keep: Keep) -> [Trial; 2] {
    let facts = facts_trial(command, case.test.clone(), keep).with_ignored_flag(case.ignored);
    let command = command.clone();
    let measured = format!("{MEASURED}{}", case.test);
    [Trial::test(measured, move || measure(&command, &case)).with_ignored_flag(true), facts]
}

/// Compares facts with their snapshots.
fn check(command: &Command, facts: Facts, keep: Keep) -> Result<(), Failed> {
    if let Some(note) = facts.note {
        println!("{note}");
    }
    // insta writes what is to be reviewed (or accepts it, where INSTA_UPDATE says so), shows the lines, and panics. The facts by name are
    // the reason that counts. One snapshot that differs does not hide the next.
    let mut failed = false;
    for Snapshot { folder, name, contents } in &facts.snapshots {
        let folder = command.in_project(folder);
        QUIET.set(true);
        failed |= panic::catch_unwind(|| keep(&folder, name, contents)).is_err();
        QUIET.set(false);
    }
    let is_settled = !failed && !facts.over_budget && (facts.problem.is_none() || !facts.snapshots.is_empty());
    if is_settled {
        return Ok(());
    }
    let problem = facts.problem.unwrap_or_else(|| "a snapshot differs: see above".to_owned());
    let mend =
        if facts.can_be_accepted { "to keep these facts: cargo insta review, or cargo insta accept" } else { "" };
    Err(format!("{problem}{mend}").into())
}

/// One measurement at a time, also in a process with many tests.
static MEASURING: Mutex<()> = Mutex::new(());

/// Runs a case as its scenario says, and leaves its report.
fn measure(command: &Command, case: &Case) -> Result<(), Failed> {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let capture = env::var_os(CAPTURE_VARIABLE);
    let status = command.measure(case, capture.as_deref().unwrap_or(OsStr::new("auto")))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("wasiscope run: {status}; its report is {}", case.report.display()).into())
}
