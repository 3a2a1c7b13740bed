//! `wasiscope run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use rand::RngExt;

use super::capture::{CaptureArguments, When};
use super::progress::Progress;
use super::selection::{self, Selected, Selection};
use super::telemetry::{Outlets, TelemetryArguments};
use super::{Exit, print};
use crate::execute::source::Source;
use crate::execute::{ExecuteError, Executed, Options, Start, execute};
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::kinds;
use crate::kinds::traps::Planted;
use crate::kinds::traps::planted;
use crate::machine;
use crate::places::Places;
use crate::prepare;
use crate::report::destination::Destination;
use crate::report::document::{CaptureStatus, Invocation};
use crate::report::{Report, html, table, timeline};
use crate::runner::Walk;
use crate::scratch;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    kernel: CaptureArguments,
    /// Where the report goes [default: target/wasiscope/report.json]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Also write the page: one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    #[command(flatten)]
    telemetry: TelemetryArguments,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Stop adding samples after this time (every case gets one worker all the same, checks run to their end, prices are left
    /// out), for example 30s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    budget: Option<Duration>,
    /// Also write a timeline of one iteration of every case, for Perfetto, speedscope or chrome://tracing
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
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
    let (outputs, journal, source) = Outputs::open(places, arguments, scratch.path())?;
    let options = Options {
        prices: selected.prices,
        source,
        program_costs: arguments.kernel.capture_cost,
        trace: outputs.trace.is_some(),
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
    let (walk, report) = (executed.walk, outputs.write(executed, arguments.format, of_many.is_some())?);
    let is_sent = outputs.metrics.send_or_tell(&report, &|| interrupt.raised());
    Ok(exit(arguments, &report, walk, is_sent))
}

/// The cases, none of which is asked for what it does not have.
fn select(places: &Places, arguments: &Arguments) -> anyhow::Result<Selected> {
    let selected = selection::cases(places, &arguments.selection)?;
    let cases = &selected.cases;
    arguments.plant_fault.as_ref().map_or(Ok(()), |fault| planted::check(fault, cases))?;
    if arguments.trace.is_some() && !cases.iter().any(|case| case.work.runs_phases()) {
        bail!("--trace: none of the selected cases has a timeline; checks of traps and experiments have none");
    }
    if arguments.instructions && machine::first_line("valgrind", &["--version"], &places.root).is_none() {
        bail!("--instructions needs valgrind, which cannot be run: install the package valgrind");
    }
    let warnings: BTreeSet<String> = cases.iter().filter_map(prepare::warning).collect();
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    Ok(selected)
}

fn exit(arguments: &Arguments, report: &Report, walk: Walk, is_sent: bool) -> Exit {
    if arguments.plant_fault.is_some() && !report.has_failures() {
        tell!("error: a fault was planted, and not found");
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
struct Outputs {
    report: Destination,
    trace: Option<Destination>,
    page: Option<Destination>,
    metrics: Outlets,
}

impl Outputs {
    fn open(places: &Places, arguments: &Arguments, scratch: &Path) -> anyhow::Result<(Self, Journal, Source)> {
        let report = destination("--out", &arguments.out.clone().unwrap_or_else(|| places.report()))?;
        // Beside a device there is no room for a journal.
        let journal = if report.is_file() { report.path().to_owned() } else { scratch.join("report") };
        let journal = Journal::beside(&journal).context("cannot write the journal: name another place with --out")?;
        let trace = arguments.trace.as_deref().map(|path| destination("--trace", path)).transpose()?;
        let page = arguments.html.as_deref().map(|path| destination("--html", path)).transpose()?;
        let metrics = Outlets::open(&arguments.telemetry)?;
        let source = arguments.kernel.open(trace.is_some())?;
        check_distinct([Some(&report), trace.as_ref(), source.destination(), page.as_ref(), metrics.file()])?;
        Ok((Self { report, trace, page, metrics }, journal, source))
    }

    /// Writes all that is written, and says where; one of many runs says only which cases failed.
    fn write(&self, executed: Executed, format: Format, is_of_many: bool) -> anyhow::Result<Report> {
        let Executed { report, journal, source, .. } = executed;
        self.write_report(&report, format)?;
        let records = journal.map(Journal::finish).transpose().context("cannot give the journal its name")?;
        let stored = source.save()?;
        let traced = self.trace.as_ref().filter(|_| timeline::has_any(&report));
        if let Some(place) = traced {
            place
                .write_with(|out| timeline::write(&report, out))
                .with_context(|| format!("cannot write {}", place.path().display()))?;
        }
        if let Some(place) = &self.page {
            super::html::write_to(place, &html::report_page(&report, kinds::VIEWS))?;
        }
        if is_of_many {
            say_failures(&report);
        } else {
            print_report(&report, format)?;
            self.say_where(records.as_deref(), traced, &report);
        }
        if let Some(path) = &stored {
            tell!("capture: {}", path.display());
        }
        self.metrics.write(&report)?;
        Ok(report)
    }

    fn write_report(&self, report: &Report, format: Format) -> anyhow::Result<()> {
        let Err(error) = self.report.write(report) else { return Ok(()) };
        // What was measured is not lost for it.
        print_report(report, format)?;
        let rescued = rescue(report).map_or_else(
            |why| format!("nor can it be kept elsewhere: {why}"),
            |path| format!("it is kept in {}", path.display()),
        );
        Err(error).with_context(|| format!("cannot write the report {}; {rescued}", self.report.path().display()))
    }

    /// Where everything is; of a timeline that was asked for, also that there is none.
    fn say_where(&self, records: Option<&Path>, traced: Option<&Destination>, report: &Report) {
        tell!("report: {}", self.report.path().display());
        if let Some(place) = &self.page {
            tell!("page: {}", place.path().display());
        }
        if let Some(records) = records.filter(|_| self.report.is_file()) {
            tell!("records: {}", records.display());
        }
        match traced {
            Some(place) => {
                let phases_only =
                    if report.capture.status.sees_kernel() { "" } else { "; phases only, without capture" };
                let path = place.path().display();
                tell!("trace: {path} (open it in https://ui.perfetto.dev or https://speedscope.app{phases_only})");
            }
            None if self.trace.is_some() => tell!("trace: none written: no case got that far"),
            None => {}
        }
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

/// The place that an option names.
pub(super) fn destination(option: &str, path: &Path) -> anyhow::Result<Destination> {
    Destination::check(path).map_err(|error| anyhow!("{error} with {option} FILE"))
}

/// Two documents in one place would be one.
pub(super) fn check_distinct<'a>(places: impl IntoIterator<Item = Option<&'a Destination>>) -> anyhow::Result<()> {
    let files: Vec<_> = places.into_iter().flatten().filter(|place| place.is_file()).map(Destination::path).collect();
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut seen = BTreeSet::new();
    match files.iter().find(|path| !seen.insert(absolute(path))) {
        Some(twice) => {
            bail!("--out, --html, --trace, --prometheus and --capture-save: two of them would be {}", twice.display())
        }
        None => Ok(()),
    }
}

pub(super) fn print_report(report: &Report, format: Format) -> anyhow::Result<()> {
    print(&match format {
        Format::Table => table::render(report, table::Style::Plain, kinds::VIEWS),
        Format::Markdown => table::render(report, table::Style::Markdown, kinds::VIEWS),
        Format::Json => serde_json::to_string_pretty(report)? + "\n",
    })
}
