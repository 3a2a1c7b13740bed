//! `wasiscope conformance`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use super::progress::Progress;
use super::run::Format;
use super::selection;
use super::{Exit, print};
use crate::capture::{Coverage, Ledger};
use crate::conformance::{self, KnownFailures, Suite};
use crate::guest::NoGuest;
use crate::interrupt::Interrupt;
use crate::machine;
use crate::places::Places;
use crate::prepare;
use crate::record::{Record, Status};
use crate::report::conformance as rendered;
use crate::report::document::{CaptureReport, CaptureStatus, Report, SCHEMA_VERSION, ScenarioReport};
use crate::report::table::Style;
use crate::runner::{self, ChildWorkers, Prepared};
use crate::scenario::{self, Limits};
use crate::scratch;
use crate::stats;
use crate::summary;

const EXAMPLES: &str = "\
For a guest `x.wasm`, the manifest `x.json` beside it says what the guest is given and how it must end:

  {\"args\": [\"a\"], \"env\": {\"K\": \"v\"}, \"dirs\": [\"data.dir\"], \"stdin\": \"…\", \"exit_code\": 3, \"stdout\": \"…\", \"stderr\": \"…\"}

All keys are optional. Without one, the guest must exit with 0. Folders are relative to the manifest; a guest works in a copy.

Examples:
  wasiscope conformance wasi-testsuite/tests/rust/testsuite/wasm32-wasip1
  wasiscope conformance tests --engine winch --known-failures expectations/wasmtime-linux.json

Exit status: 0 every guest ended as its manifest says, or as is known · 1 some did not · 2 bad usage or input · 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Folders with guests and their manifests, at any depth
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// An engine; once for each [default: cranelift]
    #[arg(long = "engine", value_name = "NAME")]
    engines: Vec<String>,
    /// Only guests whose id (name/custom/engine) matches
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Failures that are known, as JSON: {"SUITE": {"TEST": "REASON"}}
    #[arg(long, value_name = "FILE")]
    known_failures: Option<PathBuf>,
    /// Longest time of one pass through a guest, for example 30s [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = scenario::wall)]
    wall: Option<Duration>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let (began, started_at) = (Instant::now(), jiff::Timestamp::now());
    let suites: Vec<Suite> = arguments
        .folders
        .iter()
        .map(|folder| conformance::suites(folder))
        .collect::<anyhow::Result<Vec<_>>>()?
        .concat();
    let known = arguments.known_failures.as_deref().map(conformance::known_failures).transpose()?.unwrap_or_default();
    let out = arguments.out.as_deref().map(|path| super::run::destination("--out", path)).transpose()?;
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let progress = Progress::new();
    let prepared = prepared(places, arguments, &suites, scratch.path(), &progress)?;
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let scenarios = scenarios(&prepared, scratch.path(), &interrupt, &progress);
    progress.finish();
    let mut report = report(places, scenarios, started_at, began.elapsed());
    report.interrupted = interrupt.raised();
    apply_known(&mut report, &known);
    if arguments.only.is_none() {
        note_unmatched(&report, &known);
    }
    if let Some(out) = &out {
        out.write(&report).with_context(|| format!("cannot write {}", out.path().display()))?;
    }
    print(&match arguments.format {
        Format::Table => rendered::render(&report, Style::Plain),
        Format::Markdown => rendered::render(&report, Style::Markdown),
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
    })?;
    Ok(match () {
        () if report.interrupted => Exit::Interrupted,
        () if report.has_failures() => Exit::CaseFailed,
        () => Exit::Done,
    })
}

