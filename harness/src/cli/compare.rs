//! `wasiscope compare`.

mod tolerance;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use rand::RngExt;

use self::tolerance::{Tolerance, metric, tolerance};
use super::capture::When;
use super::input::{InputArguments, LimitArguments};
use super::progress::Progress;
use super::run::{Format, print_document};
use super::selection;
use super::sinks::{SinkArguments, cannot_write, check_distinct, destination};
use super::{Exit, stopped_early};
use crate::capture::Capture;
use crate::capture::ebpf::EbpfCapture;
use crate::code::fail;
use crate::compare::facts::{self, FactTolerance};
use crate::compare::live::{self, Candidate, Processes};
use crate::compare::revision::Worktree;
use crate::compare::sides::{self, Listed, Ready, Sides};
use crate::compare::{self, Comparison, SideReport, Tolerances, reports};
use crate::execute::source::{kernel_options, load};
use crate::git;
use crate::interrupt::Interrupt;
use crate::machine;
use crate::module;
use crate::names;
use crate::places::Places;
use crate::plan::Case;
use crate::prepare::{self, prepare};
use crate::report::document::Git;
use crate::report::json;
use crate::runner::{self, Opens, Pair, Pairs, Prepared, Settings};
use crate::scratch;
use crate::stats::Verdict;

/// Passes of each side in a worker.
const ITERATIONS: u32 = 10;
/// Time for each pair of guests that differ, where nothing else is said.
const BUDGET_PER_PAIR: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  wasiscope compare old.wasm new.wasm             both in the same workers, A B B A, until it is settled
  wasiscope compare main HEAD                     every scenario whose guests differ between two revisions
  wasiscope compare HEAD~1 HEAD catalogue --only '*/std/*' --metric phase.run
  wasiscope compare a.wasm a.wasm --base-engine cranelift --engine winch
  wasiscope compare HEAD~1 HEAD --tolerance size.wasm=1KiB    a guest that grew by more than that fails, too
  wasiscope compare old.json new.json             two reports: quick, and less sure

Of revisions, each brings its own scenarios, and cases are matched by scenario and id. A case that only one revision has is a row
`only in base` or `only in new`, which no --fail-on counts. A name that is both a file and a revision is the revision; ./NAME is the file.

Exit status: 0 done · 1 a regression was confirmed, a case failed, answers differ, or a fact is above its --tolerance · 2 bad usage or input · 3 inconclusive, with
--fail-on inconclusive · 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A guest (WebAssembly in binary or text format), a git revision, or a report
    base: OsString,
    /// The same, of what may have changed
    new: OsString,
    /// With revisions: the scenarios, by name or path, as each revision has them [default: every scenario of both]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<OsString>,
    /// Only cases whose id (workload/flavour/engine) matches
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Only this metric, for example phase.run; once for each
    #[arg(long = "metric", value_name = "METRIC", value_parser = metric)]
    metrics: Vec<String>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also write the comparison as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    sinks: SinkArguments<Comparison>,
    /// What makes the exit status other than 0
    #[arg(long, value_enum, default_value_t)]
    fail_on: FailOn,
    /// Guests may answer otherwise in the new revision (output, exit code, result) without the exit status being 1; a case whose answer
    /// changed is still no improvement
    #[arg(long)]
    answers_may_differ: bool,
    /// Allow a metric to change by so much, for example phase.run=2% [default: the scenario's; else run 0.5 %, compile 3 %, others 5 %],
    /// or a fact to grow by so much, for example size.wasm=1KiB, size.gzip=2% or size.*=0 [default: any]
    #[arg(long = "tolerance", value_name = "NAME=AMOUNT", value_parser = tolerance)]
    tolerances: Vec<Tolerance>,
    /// Stop looking for changes after this time, even if not all is settled; to confirm them may take as long again
    /// [default: 30s for each pair of guests that differ]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    budget: Option<Duration>,
    /// Exactly so many workers per pair [default: 10, 20, 40 or 80, until it is settled]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    processes: Option<u32>,
    /// Passes of each side in a worker
    #[arg(long, value_name = "N", default_value_t = ITERATIONS, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    iterations: u32,
    /// Watch the kernel on both sides of what has changed, after it was timed, to show what may be the reason: where possible, always
    /// (anything else is an error), or not at all
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    capture: When,
    /// Decides the order of workers [default: random; printed and stored]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// An engine for .wasm files; once for each [default: cranelift]
    #[arg(long = "engine", value_name = "NAME")]
    engines: Vec<String>,
    /// Another engine for the base, to compare engines
    #[arg(long, value_name = "NAME")]
    base_engine: Option<String>,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    input: InputArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// 1 when a regression was confirmed
    #[default]
    Regressed,
    /// As well, 3 when a row is inconclusive
    Inconclusive,
    /// 0 whatever the verdict
    Never,
}

