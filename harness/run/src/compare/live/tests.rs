//! With workers whose every duration is scripted.

use std::cell::RefCell;

use super::*;
use crate::runner::{self, InputFiles, Prepared, WorkerRun, Workers};
use wasiscope_capture::WatchedWorker;
use wasiscope_guest::guest::Artifact;
use wasiscope_model::record::Facts;
use wasiscope_scenario::Engine;
use wasiscope_scenario::plan::{Case, GuestSource};
use wasiscope_worker::{Ending, EndingContext, Iteration, Message, Pace, ProtocolLine, Request, Side, Task, Timed};

/// How much slower B's `run` is, by the number of the worker that is asked.
type Slowdown = fn(u32) -> f64;

struct Scripted {
    slowdown: Slowdown,
    /// What B answers in its facts pass and later.
    check: &'static str,
    ending: Ending,
    /// Whether B marks its measured part.
    marked: bool,
    /// Whether A answers otherwise each time that its facts are asked for.
    clock: bool,
    asked: u32,
    compared: u32,
    log: RefCell<Vec<bool>>,
}

impl Scripted {
    fn new(slowdown: Slowdown) -> Self {
        let ending = Ending::Returned;
        Self {
            slowdown,
            check: "00",
            ending,
            marked: true,
            clock: false,
            asked: 0,
            compared: 0,
            log: RefCell::default(),
        }
    }

    fn pass(&self, side: Side, run_ns: f64) -> Message {
        let check = if side == Side::New { self.check } else { "00" };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a scripted duration")]
        let timed = vec![Timed::once(Phase::Run, run_ns as u64)];
        let ending = if side == Side::New { self.ending.clone() } else { Ending::Returned };
        let line = Some(ProtocolLine { workload: "w".into(), n: 1, check: check.into() });
        let entered = vec![Phase::Run];
        let (spans, memory) = (Vec::new(), Vec::new());
        let iteration = Iteration {
            timed,
            entered,
            spans,
            memory,
            measured: Vec::new(),
            counts: Vec::new(),
            spreads: Vec::new(),
            preemptions: None,
            line,
            ending,
            outputs: Vec::new(),
        };
        Message::Compared { side, iteration }
    }
}

impl Workers for Scripted {
    fn run(&mut self, request: &Request, _: Option<&WatchedWorker>) -> WorkerRun {
        let messages = match &request.task {
            Task::Compare { other_first, quads, .. } => {
                self.log.borrow_mut().push(*other_first);
                let worker = self.compared;
                self.compared += 1;
                // Half a percent between workers, the same on both sides; a tenth of it between the sides.
                let base = 1e6 * (1.0 + f64::from(worker * 7 % 10) / 2_000.0);
                let new = base * (1.0 + (self.slowdown)(worker) + (f64::from(worker * 3 % 10) - 4.5) / 20_000.0);
                let quad = [(Side::Base, base), (Side::New, new), (Side::New, new), (Side::Base, base)];
                (0..*quads).flat_map(|_| quad).map(|(side, ns)| self.pass(side, ns)).collect()
            }
            _ => {
                let is_new = request.subject.guest.ends_with("new.wasm");
                let check = if is_new { self.check } else { "00" };
                let line = Some(ProtocolLine { workload: "w".into(), n: 1, check: check.into() });
                self.asked += u32::from(!is_new);
                let said = if self.clock && !is_new { self.asked.to_string() } else { check.to_owned() };
                let facts = Facts::from([("check".to_owned(), said.into())]);
                let ending = Ending::Returned;
                let marked = self.marked || !is_new;
                let (outputs, pace) = (Vec::new(), Pace::default());
                vec![Message::Facts { marked, traps_after: None, facts, line, ending, outputs, pace }]
            }
        };
        WorkerRun { pid: 1, messages, ..WorkerRun::default() }
    }
}

