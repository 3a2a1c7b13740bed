//! A run is a library call: whoever calls it is told what happens, and gets the report and the records. This file is a program of its
//! own because workers are the running executable.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::Trial;
use tempfile::TempDir;
use wasiscope::code::Code;
use wasiscope::execute::{Depth, ExecuteError, Note, Observer, Options, Silent, Warning, execute, measure};
use wasiscope::guest::NoGuest;
use wasiscope::interrupt::Interrupt;
use wasiscope::journal::Journal;
use wasiscope::kinds;
use wasiscope::places::Places;
use wasiscope::plan::Case;
use wasiscope::record::{Record, Status};
use wasiscope::runner::{Event, Walk};

fn main() -> ExitCode {
    if let Some(exit) = wasiscope::worker::serve_if_asked(kinds::WORKERS) {
        return exit;
    }
    let trials = [
        ("an_observer_is_told_of_every_record", an_observer_is_told_of_every_record as fn()),
        ("an_interrupt_keeps_what_was_measured", an_interrupt_keeps_what_was_measured),
        ("before_anything_was_measured_there_is_no_report", before_anything_was_measured_there_is_no_report),
        ("facts_alone_have_no_samples", facts_alone_have_no_samples),
        ("rows_can_be_had_without_a_report", rows_can_be_had_without_a_report),
    ];
    let trials = trials.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials.collect()).exit_code()
}

type IsMeant = fn(&Record) -> bool;

/// Keeps what it is told, and raises an interrupt at the first record that it is asked to look for.
#[derive(Default)]
struct Collected {
    planned: usize,
    started: Vec<String>,
    records: Vec<Record>,
    lines: Vec<String>,
    stop_at: Option<(IsMeant, Interrupt)>,
}

impl Observer for Collected {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned { workers } => self.planned = *workers,
            Event::Started { id } => self.started.push((*id).to_owned()),
            Event::Recorded(record) => {
                if let Some((_, interrupt)) = self.stop_at.as_ref().filter(|(is_meant, _)| is_meant(record)) {
                    interrupt.raise();
                }
                self.records.push((*record).clone());
            }
            Event::NotCounted { .. } | Event::CaptureFailed(_) => {}
        }
    }

    fn on_note(&mut self, note: &Note) {
        self.lines.push(note.to_string());
    }

    fn on_warning(&mut self, warning: &Warning) {
        self.lines.push(warning.to_string());
    }
}

/// A folder with a guest, and the cases of it: two engines, two processes of three iterations each.
fn project() -> (TempDir, Places, Vec<Case>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("guest.wasm"), wat::parse_str(r#"(module (func (export "_start")))"#).unwrap())
        .unwrap();
    let path = folder.path().join("t.yaml");
    let text = "name: t\nkind: workload\nwasm: guest.wasm\nengines: [cranelift, winch]\nprocesses: 2\niterations: 3\n";
    let cases = kinds::parse(&path, text).unwrap().cases();
    let places = Places::find(Some(folder.path()));
    fs::create_dir(scratch(&folder)).unwrap();
    (folder, places, cases)
}

fn scratch(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("scratch")
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

fn an_observer_is_told_of_every_record() {
    let (folder, places, cases) = project();
    let scratch = scratch(&folder);
    let journal = Journal::beside(&folder.path().join("report.json")).unwrap();
    let options = Options { journal: Some(journal), seed: 7, ..Options::new(&places, &scratch, cases) };
    let mut seen = Collected::default();
    let executed = execute(options, &mut seen, &Interrupt::default()).unwrap();
    // Facts and two processes of two cases and of the reference.
    assert_eq!((seen.planned, seen.records.len()), (9, 9));
    assert!(seen.started.iter().any(|id| id == "guest/custom/winch"), "{:?}", seen.started);
    assert!(seen.lines.is_empty(), "{:?}", seen.lines);
    let report = executed.report;
    assert_eq!((executed.walk, report.interrupted, report.seed), (Walk::Complete, false, 7));
    let cases: Vec<_> = report.cases().collect();
    assert_eq!(cases.len(), 2);
    for case in cases {
        assert_eq!(case.outcome.status, Status::Ok, "{:?}", case.outcome.detail);
        let run = case.measurements.iter().find(|measured| measured.metric == "phase.run").unwrap();
        assert_eq!(run.samples.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
    }
    assert!(report.reference.is_some());
    assert_eq!(lines(&executed.journal.unwrap().finish().unwrap()), 9);
}

fn an_interrupt_keeps_what_was_measured() {
    let (folder, places, cases) = project();
    let scratch = scratch(&folder);
    let interrupt = Interrupt::default();
    let of_case: IsMeant = |record| matches!(record, Record::Process(process) if process.case < 2);
    let mut seen = Collected { stop_at: Some((of_case, interrupt.clone())), ..Collected::default() };
    let journal = Journal::beside(&folder.path().join("report.json")).unwrap();
    let options = Options { journal: Some(journal), ..Options::new(&places, &scratch, cases) };
    let executed = execute(options, &mut seen, &interrupt).unwrap();
    assert_eq!((executed.walk, executed.report.interrupted), (Walk::Interrupted, true));
    let processes = |case: &wasiscope::report::document::CaseReport| {
        let run = case.measurements.iter().find(|measured| measured.metric == "phase.run");
        run.map_or(0, |run| run.samples.len())
    };
    assert_eq!(executed.report.cases().map(processes).sum::<usize>(), 1);
    assert_eq!(lines(executed.journal.unwrap().path()), seen.records.len());
}

fn before_anything_was_measured_there_is_no_report() {
    let (folder, places, cases) = project();
    let scratch = scratch(&folder);
    let interrupt = Interrupt::default();
    let facts: IsMeant = |record| matches!(record, Record::Facts { .. });
    let mut seen = Collected { stop_at: Some((facts, interrupt.clone())), ..Collected::default() };
    let journal = Journal::beside(&folder.path().join("report.json")).unwrap();
    let path = journal.path().to_owned();
    let options = Options { journal: Some(journal), ..Options::new(&places, &scratch, cases) };
    assert!(matches!(execute(options, &mut seen, &interrupt), Err(ExecuteError::NothingMeasured)));
    assert!(!path.exists());
}

fn facts_alone_have_no_samples() {
    let (folder, places, cases) = project();
    let scratch = scratch(&folder);
    let refused = NoGuest { status: Status::Skipped, code: Code::NoToolchain, reason: "not here".to_owned() };
    let options = Options {
        depth: Depth::Facts,
        reference: false,
        without_guest: BTreeMap::from([(1, refused)]),
        ..Options::new(&places, &scratch, cases)
    };
    let report = execute(options, &mut Silent, &Interrupt::default()).unwrap().report;
    assert!(report.reference.is_none() && report.cases().all(|case| case.measurements.is_empty()));
    let statuses: Vec<Status> = report.cases().map(|case| case.outcome.status).collect();
    assert_eq!(statuses, [Status::Ok, Status::Skipped]);
}

fn rows_can_be_had_without_a_report() {
    let (folder, places, cases) = project();
    let scratch = scratch(&folder);
    let case = Case { processes: 1, iterations: 1, ..cases[0].clone() };
    let options = Options { reference: false, ..Options::new(&places, &scratch, vec![case]) };
    let scenarios = measure(options, &mut Silent, &Interrupt::default()).unwrap().scenarios();
    assert_eq!((scenarios.len(), scenarios[0].cases.len()), (1, 1));
    assert!(scenarios[0].cases[0].outcome.expected && !scenarios[0].cases[0].measurements.is_empty());
}
