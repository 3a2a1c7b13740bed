//! Which cases the command line asks for: scenarios by name or path, guests by path, and what it overrides.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use globset::{Glob, GlobMatcher};
use sha2::{Digest, Sha256};

use super::input::{InputArguments, LimitArguments};
use crate::code::{Code, fail};
use crate::files::{self, Content};
use crate::kinds;
use crate::module::{self, ModuleError};
use crate::names;
use crate::places::Places;
use crate::plan::{Case, GuestSource};
use crate::prepare;
use crate::report::document::Shard;
use crate::scenario::{self, Engine, Scenario, ScenarioError};

/// Which cases to run.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Scenario names, paths of scenario files, or guests: WebAssembly in binary or text format, whatever the file is called [default:
    /// scenarios marked `default: true`]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<OsString>,
    /// Only cases whose id (workload/flavour/engine) matches
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Only every Nth case, from the Ith on, as 1/3: with 2/3 and 3/3 elsewhere, `wasiscope merge` joins them
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// A guest as a flavour: several are shown beside each other, and must give the same answer; once for each
    #[arg(long = "as", value_name = "FLAVOUR=FILE", value_parser = OsStringValueParser::new().try_map(flavoured))]
    flavoured: Vec<(String, PathBuf)>,
    /// An engine for .wasm files; once for each [default: cranelift]
    #[arg(long = "engine", value_name = "NAME")]
    engines: Vec<String>,
    /// Workers per case, in place of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    processes: Option<u32>,
    /// Iterations per worker, in place of the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    iterations: Option<u32>,
    #[command(flatten)]
    limits: LimitArguments,
    /// Busy processes on the processor of every worker, to see what noise does
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    noise: Option<u32>,
    /// Try every cell of the matrix of traps, not only its default share
    #[arg(long)]
    full: bool,
    // Last, because its heading holds for whatever follows.
    #[command(flatten)]
    input: InputArguments,
}