fn prepared(folder: &std::path::Path, name: &str, text: &str) -> Prepared {
    let path = folder.join(name);
    std::fs::write(&path, wat::parse_str(text).expect("valid")).expect("a file");
    let engine = Engine::usual();
    Prepared {
        case: Case {
            processes: 1,
            iterations: 1,
            ..Case::of_guest("test", "w", "custom", engine, GuestSource::File(path.clone()))
        },
        guest: Ok(Artifact::of_file(&path).expect("readable")),
        files: InputFiles::default(),
        watch: false,
    }
}

/// Compares two guests that differ in a byte, or not even that.
fn compare_with(workers: &mut Scripted, identical: bool, processes: Processes, interrupt: Interrupt) -> Differences {
    let folder = tempfile::tempdir().expect("a folder");
    let base = prepared(folder.path(), "base.wasm", "(module (func (export \"_start\")))");
    let text =
        if identical { "(module (func (export \"_start\")))" } else { "(module (func (export \"_start\") nop))" };
    let new = prepared(folder.path(), "new.wasm", text);
    let candidates = [Candidate::new(Pair { base, new }, Tolerances::default())];
    let walk = runner::Settings {
        seed: 1,
        budget: None,
        interrupt: interrupt.clone(),
        scratch: folder.path().to_owned(),
        cpus: Vec::new(),
        instructions: false,
        planted: None,
    };
    let settings = Settings {
        processes,
        iterations: 4,
        time_identical: false,
        confirm: true,
        wants: &|_| true,
        seed: 1,
        budget: None,
        interrupt,
    };
    compare(&candidates, &mut Pairs::new(workers, &walk), &settings, &mut |_| {})
}

fn only_row(done: Differences) -> Row {
    assert_eq!(done.rows.len(), 1, "{:?}", done.rows);
    done.rows.into_iter().next().expect("one row")
}

#[test]
fn a_plain_slowdown_is_settled_at_the_first_look_and_confirmed() {
    let mut workers = Scripted::new(|_| 0.03);
    let row = only_row(compare_with(&mut workers, false, Processes::UntilSettled, Interrupt::default()));
    assert_eq!((row.verdict, row.note.as_deref()), (Verdict::Regressed, Some("confirmed by a fresh run")));
    assert!(row.ratio.is_some_and(|ratio| (ratio - 1.03).abs() < 1e-3), "{row:?}");
    assert!(row.ci_low < row.ratio && row.ratio < row.ci_high, "{row:?}");
    assert_eq!(workers.compared, 20, "ten to find it, ten to confirm it");
    let firsts = workers.log.borrow();
    assert_eq!(firsts[..4], [false, true, false, true], "each side begins every other worker");
}

#[test]
fn equal_times_are_settled_as_unchanged() {
    let mut workers = Scripted::new(|_| 0.0);
    let row = only_row(compare_with(&mut workers, false, Processes::UntilSettled, Interrupt::default()));
    assert_eq!((row.verdict, row.note), (Verdict::Unchanged, None));
    assert_eq!(workers.compared, 10);
}

#[test]
fn a_speed_up_is_an_improvement() {
    let row =
        only_row(compare_with(&mut Scripted::new(|_| -0.03), false, Processes::Exactly(10), Interrupt::default()));
    assert_eq!(row.verdict, Verdict::Improved);
}

#[test]
fn a_change_that_a_fresh_run_does_not_show_is_none() {
    let mut workers = Scripted::new(|worker| if worker < 10 { 0.03 } else { 0.0 });
    let row = only_row(compare_with(&mut workers, false, Processes::UntilSettled, Interrupt::default()));
    assert_eq!(row.verdict, Verdict::Inconclusive);
    assert!(row.note.is_some_and(|note| note.starts_with("regressed not confirmed by a fresh run, which saw")));
}

