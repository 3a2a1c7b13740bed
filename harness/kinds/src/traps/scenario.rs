//! What a scenario of traps can say, and the cases it makes: what is checked, guests that make mistakes, guests whose traps are
//! timed.

use std::sync::Arc;

use serde::Deserialize;
use wasiscope_model::work::{Spec, Work};
use wasiscope_workloads::mistakes::MISTAKES;

use super::specification::Group;
use super::{Check, DEPTHS, Family, GENERATED, Share, Traps, trapping_at};
use crate::prices::Priced;
use crate::{parts, prices};
use wasiscope_scenario::engine::Program;
use wasiscope_scenario::plan::{Case, GuestSource, case_of};
use wasiscope_scenario::{self as scenario, Common, Engine, Expectation, Flavour, Plan, Problem, Scenario, Section};

/// What a scenario of traps is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// Every access at every edge of every kind of memory.
    Matrix,
    /// Traps of every other kind.
    OtherTraps,
    /// The specification's own tests of memories, tables and traps.
    Specification,
    /// Guests that make mistakes, in every flavour.
    Mistakes,
    /// From the faulting access to control in the host.
    Latency,
    /// What an engine's checks cost the workloads.
    Price,
}

impl parts::Part for Part {
    const ALL: &'static [Self] =
        &[Self::Matrix, Self::OtherTraps, Self::Specification, Self::Mistakes, Self::Latency, Self::Price];

    fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::OtherTraps => "other-traps",
            Self::Specification => "specification",
            Self::Mistakes => "mistakes",
            Self::Latency => "latency",
            Self::Price => "price",
        }
    }

    fn has_flavours(self) -> bool {
        matches!(self, Self::Mistakes | Self::Price)
    }
}

// Small loops over much memory, and a workload that does a bit of everything. Other flavours have no guests that make mistakes.
const PRICED: Priced<Part> = Priced {
    part: Part::Price,
    pair: "`cranelift` and `cranelift-checked`",
    workloads: &["sort", "matmul", "json"],
    flavours: &[Flavour::TinygoLike, Flavour::Std],
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    parts: Option<Vec<Part>>,
    share: Option<Share>,
}

impl scenario::Kind for Traps {
    fn old_keys(&self) -> &'static [&'static str] {
        &["parts", "share"]
    }

    fn program(&self) -> Option<&'static Program> {
        Engine::usual().program
    }

    fn read(&self, common: &mut Common, section: &Section<'_>) -> Result<Arc<dyn Plan>, Problem> {
        let Written { parts, share } = section.read()?;
        common.expects_nothing(self)?;
        common.brings_no_guest(self)?;
        let parts = PRICED.parts(parts, common)?;
        if share.is_some() && !parts.contains(&Part::Matrix) {
            let message = "`share` is that of the part `matrix`, which is not listed".to_owned();
            return Err(Problem::of_key("share", message));
        }
        Ok(Arc::new(Parts { parts, share: share.unwrap_or_default() }))
    }
}

/// A valid scenario of traps.
#[derive(Clone, Debug)]
struct Parts {
    parts: Vec<Part>,
    share: Share,
}

impl Plan for Parts {
    fn cases(&self, scenario: &Scenario) -> Vec<Case> {
        let of_part = |part: &Part| match part {
            Part::Matrix => checks(scenario, Family::ALL.map(|family| Check::Matrix { family, share: self.share })),
            Part::OtherTraps => checks(scenario, [Check::OtherTraps]),
            Part::Specification => checks(scenario, Group::ALL.map(|group| Check::Specification { group })),
            Part::Mistakes => mistakes(scenario),
            Part::Latency => latencies(scenario),
            Part::Price => Vec::new(),
        };
        self.parts.iter().flat_map(of_part).collect()
    }

    fn prices(&self, scenario: &Scenario) -> Vec<(Case, Case)> {
        if self.parts.contains(&Part::Price) { prices::pairs(scenario) } else { Vec::new() }
    }

    fn in_full(&self) -> Option<Arc<dyn Plan>> {
        let full = Self { share: Share::Full, ..self.clone() };
        self.parts.contains(&Part::Matrix).then(|| Arc::new(full) as Arc<dyn Plan>)
    }
}

fn checks(scenario: &Scenario, checks: impl IntoIterator<Item = Check>) -> Vec<Case> {
    let case = |check: Check, engine: &Engine| Case {
        processes: 0,
        work: Work::Check,
        spec: Spec::of(&check),
        ..case_of(scenario, check.workload(), check.flavour(), engine, GuestSource::Modules)
    };
    let of_check = |check: Check| scenario.engines.iter().map(move |engine| case(check, engine));
    checks.into_iter().flat_map(of_check).collect()
}

fn trapping(messages: &[&'static str]) -> Expectation {
    Expectation { trap: true, messages: messages.to_vec(), ..Expectation::default() }
}

fn mistakes(scenario: &Scenario) -> Vec<Case> {
    // The matrix is about the engines; here it is the flavours that differ.
    let engine = &scenario.engines[0];
    let case = |mistake: &str, flavour: Flavour| {
        let guest = GuestSource::Built { flavour, workload: mistake.to_owned() };
        let case = case_of(scenario, mistake, flavour.name(), engine, guest);
        Case { processes: 0, expect: trapping(dies_by(mistake, flavour)), ..case }
    };
    let of_mistake = |mistake: &'static str| scenario.flavours.iter().map(move |flavour| case(mistake, *flavour));
    MISTAKES.iter().flat_map(|mistake| of_mistake(mistake.name)).collect()
}

fn latencies(scenario: &Scenario) -> Vec<Case> {
    let case = |depth: u32, engine: &Engine| {
        let name = format!("depth-{depth}");
        let guest = GuestSource::Written { name: name.clone(), text: trapping_at(depth) };
        Case { expect: trapping(&[OUT_OF_BOUNDS]), ..case_of(scenario, &name, GENERATED, engine, guest) }
    };
    let of_depth = |depth: &u32| scenario.engines.iter().map(|engine| case(*depth, engine)).collect::<Vec<_>>();
    DEPTHS.iter().flat_map(of_depth).collect()
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
