//! The matrix of cases and the order of work. No clock, no files.
//!
//! Machines drift, so the cases are interleaved: every round gives each case one worker, in a fresh random order.
//! Watched and unwatched workers run in separate halves of a round, because attaching the kernel programs takes tens
//! of milliseconds and unwatched workers must run on a kernel without them; which half comes first alternates
//! (off on, on off, …), so that drift cancels and programs are attached once in two rounds.

mod input;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use wasiscope_workloads::mistakes::MISTAKES;

use crate::names;
use crate::kinds::pipeline::{BATCH, BATCHES, Calls, Flow, HANDLER_GUEST, Handler, Maps, RATES, Wake};
use crate::scenario::{
    Budgets, CargoGuest, Engine, Expectation, Flavour, Limits, OwnGuest, Part, Scenario, SizedWorkload, unchecked,
};
use crate::kinds::scheduler::{CROWDS, Experiment, GREEDY_POOLS, POOL_GUEST, POOLS, SLEEPS, THREADS, TICKS, Together, Yields};
use crate::kinds::traps::specification::Group;
use crate::kinds::traps::{self, Check, DEPTHS, Family};

pub use input::{Directory, GUEST_NAME, Input, OWN_FOLDER, START_NOT_CALLED};

/// Where a guest comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuestSource {
    /// Built from the catalogue.
    Built {
        /// The flavour.
        flavour: Flavour,
        /// The workload's name.
        workload: String,
    },
    /// A file that somebody else built.
    File(PathBuf),
    /// A crate that is not in the catalogue.
    Cargo(CargoGuest),
    /// None: the worker brings along what it checks.
    Check(Check),
    /// One that a worker brings along, for an experiment with sharing.
    Experiment(Experiment),
    /// One that a worker brings along, to handle events badly.
    Handler(Handler),
    /// One that traps when so many of its functions are active.
    Trap {
        /// How many.
        depth: u32,
    },
}

/// workload × flavour × engine, with all that a worker of it needs to know.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the scenario that asked for it.
    pub scenario: String,
    /// Kind of that scenario.
    pub kind: &'static str,
    /// First part of its id.
    pub workload: String,
    /// Second part of its id.
    pub flavour: String,
    /// Third part of its id.
    pub engine: Engine,
    /// The guest to run.
    pub guest: GuestSource,
    /// What is tried with it, where it is more than run.
    pub experiment: Option<Experiment>,
    /// The events that it handles, where it is a handler.
    pub flow: Option<Flow>,
    /// The size, where the workload has one.
    pub n: Option<u64>,
    /// What the guest is given.
    pub input: Input,
    /// How it should end.
    pub expect: Expectation,
    /// Bounds on the guest.
    pub limits: Limits,
    /// Processes that want the same processor as its workers.
    pub neighbours: u32,
    /// Unwatched workers, and as many watched ones.
    pub processes: u32,
    /// Iterations per worker.
    pub iterations: u32,
    /// Metric → relative change that a comparison lets pass.
    pub tolerance: BTreeMap<String, f64>,
    /// What its facts may come to.
    pub budgets: Budgets,
}

impl Case {
    /// The file that the guest is in, where somebody named one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.guest {
            GuestSource::File(path) => Some(path),
            _ => None,
        }
    }

    /// Whether the guest is a native executable and no wasm.
    #[must_use]
    pub fn is_native(&self) -> bool {
        matches!(self.guest, GuestSource::Built { flavour: Flavour::Native, .. })
    }

    /// What is checked, where that is no guest.
    #[must_use]
    pub const fn check(&self) -> Option<Check> {
        match self.guest {
            GuestSource::Check(check) => Some(check),
            _ => None,
        }
    }

    /// What is tried, where a guest is more than run.
    #[must_use]
    pub const fn experiment(&self) -> Option<Experiment> {
        self.experiment
    }

    /// Whether its guest is passed through the phases, again and again.
    #[must_use]
    pub const fn is_passed(&self) -> bool {
        self.check().is_none() && self.experiment.is_none() && self.flow.is_none()
    }

    /// The flow of events, where its guest is a handler.
    #[must_use]
    pub const fn flow(&self) -> Option<Flow> {
        self.flow
    }

    /// `workload/flavour/engine`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.workload, self.flavour, self.engine.name)
    }
}

