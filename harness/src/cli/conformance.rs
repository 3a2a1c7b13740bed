//! `wasiscope conformance`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::progress::Progress;
use super::run::{Format, print_document};
use super::sinks::{SinkArguments, check_distinct};
use super::{Exit, selection};
use crate::code::{Code, fail};
use crate::conformance::{self, KnownFailures, Suite};
use crate::execute::{Depth, Options, Start, execute};
use crate::guest::NoGuest;
use crate::interrupt::Interrupt;
use crate::places::Places;
use crate::plan::Case;
use crate::record::Status;
use crate::report::Report;
use crate::report::conformance::Conformance;
use crate::scenario::{self, Limits};
use crate::scratch;

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
    #[command(flatten)]
    sinks: SinkArguments<Conformance>,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let start = Start::now();
    let suites: Vec<Suite> = arguments
        .folders
        .iter()
        .map(|folder| conformance::suites(folder))
        .collect::<anyhow::Result<Vec<_>>>()?
        .concat();
    let known = arguments.known_failures.as_deref().map(conformance::known_failures).transpose()?.unwrap_or_default();
    let out = arguments.out.as_deref().map(|path| super::sinks::destination("--out", path)).transpose()?;
    let renderings = arguments.sinks.open()?;
    check_distinct(out.iter().map(|place| ("out", place)).chain(renderings.places()))?;
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let (cases, without_guest) = cases(arguments, &suites)?;
    let options = Options {
        without_guest,
        depth: Depth::Facts,
        reference: false,
        start,
        ..Options::new(places, scratch.path(), cases)
    };
    let mut progress = Progress::new();
    let mut report = execute(options, &mut progress, &interrupt)?.report;
    progress.finish();
    apply_known(&mut report, &known);
    if arguments.only.is_none() {
        note_unmatched(&report, &known);
    }
    if let Some(out) = &out {
        out.write(&report).map_err(|error| super::sinks::cannot_write(out, error))?;
    }
    let report = Conformance(report);
    renderings.write(&report, "", &mut |line| tell!("{line}"))?;
    print_document(&report, arguments.format)?;
    Ok(match () {
        () if report.0.interrupted => Exit::Interrupted,
        () if report.0.has_failures() => Exit::CaseFailed,
        () => Exit::Done,
    })
}

/// Every guest under every engine, and those of them whose manifest asks for what cannot be done here.
fn cases(arguments: &Arguments, suites: &[Suite]) -> anyhow::Result<(Vec<Case>, BTreeMap<usize, NoGuest>)> {
    let engines = selection::named_engines(&arguments.engines)?;
    let only = selection::only(arguments.only.as_deref())?;
    let limits = Limits { wall: arguments.wall.unwrap_or(Limits::default().wall), ..Limits::default() };
    let (mut cases, mut without_guest) = (Vec::new(), BTreeMap::new());
    for (suite, test) in suites.iter().flat_map(|suite| suite.tests.iter().map(move |test| (suite, test))) {
        let of_test = engines.iter().map(|engine| test.case(&suite.name, engine, limits));
        for case in of_test.filter(|case| only.as_ref().is_none_or(|only| only.is_match(case.id()))) {
            if let Err(reason) = &test.manifest {
                without_guest.insert(
                    cases.len(),
                    NoGuest { status: Status::Skipped, code: Code::NotSupported, reason: reason.clone() },
                );
            }
            cases.push(case);
        }
    }
    if cases.is_empty() {
        let only = arguments.only.as_deref().unwrap_or_default();
        fail!(
            NothingMatches,
            "no guest matches --only {only} (it is matched against the whole id, as in 'lseek/custom/cranelift')"
        );
    }
    Ok((cases, without_guest))
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