impl Selection {
    /// Busy processes on the processor of every worker.
    pub(super) fn noise(&self) -> u32 {
        self.noise.unwrap_or(0)
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct Selected {
    /// The cases.
    pub(super) cases: Vec<Case>,
    /// Pairs of cases that tell what bounds checks cost: with guard pages, and with explicit checks.
    pub(super) prices: Vec<(Case, Case)>,
    /// Which part of what was asked for these are.
    pub(super) shard: Option<Shard>,
}

/// The cases of everything that was named, validated.
pub(super) fn cases(places: &Places, arguments: &Selection) -> anyhow::Result<Selected> {
    let is_guest = |name: &&OsString| is_guest(places, name);
    let (guests, names): (Vec<&OsString>, Vec<&OsString>) = arguments.scenarios.iter().partition(is_guest);
    let mut present = Vec::new();
    let mut scenarios = if arguments.scenarios.is_empty() && !arguments.flavoured.is_empty() {
        Vec::new()
    } else if arguments.scenarios.is_empty() {
        let all = kinds::read_folder(&places.scenarios())?;
        present.extend(all.iter().map(|scenario| scenario.name.clone()));
        all.into_iter().filter(|scenario| scenario.default).collect()
    } else {
        named_scenarios(places, names)
            .map_err(|error| if guests.is_empty() { error } else { with_arguments_hint(error) })?
    };
    let without_guests = guests.is_empty() && arguments.flavoured.is_empty();
    if without_guests && !(arguments.engines.is_empty() && arguments.input.is_empty()) {
        fail!(
            OptionDoesNotApply,
            "--engine, and the options under \"For .wasm files\", are for guest files; a scenario has its own keys (engines, args, expect)"
        );
    }
    if arguments.full {
        let mut any = false;
        for scenario in &mut scenarios {
            if let Some(full) = scenario.plan.in_full() {
                (scenario.plan, any) = (full, true);
            }
        }
        if !any {
            fail!(
                OptionDoesNotApply,
                "--full is for scenarios of `kind: traps` with the part `matrix`, and none was named"
            );
        }
    }
    for scenario in &scenarios {
        scenario.warnings.iter().for_each(|warning| tell!("warning: scenario {}: {warning}", scenario.name));
    }
    let mut cases: Vec<Case> = scenarios.iter().flat_map(Scenario::cases).collect();
    let mut prices: Vec<(Case, Case)> = scenarios.iter().flat_map(Scenario::prices).collect();
    let files: Vec<&Path> = guests.iter().map(Path::new).collect();
    let taken = scenarios.iter().map(|scenario| scenario.name.clone()).collect();
    for (file, label) in files.iter().zip(names::labels(&files, &taken)) {
        cases.extend(labelled_cases(label, file, &arguments.engines, &arguments.input)?);
    }
    cases.extend(flavoured_cases(arguments)?);
    // Before the checks: an engine with a pool depends on them.
    for case in cases.iter_mut().chain(prices.iter_mut().flat_map(|(guard, explicit)| [guard, explicit])) {
        arguments.limits.apply(&mut case.limits);
    }
    let of_prices = || prices.iter().flat_map(|(guard, explicit)| [guard, explicit]);
    let files: BTreeSet<_> = cases.iter().filter_map(Case::file).collect();
    let is_alone = files.len() < 2;
    // A guest that is no module is a failed row beside others; alone it is bad input.
    let check = |case: &Case| match prepare::check(case) {
        Err(error) if !is_alone && error.downcast_ref().is_some_and(ModuleError::is_of_contents) => Ok(()),
        checked => checked,
    };
    cases.iter().chain(of_prices()).try_for_each(check)?;
    check_distinct(&cases)?;
    check_buildable(places, cases.iter().chain(of_prices()))?;
    for case in cases.iter_mut().chain(prices.iter_mut().flat_map(|(guard, explicit)| [guard, explicit])) {
        // What is not timed has no processes.
        if case.processes > 0 {
            case.processes = arguments.processes.unwrap_or(case.processes);
        }
        case.iterations = arguments.iterations.unwrap_or(case.iterations);
        case.compiles_always = arguments.iterations.is_some();
        case.neighbours += arguments.noise.unwrap_or(0);
    }
    let cases = selected(cases, &mut prices, arguments.only.as_deref())?;
    check_amount(&cases)?;
    if cases.is_empty() && prices.is_empty() {
        fail!(
            NoDefaultScenario,
            "no scenario in {} is marked `default: true`: name one ({}), or mark it",
            places.scenarios().display(),
            present.join(", ")
        );
    }
    let Some(shard) = &arguments.shard else { return Ok(Selected { cases, prices, shard: None }) };
    let shard = Shard { suite: fingerprint(&cases, &prices), ..shard.clone() };
    Ok(Selected { cases: shard.of(cases), prices: shard.of(prices), shard: Some(shard) })
}

/// Most iterations of one run, all workers of all cases together. Each is some ten samples, and all of them are kept: it
/// bounds the report to some 200 MB, and the memory of the run likewise.
const MOST_ITERATIONS: u64 = 2_000_000;

fn check_amount(cases: &[Case]) -> anyhow::Result<()> {
    let iterations = |case: &Case| u64::from(case.processes) * u64::from(case.iterations);
    let all: u64 = cases.iter().map(iterations).fold(0, u64::saturating_add);
    let Some(largest) = cases.iter().max_by_key(|case| iterations(case)).filter(|_| all > MOST_ITERATIONS) else {
        return Ok(());
    };
    let Case { processes, iterations, .. } = largest;
    fail!(
        TooManyIterations,
        "{all} iterations in one run, {processes} processes × {iterations} iterations of {} among them; every sample is kept, so \
         {MOST_ITERATIONS} is the most: fewer --iterations or --processes, or several runs",
        largest.id()
    )
}

/// What tells one suite from another: which cases there are, in their order.
fn fingerprint(cases: &[Case], prices: &[(Case, Case)]) -> String {
    let of_prices = prices.iter().map(|(_, checked)| format!("price {}/{}\n", checked.scenario, checked.id()));
    let names = cases.iter().map(|case| format!("{}/{}\n", case.scenario, case.id())).chain(of_prices);
    const_hex::encode(Sha256::digest(names.collect::<String>()))[..16].to_owned()
}

/// Those whose id the pattern matches; a price has the id of its case with explicit checks. There must be some of either.
fn selected(cases: Vec<Case>, prices: &mut Vec<(Case, Case)>, only: Option<&str>) -> anyhow::Result<Vec<Case>> {
    if let Some(pattern) = only {
        let glob = glob(pattern)?;
        prices.retain(|(guard, explicit)| glob.is_match(explicit.id()) || glob.is_match(guard.id()));
        if !prices.is_empty() {
            return Ok(cases.into_iter().filter(|case| glob.is_match(case.id())).collect());
        }
    }
    matching(cases, only)
}

/// The cases of these scenarios, or of all there are.
pub(super) fn cases_of_scenarios(places: &Places, names: &[OsString], only: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let scenarios =
        if names.is_empty() { kinds::read_folder(&places.scenarios())? } else { named_scenarios(places, names)? };
    // What a check comes to is a fact of the engine, and no guest of a revision.
    let is_of_guests = |case: &Case| case.work.runs_phases();
    let cases = scenarios.iter().flat_map(Scenario::cases).filter(is_of_guests);
    let cases: Vec<Case> = cases.collect();
    cases.iter().try_for_each(prepare::check)?;
    matching(cases, only)
}

/// Most ids that an error lists.
const SHOWN_IDS: usize = 20;

/// Those whose id the pattern matches, which must be some.
pub(super) fn matching(mut cases: Vec<Case>, only: Option<&str>) -> anyhow::Result<Vec<Case>> {
    let Some(pattern) = only else { return Ok(cases) };
    let glob = glob(pattern)?;
    let ids: Vec<String> = cases.iter().map(Case::id).collect();
    cases.retain(|case| glob.is_match(case.id()));
    if cases.is_empty() {
        let present: BTreeSet<&String> = ids.iter().collect();
        let some: Vec<&str> = present.iter().take(SHOWN_IDS).map(|id| id.as_str()).collect();
        let more = if present.len() > SHOWN_IDS { ", …" } else { "" };
        fail!(
            NothingMatches,
            "no case matches --only {pattern} (it is held against the whole id, workload/flavour/engine); there are: {}{more}",
            some.join(", ")
        );
    }
    Ok(cases)
}

/// The pattern of --only.
pub(super) fn only(pattern: Option<&str>) -> anyhow::Result<Option<GlobMatcher>> {
    pattern.map(glob).transpose()
}

/// A report in which two rows bear one id could not be compared with another.
fn check_distinct(cases: &[Case]) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    match cases.iter().find(|case| !seen.insert((&case.scenario, case.id()))) {
        Some(twice) => {
            fail!(SameName, "two cases would be {} of {}: name each file once", twice.id(), twice.scenario)
        }
        None => Ok(()),
    }
}

/// Guests of the catalogue are built from a checkout.
fn check_buildable<'a>(places: &Places, cases: impl IntoIterator<Item = &'a Case>) -> anyhow::Result<()> {
    let needs_checkout = cases.into_iter().any(|case| matches!(case.guest, GuestSource::Built { .. }));
    if needs_checkout && !places.is_checkout() {
        fail!(
            NoCheckout,
            "{} is no checkout of wasiscope, and the guests of a scenario are built from one: run inside a checkout or name \
             it with --root",
            places.root.display()
        );
    }
    Ok(())
}