/// What the user named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Guest,
    Report,
    Revision,
}

impl Kind {
    /// What is there decides; of what is not there, the name does. A plain name is a revision before it is a file: `./name` is always
    /// the file.
    fn of(root: &Path, name: &OsStr) -> Self {
        const REPORTS: [&str; 3] = ["json", "zst", "gz"];
        let path = Path::new(name);
        let is_report_name =
            path.extension().is_some_and(|own| REPORTS.iter().any(|known| own.eq_ignore_ascii_case(known)));
        let is_there = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir());
        let kind = if selection::is_guest_file(name) {
            Self::Guest
        } else if is_report_name || is_there {
            Self::Report
        } else {
            return Self::Revision;
        };
        let is_path = ["./", "../", "/"].iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes()));
        let is_named_so = is_there && (is_report_name || module::is_guest_name(path));
        let is_revision = || name.to_str().is_some_and(|name| git::is_revision(root, name));
        if is_path || is_named_so || !is_revision() { kind } else { Self::Revision }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Guest => "a .wasm file",
            Self::Report => "a report",
            Self::Revision => "a revision",
        }
    }
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let kind = |name: &OsString| Kind::of(&places.root, name);
    let (base, new) = (kind(&arguments.base), kind(&arguments.new));
    if base != new {
        let (one, other) = (arguments.base_name(), arguments.new_name());
        fail!(UnlikeSides, "{one} is {} and {other} is {}: compare like with like", base.name(), new.name());
    }
    if base != Kind::Guest
        && !(arguments.engines.is_empty() && arguments.base_engine.is_none() && arguments.input.is_empty())
    {
        fail!(
            OptionDoesNotApply,
            "--engine, --base-engine, --arg, --env, --dir, --no-dir, --stdin and --invoke are for .wasm files"
        );
    }
    if base == Kind::Report && !arguments.limits.is_empty() {
        fail!(
            OptionDoesNotApply,
            "--wall, --memory, --stack and --max-output are for .wasm files and revisions, which are run"
        );
    }
    if base != Kind::Revision && !arguments.scenarios.is_empty() {
        let (one, other) = (arguments.base_name(), arguments.new_name());
        fail!(OptionDoesNotApply, "scenarios are named with revisions; {one} and {other} are compared as they are");
    }
    if base == Kind::Report && arguments.capture == When::On {
        fail!(
            OptionDoesNotApply,
            "--capture is for .wasm files and revisions, which are run; reports bring their kernel's side along"
        );
    }
    let out = arguments.out.as_deref().map(|path| destination("--out", path)).transpose()?;
    let renderings = arguments.sinks.open()?;
    check_distinct(out.iter().map(|out| ("out", out)).chain(renderings.places()))?;
    let mut comparison = match base {
        Kind::Report => of_reports(arguments)?,
        Kind::Guest => of_guests(places, arguments)?,
        Kind::Revision => of_revisions(places, arguments)?,
    };
    facts::mark(&mut comparison.facts, &arguments.fact_tolerances());
    if arguments.answers_may_differ {
        let of_answers = comparison.rows.iter_mut().filter(|row| !row.answers_differ.is_empty());
        of_answers.for_each(|row| row.failed = false);
    }
    if let Some(out) = &out {
        out.write(&comparison).map_err(|error| cannot_write(out, error))?;
    }
    renderings.write(&comparison, "", &mut |_| ())?;
    print_document(&comparison, arguments.format)?;
    Ok(exit(&comparison, arguments.fail_on))
}

fn exit(comparison: &Comparison, fail_on: FailOn) -> Exit {
    let regressed = comparison.rows.iter().any(|row| row.verdict == Verdict::Regressed);
    // Where nothing was compared, nothing is known.
    let inconclusive =
        comparison.rows.is_empty() || comparison.rows.iter().any(|row| row.verdict == Verdict::Inconclusive);
    match fail_on {
        _ if comparison.interrupted => Exit::Interrupted,
        FailOn::Never => Exit::Done,
        _ if regressed || comparison.has_failures() => Exit::CaseFailed,
        FailOn::Inconclusive if inconclusive => Exit::Inconclusive,
        _ => Exit::Done,
    }
}

impl Arguments {
    fn tolerances(&self) -> Tolerances {
        let metrics = self.tolerances.iter().filter_map(|tolerance| match tolerance {
            Tolerance::Metric(metric, relative) => Some((metric.clone(), *relative)),
            Tolerance::Fact(_) => None,
        });
        Tolerances::new(metrics.collect())
    }

