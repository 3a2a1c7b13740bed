use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;
use wasiscope_capture::WatchedWorker;
use wasiscope_capture::recorded::{RecordedCapture, Recording};
use wasiscope_kinds::traps::{Check, Family, Share};
use wasiscope_model::work::{Spec, Work};

use wasiscope_model::code::Code;
use wasiscope_model::record::{CheckRecord, Facts, Status, Tally, Totals};
use wasiscope_scenario::plan::GuestSource;
use wasiscope_scenario::{Engine, Expectation, Flavour};
use wasiscope_worker::{Ending, EndingContext, Iteration, Pace, ProtocolLine, Timed};

const STUCK: Stuck = Stuck { phase: Phase::Run, in_phase: Duration::from_secs(10), limit: Duration::from_secs(10) };
const RIGHT: &str = "e60e7ee648829675";

/// Workers that say what they were told to say, in order; the last of it again and again.
struct Scripted {
    runs: VecDeque<WorkerRun>,
    seen: Vec<(Task, bool)>,
}

impl Scripted {
    fn new(runs: impl IntoIterator<Item = WorkerRun>) -> Self {
        Self { runs: runs.into_iter().collect(), seen: Vec::new() }
    }
}

impl Workers for Scripted {
    fn run(&mut self, request: &Request, watched: Option<&WatchedWorker>) -> WorkerRun {
        self.seen.push((request.task.clone(), watched.is_some()));
        if self.runs.len() > 1 { self.runs.pop_front().expect("more than one") } else { self.runs[0].clone() }
    }
}

fn line(check: &str) -> Option<ProtocolLine> {
    Some(ProtocolLine { workload: "hello".into(), n: 1, check: check.into() })
}

fn facts_run(ending: Ending, check: &str) -> WorkerRun {
    let pace = Pace::default();
    let (facts, outputs) = (Facts::new(), Vec::new());
    let facts = Message::Facts { marked: true, traps_after: None, facts, line: line(check), ending, outputs, pace };
    WorkerRun { pid: 1, messages: vec![facts], ..WorkerRun::default() }
}

fn samples_run(checks: &[&str], death: Option<Death>) -> WorkerRun {
    let iteration = |check: &&str| {
        Message::Iteration(Iteration {
            timed: vec![Timed::once(Phase::Run, 100)],
            entered: vec![Phase::Run],
            spans: Vec::new(),
            memory: Vec::new(),
            measured: Vec::new(),
            counts: Vec::new(),
            spreads: Vec::new(),
            preemptions: None,
            line: line(check),
            ending: Ending::Returned,
            outputs: Vec::new(),
        })
    };
    let messages = checks.iter().map(iteration).collect();
    WorkerRun { pid: 1, spawn_ns: Some(5), messages, death, ..WorkerRun::default() }
}

/// A case whose guest is a real file, because facts are read from it.
fn prepared(folder: &Path, trap: bool) -> Prepared {
    let path = folder.join("hello.wasm");
    std::fs::write(&path, wat::parse_str("(module (func (export \"_start\")))").expect("valid")).expect("a file");
    Prepared {
        case: Case {
            n: Some(1),
            expect: Expectation { trap, ..Expectation::default() },
            processes: 2,
            iterations: 2,
            ..Case::of_guest(
                "test",
                "hello",
                "std",
                Engine::usual(),
                GuestSource::Built { flavour: Flavour::Std, workload: "hello".into() },
            )
        },
        guest: Ok(Artifact::of_file(&path).expect("readable")),
        files: InputFiles::default(),
        watch: true,
    }
}

struct Walked {
    walk: Walk,
    records: Vec<Record>,
    tasks: Vec<(Task, bool)>,
}

fn walk_with(
    runs: Vec<WorkerRun>,
    trap: bool,
    mut capture: Option<RecordedCapture>,
    budget: Option<Duration>,
    interrupt: Interrupt,
) -> Walked {
    let folder = tempfile::tempdir().expect("a folder");
    walk_over(&folder, prepared(folder.path(), trap), runs, capture.as_mut(), budget, interrupt)
}

fn walk_over(
    folder: &tempfile::TempDir,
    case: Prepared,
    runs: Vec<WorkerRun>,
    capture: Option<&mut RecordedCapture>,
    budget: Option<Duration>,
    interrupt: Interrupt,
) -> Walked {
    let cases = [case];
    let mut workers = Scripted::new(runs);
    let capture = capture.map(|capture| capture as &mut dyn Capture);
    let records = RefCell::new(Vec::new());
    let mut on_event = |event: Event<'_>| {
        if let Event::Recorded(record) = event {
            records.borrow_mut().push(record.clone());
        }
    };
    let elapsed = || Duration::from_secs(60);
    let settings = Settings {
        seed: 1,
        budget: budget.map(|budget| (&elapsed as &dyn Fn() -> Duration, budget)),
        interrupt,
        scratch: folder.path().to_owned(),
        cpus: Vec::new(),
        instructions: false,
        planted: None,
    };
    let walk = Runner::new(&mut workers, capture, settings, &mut on_event).walk(&cases);
    Walked { walk, records: records.into_inner(), tasks: workers.seen }
}