/// A case of a scenario, with all that the scenario says of it.
fn case_of(scenario: &Scenario, workload: &str, flavour: &str, engine: &Engine, guest: GuestSource) -> Case {
    Case {
        scenario: scenario.name.clone(),
        kind: scenario.kind.name(),
        workload: workload.to_owned(),
        flavour: flavour.to_owned(),
        engine: engine.clone(),
        guest,
        experiment: None,
        flow: None,
        n: None,
        input: Input::default(),
        expect: scenario.expect.clone(),
        limits: scenario.limits,
        neighbours: 0,
        processes: scenario.processes,
        iterations: scenario.iterations,
        tolerance: scenario.tolerance.clone(),
        budgets: scenario.budgets.clone(),
    }
}

/// A workload of the catalogue in a scenario.
fn sized_case(scenario: &Scenario, workload: &SizedWorkload, flavour: Flavour, engine: &Engine) -> Case {
    let SizedWorkload { name, n } = workload;
    let guest = GuestSource::Built { flavour, workload: name.clone() };
    let input = Input { args: vec![n.to_string()], ..Input::default() };
    Case { n: Some(*n), input, ..case_of(scenario, name, flavour.name(), engine, guest) }
}

/// The cases of a scenario of parts: what is checked, guests that make mistakes, guests whose traps are timed, experiments.
fn matrix_of_parts(scenario: &Scenario) -> Vec<Case> {
    let check = |check: Check, engine: &Engine| Case {
        processes: 0,
        ..case_of(scenario, check.workload(), check.flavour(), engine, GuestSource::Check(check))
    };
    let trapping =
        |messages: &[&'static str]| Expectation { trap: true, messages: messages.to_vec(), ..Expectation::default() };
    let mut cases = Vec::new();
    for part in &scenario.parts {
        let checks: Vec<Check> = match part {
            Part::Matrix => Family::ALL.map(|family| Check::Matrix { family, share: scenario.share }).to_vec(),
            Part::OtherTraps => vec![Check::Mishaps],
            Part::Specification => Group::ALL.map(|group| Check::Specification { group }).to_vec(),
            _ => Vec::new(),
        };
        cases.extend(checks.iter().flat_map(|of| scenario.engines.iter().map(|engine| check(*of, engine))));
        cases.extend(experiments(scenario, *part));
        if *part == Part::Cooperation {
            cases.extend(pools(scenario));
        }
        cases.extend(flows(scenario, *part));
        if *part == Part::Mistakes {
            for (mistake, flavour) in
                MISTAKES.iter().flat_map(|mistake| scenario.flavours.iter().map(move |flavour| (mistake, flavour)))
            {
                let guest = GuestSource::Built { flavour: *flavour, workload: mistake.name.to_owned() };
                // The matrix is about the engines; here it is the flavours that differ.
                let engine = &scenario.engines[0];
                let case = case_of(scenario, mistake.name, flavour.name(), engine, guest);
                cases.push(Case { processes: 0, expect: trapping(dies_by(mistake.name, *flavour)), ..case });
            }
        }
        if *part == Part::Latency {
            for (depth, engine) in
                DEPTHS.iter().flat_map(|depth| scenario.engines.iter().map(move |engine| (depth, engine)))
            {
                let guest = GuestSource::Trap { depth: *depth };
                let case = case_of(scenario, &format!("depth-{depth}"), traps::GENERATED, engine, guest);
                cases.push(Case { expect: trapping(&[OUT_OF_BOUNDS]), ..case });
            }
        }
    }
    cases
}

/// Pools of workers in every flavour, on the first engine: what shares the thread is the guest's own.
fn pools(scenario: &Scenario) -> Vec<Case> {
    let fair = POOLS.map(|workers| Experiment::Pool { workers, greedy: false });
    let greedy = GREEDY_POOLS.map(|workers| Experiment::Pool { workers, greedy: true });
    let case = |experiment: Experiment, flavour: Flavour| {
        let guest = GuestSource::Built { flavour, workload: POOL_GUEST.to_owned() };
        let case = case_of(scenario, &experiment.workload(), flavour.name(), &scenario.engines[0], guest);
        Case { experiment: Some(experiment), input: Input { args: experiment.arguments(), ..Input::default() }, ..case }
    };
    let pools = fair.into_iter().chain(greedy);
    pools.flat_map(|pool| scenario.flavours.iter().map(move |flavour| case(pool, *flavour))).collect()
}

/// The flows of events of a part: into the handler of every flavour, or into handlers that misbehave.
fn flows(scenario: &Scenario, part: Part) -> Vec<Case> {
    let (calls, maps) = (Calls::of(&scenario.calls), Maps::of(&scenario.maps));
    let flows: Vec<Flow> = match part {
        Part::Rates => RATES.iter().map(|rate| Flow::at(*rate, calls)).chain([Flow::flood(calls)]).collect(),
        Part::Swaps => vec![Flow::swapped(calls)],
        Part::Settings => Wake::ALL
            .iter()
            .flat_map(|wake| BATCHES.map(|batch| (*wake, batch)))
            .filter(|set| *set != (Wake::default(), BATCH))
            .flat_map(|(wake, batch)| {
                let rates = RATES.iter().map(|rate| Flow::at(*rate, calls)).chain([Flow::flood(calls)]);
                rates.map(move |flow| Flow { wake, batch, ..flow })
            })
            .collect(),
        Part::Misbehaving => Handler::BAD.map(|handler| Flow::mishandled(handler, calls)).to_vec(),
        _ => Vec::new(),
    };
    let engines = || scenario.engines.iter();
    let mut cases = Vec::new();
    for (flow, engine) in flows.iter().flat_map(|flow| engines().map(move |engine| (*flow, engine))) {
        let handler = if scenario.own.is_some() { Handler::Own } else { flow.handler };
        let flow = Flow { maps, handler, ..flow };
        let case = |flavour: &str, guest| Case {
            flow: Some(flow),
            ..case_of(scenario, &flow.workload(), flavour, engine, guest)
        };
        if let Some(own) = &scenario.own {
            cases.push(case("custom", own_source(own).1));
            continue;
        }
        if flow.handler == Handler::Good {
            let built =
                |flavour: &Flavour| GuestSource::Built { flavour: *flavour, workload: HANDLER_GUEST.to_owned() };
            cases.extend(scenario.flavours.iter().map(|flavour| case(flavour.name(), built(flavour))));
        } else {
            cases.push(case(traps::GENERATED, GuestSource::Handler(flow.handler)));
        }
    }
    cases
}

/// The experiments of a part, on every engine that makes no checks for them already.
fn experiments(scenario: &Scenario, part: Part) -> Vec<Case> {
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let experiments: Vec<Experiment> = match part {
        Part::Timers => {
            let sleeps = [false, true]
                .into_iter()
                .flat_map(|busy| SLEEPS.map(|duration| Experiment::Sleep { duration_ns: ns(duration), busy }));
            [Experiment::Clock].into_iter().chain(sleeps).collect()
        }
        Part::Preemption => {
            let epochs = TICKS.map(|tick| Experiment::StopByEpoch { tick_ns: ns(tick) });
            epochs.into_iter().chain([Experiment::StopByFuel]).collect()
        }
        Part::Threads => Together::ALL.map(Experiment::Threads).to_vec(),
        Part::Crowd => Yields::ALL
            .into_iter()
            .flat_map(|yields| THREADS.map(|threads| (yields, threads)))
            .flat_map(|(yields, threads)| CROWDS.map(|guests| Experiment::Crowd { guests, threads, yields }))
            .collect(),
        _ => Vec::new(),
    };
    // An experiment sees to its epochs and fuel itself. Engines with these are for the price, unless there are no others.
    let is_plain = |engine: &&Engine| !engine.settings.epoch && !engine.settings.fuel;
    let has_plain = scenario.engines.iter().any(|engine| is_plain(&engine));
    let engines = scenario.engines.iter().filter(move |engine| is_plain(engine) || !has_plain);
    let case = |experiment: Experiment, engine: &Engine| Case {
        neighbours: experiment.neighbours(),
        experiment: Some(experiment),
        ..case_of(scenario, &experiment.workload(), traps::GENERATED, engine, GuestSource::Experiment(experiment))
    };
    engines.flat_map(|engine| experiments.iter().map(move |experiment| case(*experiment, engine))).collect()
}

const OUT_OF_BOUNDS: &str = "out of bounds memory access";
const EXHAUSTED: &str = "call stack exhausted";
const UNREACHABLE: &str = "`unreachable` instruction executed";

/// The traps that a mistake may end in: a panic aborts by `unreachable`, in both flavours.
fn dies_by(mistake: &str, flavour: Flavour) -> &'static [&'static str] {
    match (mistake, flavour) {
        ("mistake-pointer", _) => &[OUT_OF_BOUNDS],
        // It has 32 KiB of stack in its memory, and falls out of it.
        ("mistake-stack", Flavour::TinygoLike) => &[OUT_OF_BOUNDS],
        // A megabyte: the engine's own stack ends first, unless the scenario's limit is large.
        ("mistake-stack", _) => &[EXHAUSTED, OUT_OF_BOUNDS],
        _ => &[UNREACHABLE],
    }
}

