//! What the pairs came to, as rows.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use super::{Candidate, Running, members, verdicts};
use crate::compare::{Row, SKIPPED, answers, ratio_of};
use crate::runner::Pair;
use wasiscope_model::record::{Outcome, Status, metric_of};
use wasiscope_stats::{self as stats, Estimate, FALSE_ALARMS, Verdict};
use wasiscope_worker::Side;

/// Not a doubt: nobody could have measured it.
pub(super) fn skipped(id: &str, pair: &Pair) -> Row {
    let reason = pair.new.guest.as_ref().err().map(|no_guest| no_guest.reason.clone()).unwrap_or_default();
    let code = pair.new.guest.as_ref().err().map(|no_guest| no_guest.code);
    Row { code, ..Row::without_figures(id, Verdict::Unchanged, format!("{SKIPPED}: {reason}")) }
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::Base => "base",
        Side::New => "new",
    }
}

pub(super) fn failure(id: &str, side: Side, outcome: &Outcome) -> Row {
    let detail = outcome.detail.as_deref().unwrap_or_default();
    let note = format!("{}: {}: {detail}", name(side), outcome.status.name());
    let failed = outcome.status != Status::Skipped;
    Row { failed, code: outcome.code, ..Row::without_figures(id, Verdict::Inconclusive, note) }
}

/// The rows with the pair that each is of.
pub(super) fn rows(running: &[Running<'_>], looks: usize) -> Vec<(usize, Row)> {
    let members = members(running);
    let verdicts = verdicts(running, &members, looks);
    let mut rows = Vec::new();
    for (at, pair) in running.iter().enumerate() {
        let mut own: Vec<Row> = match &pair.plan {
            Err(row) => vec![row.clone()],
            Ok(_) => {
                let timed = members.iter().zip(&verdicts).filter(|((of, _), _)| *of == at);
                let timed = timed.map(|((_, phase), verdict)| row(pair, *phase, *verdict, looks, members.len()));
                timed.chain(one_sided(pair)).collect()
            }
        };
        if own.is_empty() {
            let why = match pair.tally.processes {
                0 => "stopped before it was reached",
                _ => "neither side passes such a phase",
            };
            own.push(Row::without_figures(&pair.id, Verdict::Inconclusive, why));
        }
        if !pair.answers_differ.is_empty() {
            own.insert(0, answers::row(&pair.id, pair.answers_differ.clone()));
            answers::withhold_improvements(&mut own);
        }
        let Candidate { scenario, renamed_from, .. } = pair.candidate;
        let named = |row| Row { scenario: scenario.clone(), renamed_from: renamed_from.clone(), ..row };
        rows.extend(own.into_iter().map(|row| (at, named(row))));
    }
    rows
}

/// Rows of the phases that get no verdict: those of other work, and those that only one side passes.
fn one_sided(pair: &Running<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for phase in &pair.phases {
        let (base, new) = (pair.typical(&pair.tally.base_ns, *phase), pair.typical(&pair.tally.new_ns, *phase));
        let (is_in_base, is_in_new) = (pair.tally.base_ns.contains_key(phase), pair.tally.new_ns.contains_key(phase));
        // Not timed where no other phase is: then `run` stands for all of them.
        let is_known = is_in_base || is_in_new || pair.tally.processes == 0 && *phase == Phase::Run;
        let only_in = match (is_in_base, is_in_new) {
            (true, false) => Some(Side::Base),
            (false, true) => Some(Side::New),
            _ => None,
        };
        let note = match (&pair.unlike, only_in) {
            (Some(unlike), _) if is_known && unlike.phases.contains(phase) => unlike.reason.clone(),
            (_, Some(side)) => format!("only measured in {}", name(side)),
            _ => continue,
        };
        let row = Row::without_figures(&pair.id, Verdict::Inconclusive, note);
        rows.push(Row { metric: metric_of(*phase), unit: "ns".to_owned(), base, new, only_in, ..row });
    }
    rows
}

fn row(pair: &Running<'_>, phase: Phase, verdict: Verdict, looks: usize, family: usize) -> Row {
    let metric = metric_of(phase);
    let tolerance = pair.candidate.tolerances.of(&metric);
    let log_ratios = pair.tally.log_ratios[&phase].clone();
    let estimate = Estimate::of(&log_ratios);
    let interval = estimate.map(|estimate| estimate.interval(1.0 - FALSE_ALARMS / looks.max(1) as f64));
    let note = match interval {
        None => Some(format!("needs at least {} processes, got {}", stats::UNITS_MIN, log_ratios.len())),
        Some(interval) if verdict == Verdict::Inconclusive && Verdict::of(interval, tolerance).is_change() => {
            Some(format!("not beyond what chance gives in one of {family} rows (Holm)"))
        }
        Some(_) => None,
    };
    let workers = |side: &BTreeMap<Phase, Vec<f64>>| {
        side.get(&phase).into_iter().flatten().map(|log| ratio_of(*log)).collect::<Vec<f64>>()
    };
    Row {
        metric,
        unit: "ns".to_owned(),
        base: pair.typical(&pair.tally.base_ns, phase),
        new: pair.typical(&pair.tally.new_ns, phase),
        ratio: estimate.map(|estimate| ratio_of(estimate.centre)),
        ci_low: interval.map(|(low, _)| ratio_of(low)),
        ci_high: interval.map(|(_, high)| ratio_of(high)),
        verdict,
        note,
        tolerance,
        log_ratios,
        base_workers: workers(&pair.tally.base_ns),
        new_workers: workers(&pair.tally.new_ns),
        ..Row::without_figures(&pair.id, verdict, "")
    }
}
