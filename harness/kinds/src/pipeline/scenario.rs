//! What a scenario of events into handlers can say, and the flows it makes.

use std::sync::Arc;

use serde::Deserialize;
use wasiscope_model::work::{Spec, Work};

use super::{BATCH, BATCHES, Call, Calls, Flow, GrantedMap, HANDLER_GUEST, Handler, Maps, Pipeline, RATES, Wake};
use crate::parts;
use crate::traps::GENERATED;
use wasiscope_scenario::engine::Program;
use wasiscope_scenario::plan::{Case, GuestSource, case_of, own_source};
use wasiscope_scenario::{self as scenario, Common, Engine, Flavour, Plan, Problem, Scenario, Section};

/// What a scenario of events into handlers is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// Events at several rates, and as many as there can be.
    Rates,
    /// Handler and kernel program swapped while events flow.
    Swaps,
    /// Handlers that trap, never come back, are slow, refuse, or ask for what they must not have.
    Misbehaving,
    /// Other sizes of batches, and other times to wake the reader.
    Settings,
}

impl parts::Part for Part {
    const ALL: &'static [Self] = &[Self::Rates, Self::Swaps, Self::Misbehaving, Self::Settings];

    fn name(self) -> &'static str {
        match self {
            Self::Rates => "rates",
            Self::Swaps => "swaps",
            Self::Misbehaving => "misbehaving",
            Self::Settings => "settings",
        }
    }

    fn has_flavours(self) -> bool {
        self != Self::Misbehaving
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    parts: Option<Vec<Part>>,
    /// The system calls that become events.
    calls: Option<Vec<Call>>,
    /// The maps that handlers may read.
    maps: Option<Vec<GrantedMap>>,
}

/// A list with at least one entry.
fn filled<T>(key: &'static str, list: Option<Vec<T>>, usual: T) -> Result<Vec<T>, Problem> {
    match list {
        Some(list) if list.is_empty() => Err(Problem::of_key(key, "the list is empty: nothing would run".to_owned())),
        list => Ok(list.unwrap_or_else(|| vec![usual])),
    }
}

impl scenario::Kind for Pipeline {
    fn old_keys(&self) -> &'static [&'static str] {
        &["parts", "calls", "maps"]
    }

    fn program(&self) -> Option<&'static Program> {
        Engine::usual().program
    }

    fn read(&self, common: &mut Common, section: &Section<'_>) -> Result<Arc<dyn Plan>, Problem> {
        let Written { parts, calls, maps } = section.read()?;
        common.expects_nothing(self)?;
        if common.own.len() > 1 {
            let message = "a scenario of `kind: pipeline` brings one handler".to_owned();
            return Err(Problem::of_key("kind", message));
        }
        let own = !common.own.is_empty();
        let named = parts::named(parts)?;
        // Settings are for who wants to choose others; a handler that is brought is none of those that misbehave on purpose.
        let is_usual = |part: &Part| *part != Part::Settings && !(own && *part == Part::Misbehaving);
        let all = || <Part as parts::Part>::ALL.iter().copied();
        let parts = named.unwrap_or_else(|| all().filter(is_usual).collect());
        if common.workloads.is_some() {
            let message = "`workloads` are not for scenarios of `kind: pipeline`, which handle events".to_owned();
            return Err(Problem::of_key("workloads", message));
        }
        if own && common.flavours.is_some() {
            let message = "a handler that is brought has no flavours: leave them out".to_owned();
            return Err(Problem::of_key("flavours", message));
        }
        if own && parts.contains(&Part::Misbehaving) {
            let message = "the part `misbehaving` brings its own handlers: leave out `wasm` and `cargo`".to_owned();
            return Err(Problem::of_key("parts", message));
        }
        parts::check_flavours(&parts, common.flavours.as_deref(), &[Flavour::TinygoLike, Flavour::Std])?;
        if !own && parts.iter().any(|part| parts::Part::has_flavours(*part)) {
            common.flavours.get_or_insert_with(|| vec![Flavour::TinygoLike, Flavour::Std]);
        }
        let calls = Calls::of(&filled("calls", calls, Call::Read)?);
        let maps = Maps::of(&filled("maps", maps, GrantedMap::Joint)?);
        Ok(Arc::new(Parts { parts, calls, maps }))
    }
}

/// A valid scenario of events into handlers.
#[derive(Debug)]
struct Parts {
    parts: Vec<Part>,
    calls: Calls,
    maps: Maps,
}

impl Plan for Parts {
    fn cases(&self, scenario: &Scenario) -> Vec<Case> {
        self.parts.iter().flat_map(|part| self.cases_of(scenario, *part)).collect()
    }
}

impl Parts {
    fn flows(&self, part: Part) -> Vec<Flow> {
        let calls = self.calls;
        let at_rates = || RATES.iter().map(move |rate| Flow::at(*rate, calls)).chain([Flow::flood(calls)]);
        match part {
            Part::Rates => at_rates().collect(),
            Part::Swaps => vec![Flow::swapped(calls)],
            Part::Settings => Wake::ALL
                .iter()
                .flat_map(|wake| BATCHES.map(|batch| (*wake, batch)))
                .filter(|set| *set != (Wake::default(), BATCH))
                .flat_map(|(wake, batch)| at_rates().map(move |flow| Flow { wake, batch, ..flow }))
                .collect(),
            Part::Misbehaving => Handler::BAD.map(|handler| Flow::mishandled(handler, calls)).to_vec(),
        }
    }

    /// The flows of a part: into the handler of every flavour, or into handlers that misbehave.
    fn cases_of(&self, scenario: &Scenario, part: Part) -> Vec<Case> {
        let engines = || scenario.engines.iter();
        let flows = self.flows(part);
        let mut cases = Vec::new();
        for (flow, engine) in flows.iter().flat_map(|flow| engines().map(move |engine| (*flow, engine))) {
            let handler = if !scenario.own.is_empty() { Handler::Own } else { flow.handler };
            let flow = Flow { maps: self.maps, handler, ..flow };
            let case = |flavour: &str, guest| Case {
                work: Work::Flow,
                spec: Spec::of(&flow),
                ..case_of(scenario, &flow.workload(), flavour, engine, guest)
            };
            if let Some(own) = scenario.own.first() {
                cases.push(case(own.flavour(), own_source(own)));
                continue;
            }
            if flow.handler == Handler::Good {
                let built =
                    |flavour: &Flavour| GuestSource::Built { flavour: *flavour, workload: HANDLER_GUEST.to_owned() };
                cases.extend(scenario.flavours.iter().map(|flavour| case(flavour.name(), built(flavour))));
            } else {
                let name = format!("handler-{}", flow.handler.name());
                cases.push(case(GENERATED, GuestSource::Written { name, text: flow.handler.guest() }));
            }
        }
        cases
    }
}
