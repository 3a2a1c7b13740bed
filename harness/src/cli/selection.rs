//! Which cases the command line asks for: scenarios by name or path, guests by path, and what it overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use globset::{Glob, GlobMatcher};
use sha2::{Digest, Sha256};

use crate::files::{self, Content};
use crate::guest::hex;
use crate::module::{self, ModuleError};
use crate::names;
use crate::places::Places;
use crate::plan::{self, Case, Directory, GUEST_NAME, GuestSource, Input, OWN_FOLDER};
use crate::prepare;
use crate::report::document::Shard;
use crate::scenario::{self, Engine, Expectation, Limits, Part, Scenario, ScenarioError};
use crate::traps::Share;
use crate::units;

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

/// What .wasm files are given.
#[derive(Debug, Args)]
#[command(next_help_heading = "For .wasm files")]
pub(super) struct InputArguments {
    /// An argument; once for each, or all of them after `--`
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Arguments of the guest, after those of --arg
    #[arg(last = true, value_name = "ARG")]
    more_args: Vec<String>,
    /// An environment variable; nothing is inherited
    #[arg(long, value_name = "NAME=VALUE", value_parser = environment_variable)]
    env: Vec<(String, String)>,
    /// The name that the guest is called by, its first argument
    #[arg(long, value_name = "NAME", default_value = GUEST_NAME, allow_hyphen_values = true)]
    argv0: String,
    /// A folder that the guest may read and write, under its own name or another; `HOST::.` takes the place of the guest's own empty
    /// folder. The guest works in a copy, and each pass gets the folder as it was
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = OsStringValueParser::new().try_map(directory))]
    dir: Vec<(PathBuf, String)>,
    /// Like --dir, without a copy: what the guest writes stays, and later passes find it
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = OsStringValueParser::new().try_map(directory))]
    dir_shared: Vec<(PathBuf, String)>,
    /// Give the guest no folder of its own: without --dir it has no preopened folder at all [default: an empty one, as `.`]
    #[arg(long)]
    no_dir: bool,
    /// What the guest reads from standard input: a file, or a pipe or device such as /dev/stdin. It is read once, up to 256 MiB,
    /// and each pass gets all of it [default: nothing]
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Call this exported function, after `_initialize`, instead of `_start`; --arg gives its arguments
    #[arg(long, value_name = "FUNCTION")]
    invoke: Option<String>,
    /// Call `_start` before the function of --invoke, as part of the phase `init`; that it then exits with status 0 does not end the guest
    #[arg(long, requires = "invoke")]
    start_first: bool,
    /// Replace imports that nobody offers: a function traps when it is called, anything else is empty
    #[arg(long)]
    stub_imports: bool,
    /// The guest is expected to trap, which is measured then; without this a trap is a failed row
    #[arg(long)]
    expect_trap: bool,
}

/// Bounds on every guest, in place of the scenario's, or of the default for files.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LimitArguments {
    /// Longest time of one iteration, for example 500ms [default: the scenario's; 10s for files]
    #[arg(long, value_name = "TIME", value_parser = scenario::wall)]
    wall: Option<Duration>,
    /// Most memory of a guest, all memories and tables together, for example 4GiB [default: the scenario's; 1GiB for files]
    #[arg(long, value_name = "SIZE", value_parser = scenario::size)]
    memory: Option<u64>,
    /// Largest call stack of a guest, for example 8MiB [default: the scenario's; 512KiB for files]
    #[arg(long, value_name = "SIZE", value_parser = scenario::size)]
    stack: Option<u64>,
    /// Most that a guest may write to stdout, and to stderr, in one iteration [default: the scenario's; 16MiB for files]
    #[arg(long, value_name = "SIZE", value_parser = scenario::size)]
    max_output: Option<u64>,
}

impl LimitArguments {
    pub(super) fn is_empty(&self) -> bool {
        let Self { wall, memory, stack, max_output } = self;
        wall.is_none() && memory.is_none() && stack.is_none() && max_output.is_none()
    }

