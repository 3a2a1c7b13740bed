//! What explicit bounds checks cost: the workloads of scenarios of traps under both kinds of engine.

use std::collections::BTreeMap;
use std::path::Path;

use super::prepare::prepare;
use super::progress::Progress;
use crate::compare::live::{self, Candidate, Processes};
use crate::compare::{Row, Tolerances};
use crate::interrupt::Interrupt;
use crate::places::Places;
use crate::plan::Case;
use crate::record;
use crate::report::document::Price;
use crate::runner::{ChildWorkers, Pair, Pairs, Settings};
use wasiscope_ebpf_abi::Phase;

/// Prices by scenario.
pub(super) type Prices = BTreeMap<String, Vec<Price>>;

/// Compares each pair in workers of its own, as `compare` does.
pub(super) fn measure(
    places: &Places,
    pairs: Vec<(Case, Case)>,
    scratch: &Path,
    settings: &Settings<'_>,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Prices> {
    let Some((first, _)) = pairs.first() else { return Ok(Prices::new()) };
    let (processes, iterations) = (first.processes, first.iterations);
    let names: Vec<(String, String)> =
        pairs.iter().map(|(guard, _)| (guard.scenario.clone(), guard.engine.name.clone())).collect();
    let (guards, explicits): (Vec<Case>, Vec<Case>) = pairs.into_iter().unzip();
    let mut say = |line: &str| progress.say(line);
    let (guards, explicits) =
        (prepare(places, guards, scratch, &mut say)?, prepare(places, explicits, scratch, &mut say)?);
    let candidates: Vec<Candidate> = guards
        .into_iter()
        .zip(explicits)
        .map(|(base, new)| Candidate { pair: Pair { base, new }, tolerances: Tolerances::default() })
        .collect();
    let mut workers = ChildWorkers::new("/proc/self/exe".into(), interrupt.clone());
    let run = record::metric_of(Phase::Run);
    let how = live::Settings {
        processes: Processes::Exactly(processes),
        iterations,
        time_identical: true,
        confirm: false,
        wants: &|metric| metric == run,
        seed: settings.seed,
        budget: settings.budget,
        interrupt: interrupt.clone(),
    };
    let mut runner = Pairs::new(&mut workers, settings);
    let done = live::compare(&candidates, &mut runner, &how, &mut |event| progress.on_comparison(&event));
    let mut prices = Prices::new();
    for (row, (scenario, guard)) in done.rows.into_iter().zip(names) {
        prices.entry(scenario).or_default().push(price(row, guard));
    }
    Ok(prices)
}

fn price(row: Row, guard: String) -> Price {
    Price {
        case: row.case,
        guard,
        metric: row.metric,
        guard_ns: row.base,
        explicit_ns: row.new,
        ratio: row.ratio,
        ci_low: row.ci_low,
        ci_high: row.ci_high,
        // A verdict is for changes, and this is none.
        note: row.note.filter(|_| row.ratio.is_none()),
        log_ratios: row.log_ratios,
    }
}