/// Pairs of cases that differ only in a check that the engine of the second makes.
#[must_use]
pub fn prices(scenario: &Scenario) -> Vec<(Case, Case)> {
    if !scenario.parts.contains(&Part::Price) {
        return Vec::new();
    }
    let engines = scenario.engines.iter();
    let pairs: Vec<(&Engine, &Engine)> =
        engines.filter_map(|checked| Some((unchecked(&scenario.engines, checked)?, checked))).collect();
    let mut prices = Vec::new();
    for workload in &scenario.workloads {
        // Others take seconds to compile, and pay for the same checks.
        for flavour in scenario.flavours.iter().filter(|flavour| [Flavour::TinygoLike, Flavour::Std].contains(flavour))
        {
            let of = |engine| sized_case(scenario, workload, *flavour, engine);
            prices.extend(pairs.iter().map(|(base, checked)| (of(base), of(checked))));
        }
    }
    prices
}

/// The matrix of one scenario: workloads × flavours × engines, its own guest × engines, or what it does with traps.
#[must_use]
pub fn matrix(scenario: &Scenario) -> Vec<Case> {
    if !scenario.parts.is_empty() {
        return matrix_of_parts(scenario);
    }
    if let Some(own) = &scenario.own {
        return scenario.engines.iter().map(|engine| own_case(scenario, own, engine)).collect();
    }
    let mut cases = Vec::new();
    // Outside wasm there are no engines to tell apart.
    let native = [Engine::native()];
    for workload in &scenario.workloads {
        for flavour in &scenario.flavours {
            let engines = if *flavour == Flavour::Native { &native[..] } else { &scenario.engines[..] };
            cases.extend(engines.iter().map(|engine| sized_case(scenario, workload, *flavour, engine)));
        }
    }
    cases
}