    pub(super) fn apply(&self, limits: &mut Limits) {
        let Self { wall, memory, stack, max_output } = *self;
        *limits = Limits {
            wall: wall.unwrap_or(limits.wall),
            memory_bytes: memory.unwrap_or(limits.memory_bytes),
            stack_bytes: stack.unwrap_or(limits.stack_bytes),
            output_bytes: max_output.unwrap_or(limits.output_bytes),
        };
    }
}

impl Selection {
    /// Busy processes on the processor of every worker.
    pub(super) fn noise(&self) -> u32 {
        self.noise.unwrap_or(0)
    }
}

impl InputArguments {
    pub(super) fn is_empty(&self) -> bool {
        let Self { args, more_args, env, argv0, dir, dir_shared, .. } = self;
        let Self { no_dir, stdin, invoke, start_first, stub_imports, expect_trap, .. } = self;
        let has_arguments = !(args.is_empty() && more_args.is_empty() && env.is_empty() && argv0 == GUEST_NAME);
        let has_folders = *no_dir || !(dir.is_empty() && dir_shared.is_empty());
        let has_flags = *start_first || *stub_imports || *expect_trap;
        !has_arguments && !has_folders && !has_flags && stdin.is_none() && invoke.is_none()
    }

    /// With paths that hold wherever the worker runs, and files that are there.
    fn checked(&self) -> anyhow::Result<Input> {
        let mut directories: Vec<Directory> = Vec::new();
        let copied = self.dir.iter().map(|folder| ("--dir", folder));
        let shared = self.dir_shared.iter().map(|folder| ("--dir-shared", folder));
        for (option, (host, guest)) in copied.chain(shared) {
            let (path, metadata) = found(option, host)?;
            let folder = Directory { host: path, guest: guest.clone(), shared: option == "--dir-shared" };
            if directories.contains(&folder) {
                continue;
            }
            if directories.iter().any(|other| other.guest == *guest) {
                bail!("{option}: two folders would be `{guest}` for the guest: give each its own name, HOST::GUEST");
            }
            if !metadata.is_dir() {
                bail!("{option} {}: not a folder; a file goes in with the folder it is in", host.display());
            }
            directories.push(folder);
        }
        // It has the guest's first descriptor, as the folder has whose place it takes.
        directories.sort_by_key(|folder| folder.guest != OWN_FOLDER);
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = self.env.iter().find(|(name, _)| !names.insert(name)) {
            bail!("--env: `{twice}` is given twice");
        }
        Ok(Input {
            argv0: Some(self.argv0.clone()).filter(|name| name != GUEST_NAME),
            args: [&self.args[..], &self.more_args].concat(),
            environment: self.env.clone(),
            directories,
            stdin: self.stdin.as_deref().map(standard_input).transpose()?,
            no_own_folder: self.no_dir,
            invoke: self.invoke.clone(),
            start_first: self.start_first,
            stub_imports: self.stub_imports,
        })
    }
}

/// Most bytes of standard input: they are held in memory.
const STDIN_LIMIT_BYTES: u64 = 256 << 20;

/// All of a file, pipe or device. A pipe can be read only once, and every pass is to get the same.
fn standard_input(path: &Path) -> anyhow::Result<Arc<[u8]>> {
    let (absolute, metadata) = found("--stdin", path)?;
    if metadata.is_dir() {
        bail!("--stdin {}: a folder, not a file", path.display());
    }
    let mut bytes = Vec::new();
    let read = File::open(absolute).and_then(|file| file.take(STDIN_LIMIT_BYTES + 1).read_to_end(&mut bytes));
    read.with_context(|| format!("--stdin {}", path.display()))?;
    if bytes.len() as u64 > STDIN_LIMIT_BYTES {
        bail!("--stdin {}: more than {}, the most that is read", path.display(), units::bytes(STDIN_LIMIT_BYTES));
    }
    Ok(bytes.into())
}