    fn fact_tolerances(&self) -> Vec<FactTolerance> {
        let facts = self.tolerances.iter().filter_map(|tolerance| match tolerance {
            Tolerance::Fact(fact) => Some(fact.clone()),
            Tolerance::Metric(..) => None,
        });
        facts.collect()
    }

    /// The base as text; a path is taken from the field itself.
    fn base_name(&self) -> String {
        names::escaped(&self.base)
    }

    fn new_name(&self) -> String {
        names::escaped(&self.new)
    }

    fn wants(&self, metric: &str) -> bool {
        self.metrics.is_empty() || self.metrics.iter().any(|wanted| wanted == metric)
    }
}

fn of_reports(arguments: &Arguments) -> anyhow::Result<Comparison> {
    let (base, new) = (json::read(Path::new(&arguments.base))?, json::read(Path::new(&arguments.new))?);
    let mut differences =
        reports::compare(&base, &new, &arguments.tolerances(), &|metric: &str| arguments.wants(metric));
    if let Some(glob) = selection::only(arguments.only.as_deref())? {
        differences.rows.retain(|row| glob.is_match(&row.case));
        differences.facts.retain(|row| glob.is_match(&row.case));
        differences.kernel.retain(|row| glob.is_match(&row.case));
    }
    let side = |label: &str, report: crate::report::Report| SideReport {
        label: label.to_owned(),
        git: report.git,
        machine: Some(report.machine),
        tools: report.tools,
    };
    Ok(differences.between(side(&arguments.base_name(), base), side(&arguments.new_name(), new)))
}

fn of_guests(places: &Places, arguments: &Arguments) -> anyhow::Result<Comparison> {
    let side = |path: &OsStr, engines: &[String]| selection::guest_cases(Path::new(path), engines, &arguments.input);
    let new = side(&arguments.new, &arguments.engines)?;
    let base = match &arguments.base_engine {
        Some(_) if new.len() > 1 => fail!(OptionDoesNotApply, "--base-engine is compared with one --engine"),
        Some(engine) => side(&arguments.base, std::slice::from_ref(engine))?,
        None => side(&arguments.base, &arguments.engines)?,
    };
    let paired = base.into_iter().zip(new).collect::<Vec<_>>();
    let ids: Vec<String> =
        selection::matching(paired.iter().map(|(_, new)| new.clone()).collect(), arguments.only.as_deref())?
            .iter()
            .map(Case::id)
            .collect();
    let (mut base, mut new): (Vec<Case>, Vec<Case>) =
        paired.into_iter().filter(|(_, new)| ids.contains(&new.id())).unzip();
    base.iter_mut().chain(&mut new).for_each(|case| arguments.limits.apply(&mut case.limits));
    let (lacking, [base, new]) = sides::without_function(base, new)?;
    let warnings: BTreeSet<String> = base.iter().chain(&new).filter_map(prepare::warning).collect();
    warnings.iter().for_each(|warning| tell!("warning: {warning}"));
    let label = |name: &str, cases: &[Case]| {
        let engines: Vec<&str> = cases.iter().map(|case| case.engine.name.as_str()).collect();
        let under = if engines.is_empty() { String::new() } else { format!(" under {}", engines.join(", ")) };
        SideReport { label: format!("{name}{under}"), ..here(places) }
    };
    let sides = (label(&arguments.base_name(), &base), label(&arguments.new_name(), &new));
    // Before there is anything that would be left behind, worktrees among it.
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let progress = Progress::new();
    let mut say = |line: &str| progress.say(line);
    let (one, other) = (scratch.path().join("base"), scratch.path().join("new"));
    std::fs::create_dir_all(&one)?;
    std::fs::create_dir_all(&other)?;
    let base = prepare(places, base, &one, &mut say)?;
    let new = prepare(places, new, &other, &mut say)?;
    let own = arguments.tolerances();
    let candidate = |(base, new): (Prepared, Prepared)| {
        let tolerances = Tolerances::new(new.case.tolerance.clone()).overridden_by(&own);
        Candidate::new(Pair { base, new }, tolerances)
    };
    let candidates = base.into_iter().zip(new).map(candidate).collect();
    let compared = Sides::new(candidates, lacking);
    let mut comparison = live(arguments, compared, sides, scratch.path(), &progress, interrupt)?;
    comparison.warnings.extend(warnings);
    Ok(comparison)
}

