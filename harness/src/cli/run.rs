//! `wasiscope run`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use rand::RngExt;

use super::capture::{CaptureArguments, Source, When};
use super::prices;
use super::progress::Progress;
use super::selection::{self, Selected, Selection};
use super::telemetry::{Outlets, TelemetryArguments};
use super::{Exit, print};
use crate::capture::Coverage;
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::kinds;
use crate::kinds::traps::Planted;
use crate::kinds::traps::planted;
use crate::machine::{self, Counters};
use crate::places::Places;
use crate::prepare::{self, prepare};
use crate::record::Record;
use crate::reference;
use crate::report::destination::Destination;
use crate::report::document::{CaptureStatus, Invocation, SCHEMA_VERSION, ScenarioReport};
use crate::report::{Report, html, table, timeline};
use crate::runner::{self, ChildWorkers, Event, Prepared, Runner, Settings, Traced, Walk};
use crate::scratch;
use crate::stats;
use crate::summary;

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
    let began = Instant::now();
    let started_at = jiff::Timestamp::now();
    let counters = Counters::now();
    // First of all: from here on nothing is left behind.
    let interrupt = of_many.cloned().map_or_else(Interrupt::on_signals, Ok).context("cannot listen for Ctrl-C")?;
    // Everything that can be refused is refused before anything is built, run or written.
    let Selected { cases, prices: priced, shard } = selection::cases(places, &arguments.selection)?;
    arguments.plant_fault.as_ref().map_or(Ok(()), |fault| planted::check(fault, &cases))?;
    if arguments.trace.is_some() && !cases.iter().any(|case| case.work.runs_phases()) {
        bail!("--trace: none of the selected cases has a timeline; checks of traps and experiments have none");
    }
    if arguments.instructions && machine::first_line("valgrind", &["--version"], &places.root).is_none() {
        bail!("--instructions needs valgrind, which cannot be run: install the package valgrind");
    }
    let warnings: BTreeSet<String> = cases.iter().filter_map(prepare::warning).collect();
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let out = destination("--out", &arguments.out.clone().unwrap_or_else(|| places.report()))?;
    // Beside a device there is no room for a journal.
    let journal_place = if out.is_file() { out.path().to_owned() } else { scratch.path().join("report") };
    let mut journal =
        Journal::beside(&journal_place).context("cannot write the journal: name another place with --out")?;
    let trace_place = arguments.trace.as_deref().map(|path| destination("--trace", path)).transpose()?;
    let page_place = arguments.html.as_deref().map(|path| destination("--html", path)).transpose()?;
    let outlets = Outlets::open(&arguments.telemetry)?;
    let mut source = Source::open(&arguments.kernel, trace_place.is_some())?;
    let places_named = [trace_place.as_ref(), source.destination(), page_place.as_ref(), outlets.file()];
    check_distinct([Some(&out)].into_iter().chain(places_named))?;
    let seed = arguments.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));

    let progress = Progress::new();
    let mut prepared = prepare(places, cases, scratch.path(), &mut |line| progress.say(line))?;
    let most = prepared.iter().map(|prepared| prepared.case.processes).max().unwrap_or(1);
    prepared.push(reference::prepare(scratch.path(), most)?);
    let asked_for = prepared.len() - 1;
    let mut labels = runner::labels(&prepared[..asked_for], trace_place.is_some());
    labels.extend(runner::labels(&prepared[asked_for..], false));
    source.check(&labels)?;
    let mut records: Vec<Record> = Vec::new();
    let mut trouble: Option<String> = None;
    let mut journal_fails = false;
    let mut on_event = |event: Event<'_>| {
        progress.on(&event);
        match event {
            Event::Recorded(record) => {
                if let (Err(error), false) = (journal.append(record), journal_fails) {
                    progress.say(&format!("warning: {}: {error}", journal.path().display()));
                    journal_fails = true;
                }
                records.push(record.clone());
            }
            Event::CaptureFailed(error) => trouble = Some(error.to_string()),
            Event::Planned { .. } | Event::Started { .. } | Event::NotCounted { .. } => {}
        }
    };
    let elapsed = || began.elapsed();
    let settings = || Settings {
        seed,
        budget: arguments.budget.map(|budget| (&elapsed as &dyn Fn() -> Duration, budget)),
        interrupt: interrupt.clone(),
        scratch: scratch.path().to_owned(),
        cpus: machine::processors(),
        instructions: arguments.instructions,
        planted: arguments.plant_fault.clone(),
    };
    // The running binary itself, even if the file it came from has been replaced since.
    let mut workers = ChildWorkers::new(PathBuf::from("/proc/self/exe"), interrupt.clone());
    let mut runner = Runner::new(&mut workers, source.capture(), settings(), &mut on_event);
    let walk = runner.walk(&prepared);
    let goes_on = walk != Walk::Interrupted;
    // The last case is the reference, of which nobody wants to know more.
    let asked_for = &prepared[..asked_for];
    let mut traced = if goes_on && trace_place.is_some() { runner.trace(asked_for) } else { Vec::new() };
    let costs_wanted = goes_on && arguments.kernel.capture_cost;
    let costs = if costs_wanted { runner.count_program_costs(asked_for) } else { Ok(()) };
    let mut prices = match walk {
        Walk::Complete => prices::measure(places, &priced, scratch.path(), &settings(), &progress, &interrupt),
        Walk::BudgetSpent => prices::not_measured(&priced, "the budget was spent"),
        Walk::Interrupted => prices::not_measured(&priced, "interrupted"),
    };
    let walk = if interrupt.raised() { Walk::Interrupted } else { walk };
    progress.finish();
    if let Err(error) = costs {
        tell!("warning: what the kernel programs cost is not known: {error}");
    } else if costs_wanted && !source.is_live() {
        tell!("warning: what the kernel programs cost is not known: there are none (see `capture` above)");
    }
    // The last case is the reference, which is of use only beside others.
    let is_of_use = |record: &Record| match record {
        Record::Process(process) => process.case + 1 < prepared.len(),
        Record::Check(_) => true,
        Record::Facts { .. } => false,
    };
    if walk == Walk::Interrupted && !records.iter().any(is_of_use) {
        journal.discard().context("cannot take the empty journal away")?;
        tell!("interrupted before anything was measured: no report written");
        return Ok(Exit::Interrupted);
    }

    let mut capture = source.report(trouble);
    capture.ledger.events_lost = records.iter().map(Record::events_lost).sum();
    let lossless = source.is_live() && capture.ledger.counts_are_exact();
    let coverage = Coverage { lossless, ..Coverage::of(&capture.programs) };
    let mut scenarios = |cases: &[Prepared]| {
        let mut scenarios = summary::scenarios(cases, &records, coverage);
        for (scenario, of_scenario) in std::mem::take(&mut prices) {
            match scenarios.iter_mut().find(|report| report.name == scenario) {
                Some(report) => report.prices = of_scenario,
                None => scenarios.push(ScenarioReport {
                    kind: priced
                        .iter()
                        .find(|(base, _)| base.scenario == scenario)
                        .map_or("", |(base, _)| base.kind)
                        .to_owned(),
                    name: scenario,
                    cases: Vec::new(),
                    prices: of_scenario,
                }),
            }
        }
        for scenario in &mut scenarios {
            for case in &mut scenario.cases {
                let of_case = |traced: &&mut Traced| traced.scenario == scenario.name && traced.id == case.id;
                case.timeline = traced.iter_mut().find(of_case).map(|traced| std::mem::take(&mut traced.timeline));
            }
        }
        if !source.is_live() {
            // Nobody was watched, so nothing can be said of what watching costs.
            scenarios.iter_mut().flat_map(|scenario| &mut scenario.cases).for_each(|case| case.observer_ratio = None);
        }
        scenarios
    };
    let report = Report {
        schema_version: SCHEMA_VERSION,
        wasiscope: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: started_at.to_string(),
        duration_s: began.elapsed().as_secs_f64(),
        seed,
        noise: arguments.selection.noise(),
        planted: arguments.plant_fault.clone(),
        shard,
        invocation: arguments.invocation.clone(),
        interrupted: walk == Walk::Interrupted,
        budget_spent: walk == Walk::BudgetSpent,
        confidence: stats::CONFIDENCE,
        git: machine::git(&places.root),
        machine: machine::describe(counters.until_now()),
        tools: machine::tools(&places.root, crate::worker::WASMTIME_VERSION),
        capture,
        scenarios: scenarios(asked_for),
        sources: Vec::new(),
        reference: prepared.last().map(|last| summary::case(prepared.len() - 1, last, &records, coverage)),
    };
    if let Err(error) = out.write(&report) {
        // What was measured is not lost for it.
        print_report(&report, arguments.format)?;
        let rescued = rescue(&report).map_or_else(
            |why| format!("nor can it be kept elsewhere: {why}"),
            |path| format!("it is kept in {}", path.display()),
        );
        return Err(error).with_context(|| format!("cannot write the report {}; {rescued}", out.path().display()));
    }
    let records = journal.finish().context("cannot give the journal its name")?;
    let stored = source.save()?;
    let traced = trace_place.as_ref().filter(|_| timeline::has_any(&report));
    if let Some(place) = traced {
        place
            .write_with(|out| timeline::write(&report, out))
            .with_context(|| format!("cannot write {}", place.path().display()))?;
    }
    if let Some(place) = &page_place {
        super::html::write_to(place, &html::report_page(&report, kinds::VIEWS))?;
    }
    if of_many.is_none() {
        print_report(&report, arguments.format)?;
        let timeline = trace_place.as_ref().map(|place| traced.map(|_| place));
        say_where(&out, page_place.as_ref(), &records, timeline, &report);
    } else {
        let cases = report.scenarios.iter().flat_map(|scenario| &scenario.cases);
        for case in cases.filter(|case| !case.outcome.expected) {
            let detail = case.outcome.detail.as_deref().unwrap_or_default();
            tell!("{}: {}: {detail}", case.id, case.outcome.status.name());
        }
    }
    if let Some(path) = &stored {
        tell!("capture: {}", path.display());
    }
    outlets.write(&report)?;
    let is_sent = outlets.send_or_tell(&report, &|| interrupt.raised());
    if arguments.plant_fault.is_some() && !report.has_failures() {
        tell!("error: a fault was planted, and not found");
        return Ok(Exit::CaseFailed);
    }
    Ok(match walk {
        Walk::Interrupted => Exit::Interrupted,
        _ if report.capture.status == CaptureStatus::Unavailable && arguments.kernel.capture == When::On => {
            Exit::CapabilityMissing
        }
        _ if report.has_failures() => Exit::CaseFailed,
        _ if !is_sent => Exit::CapabilityMissing,
        _ => Exit::Done,
    })
}

/// Writes a report into the folder for temporary files, and leaves it there.
fn rescue(report: &Report) -> std::io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix("wasiscope-report-").suffix(".json").tempfile()?;
    serde_json::to_writer_pretty(&mut file, report)?;
    Ok(file.keep().map_err(|error| error.error)?.1)
}

/// Where everything is; of a timeline that was asked for, also that there is none.
fn say_where(
    out: &Destination,
    page: Option<&Destination>,
    records: &Path,
    timeline: Option<Option<&Destination>>,
    report: &Report,
) {
    tell!("report: {}", out.path().display());
    if let Some(place) = page {
        tell!("page: {}", place.path().display());
    }
    if out.is_file() {
        tell!("records: {}", records.display());
    }
    match timeline {
        Some(Some(place)) => {
            let phases_only = if report.capture.status.sees_kernel() { "" } else { "; phases only, without capture" };
            let path = place.path().display();
            tell!("trace: {path} (open it in https://ui.perfetto.dev or https://speedscope.app{phases_only})");
        }
        Some(None) => tell!("trace: none written: no case got that far"),
        None => {}
    }
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
