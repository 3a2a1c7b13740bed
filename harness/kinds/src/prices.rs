//! What an engine's checks cost: pairs of cases that differ in nothing but the check.

use super::parts::{self, Part};
use wasiscope_scenario::plan::{Case, sized_case};
use wasiscope_scenario::{BoundsChecks, Common, Engine, EngineSettings, Flavour, Problem, Scenario, SizedWorkload};

/// Of an engine that makes checks, the one that differs in nothing else: explicit bounds checks, epochs, fuel.
pub(crate) fn unchecked<'a>(engines: &'a [Engine], checked: &Engine) -> Option<&'a Engine> {
    let settings = checked.settings?;
    let EngineSettings { bounds_checks, epoch, fuel, .. } = settings;
    let without = match (bounds_checks, epoch, fuel) {
        (BoundsChecks::Explicit, false, false) => EngineSettings { bounds_checks: BoundsChecks::Guard, ..settings },
        (BoundsChecks::Guard, true, false) => EngineSettings { epoch: false, ..settings },
        (BoundsChecks::Guard, false, true) => EngineSettings { fuel: false, ..settings },
        _ => return None,
    };
    engines.iter().find(|engine| engine.settings == Some(without))
}

/// Whether the price of a check can be told with these engines.
fn has_price(engines: &[Engine]) -> bool {
    engines.iter().any(|engine| unchecked(engines, engine).is_some())
}

/// Refuses a scenario that asks for prices and has no two engines that differ in a check only; `pair` are two that do.
fn check_engines(engines: &[Engine], pair: &str) -> Result<(), Problem> {
    if has_price(engines) {
        return Ok(());
    }
    let message = format!(
        "the part `price` needs an engine that makes checks and one that is the same without: for example {pair}"
    );
    Err(Problem::of_key("parts", message))
}

/// What is particular to a kind whose scenarios have a part for prices.
pub(crate) struct Priced<P: 'static> {
    /// That part.
    pub(crate) part: P,
    /// Two engines that differ in a check only, for a message.
    pub(crate) pair: &'static str,
    /// The workloads whose price is taken, where the file names none.
    pub(crate) workloads: &'static [&'static str],
    /// The flavours that a file may name.
    pub(crate) flavours: &'static [Flavour],
}

impl<P: Part> Priced<P> {
    /// The parts that a file names, or all that can be had, with the workloads and flavours that they need.
    pub(crate) fn parts(&self, named: Option<Vec<P>>, common: &mut Common) -> Result<Vec<P>, Problem> {
        // Prices that nobody asked for are left out where they cannot be had.
        let is_usual = |part: &P| *part != self.part || has_price(&common.engines);
        let usual = || P::ALL.iter().copied().filter(is_usual).collect();
        let parts = parts::named(named)?.unwrap_or_else(usual);
        let has_prices = parts.contains(&self.part);
        if common.workloads.is_some() && !has_prices {
            let message = "`workloads` are for the part `price`, which is not listed".to_owned();
            return Err(Problem::of_key("workloads", message));
        }
        parts::check_flavours(&parts, common.flavours.as_deref(), self.flavours)?;
        if has_prices {
            check_engines(&common.engines, self.pair)?;
            common.workloads.get_or_insert_with(|| workloads(self.workloads));
        }
        if parts.iter().any(|part| part.has_flavours()) {
            common.flavours.get_or_insert_with(|| vec![Flavour::TinygoLike, Flavour::Std]);
        }
        Ok(parts)
    }
}

/// These workloads of the catalogue, at their usual sizes.
fn workloads(names: &[&str]) -> Vec<SizedWorkload> {
    let sized = |name: &&str| {
        let entry = wasiscope_workloads::WORKLOADS.iter().find(|entry| entry.name == *name)?;
        Some(SizedWorkload { name: entry.name.to_owned(), n: entry.default_n })
    };
    names.iter().filter_map(sized).collect()
}

/// Pairs of cases that differ only in a check that the engine of the second makes.
pub(crate) fn pairs(scenario: &Scenario) -> Vec<(Case, Case)> {
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
