//! What the checks of an engine cost: workloads under it and under the engine without them.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use super::{Note, Observer};
use crate::compare::live::{self, Candidate, Processes};
use crate::compare::{Row, Tolerances};
use crate::prepare::prepare;
use crate::runner::{self, Pair, Pairs, Settings};
use wasiscope_guest::places::Places;
use wasiscope_model::record;
use wasiscope_model::report::{CheckOverhead, ScenarioReport};
use wasiscope_scenario::plan::Case;

/// A case without the checks, and the same with them.
pub type Priced = (Case, Case);

/// Compares each pair in workers of its own, as `compare` does; gives scenarios by name, without cases. What cannot be measured is a row
/// that says why.
pub(super) fn measure(
    places: &Places,
    pairs: &[Priced],
    settings: &Settings<'_>,
    observer: &mut dyn Observer,
) -> Vec<ScenarioReport> {
    by_scenario(pairs, &mut |pairs| {
        let measured = of_one(places, pairs, settings, observer);
        measured.unwrap_or_else(|error| without_figures(pairs, &format!("{error:#}")))
    })
}

/// Rows for all pairs, of which none was measured.
pub(super) fn not_measured(pairs: &[Priced], why: &str) -> Vec<ScenarioReport> {
    by_scenario(pairs, &mut |pairs| without_figures(pairs, why))
}

fn by_scenario(pairs: &[Priced], prices: &mut dyn FnMut(&[Priced]) -> Vec<CheckOverhead>) -> Vec<ScenarioReport> {
    let mut scenarios = BTreeMap::new();
    for pairs in pairs.chunk_by(|(one, _), (next, _)| one.scenario == next.scenario) {
        let Case { scenario, kind, .. } = &pairs[0].0;
        let report = ScenarioReport {
            name: scenario.clone(),
            kind: (*kind).to_owned(),
            cases: Vec::new(),
            prices: prices(pairs),
        };
        scenarios.insert(scenario.clone(), report);
    }
    scenarios.into_values().collect()
}

/// Rows of pairs that were not measured.
fn without_figures(pairs: &[Priced], why: &str) -> Vec<CheckOverhead> {
    let row = |(base, checked): &Priced| {
        let row = Row::without_figures(&checked.id(), wasiscope_stats::Verdict::Inconclusive, why);
        price(row, &base.engine.name)
    };
    pairs.iter().map(row).collect()
}

fn of_one(
    places: &Places,
    pairs: &[Priced],
    settings: &Settings<'_>,
    observer: &mut dyn Observer,
) -> anyhow::Result<Vec<CheckOverhead>> {
    /// With fewer passes a side, chance says more than the engine does.
    const PASSES_MIN: u32 = 4;
    let (processes, iterations) = (pairs[0].0.processes, pairs[0].0.iterations.max(PASSES_MIN));
    let (bases, checked): (Vec<Case>, Vec<Case>) = pairs.iter().cloned().unzip();
    let mut say = |line: &str| observer.on_note(&Note::Preparing(line.to_owned()));
    let bases = prepare(places, bases, &settings.scratch, &mut say)?;
    let checked = prepare(places, checked, &settings.scratch, &mut say)?;
    let candidates: Vec<Candidate> = bases
        .into_iter()
        .zip(checked)
        .map(|(base, new)| Candidate::new(Pair { base, new }, Tolerances::default()))
        .collect();
    let mut workers = runner::workers(&settings.interrupt);
    let run = record::metric_of(Phase::Run);
    let how = live::Settings {
        processes: Processes::Exactly(processes),
        iterations,
        time_identical: true,
        confirm: false,
        wants: &|metric| metric == run,
        seed: settings.seed,
        // The whole run's budget is looked at before.
        budget: None,
        interrupt: settings.interrupt.clone(),
    };
    let mut runner = Pairs::new(&mut workers, settings);
    let done = live::compare(&candidates, &mut runner, &how, &mut |event| observer.on_comparison(&event));
    let of_pair = |(base, checked): &Priced| {
        let id = checked.id();
        // A check that changes the answer has a row of its own, which comes first, and no price.
        let row = done.rows.iter().find(|row| row.case == id).cloned();
        let row =
            row.unwrap_or_else(|| Row::without_figures(&id, wasiscope_stats::Verdict::Inconclusive, "interrupted"));
        price(row, &base.engine.name)
    };
    Ok(pairs.iter().map(of_pair).collect())
}

fn price(row: Row, base: &str) -> CheckOverhead {
    CheckOverhead {
        source: None,
        case: row.case,
        base: base.to_owned(),
        metric: record::metric_of(Phase::Run),
        base_ns: row.base,
        checked_ns: row.new,
        ratio: row.ratio,
        ci_low: row.ci_low,
        ci_high: row.ci_high,
        // A verdict is for changes, and this is none.
        note: row.note.filter(|_| row.ci_low.is_none()),
        log_ratios: row.log_ratios,
        failed: row.failed,
    }
}
