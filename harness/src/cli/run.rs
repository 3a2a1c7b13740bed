//! `wasiscope run`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rand::RngExt;

use super::prepare::prepare;
use super::progress::Progress;
use super::selection::{self, Selection};
use super::{Exit, print};
use crate::capture::ebpf::EbpfCapture;
use crate::capture::{Capture, CaptureError, Coverage};
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::machine::{self, CpuTimes};
use crate::places::Places;
use crate::record::Record;
use crate::reference;
use crate::report::destination::Destination;
use crate::report::document::{CaptureReport, CaptureStatus, SCHEMA_VERSION};
use crate::report::{Report, table};
use crate::runner::{ChildWorkers, Event, Runner, Settings, Walk};
use crate::scratch;
use crate::stats;
use crate::summary;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Watch the kernel: where possible, always (anything else is an error), or not at all
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    capture: When,
    /// Where the report goes [default: target/wasiscope/report.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Stop adding samples after this time (every case gets one worker all the same), for example 30s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    budget: Option<Duration>,
    /// Also count the instructions of `run`, with valgrind's callgrind, in a pass of its own (seconds for each case)
    #[arg(long)]
    instructions: bool,
    /// Decides the order of workers [default: random; printed and stored]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    // Last, because it ends with a heading that holds for whatever follows.
    #[command(flatten)]
    selection: Selection,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum When {
    #[default]
    Auto,
    On,
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
    Markdown,
}

pub(super) fn run(places: &Places, arguments: Arguments) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let started_at = jiff::Timestamp::now();
    let cpu_before = CpuTimes::now();
    // Everything that can be refused is refused before anything is built, run or written.
    let cases = selection::cases(places, &arguments.selection)?;
    if arguments.instructions && machine::first_line("valgrind", &["--version"], &places.root).is_none() {
        bail!("--instructions needs valgrind, which cannot be run: install the package valgrind");
    }
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let out = Destination::check(&arguments.out.clone().unwrap_or_else(|| places.report()))?;
    // Beside a device there is no room for a journal.
    let journal_place = if out.is_file() { out.path().to_owned() } else { scratch.path().join("report") };
    let mut journal =
        Journal::beside(&journal_place).context("cannot write the journal: name another place with --out")?;
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let (mut capture, unavailable) = open_capture(arguments.capture)?;
    let seed = arguments.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));

    let progress = Progress::new();
    let mut prepared = prepare(places, cases, scratch.path(), &mut |line| progress.say(line))?;
    let most = prepared.iter().map(|prepared| prepared.case.processes).max().unwrap_or(1);
    prepared.push(reference::prepare(scratch.path(), most)?);
    let mut records: Vec<Record> = Vec::new();
    let mut trouble: Option<String> = None;
    let mut on_event = |event: Event<'_>| {
        progress.on(&event);
        match event {
            Event::Recorded(record) => {
                if let Err(error) = journal.append(record) {
                    progress.say(&format!("warning: {}: {error}", journal.path().display()));
                }
                records.push(record.clone());
            }
            Event::CaptureFailed(error) => trouble = Some(error.to_string()),
            Event::Planned { .. } | Event::Started { .. } | Event::NotCounted { .. } => {}
        }
    };
    let elapsed = || began.elapsed();
    let settings = Settings {
        seed,
        budget: arguments.budget.map(|budget| (&elapsed as &dyn Fn() -> Duration, budget)),
        interrupt: interrupt.clone(),
        scratch: scratch.path().to_owned(),
        cpus: machine::processors(),
        instructions: arguments.instructions,
    };
    // The running binary itself, even if the file it came from has been replaced since.
    let mut workers = ChildWorkers::new(PathBuf::from("/proc/self/exe"), interrupt.clone());
    let watched = capture.as_mut().map(|capture| capture as &mut dyn Capture);
    let mut runner = Runner::new(&mut workers, watched, settings, &mut on_event);
    let walk = runner.walk(&prepared);
    let costs = if walk == Walk::Interrupted { Ok(()) } else { runner.count_program_costs(&prepared) };
    if let Err(error) = costs {
        progress.say(&format!("the cost of the kernel programs is not known: {error}"));
    }
    progress.finish();
    // The last case is the reference, which is of use only beside others.
    let is_of_use = |record: &Record| matches!(record, Record::Process(process) if process.case + 1 < prepared.len());
    if walk == Walk::Interrupted && !records.iter().any(is_of_use) {
        journal.discard().context("cannot take the empty journal away")?;
        eprintln!("interrupted before anything was measured: no report written");
        return Ok(Exit::Interrupted);
    }

    let capture = capture_report(capture.as_ref(), unavailable, trouble);
    let coverage = Coverage::of(&capture.programs);
    let report = Report {
        schema_version: SCHEMA_VERSION,
        wasiscope: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: started_at.to_string(),
        duration_s: began.elapsed().as_secs_f64(),
        seed,
        interrupted: walk == Walk::Interrupted,
        budget_spent: walk == Walk::BudgetSpent,
        confidence: stats::CONFIDENCE,
        git: machine::git(&places.root),
        machine: machine::describe(cpu_before.zip(CpuTimes::now()).and_then(|(from, to)| from.stolen_until(to))),
        tools: machine::tools(&places.root),
        capture,
        scenarios: summary::scenarios(&prepared[..prepared.len() - 1], &records, coverage),
        reference: prepared.last().map(|last| summary::case(prepared.len() - 1, last, &records, coverage)),
    };
    out.write(&report).with_context(|| format!("cannot write {}", out.path().display()))?;
    let records = journal.finish().context("cannot give the journal its name")?;
    print_report(&report, arguments.format)?;
    eprintln!("report: {}", out.path().display());
    if out.is_file() {
        eprintln!("records: {}", records.display());
    }
    Ok(match walk {
        Walk::Interrupted => Exit::Interrupted,
        _ if report.capture.status == CaptureStatus::Unavailable && arguments.capture == When::On => {
            Exit::CapabilityMissing
        }
        _ if report.has_failures() => Exit::CaseFailed,
        _ => Exit::Done,
    })
}

