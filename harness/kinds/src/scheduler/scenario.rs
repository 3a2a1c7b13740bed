//! What a scenario of scheduling can say, and the experiments it makes.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use wasiscope_model::work::{Spec, Work};

use super::{CROWDS, Experiment, GREEDY_POOLS, POOL_GUEST, POOLS, SLEEPS, Scheduler, THREADS, TICKS, Together, Yields};
use crate::prices::Priced;
use crate::traps::GENERATED;
use crate::{parts, prices};
use wasiscope_scenario::engine::Program;
use wasiscope_scenario::plan::{Case, GuestSource, Input, case_of};
use wasiscope_scenario::{self as scenario, Common, Engine, Flavour, Plan, Problem, Scenario, Section};

/// What a scenario of scheduling is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// Guests that sleep.
    Timers,
    /// Workers that share the one thread of their guest, in every flavour.
    Cooperation,
    /// Guests that never yield, stopped by the host.
    Preemption,
    /// Many guests on few threads.
    Crowd,
    /// One guest with several threads.
    Threads,
    /// What an engine's checks cost the workloads.
    Price,
}

impl parts::Part for Part {
    const ALL: &'static [Self] =
        &[Self::Timers, Self::Cooperation, Self::Preemption, Self::Crowd, Self::Threads, Self::Price];

    fn name(self) -> &'static str {
        match self {
            Self::Timers => "timers",
            Self::Cooperation => "cooperation",
            Self::Preemption => "preemption",
            Self::Crowd => "crowd",
            Self::Threads => "threads",
            Self::Price => "price",
        }
    }

    fn has_flavours(self) -> bool {
        matches!(self, Self::Cooperation | Self::Price)
    }
}

// Outside wasm there is no engine to ask.
const PRICED: Priced<Part> = Priced {
    part: Part::Price,
    pair: "`cranelift` and `cranelift-epoch`",
    workloads: &["sort", "matmul"],
    flavours: &[Flavour::TinygoLike, Flavour::Std, Flavour::Go, Flavour::Tinygo],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    parts: Option<Vec<Part>>,
}

impl scenario::Kind for Scheduler {
    fn old_keys(&self) -> &'static [&'static str] {
        &["parts"]
    }

    fn program(&self) -> Option<&'static Program> {
        Engine::usual().program
    }

    fn read(&self, common: &mut Common, section: &Section<'_>) -> Result<Arc<dyn Plan>, Problem> {
        let Written { parts } = section.read()?;
        common.expects_nothing(self)?;
        common.brings_no_guest(self)?;
        let parts = PRICED.parts(parts, common)?;
        Ok(Arc::new(Parts(parts)))
    }
}

/// A valid scenario of scheduling.
#[derive(Debug)]
struct Parts(Vec<Part>);

impl Plan for Parts {
    fn cases(&self, scenario: &Scenario) -> Vec<Case> {
        let of_part = |part: &Part| match part {
            Part::Cooperation => pools(scenario),
            part => generated(scenario, experiments(*part)),
        };
        self.0.iter().flat_map(of_part).collect()
    }

    fn prices(&self, scenario: &Scenario) -> Vec<(Case, Case)> {
        if self.0.contains(&Part::Price) { prices::pairs(scenario) } else { Vec::new() }
    }
}

fn case(scenario: &Scenario, experiment: Experiment, flavour: &str, engine: &Engine, guest: GuestSource) -> Case {
    let case = case_of(scenario, &experiment.workload(), flavour, engine, guest);
    Case {
        work: Work::Experiment,
        spec: Spec::of(&experiment),
        needs_processors: case.needs_processors || experiment.needs_processors(),
        neighbours: experiment.neighbours(),
        input: Input { args: experiment.arguments(), ..Input::default() },
        ..case
    }
}

/// Pools of workers in every flavour, on the first engine: what shares the thread is the guest's own.
fn pools(scenario: &Scenario) -> Vec<Case> {
    let fair = POOLS.map(|workers| Experiment::Pool { workers, greedy: false });
    let greedy = GREEDY_POOLS.map(|workers| Experiment::Pool { workers, greedy: true });
    let of_flavour = |pool: Experiment, flavour: Flavour| {
        let guest = GuestSource::Built { flavour, workload: POOL_GUEST.to_owned() };
        case(scenario, pool, flavour.name(), &scenario.engines[0], guest)
    };
    let pools = fair.into_iter().chain(greedy);
    pools.flat_map(|pool| scenario.flavours.iter().map(move |flavour| of_flavour(pool, *flavour))).collect()
}

fn experiments(part: Part) -> Vec<Experiment> {
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    match part {
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
        Part::Cooperation | Part::Price => Vec::new(),
    }
}

/// Experiments whose guests this tool writes, on every engine that makes no checks for them already.
fn generated(scenario: &Scenario, experiments: Vec<Experiment>) -> Vec<Case> {
    // An experiment sees to its epochs and fuel itself. Engines with these are for the price, unless there are no others.
    let is_plain = |engine: &&Engine| !engine.is_set(|settings| settings.epoch || settings.fuel);
    let has_plain = scenario.engines.iter().any(|engine| is_plain(&engine));
    let engines = scenario.engines.iter().filter(move |engine| is_plain(engine) || !has_plain);
    let of_engine = |experiment: Experiment, engine: &Engine| {
        let guest = GuestSource::Written { name: experiment.workload(), text: experiment.guest().to_owned() };
        case(scenario, experiment, GENERATED, engine, guest)
    };
    engines.flat_map(|engine| experiments.iter().map(move |experiment| of_engine(*experiment, engine))).collect()
}