fn walk(runs: Vec<WorkerRun>) -> Walked {
    walk_with(runs, false, None, None, Interrupt::default())
}

fn outcome_of(record: &Record) -> &Outcome {
    match record {
        Record::Facts { outcome, .. }
        | Record::Process(ProcessRecord { outcome, .. })
        | Record::Check(CheckRecord { outcome, .. }) => outcome,
    }
}

#[test]
fn facts_come_first_and_then_every_process() {
    let walked = walk(vec![facts_run(Ending::Returned, RIGHT), samples_run(&[RIGHT, RIGHT], None)]);
    assert_eq!(walked.walk, Walk::Complete);
    assert_eq!(walked.records.len(), 3);
    let Record::Process(process) = &walked.records[2] else { panic!("{:?}", walked.records[2]) };
    assert_eq!(process.samples[&Phase::Run], [100, 100]);
    assert_eq!(process.samples[&Phase::Spawn], [5]);
    assert!(process.outcome.expected);
}

#[test]
fn a_wrong_check_is_a_failed_row_and_never_timed() {
    let walked = walk(vec![facts_run(Ending::Returned, "0000000000000bad")]);
    assert_eq!(walked.records.len(), 1, "no worker is started after wrong facts");
    let outcome = outcome_of(&walked.records[0]);
    assert_eq!(outcome.status, Status::Failed);
    assert!(outcome.detail.as_deref().is_some_and(|detail| detail.contains(RIGHT)), "{outcome:?}");
}

#[test]
fn a_check_that_turns_wrong_keeps_only_the_right_iterations() {
    let walked = walk(vec![facts_run(Ending::Returned, RIGHT), samples_run(&[RIGHT, "bad"], None)]);
    assert_eq!(walked.records.len(), 2, "the second process is not started");
    let Record::Process(process) = &walked.records[1] else { panic!("{:?}", walked.records[1]) };
    assert_eq!(process.samples[&Phase::Run], [100]);
    assert_eq!(process.outcome.status, Status::Failed);
}

#[test]
fn a_worker_that_measures_less_than_nothing_is_a_failed_row() {
    let mut run = samples_run(&[RIGHT], None);
    for message in &mut run.messages {
        let Message::Iteration(iteration) = message else { continue };
        iteration.measured = vec![("fairness".into(), vec![0.5, -1.0])];
    }
    let walked = walk(vec![facts_run(Ending::Returned, RIGHT), run]);
    let Some(Record::Process(process)) = walked.records.get(1) else { panic!("{:?}", walked.records) };
    assert!(process.measured.is_empty(), "a report with it could not be read");
    assert!(!process.outcome.expected && process.outcome.detail.as_ref().is_some_and(|why| why.contains("fairness")));
}

#[test]
fn a_metric_without_a_row_in_the_table_of_its_kind_is_a_failed_row() {
    let mut run = samples_run(&[RIGHT], None);
    for message in &mut run.messages {
        let Message::Iteration(iteration) = message else { continue };
        iteration.measured = vec![("fairness".into(), vec![0.5])];
    }
    let walked = walk(vec![facts_run(Ending::Returned, RIGHT), run]);
    let Some(Record::Process(process)) = walked.records.get(1) else { panic!("{:?}", walked.records) };
    assert_eq!((process.outcome.code, process.measured.len()), (Some(Code::InvalidSample), 0));
}

#[test]
fn a_failure_without_a_reason_says_so() {
    let refused = Message::Refused { reason: String::new() };
    let walked = walk(vec![WorkerRun { messages: vec![refused], ..WorkerRun::default() }]);
    assert_eq!(outcome_of(&walked.records[0]).detail.as_deref(), Some("no reason was given"));
}

#[test]
fn a_worker_that_dies_leaves_what_it_said_and_how_it_died() {
    let died = samples_run(&[RIGHT], Some(Death::Lost("worker killed by SIGSEGV".into())));
    let walked = walk(vec![facts_run(Ending::Returned, RIGHT), died]);
    let Record::Process(process) = &walked.records[1] else { panic!("{:?}", walked.records[1]) };
    assert_eq!(process.samples[&Phase::Run], [100]);
    assert_eq!(process.outcome, Outcome::because(Status::Failed, Code::WorkerDied, "worker killed by SIGSEGV"));

    let walked = walk(vec![WorkerRun { death: Some(Death::TimedOut(STUCK)), ..WorkerRun::default() }]);
    assert_eq!(outcome_of(&walked.records[0]).status, Status::Timeout);
}