#[test]
fn what_stays_unclear_is_looked_at_to_the_end() {
    // Right at the tolerance of half a percent: neither within nor beyond.
    let mut workers = Scripted::new(|_| 0.005);
    let row = only_row(compare_with(&mut workers, false, Processes::UntilSettled, Interrupt::default()));
    assert_eq!((row.verdict, workers.compared), (Verdict::Inconclusive, 80));
}

#[test]
fn few_processes_say_nothing() {
    let row = only_row(compare_with(&mut Scripted::new(|_| 0.5), false, Processes::Exactly(5), Interrupt::default()));
    assert_eq!(row.verdict, Verdict::Inconclusive);
    assert_eq!((row.ratio, row.note.as_deref()), (None, Some("needs at least 8 processes, got 5")));
}

#[test]
fn identical_code_is_not_timed() {
    let mut workers = Scripted::new(|_| 0.5);
    let row = only_row(compare_with(&mut workers, true, Processes::UntilSettled, Interrupt::default()));
    assert_eq!((row.verdict, workers.compared), (Verdict::Unchanged, 0));
    assert!(row.note.is_some_and(|note| note.starts_with("identical code")));
}

#[test]
fn another_answer_is_said_first_and_is_no_improvement() {
    for (slowdown, verdict) in [(0.5, Verdict::Regressed), (-0.5, Verdict::Inconclusive), (0.0, Verdict::Unchanged)] {
        let slowdown: Slowdown = if slowdown > 0.0 {
            |_| 0.5
        } else if slowdown < 0.0 {
            |_| -0.5
        } else {
            |_| 0.0
        };
        let mut other = Scripted { check: "11", ..Scripted::new(slowdown) };
        let done = compare_with(&mut other, false, Processes::UntilSettled, Interrupt::default());
        assert_eq!(done.facts[0].fact, "check");
        let [said, run] = &done.rows[..] else { panic!("{:?}", done.rows) };
        assert_eq!((said.answers_differ.as_slice(), said.verdict), (&["check".to_owned()][..], Verdict::Inconclusive));
        assert!(said.failed && said.is_of_whole_case() && !run.failed);
        assert_eq!((run.metric.as_str(), run.verdict), ("phase.run", verdict));
    }
}

#[test]
fn an_answer_that_changes_from_time_to_time_is_not_compared() {
    let mut other = Scripted { check: "11", clock: true, ..Scripted::new(|_| -0.5) };
    let done = compare_with(&mut other, false, Processes::Exactly(10), Interrupt::default());
    assert!(done.warnings.iter().any(|warning| warning.contains("check")), "{:?}", done.warnings);
    assert_eq!(only_row(done).verdict, Verdict::Improved);
}

#[test]
fn one_side_that_marks_its_measured_part_leaves_run_without_a_verdict() {
    let mut workers = Scripted { marked: false, ..Scripted::new(|_| 0.5) };
    let row = only_row(compare_with(&mut workers, false, Processes::UntilSettled, Interrupt::default()));
    assert_eq!((row.metric.as_str(), row.verdict, row.ratio), ("phase.run", Verdict::Inconclusive, None));
    assert!(row.note.is_some_and(|note| note.starts_with("only base marks")));
}

#[test]
fn failing_sides_get_no_verdict() {
    let broken = Ending::Exited { code: 3, stderr: String::new(), context: EndingContext::default() };
    let mut failing = Scripted { ending: broken, ..Scripted::new(|_| 0.5) };
    let row = only_row(compare_with(&mut failing, false, Processes::UntilSettled, Interrupt::default()));
    assert!(row.failed && row.verdict == Verdict::Inconclusive, "{row:?}");
    assert!(row.note.is_some_and(|note| note.starts_with("new: failed: the guest exited with code 3")));
}

#[test]
fn an_interrupt_ends_it_without_a_verdict() {
    let interrupt = Interrupt::default();
    interrupt.raise();
    let done = compare_with(&mut Scripted::new(|_| 0.5), false, Processes::UntilSettled, interrupt);
    assert!(done.interrupted && done.rows.is_empty());
}