fn print_report(report: &Report, format: Format) -> anyhow::Result<()> {
    print(&match format {
        Format::Table => table::render(report, table::Style::Plain),
        Format::Markdown => table::render(report, table::Style::Markdown),
        Format::Json => serde_json::to_string_pretty(report)? + "\n",
    })
}

/// The capture, or why there is none.
fn open_capture(when: When) -> anyhow::Result<(Option<EbpfCapture>, Option<CaptureError>)> {
    if when == When::Off {
        return Ok((None, None));
    }
    match EbpfCapture::load() {
        Ok(capture) => Ok((Some(capture), None)),
        Err(error) if when == When::On => Err(error.into()),
        Err(error) => Ok((None, Some(error))),
    }
}

fn capture_report(
    capture: Option<&EbpfCapture>,
    unavailable: Option<CaptureError>,
    trouble: Option<String>,
) -> CaptureReport {
    // A ledger that cannot be read is not a clean one.
    let accounts = capture.map(|capture| Ok::<_, CaptureError>((capture.programs()?, capture.ledger()?))).transpose();
    let (accounts, unreadable) = match accounts {
        Ok(accounts) => (accounts.unwrap_or_default(), None),
        Err(error) => (Default::default(), Some(error.to_string())),
    };
    let reason = unavailable.map(|error| error.to_string()).or(trouble).or(unreadable);
    let status = match (&reason, capture) {
        (Some(_), _) => CaptureStatus::Unavailable,
        (None, Some(_)) => CaptureStatus::Live,
        (None, None) => CaptureStatus::Off,
    };
    CaptureReport { status, reason, programs: accounts.0, ledger: accounts.1 }
}