/// The absolute path of what an option names, which must be there.
fn found(option: &str, path: &Path) -> anyhow::Result<(PathBuf, fs::Metadata)> {
    let absolute = std::path::absolute(path);
    let looked_at = absolute.and_then(|absolute| fs::metadata(&absolute).map(|metadata| (absolute, metadata)));
    looked_at.with_context(|| format!("{option} {}", path.display()))
}

fn environment_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The host's folder may have any name; what guests know is UTF-8.
fn directory(text: OsString) -> Result<(PathBuf, String), String> {
    let bytes = text.as_bytes();
    let (host, guest) = match bytes.windows(2).position(|pair| pair == b"::") {
        Some(at) => {
            let guest = std::str::from_utf8(&bytes[at + 2..]);
            let guest = guest
                .map_err(|_| format!("the guest's name of the folder, `{}`, is not UTF-8", names::escaped(&text)))?;
            (OsStr::from_bytes(&bytes[..at]), guest.to_owned())
        }
        None => (&*text, names::escaped(&text)),
    };
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST or HOST::GUEST".to_owned());
    }
    Ok((PathBuf::from(host), guest))
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
    let mut scenarios = if arguments.scenarios.is_empty() {
        let all = scenario::read_folder(&places.scenarios())?;
        all.into_iter().filter(|scenario| scenario.default).collect()
    } else {
        named_scenarios(places, names)
            .map_err(|error| if guests.is_empty() { error } else { with_arguments_hint(error) })?
    };
    if guests.is_empty() && !(arguments.engines.is_empty() && arguments.input.is_empty()) {
        bail!(
            "--engine, --arg, --env, --dir, --no-dir, --stdin, --invoke and --expect-trap are for .wasm files; a scenario says these itself"
        );
    }
    if arguments.full {
        let with_matrix: Vec<_> =
            scenarios.iter_mut().filter(|scenario| scenario.parts.contains(&Part::Matrix)).collect();
        if with_matrix.is_empty() {
            bail!("--full is for scenarios of `kind: traps` with the part `matrix`, and none was named");
        }
        with_matrix.into_iter().for_each(|scenario| scenario.share = Share::Full);
    }
    let mut cases: Vec<Case> = scenarios.iter().flat_map(plan::matrix).collect();
    let mut prices: Vec<(Case, Case)> = scenarios.iter().flat_map(plan::prices).collect();
    let files: Vec<&Path> = guests.iter().map(Path::new).collect();
    let taken = scenarios.iter().map(|scenario| scenario.name.clone()).collect();
    for (file, label) in files.iter().zip(names::labels(&files, &taken)) {
        cases.extend(labelled_cases(label, file, &arguments.engines, &arguments.input)?);
    }
    // Before the checks: an engine with a pool depends on them.
    for case in cases.iter_mut().chain(prices.iter_mut().flat_map(|(guard, explicit)| [guard, explicit])) {
        arguments.limits.apply(&mut case.limits);
    }
    let of_prices = || prices.iter().flat_map(|(guard, explicit)| [guard, explicit]);
    let files: BTreeSet<_> = cases.iter().filter_map(Case::file).collect();
    let is_alone = files.len() < 2;
    // A guest that is no module is a failed row beside others; alone it is bad input.
    let check = |case: &Case| match prepare::check(case) {
        Err(error) if !is_alone && error.is::<ModuleError>() => Ok(()),
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
        case.neighbours += arguments.noise.unwrap_or(0);
    }
    let cases = selected(cases, &mut prices, arguments.only.as_deref())?;
    check_amount(&cases)?;
    if cases.is_empty() && prices.is_empty() {
        let names = scenario::read_folder(&places.scenarios())?.into_iter().map(|scenario| scenario.name);
        bail!(
            "no scenario in {} is marked `default: true`: name one ({}), or mark it",
            places.scenarios().display(),
            names.collect::<Vec<_>>().join(", ")
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
    bail!(
        "{all} iterations in one run, {processes} processes × {iterations} iterations of {} among them; every sample is kept, so \
         {MOST_ITERATIONS} is the most: fewer --iterations or --processes, or several runs",
        largest.id()
    )
}

/// What tells one suite from another: which cases there are, in their order.
fn fingerprint(cases: &[Case], prices: &[(Case, Case)]) -> String {
    let of_prices = prices.iter().map(|(_, checked)| format!("price {}/{}\n", checked.scenario, checked.id()));
    let names = cases.iter().map(|case| format!("{}/{}\n", case.scenario, case.id())).chain(of_prices);
    hex(&Sha256::digest(names.collect::<String>()))[..16].to_owned()
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
        if names.is_empty() { scenario::read_folder(&places.scenarios())? } else { named_scenarios(places, names)? };
    // What a check comes to is a fact of the engine, and no guest of a revision.
    let is_of_guests = Case::is_passed;
    let cases = scenarios.iter().flat_map(plan::matrix).filter(is_of_guests);
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
        bail!(
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
            bail!("two cases would be {} of {}: name each file once", twice.id(), twice.scenario)
        }
        None => Ok(()),
    }
}

