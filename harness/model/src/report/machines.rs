//! A report of several machines as one for each of them: a joined report can be taken apart again by its sources.

use std::collections::BTreeMap;

use super::{CaptureReport, CaptureStatus, CaseReport, CheckOverhead, Report, ScenarioReport, Source};
use crate::capture::{Ledger, ProgramCost};
use crate::figures::total;

/// A report as one for each of its machines, in order of appearance: whatever compares figures does so machine by machine.
#[must_use]
pub fn by_machine(report: &Report) -> Vec<Report> {
    let mut labels: Vec<String> = Vec::new();
    for source in &report.sources {
        let label = source.machine.label();
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    if labels.len() < 2 {
        return vec![report.clone()];
    }
    let is_of = |index: usize, label: &String| report.sources[index].machine.label() == *label;
    labels.iter().map(|label| of_sources(report, &|index| is_of(index, label))).collect()
}

/// What of a report is from some of its sources.
pub fn of_sources(report: &Report, is_wanted: &dyn Fn(usize) -> bool) -> Report {
    let wanted = report.sources.iter().enumerate().filter(|(index, _)| is_wanted(*index));
    let sources: Vec<Source> = wanted.map(|(_, source)| source.clone()).collect();
    // Where each of the report's sources is among those.
    let mut next = 0;
    let places: Vec<Option<usize>> = report
        .sources
        .iter()
        .enumerate()
        .map(|(index, _)| {
            is_wanted(index).then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    let place = |source: Option<usize>| places.get(source.unwrap_or(0)).copied().flatten();
    let scenarios = report.scenarios.iter().map(|scenario| ScenarioReport {
        cases: scenario
            .cases
            .iter()
            .filter_map(|case| Some(CaseReport { source: Some(place(case.source)?), ..case.clone() }))
            .collect(),
        prices: scenario
            .prices
            .iter()
            .filter_map(|price| Some(CheckOverhead { source: Some(place(price.source)?), ..price.clone() }))
            .collect(),
        ..scenario.clone()
    });
    let started_at = sources.iter().map(|source| source.started_at.clone()).min().unwrap_or_default();
    Report {
        duration_s: duration_s(&started_at, &sources),
        started_at,
        seed: sources[0].seed,
        machine: sources[0].machine.clone(),
        tools: tools(&sources),
        capture: capture(&sources),
        reference: sources[0].reference.clone(),
        scenarios: scenarios.collect(),
        sources,
        ..report.clone()
    }
}

/// From the first start to the last end.
pub fn duration_s(started_at: &str, sources: &[Source]) -> f64 {
    let seconds = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|at| at.as_nanosecond() as f64 / 1e9);
    let start = seconds(started_at);
    let ends = sources.iter().filter_map(|source| Some(seconds(&source.started_at)? - start? + source.duration_s));
    ends.fold(0.0, f64::max)
}

/// A tool that was the same everywhere, or the only one that was there.
pub fn tools(sources: &[Source]) -> BTreeMap<String, Option<String>> {
    let mut tools: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (tool, version) in sources.iter().flat_map(|source| &source.tools) {
        let known = tools.entry(tool.clone()).or_default();
        if known.is_none() {
            known.clone_from(version);
        }
    }
    tools
}

/// Live only where it was live everywhere. What was lost is lost, wherever it was.
pub fn capture(sources: &[Source]) -> CaptureReport {
    let rank = |status: CaptureStatus| match status {
        CaptureStatus::Unavailable => 0,
        CaptureStatus::Off => 1,
        CaptureStatus::Replayed => 2,
        CaptureStatus::Live => 3,
    };
    let worst = sources.iter().min_by_key(|source| rank(source.capture.status));
    let status = worst.map_or(CaptureStatus::Off, |source| source.capture.status);
    let alike = sources.iter().all(|source| source.capture.status == status);
    let reason = worst.and_then(|source| {
        let reason = source.capture.reason.clone();
        if alike { reason } else { Some(format!("in {}: {}", source.report, reason.unwrap_or_default())) }
    });
    let mut ledger = Ledger::default();
    for source in sources {
        let Ledger { ring_dropped, map_full, recursion_missed, switches_unseen, events_lost } = source.capture.ledger;
        ledger.ring_dropped = ledger.ring_dropped.saturating_add(ring_dropped);
        ledger.map_full = ledger.map_full.saturating_add(map_full);
        ledger.recursion_missed = ledger.recursion_missed.saturating_add(recursion_missed);
        ledger.switches_unseen = ledger.switches_unseen.saturating_add(switches_unseen);
        ledger.events_lost = ledger.events_lost.saturating_add(events_lost);
    }
    let mut programs: Vec<ProgramCost> = Vec::new();
    for program in sources.iter().flat_map(|source| &source.capture.programs) {
        match programs.iter_mut().find(|known| known.name == program.name) {
            Some(known) => join(known, program),
            None => programs.push(program.clone()),
        }
    }
    CaptureReport { status, reason, programs, ledger }
}

fn join(known: &mut ProgramCost, other: &ProgramCost) {
    let cost = |program: &ProgramCost| Some((program.run_count?, program.mean_ns?));
    let costs: Vec<(u64, f64)> = [cost(known), cost(other)].into_iter().flatten().collect();
    let runs = total(costs.iter().map(|(runs, _)| *runs));
    let total: f64 = costs.iter().map(|(runs, mean)| *runs as f64 * mean).sum();
    known.run_count = (!costs.is_empty()).then_some(runs);
    known.mean_ns = (runs > 0).then(|| total / runs as f64);
    known.unavailable = known.unavailable.take().or_else(|| other.unavailable.clone());
    known.blind_to = known.blind_to.take().or_else(|| other.blind_to.clone());
}
