//! Cases: a workload in a flavour on an engine, with all that a worker of it needs to know, and their order.

mod input;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wasiscope_model::kind;
use wasiscope_model::work::{Spec, Work};

use crate::{
    Budgets, CUSTOM, CargoGuest, CommandGuest, DEFAULT_ITERATIONS, DEFAULT_PROCESSES, Engine, Expectation, Flavour,
    Limits, OwnGuest, OwnSource, Scenario, SizedWorkload,
};
use wasiscope_model::names;

pub use input::{Directory, GUEST_NAME, Input, OWN_FOLDER, START_NOT_CALLED};
pub use order::{Half, Step, Wanted, order};

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
    /// What a command leaves.
    Command(CommandGuest),
    /// Text of this tool's own, assembled when it is needed.
    Written {
        /// What it is called.
        name: String,
        /// The module as text.
        text: String,
    },
    /// None: the worker makes the modules that it tries.
    Modules,
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
    /// What it does.
    pub work: Work,
    /// Which check, experiment or flow.
    pub spec: Spec,
    /// The size, where the workload has one.
    pub n: Option<u64>,
    /// What the guest is given.
    pub input: Input,
    /// How it should end.
    pub expect: Expectation,
    /// Bounds on the guest.
    pub limits: Limits,
    /// Whether its workers need more than one processor.
    pub needs_processors: bool,
    /// Processes that want the same processor as its workers.
    pub neighbours: u32,
    /// Unwatched workers, and as many watched ones.
    pub processes: u32,
    /// Iterations per worker.
    pub iterations: u32,
    /// Whether every iteration compiles, however long that takes.
    pub compiles_always: bool,
    /// Metric → relative change that a comparison lets pass.
    pub tolerance: BTreeMap<String, f64>,
    /// What its facts may come to.
    pub budgets: Budgets,
}

impl Case {
    /// A guest that no scenario names, run through the phases with nothing but defaults.
    #[must_use]
    pub fn of_guest(scenario: &str, workload: &str, flavour: &str, engine: Engine, guest: GuestSource) -> Self {
        Self {
            scenario: scenario.to_owned(),
            kind: kind::OF_GUESTS,
            workload: workload.to_owned(),
            flavour: flavour.to_owned(),
            needs_processors: engine.is_set(|settings| settings.parallel_compilation),
            engine,
            guest,
            work: Work::Phases,
            spec: Spec::default(),
            n: None,
            input: Input::default(),
            expect: Expectation::default(),
            limits: Limits::default(),
            neighbours: 0,
            processes: DEFAULT_PROCESSES,
            iterations: DEFAULT_ITERATIONS,
            compiles_always: false,
            tolerance: BTreeMap::new(),
            budgets: BTreeMap::new(),
        }
    }

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
        match &self.guest {
            GuestSource::Built { flavour, .. } => *flavour == Flavour::Native,
            GuestSource::Cargo(own) => own.is_native(),
            _ => false,
        }
    }

    /// `workload/flavour/engine`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.workload, self.flavour, self.engine.name)
    }
}

/// A case of a scenario, with all that the scenario says of it.
#[must_use]
pub fn case_of(scenario: &Scenario, workload: &str, flavour: &str, engine: &Engine, guest: GuestSource) -> Case {
    Case {
        kind: scenario.kind.name(),
        expect: scenario.expect.clone(),
        limits: scenario.limits,
        processes: scenario.processes,
        iterations: scenario.iterations,
        tolerance: scenario.tolerance.clone(),
        budgets: scenario.budgets.clone(),
        ..Case::of_guest(&scenario.name, workload, flavour, engine.clone(), guest)
    }
}

/// A workload of the catalogue in a scenario.
#[must_use]
pub fn sized_case(scenario: &Scenario, workload: &SizedWorkload, flavour: Flavour, engine: &Engine) -> Case {
    let SizedWorkload { name, n } = workload;
    let guest = GuestSource::Built { flavour, workload: name.clone() };
    let input = Input { args: vec![n.to_string()], ..Input::default() };
    Case { n: Some(*n), input, ..case_of(scenario, name, flavour.name(), engine, guest) }
}

/// Where the guest of a case comes from that a scenario brings.
#[must_use]
pub fn own_source(own: &OwnGuest) -> GuestSource {
    match &own.source {
        OwnSource::Wasm(path) => GuestSource::File(path.clone()),
        OwnSource::Cargo(cargo) => GuestSource::Cargo(cargo.clone()),
        OwnSource::Command(command) => GuestSource::Command(command.clone()),
    }
}

/// Names guests so that those of one file name are told apart, by as little of their paths as does.
pub fn tell_apart<'a>(cases: impl IntoIterator<Item = &'a mut Case>) {
    // One that has a flavour is called by its scenario.
    let place_of = |case: &Case| match &case.guest {
        _ if !case.work.runs_phases() || case.flavour != CUSTOM => None,
        GuestSource::File(path) => Some(path.clone()),
        GuestSource::Cargo(own) => Some(own.dir.join(&own.bin)),
        GuestSource::Command(own) => Some(own.out.clone()),
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
