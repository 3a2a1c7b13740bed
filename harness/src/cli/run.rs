//! `wasiscope run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use rand::RngExt;
use serde::Serialize;

use super::capture::{CaptureArguments, When};
use super::progress::Progress;
use super::selection::{self, Selected, Selection};
use super::sinks::{Outputs, SinkArguments, check_distinct, destination};
use super::telemetry::{MetricOutput, TelemetryArguments};
use super::{Exit, print, tell_error};
use crate::code::{Code, fail};
use crate::execute::source::Source;
use crate::execute::{ExecuteError, Executed, Options, Start, execute};
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::kinds;
use crate::kinds::traps::Planted;
use crate::kinds::traps::planted;
use crate::machine;
use crate::names;
use crate::places::Places;
use crate::prepare;
use crate::report::Report;
use crate::report::destination::Destination;
use crate::report::document::{CaptureStatus, Invocation};
use crate::report::sink::{RenderContext, Sink};
use crate::report::sinks::{Document, Json, Tables};
use crate::report::table::Style;
use crate::report::timeline::Timelines;
use crate::runner::Walk;
use crate::scratch;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    kernel: CaptureArguments,
    /// Where the report goes [default: target/wasiscope/report.json]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) sinks: SinkArguments<Report>,
    #[command(flatten)]
    telemetry: TelemetryArguments,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Stop adding samples after this time (every case gets one worker all the same, checks run to their end, prices are left
    /// out), for example 30s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    budget: Option<Duration>,
    /// Also count the instructions of `run`, with valgrind's callgrind, in a pass of its own (seconds for each case)
    #[arg(long)]
    instructions: bool,
    /// Put a fault into every check of traps, to see that it is found: `oracle:OPERATION` turns what must come of it
    /// round, `canary:OPERATION` changes another instance behind its back, `engine` swaps guard pages and explicit checks
    #[arg(long, value_name = "FAULT", value_parser = planted::read)]
    plant_fault: Option<Planted>,
    /// Decides the order of workers [default: random; printed and stored]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How this run was asked for.
    #[arg(skip)]
    pub(super) invocation: Option<Invocation>,
    // Last, because it ends with a heading that holds for whatever follows.
    #[command(flatten)]
    selection: Selection,
}

impl Arguments {
    /// Whether a timeline is asked for, which takes a pass of its own.
    fn traces(&self) -> bool {
        self.sinks.path(Timelines.option()).is_some()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
    Markdown,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    once(places, arguments, None)
}

/// A run; with an interrupt of somebody else's it is one of many, and says nothing but what went wrong.
pub(super) fn once(places: &Places, arguments: &Arguments, of_many: Option<&Interrupt>) -> anyhow::Result<Exit> {
    let start = Start::now();
    // First of all: from here on nothing is left behind.
    let interrupt = of_many.cloned().map_or_else(Interrupt::on_signals, Ok).context("cannot listen for Ctrl-C")?;
    // Everything that can be refused is refused before anything is built, run or written.
    let selected = select(places, arguments)?;
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let (results, journal, source) = Results::open(places, arguments, scratch.path())?;
    let options = Options {
        prices: selected.prices,
        source,
        program_costs: arguments.kernel.capture_cost,
        trace: arguments.traces(),
        instructions: arguments.instructions,
        planted: arguments.plant_fault.clone(),
        seed: arguments.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32)),
        noise: arguments.selection.noise(),
        shard: selected.shard,
        invocation: arguments.invocation.clone(),
        budget: arguments.budget,
        journal: Some(journal),
        start,
        ..Options::new(places, scratch.path(), selected.cases)
    };
    let mut progress = Progress::new();
    let executed = execute(options, &mut progress, &interrupt);
    progress.finish();
    let executed = match executed {
        Err(ExecuteError::NothingMeasured) => {
            tell!("interrupted before anything was measured: no report written");
            return Ok(Exit::Interrupted);
        }
        executed => executed?,
    };
    let (walk, report) = (executed.walk, results.write(executed, arguments.format, of_many.is_some())?);
    let receiver = results.metrics.as_ref();
    let is_sent = receiver.is_none_or(|receiver| receiver.send_or_tell(&report, &|| interrupt.raised()));
    Ok(exit(arguments, &report, walk, is_sent))
}

/// The cases, none of which is asked for what it does not have.
fn select(places: &Places, arguments: &Arguments) -> anyhow::Result<Selected> {
    let selected = selection::cases(places, &arguments.selection)?;
    let cases = &selected.cases;
    arguments.plant_fault.as_ref().map_or(Ok(()), |fault| planted::check(fault, cases))?;
    if arguments.traces() && !cases.iter().any(|case| case.work.runs_phases()) {
        fail!(
            OptionDoesNotApply,
            "--trace: none of the selected cases has a timeline; checks of traps and experiments have none"
        );
    }
    if arguments.instructions && machine::first_line("valgrind", &["--version"], &places.root).is_none() {
        fail!(NoProgram, "--instructions needs valgrind, which cannot be run: install the package valgrind");
    }
    let warnings: BTreeSet<String> = cases.iter().filter_map(prepare::warning).collect();
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    Ok(selected)
}

