//! `wasiscope run`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use globset::{Glob, GlobMatcher};
use rand::RngExt;

use super::progress::Progress;
use super::{Exit, print};
use crate::capture::ebpf::EbpfCapture;
use crate::capture::{Capture, CaptureError, Coverage};
use crate::guest::{self, Artifact};
use crate::interrupt::Interrupt;
use crate::journal::Journal;
use crate::machine::{self, CpuTimes};
use crate::module;
use crate::places::Places;
use crate::plan::{self, Case, GuestSource};
use crate::record::Record;
use crate::report::document::{CaptureReport, CaptureStatus, SCHEMA_VERSION};
use crate::report::{self, Report, table};
use crate::runner::{ChildWorkers, Event, Prepared, Runner, Settings, Walk};
use crate::scenario::{self, Engine, Expectation, Limits, Scenario};
use crate::summary;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Scenario names, paths of scenario files, or paths of .wasm files [default: scenarios marked `default: true`]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Watch the kernel: where possible, always (anything else is an error), or not at all
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    capture: When,
    /// Where the report goes [default: target/wasiscope/report.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only cases whose id (workload/flavour/engine) matches
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Engines for .wasm files [default: cranelift]
    #[arg(long = "engine", value_name = "NAME")]
    engines: Vec<String>,
    /// An argument for the .wasm files; once for each
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Workers per case, in place of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    processes: Option<u32>,
    /// Iterations per worker, in place of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    iterations: Option<u32>,
    /// Longest time of one iteration, in place of the scenario's, for example 500ms
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wall: Option<Duration>,
    /// Stop adding samples after this time (every case gets one worker all the same), for example 30s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    budget: Option<Duration>,
    /// Decides the order of workers [default: random; printed and stored]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum When {
    #[default]
    Auto,
    On,
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
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
    let cases = cases(places, &arguments)?;
    let out = arguments.out.clone().unwrap_or_else(|| places.report());
    let mut journal = Journal::create(Journal::beside(&out))
        .with_context(|| format!("cannot write next to {}: name another place with --out FILE", out.display()))?;
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let (mut capture, unavailable) = open_capture(arguments.capture)?;
    let seed = arguments.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));

    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let progress = Progress::new();
    let prepared = prepare(places, cases, scratch.path(), &progress)?;
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
            Event::Planned { .. } | Event::Started { .. } => {}
        }
    };
    let elapsed = || began.elapsed();
    let settings = Settings {
        seed,
        budget: arguments.budget.map(|budget| (&elapsed as &dyn Fn() -> Duration, budget)),
        interrupt: interrupt.clone(),
        scratch: scratch.path().to_owned(),
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

    let capture = capture_report(capture.as_ref(), unavailable, trouble);
    let coverage = Coverage::of(&capture.programs);
    let report = Report {
        schema_version: SCHEMA_VERSION,
        wasiscope: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: started_at.to_string(),
        duration_s: began.elapsed().as_secs_f64(),
        seed,
        interrupted: walk == Walk::Interrupted,
        git: machine::git(&places.root),
        machine: machine::describe(cpu_before.zip(CpuTimes::now()).and_then(|(from, to)| from.stolen_until(to))),
        tools: machine::tools(&places.root),
        capture,
        scenarios: summary::scenarios(&prepared, &records, coverage),
    };
    report::json::write(&out, &report).with_context(|| format!("cannot write {}", out.display()))?;
    print_report(&report, arguments.format)?;
    eprintln!("report: {}\nrecords: {}", out.display(), journal.path().display());
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
    });
    Ok(())
}