fn glob(pattern: &str) -> anyhow::Result<GlobMatcher> {
    let glob = Glob::new(pattern).map_err(|error| Code::InvalidPattern.error(error));
    Ok(glob.with_context(|| format!("--only {pattern} is not a pattern"))?.compile_matcher())
}

/// Whether a file is a guest by what it holds; by its name where it is not there, or holds nothing known.
pub(super) fn is_guest_file(name: &OsStr) -> bool {
    let path = Path::new(name);
    match files::content_at(path) {
        Some(Content::Wasm | Content::Wat) => true,
        Some(Content::Document) => false,
        Some(Content::Other) | None => module::is_guest_name(path),
    }
}

/// Whether a name on the command line is that of a guest rather than a scenario. The plain name of a scenario is one, even where a file is
/// called so.
pub(super) fn is_guest(places: &Places, name: &OsStr) -> bool {
    is_guest_file(name) && !scenario::is_name(&places.scenarios(), name)
}

/// The scenarios of these names or paths.
pub(super) fn named_scenarios<'a>(
    places: &Places,
    names: impl IntoIterator<Item = &'a OsString>,
) -> anyhow::Result<Vec<Scenario>> {
    let read = |name: &OsString| Ok(kinds::read(&scenario::find(&places.scenarios(), name)?)?);
    names.into_iter().map(read).collect()
}

