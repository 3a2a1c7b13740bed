//! The YAML as written, and its way to a [`Scenario`]. Nothing else reads YAML but `run/src/snapshot/files.rs`, whose files are insta's.

mod expect;
mod input;
mod own;
mod scalars;
mod whole;

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use wasiscope_workloads as catalogue;

use wasiscope_model::metrics;

use super::diagnostic::Problem;
use super::engine;
use super::kind::{Common, Filtered, Kind, Kinds, Section};
use super::{
    Allocation, BoundsChecks, Compiler, DEFAULT_ITERATIONS, DEFAULT_PROCESSES, Engine, EngineSettings, Flavour, Limits,
    OptLevel, Scenario, SizedWorkload,
};
use expect::WireExpectation;
use input::{Directories, Environment, WireInput};
use own::{ByFlavour, WireCargo, WireCommand, WireOwn, WirePath};
use scalars::{
    AddressSpace, Budget, Bytes, Count, FromText, NonEmpty, Percent, Size, Unique, Wall, from_text, unknown,
};
pub(super) use whole::{check_files, read_files};
use whole::{check_listed_once, check_name};

/// A wall-clock limit, as `10s` or `500ms`.
///
/// # Errors
/// When it is none, or one that no machine can keep.
pub fn wall(text: &str) -> Result<std::time::Duration, String> {
    Wall::from_text(text).map(|wall| wall.0)
}

/// A number of bytes, as `64MiB`; more than none.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Result<u64, String> {
    Bytes::from_text(text).map(|bytes| bytes.0)
}

/// Most workers per case: beyond it a run takes days, so it is a typing error.
const PROCESSES_MAX: u32 = 10_000;
/// Most iterations per worker: every one of them is kept in memory and in the report.
const ITERATIONS_MAX: u32 = 1_000_000;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WireScenario {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    #[serde(default)]
    default: bool,
    workloads: Option<NonEmpty<WireWorkload>>,
    flavours: Option<NonEmpty<Flavour>>,
    wasm: Option<ByFlavour<WirePath>>,
    cargo: Option<ByFlavour<WireCargo>>,
    command: Option<ByFlavour<WireCommand>>,
    argv0: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Environment,
    #[serde(default)]
    dir: Directories,
    #[serde(default)]
    no_dir: bool,
    stdin: Option<PathBuf>,
    invoke: Option<String>,
    #[serde(default)]
    start_first: bool,
    #[serde(default)]
    stub_imports: bool,
    #[serde(default = "default_engines")]
    engines: NonEmpty<WireEngine>,
    #[serde(default = "default_processes")]
    processes: Count<PROCESSES_MAX>,
    #[serde(default = "default_iterations")]
    iterations: Count<ITERATIONS_MAX>,
    #[serde(default)]
    limits: WireLimits,
    #[serde(default)]
    expect: WireExpectation,
    #[serde(default)]
    tolerance: Unique<MetricName, Percent>,
    #[serde(default)]
    budgets: Unique<FactPattern, Budget>,
}

/// `folder` is that of the file: paths in it are relative to it.
pub(super) fn parse(text: &str, folder: &Path, kinds: Kinds) -> Result<Scenario, Problem> {
    let kind = kind_of(text, kinds)?;
    let wire = read_common(text, kind, kinds)?;
    let list = |workloads: NonEmpty<WireWorkload>| workloads.0.into_iter().map(|workload| workload.0).collect();
    let given = WireInput {
        argv0: wire.argv0,
        args: wire.args,
        env: wire.env,
        dir: wire.dir,
        no_dir: wire.no_dir,
        invoke: wire.invoke,
        start_first: wire.start_first,
        stub_imports: wire.stub_imports,
    };
    let mut common = Common {
        own: WireOwn { wasm: wire.wasm, cargo: wire.cargo, command: wire.command }.guests(folder)?,
        input: given.input(folder)?,
        stdin: wire.stdin.map(|path| folder.join(path)),
        workloads: wire.workloads.map(list),
        flavours: wire.flavours.map(|list| list.0),
        engines: wire.engines.0.into_iter().map(|engine| engine.0).collect(),
        expect: wire.expect.expectation(folder),
    };
    check_name(&wire.name)?;
    check_listed_once(&common)?;
    check_programs(kind, &common.engines)?;
    let section = Section::new(text, kind, folder);
    let plan = kind.read(&mut common, &section)?;
    let Common { own, input, stdin, workloads, flavours, engines, expect } = common;
    Ok(Scenario {
        name: wire.name,
        description: wire.description,
        default: wire.default,
        kind,
        plan,
        own,
        input,
        stdin,
        workloads: workloads.unwrap_or_default(),
        flavours: flavours.unwrap_or_default(),
        engines,
        processes: wire.processes.0,
        iterations: wire.iterations.0,
        limits: Limits {
            wall: wire.limits.wall.0,
            memory_bytes: wire.limits.memory.0,
            stack_bytes: wire.limits.stack.0,
            output_bytes: wire.limits.output.0,
        },
        expect,
        tolerance: wire.tolerance.0.into_iter().map(|(metric, percent)| (metric.0, percent.0)).collect(),
        budgets: wire.budgets.0.into_iter().map(|(fact, budget)| (fact.0, budget.0)).collect(),
        warnings: section.warning().into_iter().collect(),
    })
}