fn of_revisions(places: &Places, arguments: &Arguments) -> anyhow::Result<Comparison> {
    let revisions = [arguments.base_name(), arguments.new_name()];
    for revision in &revisions {
        git::commit_of(&places.root, revision)?;
    }
    // Before there is anything that would be left behind, worktrees among it.
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let progress = Progress::new();
    let list = |revision: &str, name: &str| -> anyhow::Result<Listed> {
        let place = scratch.path().join(name);
        std::fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
        let worktree = Worktree::add(&places.root, revision, &place.join("files"))?;
        if interrupt.raised() {
            return Err(stopped_early());
        }
        Ok(Listed::of(worktree, &arguments.scenarios))
    };
    let (mut base, mut new) = (list(&revisions[0], "base")?, list(&revisions[1], "new")?);
    sides::check_named(&base, &new, places)?;
    let all: Vec<Case> = base.cases().chain(new.cases()).cloned().collect();
    let matching = selection::matching(all, arguments.only.as_deref())?;
    let ids: BTreeSet<String> = matching.iter().map(Case::id).collect();
    base.retain(&|case| ids.contains(&case.id()));
    new.retain(&|case| ids.contains(&case.id()));
    for listed in [&mut base, &mut new] {
        listed.each_case(&mut |case| arguments.limits.apply(&mut case.limits));
    }
    let side = |revision: &str, listed: Listed, name: &str| -> anyhow::Result<(SideReport, Ready)> {
        progress.say(&format!("{name}: building the guests of {revision}"));
        let git = Some(Git { commit: listed.commit().to_owned(), dirty: false });
        let ready = listed.prepare(places, &scratch.path().join(name), &mut |line| progress.say(line))?;
        if interrupt.raised() {
            return Err(stopped_early());
        }
        Ok((SideReport { label: revision.to_owned(), git, ..here(places) }, ready))
    };
    let (base_side, base) = side(&revisions[0], base, "base")?;
    let (new_side, new) = side(&revisions[1], new, "new")?;
    let compared = sides::of_revisions(&base, &new, &arguments.tolerances());
    // The worktrees stay until all is done: folders and files that guests are given lie in them.
    let comparison = live(arguments, compared, (base_side, new_side), scratch.path(), &progress, interrupt);
    let mut comparison = comparison?;
    if machine::git(&places.root).is_some_and(|git| git.dirty) {
        comparison.warnings.push("the checkout has changes that are in neither revision".to_owned());
    }
    Ok(comparison)
}

/// This machine and its tools: both sides run here.
fn here(places: &Places) -> SideReport {
    SideReport {
        label: String::new(),
        git: None,
        machine: Some(machine::describe(machine::Interference::default())),
        tools: machine::tools(&places.root, crate::worker::WASMTIME_VERSION),
    }
}

fn live(
    arguments: &Arguments,
    mut compared: Sides,
    (base, new): (SideReport, SideReport),
    scratch: &Path,
    progress: &Progress,
    interrupt: Interrupt,
) -> anyhow::Result<Comparison> {
    let boxed = |capture: EbpfCapture| Box::new(capture) as Box<dyn Capture>;
    let open: Opens<'_> = match arguments.capture {
        When::Off => Box::new(|| None),
        When::Auto => Box::new(|| load(&kernel_options(), false).ok().map(boxed)),
        // Refused before anything is run.
        When::On => {
            let capture = load(&kernel_options(), false)?;
            Box::new(|| Some(boxed(capture)))
        }
    };
    let seed = arguments.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));
    let differing = compared.candidates.iter().filter(|candidate| !candidate.pair.is_identical()).count();
    let budget = arguments.budget.unwrap_or(BUDGET_PER_PAIR * u32::try_from(differing).unwrap_or(u32::MAX));
    let began = Instant::now();
    let elapsed = || began.elapsed();
    let settings = live::Settings {
        processes: arguments.processes.map_or(Processes::UntilSettled, Processes::Exactly),
        iterations: arguments.iterations,
        time_identical: false,
        confirm: true,
        wants: &|metric: &str| arguments.wants(metric),
        seed,
        budget: Some((&elapsed as &dyn Fn() -> Duration, budget)),
        interrupt: interrupt.clone(),
    };
    let mut workers = runner::workers(&interrupt);
    let walk = Settings::new(seed, scratch, &interrupt);
    compared.try_added(&mut workers, scratch, &walk.interrupt);
    let mut runner = Pairs::new(&mut workers, &walk).with_capture(open);
    let mut done =
        live::compare(&compared.candidates, &mut runner, &settings, &mut |event| progress.on_comparison(&event));
    progress.finish();
    done.rows.extend(compared.rows);
    compare::put_in_order(&mut done.rows, &mut done.facts);
    Ok(done.between(base, new))
}

#[cfg(test)]
mod tests;