fn own_case(scenario: &Scenario, own: &OwnGuest, engine: &Engine) -> Case {
    let (workload, guest) = own_source(own);
    let input = Input { args: scenario.args.clone(), stub_imports: scenario.stub_imports, ..Input::default() };
    Case { input, ..case_of(scenario, &workload, "custom", engine, guest) }
}

/// What a scenario brings along, and what it is called.
fn own_source(own: &OwnGuest) -> (String, GuestSource) {
    match own {
        OwnGuest::Wasm(path) => {
            (path.file_stem().map(names::escaped).unwrap_or_default(), GuestSource::File(path.clone()))
        }
        OwnGuest::Cargo(cargo) => (cargo.bin.clone(), GuestSource::Cargo(cargo.clone())),
    }
}

/// Names guests so that those of one file name are told apart, by as little of their paths as does.
pub fn tell_apart<'a>(cases: impl IntoIterator<Item = &'a mut Case>) {
    let place_of = |case: &Case| match &case.guest {
        GuestSource::File(path) if case.is_passed() => Some(path.clone()),
        GuestSource::Cargo(own) if case.is_passed() => Some(own.dir.join(&own.bin)),
        _ => None,
    };
    let cases: Vec<&mut Case> = cases.into_iter().collect();
    let places: BTreeSet<PathBuf> = cases.iter().filter_map(|case| place_of(case)).collect();
    let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    let labels: BTreeMap<&Path, String> =
        places.iter().copied().zip(names::labels(&places, &BTreeSet::new())).collect();
    for case in cases {
        if let Some(label) = place_of(case).and_then(|place| labels.get(&*place)) {
            case.workload.clone_from(label);
        }
    }
}