#[test]
fn a_trap_is_as_expected_only_where_the_scenario_says_so() {
    let trapped =
        || Ending::Trapped { trap: "out of bounds".into(), stderr: String::new(), context: EndingContext::default() };
    let walked = walk(vec![facts_run(trapped(), RIGHT)]);
    assert!(!outcome_of(&walked.records[0]).expected);

    let expected = walk_with(vec![facts_run(trapped(), RIGHT)], true, None, None, Interrupt::default());
    assert_eq!(outcome_of(&expected.records[0]).status, Status::Trapped);
    assert!(outcome_of(&expected.records[0]).expected);

    let returned = walk_with(vec![facts_run(Ending::Returned, RIGHT)], true, None, None, Interrupt::default());
    assert!(!outcome_of(&returned.records[0]).expected, "it was to trap and did not");
}

#[test]
fn watched_workers_run_only_while_the_capture_is_armed() {
    let workers = [0, 1].map(|process| {
        (label(&prepared(tempfile::tempdir().expect("a folder").path(), false), &process), KernelEvents::new())
    });
    let capture = RecordedCapture::new(Recording::of(workers)).expect("memory for the cells");
    let runs = vec![facts_run(Ending::Returned, RIGHT), samples_run(&[RIGHT, RIGHT], None)];
    let walked = walk_with(runs, false, Some(capture), None, Interrupt::default());
    let watched: Vec<bool> = walked.tasks.iter().map(|(_, watched)| *watched).collect();
    assert_eq!(watched, [false, false, true, true, false], "facts, then off on, on off");
    for record in &walked.records {
        if let Record::Process(process) = record {
            assert_eq!(process.kernel.is_some(), process.watched);
        }
    }
}

#[test]
fn a_spent_budget_leaves_one_process_of_each_case() {
    let runs = vec![facts_run(Ending::Returned, RIGHT), samples_run(&[RIGHT, RIGHT], None)];
    let walked = walk_with(runs, false, None, Some(Duration::from_secs(30)), Interrupt::default());
    assert_eq!(walked.walk, Walk::BudgetSpent);
    assert_eq!(walked.records.len(), 2);
}

#[test]
fn an_interrupt_ends_the_walk_before_the_next_worker() {
    let interrupt = Interrupt::default();
    interrupt.raise();
    let walked = walk_with(vec![facts_run(Ending::Returned, RIGHT)], false, None, None, interrupt);
    assert_eq!(walked.walk, Walk::Interrupted);
    assert!(walked.tasks.is_empty());
}

#[test]
fn a_check_that_kills_its_worker_is_run_again_to_find_what_did_it() {
    let cell = "i32.load / one / end / index / parameter";
    let tallies = BTreeMap::from([("i32.load".to_owned(), Tally { tried: 7, passed: 7, unsupported: 0 })]);
    let part = Message::Checked(Totals { tallies, ..Totals::default() });
    let died = |messages| WorkerRun {
        messages,
        death: Some(Death::Lost("worker killed by SIGSEGV".into())),
        ..WorkerRun::default()
    };
    let trying = |what: &str| Message::Trying { what: what.to_owned() };
    let runs = vec![died(vec![part]), died(vec![trying("another"), trying(cell)])];
    let folder = tempfile::tempdir().expect("a folder");
    let check = Check::Matrix { family: Family::Loads, share: Share::Full };
    let mut case = prepared(folder.path(), false);
    case.case.guest = GuestSource::Modules;
    (case.case.kind, case.case.work, case.case.spec) = ("traps", Work::Check, Spec::of(&check));
    case.case.processes = 0;
    let walked = walk_over(&folder, case, runs, None, None, Interrupt::default());
    let slowly: Vec<bool> =
        walked.tasks.iter().map(|(task, _)| matches!(task, Task::Check { slowly: true, .. })).collect();
    assert_eq!(slowly, [false, true]);
    let [Record::Check(record)] = &walked.records[..] else { panic!("{:?}", walked.records) };
    assert_eq!((record.outcome.status, record.totals.all().passed), (Status::Failed, 7), "what it said counts");
    let failure = &record.totals.failures[0];
    assert_eq!(failure.what, cell);
    assert!(failure.wat.as_ref().is_some_and(|wat| wat.contains("i32.load") && wat.contains("_start")), "{failure:?}");
}