/// The cases of everything that was named, validated.
fn cases(places: &Places, arguments: &Arguments) -> anyhow::Result<Vec<Case>> {
    let is_guest = |name: &&String| {
        let extension = Path::new(name).extension().and_then(OsStr::to_str);
        matches!(extension, Some("wasm" | "wat"))
    };
    let (guests, names): (Vec<_>, Vec<_>) = arguments.scenarios.iter().partition(is_guest);
    let scenarios = if arguments.scenarios.is_empty() {
        let all = scenario::read_folder(&places.scenarios())?;
        all.into_iter().filter(|scenario| scenario.default).collect()
    } else {
        named_scenarios(places, names)?
    };
    if guests.is_empty() && !(arguments.engines.is_empty() && arguments.args.is_empty()) {
        bail!("--engine and --arg are for .wasm files; a scenario names its own engines and sizes");
    }
    let mut cases: Vec<Case> = scenarios.iter().flat_map(plan::matrix).collect();
    let engines = named_engines(&arguments.engines)?;
    for guest in guests {
        cases.extend(guest_cases(Path::new(guest), &engines, &arguments.args)?);
    }
    for case in &mut cases {
        case.processes = arguments.processes.unwrap_or(case.processes);
        case.iterations = arguments.iterations.unwrap_or(case.iterations);
        case.limits.wall = arguments.wall.unwrap_or(case.limits.wall);
    }
    let only = arguments.only.as_deref().map(glob).transpose()?;
    let ids: Vec<String> = cases.iter().map(Case::id).collect();
    cases.retain(|case| only.as_ref().is_none_or(|glob| glob.is_match(case.id())));
    if cases.is_empty() {
        match &arguments.only {
            Some(only) => bail!("no case matches --only {only}; there are: {}", ids.join(", ")),
            None => bail!("no scenario in {} is marked `default: true`", places.scenarios().display()),
        }
    }
    Ok(cases)
}

fn glob(pattern: &str) -> anyhow::Result<GlobMatcher> {
    Ok(Glob::new(pattern).with_context(|| format!("--only {pattern} is not a pattern"))?.compile_matcher())
}

/// The scenarios of these names or paths.
pub(super) fn named_scenarios<'a>(
    places: &Places,
    names: impl IntoIterator<Item = &'a String>,
) -> anyhow::Result<Vec<Scenario>> {
    let read = |name: &String| Ok(scenario::read(&scenario::find(&places.scenarios(), name)?)?);
    names.into_iter().map(read).collect()
}

fn named_engines(names: &[String]) -> anyhow::Result<Vec<Engine>> {
    let presets = || scenario::ENGINE_PRESETS.iter().map(|(name, ..)| *name);
    let default = ["cranelift".to_owned()];
    let names = if names.is_empty() { &default } else { names };
    names
        .iter()
        .map(|name| {
            Engine::preset(name).ok_or_else(|| {
                let meant = scenario::nearest(name, presets()).map(|name| format!(" (did you mean `{name}`?)"));
                let all = presets().collect::<Vec<_>>().join(", ");
                anyhow!("no engine `{name}`{}; there are: {all}", meant.unwrap_or_default())
            })
        })
        .collect()
}

/// A file as a scenario of its own: one case per engine.
fn guest_cases(path: &Path, engines: &[Engine], args: &[String]) -> anyhow::Result<Vec<Case>> {
    module::check(&module::read(path)?).with_context(|| path.display().to_string())?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let case = |engine: &Engine| Case {
        scenario: stem.clone(),
        workload: stem.clone(),
        flavour: "custom".to_owned(),
        engine: engine.clone(),
        guest: GuestSource::File(path.to_owned()),
        n: None,
        args: args.to_vec(),
        expect: Expectation::default(),
        limits: Limits::default(),
        processes: scenario::DEFAULT_PROCESSES,
        iterations: scenario::DEFAULT_ITERATIONS,
    };
    Ok(engines.iter().map(case).collect())
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

/// Builds or finds the guest of every case. What cannot be built becomes a failed row.
fn prepare(places: &Places, cases: Vec<Case>, scratch: &Path, progress: &Progress) -> anyhow::Result<Vec<Prepared>> {
    let wanted: BTreeSet<_> = cases
        .iter()
        .filter_map(|case| match &case.guest {
            GuestSource::Built { flavour, workload } => Some((*flavour, workload.clone())),
            GuestSource::File(_) => None,
        })
        .collect();
    let built = guest::build(places, &wanted, &mut |line| progress.say(line));
    let mut prepared = Vec::with_capacity(cases.len());
    for case in cases {
        let guest = match &case.guest {
            GuestSource::Built { flavour, workload } => built[&(*flavour, workload.clone())].clone(),
            GuestSource::File(path) => Ok(own_copy(path, scratch)?),
        };
        prepared.push(Prepared { case, guest });
    }
    Ok(prepared)
}

/// A file that somebody may change or delete while it is being measured is copied first; text is assembled.
fn own_copy(path: &Path, scratch: &Path) -> anyhow::Result<Artifact> {
    let name = path.with_extension("wasm");
    let copy = scratch.join(name.file_name().unwrap_or(OsStr::new("guest.wasm")));
    fs::write(&copy, module::read(path)?)?;
    Ok(Artifact::of_file(&copy)?)
}