/// A word beside a guest that is neither a scenario nor a file was most likely meant for the guest.
fn with_arguments_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ScenarioError>() {
        Some(ScenarioError::NoScenario { name, .. } | ScenarioError::NoFolder { name: Some(name), .. }) => {
            let word = names::shell_word(OsStr::new(name));
            let message = format!(
                "`{name}` is neither a guest nor a scenario; to give it to the guest as an argument: --arg {word}"
            );
            Code::NoSuchScenario.error(message).into()
        }
        Some(ScenarioError::NoFile(path)) => {
            let word = names::shell_word(path.as_os_str());
            let message = format!("{error}; to give it to the guest as an argument: --arg {word}");
            Code::NoSuchFile.error(message).into()
        }
        _ => error,
    }
}

pub(super) fn named_engines(names: &[String]) -> anyhow::Result<Vec<Engine>> {
    let presets = || scenario::engine::presets().map(|(_, preset)| preset.name);
    let default = [Engine::USUAL.to_owned()];
    let names = if names.is_empty() { &default } else { names };
    names
        .iter()
        .map(|name| {
            Engine::preset(name).ok_or_else(|| {
                let meant = scenario::nearest(name, presets()).map(|name| format!(" (did you mean `{name}`?)"));
                let all = presets().collect::<Vec<_>>().join(", ");
                let message = format!("no engine `{name}`{}; there are: {all}", meant.unwrap_or_default());
                Code::UnknownName.error(message).into()
            })
        })
        .collect()
}

/// Guests that are flavours of one workload, which has the name that their files share.
fn flavoured_cases(arguments: &Selection) -> anyhow::Result<Vec<Case>> {
    let stem = |path: &Path| path.file_stem().map(names::escaped).unwrap_or_default();
    let Some((_, first)) = arguments.flavoured.first() else { return Ok(Vec::new()) };
    let shared = arguments.flavoured.iter().all(|(_, path)| stem(path) == stem(first));
    let workload = if shared { stem(first) } else { "guests".to_owned() };
    let mut cases: Vec<Case> = Vec::new();
    for (flavour, path) in &arguments.flavoured {
        if cases.iter().any(|case| case.flavour == *flavour) {
            fail!(SameName, "--as: flavour `{flavour}` is given twice");
        }
        let of_file = labelled_cases(workload.clone(), path, &arguments.engines, &arguments.input)?;
        cases.extend(of_file.into_iter().map(|case| Case { flavour: flavour.clone(), ..case }));
    }
    Ok(cases)
}

/// `FLAVOUR=FILE`.
fn flavoured(text: OsString) -> Result<(String, PathBuf), String> {
    let bytes = text.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=').ok_or("write FLAVOUR=FILE, as in std=guest.wasm")?;
    let flavour = std::str::from_utf8(&bytes[..at]).map_err(|_| "the flavour is not UTF-8".to_owned())?;
    if flavour.is_empty() || flavour.contains(|c: char| c == '/' || c.is_control()) {
        return Err(format!("`{flavour}` cannot be a flavour: it is a part of the case's id"));
    }
    if bytes.len() == at + 1 {
        return Err(format!("which file is `{flavour}`? write FLAVOUR=FILE"));
    }
    Ok((flavour.to_owned(), PathBuf::from(OsStr::from_bytes(&bytes[at + 1..]))))
}

/// A file as a scenario of its own: one case per engine named.
pub(super) fn guest_cases(path: &Path, engines: &[String], input: &InputArguments) -> anyhow::Result<Vec<Case>> {
    let label = names::labels(&[path], &BTreeSet::new()).remove(0);
    labelled_cases(label, path, engines, input)
}

/// Likewise, of a file that is called so.
fn labelled_cases(label: String, path: &Path, engines: &[String], input: &InputArguments) -> anyhow::Result<Vec<Case>> {
    let expect = input.expectation();
    let (engines, input) = (named_engines(engines)?, input.checked()?);
    let case = |engine: &Engine| Case {
        input: input.clone(),
        expect: expect.clone(),
        ..Case::of_guest(&label, &label, "custom", engine.clone(), GuestSource::File(path.to_owned()))
    };
    Ok(engines.iter().map(case).collect())
}
