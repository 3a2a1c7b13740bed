//! What a worker says.

use std::path::Path;

use super::report::can_be_shown;
use super::{has_no_tags, survives_being_stored};
use crate::capture::Coverage;
use crate::capture::WatchedWorker;
use crate::guest::Artifact;
use crate::interrupt::Interrupt;
use crate::kinds;
use crate::plan::Case;
use crate::record::{Record, Status};
use crate::report::fixtures;
use crate::report::table::{self, Style};
use crate::runner::child::{ReceiveLimits, Received, cut_off, receive};
use crate::runner::{Death, Event, InputFiles, Prepared, Runner, Settings, WorkerRun, Workers};
use crate::summary;
use crate::worker::{Message, Request};

/// Small, so that what passes them is soon found.
const LIMITS: ReceiveLimits = ReceiveLimits { line_bytes: 16 << 10, all_bytes: 64 << 10 };

/// The smallest module that is a command.
const COMMAND: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// Whatever a worker says ends in a row, with a reason where it is not as it should be; no more is kept than may be; and what becomes of it
/// is a report like any other. The first byte says what the worker is of, and how it ends.
pub fn messages(bytes: &[u8]) {
    let Some((first, said)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder for guests");
    let path = folder.path().join("guest.wasm");
    std::fs::write(&path, COMMAND).expect("a guest");
    let cases: Vec<Prepared> = cases(*first & 7)
        .into_iter()
        .take(1)
        .map(|case| Prepared {
            case,
            guest: Ok(Artifact::of_bytes(&path, COMMAND)),
            files: InputFiles::default(),
            watch: true,
        })
        .collect();
    let mut workers = Alike::new(said, (first & 8 != 0).then(|| Death::Lost("killed".to_owned())));
    let records = walk(&mut workers, &cases, folder.path());
    assert!(!records.is_empty(), "no row");
    for record in &records {
        survives_being_stored(record);
        let outcome = match record {
            Record::Facts { outcome, .. } => outcome,
            Record::Process(process) => &process.outcome,
            Record::Check(check) => &check.outcome,
        };
        let says_why = outcome.detail.as_ref().is_some_and(|detail| !detail.is_empty());
        assert!(outcome.expected || says_why, "a row without a reason: {outcome:?}");
        assert!(outcome.status != Status::Ok || outcome.expected);
        if let (Record::Process(process), Some(_)) = (record, &workers.death()) {
            assert!(!process.outcome.expected, "a worker that died is a good one: {:?}", process.outcome);
        }
    }
    let scenarios = summary::scenarios(&cases, &records, Coverage::of(&[]));
    let report = crate::report::Report { scenarios, ..fixtures::report(Vec::new(), None) };
    survives_being_stored(&report);
    // What most of the time would go into.
    if first & 16 != 0 {
        can_be_shown(&report);
    }
    has_no_tags(&table::render(&report, Style::Markdown, kinds::VIEWS));
}

fn cases(kind: u8) -> Vec<Case> {
    let text = match kind {
        0 => "name: a\nworkloads: [hello]\nflavours: [std]\n",
        1 => "name: a\nwasm: guest.wasm\n",
        2 => "name: a\nwasm: guest.wasm\nexpect: {outcome: trapped}\n",
        3 => "name: a\nkind: traps\nparts: [other-traps]\n",
        4 => "name: a\nkind: scheduler\nparts: [timers]\n",
        5 => "name: a\nkind: traps\nparts: [matrix]\n",
        6 => "name: a\nkind: traps\nparts: [mistakes]\n",
        _ => "name: a\nworkloads: [hello]\nflavours: [std]\nprocesses: 9\n",
    };
    kinds::parse(Path::new("fuzzed.yaml"), text).expect("valid").cases()
}

fn walk(workers: &mut dyn Workers, cases: &[Prepared], folder: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    let mut on_event = |event: Event<'_>| {
        if let Event::Recorded(record) = event {
            records.push(record.clone());
        }
    };
    let settings = Settings {
        seed: 1,
        budget: None,
        interrupt: Interrupt::default(),
        scratch: folder.to_owned(),
        cpus: Vec::new(),
        instructions: false,
        planted: None,
    };
    let mut runner = Runner::new(workers, None, settings, &mut on_event);
    runner.walk(cases);
    runner.trace(cases);
    records
}

/// Workers that all say the same.
struct Alike {
    run: WorkerRun,
}

impl Alike {
    fn new(bytes: &[u8], death: Option<Death>) -> Self {
        let mut run = WorkerRun { pid: 1, death, ..WorkerRun::default() };
        let mut kept = 0;
        let mut over = false;
        receive(bytes, LIMITS, &mut |said| {
            assert!(!over, "what comes behind the last word is listened to");
            match said {
                Received::Message(message) => {
                    kept += 1;
                    run.messages.push(*message);
                    return true;
                }
                Received::Garbled(what) => run.death = Some(Death::Lost(what)),
                Received::Unfinished => run.death = run.death.take().or_else(|| Some(cut_off())),
            }
            over = true;
            true
        });
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        assert!(kept <= lines && kept <= LIMITS.all_bytes, "{kept} messages in {lines} lines");
        // A line is no shorter than what is kept of it, but for the names of fields.
        assert!(run.death.is_some() || bytes.len() <= LIMITS.all_bytes, "more was kept than may be");
        if let Some(Message::Ready { at_ns }) = run.messages.first() {
            run.spawn_ns = Some(*at_ns);
        }
        Self { run }
    }

    fn death(&self) -> Option<Death> {
        self.run.death.clone()
    }
}

impl Workers for Alike {
    fn run(&mut self, _request: &Request, _watched: Option<&WatchedWorker>) -> WorkerRun {
        self.run.clone()
    }
}