/// Refuses engines that cases of a kind cannot run on.
fn check_programs(kind: &dyn Kind, engines: &[Engine]) -> Result<(), Problem> {
    let Some(only) = kind.program() else { return Ok(()) };
    match engines.iter().find(|engine| engine.program != Some(only)) {
        Some(engine) => {
            let (kind, name) = (kind.name(), &engine.name);
            let message =
                format!("a scenario of `kind: {kind}` runs on engines of {} only, not on `{name}`", only.name);
            Err(Problem::of_key("engines", message))
        }
        None => Ok(()),
    }
}

/// The first kind, where the file names none.
fn kind_of(text: &str, kinds: Kinds) -> Result<&'static dyn Kind, Problem> {
    #[derive(Default, serde::Deserialize)]
    struct Named {
        kind: Option<String>,
    }
    // What else is wrong with the file is found, with its place, by who reads it whole.
    let named: Named = serde_yaml::from_str(text).unwrap_or_default();
    let Some(name) = named.kind else { return Ok(kinds[0]) };
    kinds
        .iter()
        .find(|kind| kind.name() == name)
        .copied()
        .ok_or_else(|| Problem::of_key("kind", unknown("kind", &name, kinds.iter().map(|kind| kind.name()))))
}

/// What is common to all kinds; the keys of this kind are left to it.
fn read_common(text: &str, kind: &dyn Kind, kinds: Kinds) -> Result<WireScenario, Problem> {
    struct Whole<'a>(&'a dyn Fn(&str) -> bool);

    impl<'de> DeserializeSeed<'de> for Whole<'_> {
        type Value = WireScenario;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<WireScenario, D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de> Visitor<'de> for Whole<'_> {
        type Value = WireScenario;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a scenario: keys with values")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WireScenario, A::Error> {
            WireScenario::deserialize(MapAccessDeserializer::new(Filtered { map, wanted: self.0, taken: 0 }))
        }
    }

    let is_common = |key: &str| key != kind.name() && !kind.old_keys().contains(&key);
    let deserializer = serde_yaml::Deserializer::from_str(text);
    Whole(&is_common).deserialize(deserializer).map_err(|error| {
        let problem = Problem::of_yaml(&error);
        other_kind_of(problem, kind, kinds)
    })
}

/// A key that is unknown here may be one of another kind.
fn other_kind_of(problem: Problem, kind: &dyn Kind, kinds: Kinds) -> Problem {
    let Some(key) = problem.unknown_key() else { return problem };
    let has = |other: &&&dyn Kind| other.name() == key || other.old_keys().contains(&key);
    let owners: Vec<&str> = kinds.iter().filter(has).map(|other| other.name()).collect();
    if owners.is_empty() || owners.contains(&kind.name()) {
        return problem;
    }
    let owners = owners.iter().map(|owner| format!("`kind: {owner}`")).collect::<Vec<_>>().join(" or ");
    let message = format!("`{key}` is for scenarios of {owners}");
    problem.with_message(message)
}

/// Ids are three parts, separated by slashes, in one line.
fn can_be_in_id(part: &str) -> bool {
    !part.is_empty() && !part.contains(|c: char| c == '/' || c.is_control())
}

fn default_engines() -> NonEmpty<WireEngine> {
    NonEmpty(vec![WireEngine(Engine::usual())])
}

fn default_processes() -> Count<PROCESSES_MAX> {
    Count(DEFAULT_PROCESSES)
}

fn default_iterations() -> Count<ITERATIONS_MAX> {
    Count(DEFAULT_ITERATIONS)
}

from_text!(Flavour, WorkloadName, MetricName, FactPattern);

impl Flavour {
    fn from_text(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|flavour| flavour.name() == name);
        known.ok_or_else(|| unknown("flavour", name, Self::ALL.map(Self::name)))
    }
}

/// Either a bare name or a mapping: `hello` or `{name: sha256, n: 65536}`. Not an untagged enum, which would try both
/// and then say only that neither fits.
struct NameOrMap<T>(PhantomData<T>);

trait FromNameOrMap: Sized {
    type Map: for<'de> Deserialize<'de>;
    const EXPECTING: &'static str;
    fn from_name(name: &str) -> Result<Self, String>;
    fn from_map(map: Self::Map) -> Result<Self, String>;
}

impl<'de, T: FromNameOrMap> Visitor<'de> for NameOrMap<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTING)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
        T::from_name(name).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_map(T::Map::deserialize(MapAccessDeserializer::new(map))?).map_err(de::Error::custom)
    }
}

struct WireWorkload(SizedWorkload);