fn exit(arguments: &Arguments, report: &Report, walk: Walk, is_sent: bool) -> Exit {
    if arguments.plant_fault.is_some() && !report.has_failures() {
        tell_error(Code::FaultNotFound, "a fault was planted, and not found");
        return Exit::CaseFailed;
    }
    match walk {
        Walk::Interrupted => Exit::Interrupted,
        _ if report.capture.status == CaptureStatus::Unavailable && arguments.kernel.capture == When::On => {
            Exit::CapabilityMissing
        }
        _ if report.has_failures() => Exit::CaseFailed,
        _ if !is_sent => Exit::CapabilityMissing,
        _ => Exit::Done,
    }
}

/// Where the results of a run go, looked at before anything is run.
struct Results {
    report: Destination,
    renderings: Outputs<Report>,
    metrics: Option<MetricOutput>,
}

impl Results {
    fn open(places: &Places, arguments: &Arguments, scratch: &Path) -> anyhow::Result<(Self, Journal, Source)> {
        let report = destination("--out", &arguments.out.clone().unwrap_or_else(|| places.report()))?;
        // Beside a device there is no room for a journal.
        let journal = if report.is_file() { report.path().to_owned() } else { scratch.join("report") };
        let journal = Journal::beside(&journal).map_err(|error| Code::CannotWrite.error(error));
        let journal = journal.context("cannot write the journal: name another place with --out")?;
        let renderings = arguments.sinks.open()?;
        let metrics = MetricOutput::open(&arguments.telemetry)?;
        let source = arguments.kernel.open(arguments.traces())?;
        let stored = source.destination().map(|place| ("capture-save", place));
        check_distinct([("out", &report)].into_iter().chain(renderings.places()).chain(stored))?;
        Ok((Self { report, renderings, metrics }, journal, source))
    }

    /// Writes and prints all there is, and says where; one of many runs says only which cases failed.
    fn write(&self, executed: Executed, format: Format, is_of_many: bool) -> anyhow::Result<Report> {
        let Executed { report, journal, source, .. } = executed;
        self.write_report(&report, format)?;
        let records = journal.map(Journal::finish).transpose().context("cannot give the journal its name")?;
        let stored = source.save()?;
        let path = self.report.path();
        if is_of_many {
            say_failures(&report);
        } else {
            print_document(&report, format)?;
            tell!("report: {}", path.display());
            if let Some(records) = records.filter(|_| self.report.is_file()) {
                tell!("records: {}", records.display());
            }
        }
        let mut say = |line: &str| {
            if !is_of_many {
                tell!("{line}");
            }
        };
        self.renderings.write(&report, &names::escaped(path.as_os_str()), &mut say)?;
        if let Some(path) = &stored {
            tell!("capture: {}", path.display());
        }
        Ok(report)
    }

    fn write_report(&self, report: &Report, format: Format) -> anyhow::Result<()> {
        let Err(error) = self.report.write(report) else { return Ok(()) };
        // What was measured is not lost for it.
        print_document(report, format)?;
        let rescued = rescue(report).map_or_else(
            |why| format!("nor can it be kept elsewhere: {why}"),
            |path| format!("it is kept in {}", path.display()),
        );
        let error = Code::CannotWrite.error(error);
        Err(error).with_context(|| format!("cannot write the report {}; {rescued}", self.report.path().display()))
    }
}

fn say_failures(report: &Report) {
    for case in report.cases().filter(|case| !case.outcome.expected) {
        let detail = case.outcome.detail.as_deref().unwrap_or_default();
        tell!("{}: {}: {detail}", case.id, case.outcome.status.name());
    }
}

/// Writes a report into the folder for temporary files, and leaves it there.
fn rescue(report: &Report) -> std::io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix("wasiscope-report-").suffix(".json").tempfile()?;
    serde_json::to_writer_pretty(&mut file, report)?;
    Ok(file.keep().map_err(|error| error.error)?.1)
}

impl Format {
    /// How a document is printed.
    fn sink<D: Document + Serialize>(self) -> &'static dyn Sink<D> {
        match self {
            Self::Table => &Tables(Style::Plain),
            Self::Markdown => &Tables(Style::Markdown),
            Self::Json => &Json,
        }
    }
}

/// Prints a document to stdout.
pub(super) fn print_document<D: Document + Serialize>(document: &D, format: Format) -> anyhow::Result<()> {
    let mut text = Vec::new();
    format.sink::<D>().write(document, &RenderContext { name: "", views: kinds::VIEWS }, &mut text)?;
    print(&String::from_utf8_lossy(&text))
}