/// Guests of the catalogue are built from a checkout.
fn check_buildable<'a>(places: &Places, cases: impl IntoIterator<Item = &'a Case>) -> anyhow::Result<()> {
    let needs_checkout = cases.into_iter().any(|case| matches!(case.guest, GuestSource::Built { .. }));
    if needs_checkout && !places.is_checkout() {
        bail!(
            "{} is no checkout of wasiscope, and the guests of a scenario are built from one: run inside a checkout or name \
             it with --root",
            places.root.display()
        );
    }
    Ok(())
}

fn glob(pattern: &str) -> anyhow::Result<GlobMatcher> {
    Ok(Glob::new(pattern).with_context(|| format!("--only {pattern} is not a pattern"))?.compile_matcher())
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
    let read = |name: &OsString| Ok(scenario::read(&scenario::find(&places.scenarios(), name)?)?);
    names.into_iter().map(read).collect()
}

/// A word beside a guest that is neither a scenario nor a file was most likely meant for the guest.
fn with_arguments_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ScenarioError>() {
        Some(ScenarioError::NoScenario { name, .. } | ScenarioError::NoFolder { name: Some(name), .. }) => {
            let word = names::shell_word(OsStr::new(name));
            anyhow!("`{name}` is neither a guest nor a scenario; to give it to the guest as an argument: --arg {word}")
        }
        Some(ScenarioError::NoFile(path)) => {
            let word = names::shell_word(path.as_os_str());
            anyhow!("{error}; to give it to the guest as an argument: --arg {word}")
        }
        _ => error,
    }
}

pub(super) fn named_engines(names: &[String]) -> anyhow::Result<Vec<Engine>> {
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

/// A file as a scenario of its own: one case per engine named.
pub(super) fn guest_cases(path: &Path, engines: &[String], input: &InputArguments) -> anyhow::Result<Vec<Case>> {
    let label = names::labels(&[path], &BTreeSet::new()).remove(0);
    labelled_cases(label, path, engines, input)
}

/// Likewise, of a file that is called so.
fn labelled_cases(label: String, path: &Path, engines: &[String], input: &InputArguments) -> anyhow::Result<Vec<Case>> {
    let expect = Expectation { trap: input.expect_trap, ..Expectation::default() };
    let (engines, input) = (named_engines(engines)?, input.checked()?);
    let case = |engine: &Engine| Case {
        scenario: label.clone(),
        kind: "workload",
        neighbours: 0,
        experiment: None,
        flow: None,
        workload: label.clone(),
        flavour: "custom".to_owned(),
        engine: engine.clone(),
        guest: GuestSource::File(path.to_owned()),
        n: None,
        input: input.clone(),
        expect: expect.clone(),
        limits: Limits::default(),
        processes: scenario::DEFAULT_PROCESSES,
        iterations: scenario::DEFAULT_ITERATIONS,
        tolerance: BTreeMap::new(),
        budgets: BTreeMap::new(),
    };
    Ok(engines.iter().map(case).collect())
}