/// A name of the catalogue.
struct WorkloadName(&'static catalogue::Workload);

impl WorkloadName {
    fn from_text(name: &str) -> Result<Self, String> {
        catalogue::WORKLOADS
            .iter()
            .find(|entry| entry.name == name)
            .map(Self)
            .ok_or_else(|| unknown("workload", name, catalogue::WORKLOADS.iter().map(|entry| entry.name)))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadMap {
    name: WorkloadName,
    n: Option<Size>,
}

impl FromNameOrMap for WireWorkload {
    type Map = WorkloadMap;
    const EXPECTING: &'static str = "a workload: its name, or {name: …, n: …}";

    fn from_name(name: &str) -> Result<Self, String> {
        Self::from_map(WorkloadMap { name: WorkloadName::from_text(name)?, n: None })
    }

    fn from_map(map: WorkloadMap) -> Result<Self, String> {
        let entry = map.name.0;
        Ok(Self(SizedWorkload { name: entry.name.to_owned(), n: map.n.map_or(entry.default_n, |size| size.0) }))
    }
}

impl<'de> Deserialize<'de> for WireWorkload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrMap(PhantomData))
    }
}

struct WireEngine(Engine);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineMap {
    name: String,
    compiler: Option<Compiler>,
    bounds_checks: Option<BoundsChecks>,
    opt_level: Option<OptLevel>,
    allocation: Option<Allocation>,
    copy_on_write: Option<bool>,
    epoch: Option<bool>,
    fuel: Option<bool>,
    parallel_compilation: Option<bool>,
    memory_reservation: Option<AddressSpace>,
    memory_guard: Option<AddressSpace>,
}

impl EngineMap {
    /// What is left out is as in wasmtime's defaults.
    fn settings(&self) -> EngineSettings {
        let defaults = EngineSettings::default();
        EngineSettings {
            compiler: self.compiler.unwrap_or(defaults.compiler),
            bounds_checks: self.bounds_checks.unwrap_or(defaults.bounds_checks),
            opt_level: self.opt_level.unwrap_or(defaults.opt_level),
            allocation: self.allocation.unwrap_or(defaults.allocation),
            copy_on_write: self.copy_on_write.unwrap_or(defaults.copy_on_write),
            epoch: self.epoch.unwrap_or(defaults.epoch),
            fuel: self.fuel.unwrap_or(defaults.fuel),
            parallel_compilation: self.parallel_compilation.unwrap_or(defaults.parallel_compilation),
            memory_reservation: self.memory_reservation.as_ref().map(|bytes| bytes.0),
            memory_guard: self.memory_guard.as_ref().map(|bytes| bytes.0),
        }
    }

    fn is_spelled_out(&self) -> bool {
        let Self { name: _, compiler, bounds_checks, opt_level, allocation, .. } = self;
        compiler.is_some()
            || bounds_checks.is_some()
            || opt_level.is_some()
            || allocation.is_some()
            || [self.copy_on_write, self.epoch, self.fuel, self.parallel_compilation].iter().any(Option::is_some)
            || self.memory_reservation.is_some()
            || self.memory_guard.is_some()
    }
}

impl FromNameOrMap for WireEngine {
    type Map = EngineMap;
    const EXPECTING: &'static str = "an engine: the name of a preset, or {name: …, compiler: …, …}";

    fn from_name(name: &str) -> Result<Self, String> {
        Engine::preset(name)
            .map(Self)
            .ok_or_else(|| unknown("engine", name, engine::presets().map(|(_, preset)| preset.name)))
    }

    fn from_map(map: EngineMap) -> Result<Self, String> {
        if !map.is_spelled_out() {
            return Self::from_name(&map.name);
        }
        let settings = map.settings();
        if !can_be_in_id(&map.name) {
            return Err(format!("`{}` cannot name an engine: it is a part of the case's id", map.name));
        }
        if settings.compiler == Compiler::Winch && map.opt_level.is_some() {
            return Err("winch has no `opt_level`: it compiles in one pass".to_owned());
        }
        match Engine::preset(&map.name) {
            Some(preset) if preset.settings != Some(settings) => {
                Err(format!("`{}` is a preset with other settings: choose another name", map.name))
            }
            _ => Ok(Self(Engine::wasmtime(&map.name, settings))),
        }
    }
}

impl<'de> Deserialize<'de> for WireEngine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrMap(PhantomData))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WireLimits {
    wall: Wall,
    memory: Bytes,
    stack: Bytes,
    output: Bytes,
}

impl Default for WireLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            wall: Wall(limits.wall),
            memory: Bytes(limits.memory_bytes),
            stack: Bytes(limits.stack_bytes),
            output: Bytes(limits.output_bytes),
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct MetricName(String);

impl MetricName {
    fn from_text(name: &str) -> Result<Self, String> {
        if metrics::of_phases().any(|metric| metric == name) {
            return Ok(Self(name.to_owned()));
        }
        let names: Vec<String> = metrics::of_phases().collect();
        Err(unknown("metric", name, names.iter().map(String::as_str)))
    }
}

/// The name of a fact, or a pattern. Which facts there are shows when the guest is there.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct FactPattern(String);

impl FactPattern {
    fn from_text(text: &str) -> Result<Self, String> {
        match globset::Glob::new(text) {
            Ok(_) if text.is_empty() => Err("a budget needs the name of a fact, as in `size.wasm`".to_owned()),
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("`{text}` is neither a fact nor a pattern: {}", error.kind())),
        }
    }
}