/// One worker to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the case.
    pub case: usize,
    /// Which of the case's processes this is, counted apart for watched and unwatched ones.
    pub process: u32,
    /// Whether the kernel watches it.
    pub watched: bool,
}

/// One half of a round: workers that are all watched, or all unwatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Half {
    /// Whether the kernel watches them.
    pub watched: bool,
    /// The workers in order.
    pub steps: Vec<Step>,
}

/// How many workers a case gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Unwatched ones.
    pub processes: u32,
    /// Whether it gets as many watched ones.
    pub watch: bool,
}

/// Orders the workers of each case.
#[must_use]
pub fn order(wanted: &[Wanted], seed: u64) -> Vec<Half> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rounds = wanted.iter().map(|wanted| wanted.processes).max().unwrap_or(0);
    let mut halves = Vec::new();
    for process in 0..rounds {
        let watched_first = process % 2 == 1;
        for watched in [watched_first, !watched_first] {
            let mut steps: Vec<Step> = (0..wanted.len())
                .filter(|case| process < wanted[*case].processes && (wanted[*case].watch || !watched))
                .map(|case| Step { case, process, watched })
                .collect();
            if !steps.is_empty() {
                steps.shuffle(&mut random);
                halves.push(Half { watched, steps });
            }
        }
    }
    halves
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn wanted(processes: &[u32], watch: bool) -> Vec<Wanted> {
        processes.iter().map(|processes| Wanted { processes: *processes, watch }).collect()
    }

    #[test]
    fn every_case_gets_its_processes_watched_and_unwatched() {
        let halves = order(&wanted(&[3, 1], true), 1);
        let steps: Vec<Step> = halves.iter().flat_map(|half| half.steps.clone()).collect();
        assert_eq!(steps.len(), 8);
        for watched in [false, true] {
            for (case, count) in [(0, 3), (1, 1)] {
                let processes: BTreeSet<u32> = steps
                    .iter()
                    .filter(|step| step.case == case && step.watched == watched)
                    .map(|step| step.process)
                    .collect();
                assert_eq!(processes, (0..count).collect());
            }
        }
    }

    #[test]
    fn halves_alternate_so_that_neighbours_share_an_attachment() {
        let watched: Vec<bool> = order(&wanted(&[4], true), 1).iter().map(|half| half.watched).collect();
        assert_eq!(watched, [false, true, true, false, false, true, true, false]);
    }

    #[test]
    fn without_capture_nothing_is_watched() {
        assert!(order(&wanted(&[2, 2], false), 1).iter().all(|half| !half.watched));
    }

    #[test]
    fn the_seed_alone_decides_the_order() {
        let processes = wanted(&[10; 8], true);
        assert_eq!(order(&processes, 5), order(&processes, 5));
        assert_ne!(order(&processes, 5), order(&processes, 6));
    }
}