/// The guests with all that they are given, each under every engine.
fn prepared(
    places: &Places,
    arguments: &Arguments,
    suites: &[Suite],
    scratch: &Path,
    progress: &Progress,
) -> anyhow::Result<Vec<Prepared>> {
    let engines = selection::named_engines(&arguments.engines)?;
    let only = selection::only(arguments.only.as_deref())?;
    let limits = Limits { wall: arguments.wall.unwrap_or(Limits::default().wall), ..Limits::default() };
    let (mut cases, mut reasons) = (Vec::new(), Vec::new());
    for (suite, test) in suites.iter().flat_map(|suite| suite.tests.iter().map(move |test| (suite, test))) {
        let of_test = engines.iter().map(|engine| test.case(&suite.name, engine, limits));
        for case in of_test.filter(|case| only.as_ref().is_none_or(|only| only.is_match(case.id()))) {
            cases.push(case);
            reasons.push(test.manifest.as_ref().err());
        }
    }
    if cases.is_empty() {
        let only = arguments.only.as_deref().unwrap_or_default();
        bail!("no guest matches --only {only} (it is matched against the whole id, as in 'lseek/custom/cranelift')");
    }
    let mut prepared = prepare::prepare(places, cases, scratch, &mut |line| progress.say(line))?;
    for (prepared, reason) in prepared.iter_mut().zip(reasons) {
        if let Some(reason) = reason {
            prepared.guest = Err(NoGuest { status: Status::Skipped, reason: reason.clone() });
        }
    }
    Ok(prepared)
}

/// Runs every guest for its facts.
fn scenarios(prepared: &[Prepared], scratch: &Path, interrupt: &Interrupt, progress: &Progress) -> Vec<ScenarioReport> {
    let mut workers = ChildWorkers::new(PathBuf::from("/proc/self/exe"), interrupt.clone());
    let mut records = Vec::new();
    progress.on(&runner::Event::Planned { workers: prepared.len() });
    for (index, prepared) in prepared.iter().enumerate() {
        if interrupt.raised() {
            break;
        }
        let id = prepared.case.id();
        progress.on(&runner::Event::Started { id: &id });
        let (facts, outcome) = runner::facts_of(&mut workers, prepared, scratch);
        let record = Record::Facts { case: index, id, outcome, facts };
        progress.on(&runner::Event::Recorded(&record));
        records.push(record);
    }
    summary::scenarios(prepared, &records, Coverage { lossless: false, ..Coverage::of(&[]) })
}

fn report(places: &Places, scenarios: Vec<ScenarioReport>, started_at: jiff::Timestamp, elapsed: Duration) -> Report {
    let ledger = Ledger::default();
    Report {
        schema_version: SCHEMA_VERSION,
        wasiscope: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: started_at.to_string(),
        duration_s: elapsed.as_secs_f64(),
        seed: 0,
        noise: 0,
        planted: None,
        shard: None,
        invocation: None,
        interrupted: false,
        budget_spent: false,
        confidence: stats::CONFIDENCE,
        git: machine::git(&places.root),
        machine: machine::describe(machine::Interference::default()),
        tools: machine::tools(&places.root, crate::worker::WASMTIME_VERSION),
        capture: CaptureReport { status: CaptureStatus::Off, reason: None, programs: Vec::new(), ledger },
        scenarios,
        sources: Vec::new(),
        reference: None,
    }
}

/// Suites and tests of the list that are not there are most likely misspelt.
fn note_unmatched(report: &Report, known: &KnownFailures) {
    for (suite, tests) in known {
        let Some(scenario) = report.scenarios.iter().find(|scenario| scenario.name == *suite) else {
            tell!("note: no suite is named `{suite}`, which the known failures list");
            continue;
        };
        for test in tests.keys().filter(|test| scenario.cases.iter().all(|case| case.workload != **test)) {
            tell!("note: {suite}: no guest is named `{test}`, which the known failures list");
        }
    }
}

/// A failure that is known is as expected, and says so.
fn apply_known(report: &mut Report, known: &KnownFailures) {
    let nothing = BTreeMap::new();
    for scenario in &mut report.scenarios {
        let known = known.get(&scenario.name).unwrap_or(&nothing);
        for case in &mut scenario.cases {
            let Some(reason) = known.get(&case.workload) else { continue };
            if case.outcome.expected {
                tell!("note: {}: {} passes, though it is listed as a known failure", scenario.name, case.workload);
            } else {
                case.outcome.expected = true;
                let detail = case.outcome.detail.as_deref().unwrap_or_default();
                case.outcome.detail = Some(format!("known ({reason}): {detail}"));
            }
        }
    }
}
