//! Records to report: groups what workers gave by case, summarises it, and adds up the kernel's side.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use crate::capture::PhaseEvents;
use crate::guest::Artifact;
use crate::record::{self, Facts, Outcome, ProcessRecord, Record, Status};
use crate::report::document::{ArtifactReport, CaseReport, KernelPhase, KernelReport, Measurement, ScenarioReport};
use crate::runner::Prepared;
use crate::stats;

/// Builds the report's scenarios from what was recorded, in the order of `cases`. A case without any record was not
/// reached.
#[must_use]
pub fn scenarios(cases: &[Prepared], records: &[Record]) -> Vec<ScenarioReport> {
    let mut scenarios: Vec<ScenarioReport> = Vec::new();
    for (index, prepared) in cases.iter().enumerate() {
        let report = case(index, prepared, records);
        match scenarios.last_mut() {
            Some(last) if last.name == prepared.case.scenario => last.cases.push(report),
            _ => scenarios.push(ScenarioReport {
                name: prepared.case.scenario.clone(),
                kind: "workload".to_owned(),
                cases: vec![report],
            }),
        }
    }
    scenarios
}

fn case(index: usize, prepared: &Prepared, records: &[Record]) -> CaseReport {
    let case = &prepared.case;
    let mut facts = Facts::new();
    let mut outcomes = Vec::new();
    let mut processes = Vec::new();
    for record in records {
        match record {
            Record::Facts { case, outcome, facts: found, .. } if *case == index => {
                outcomes.push(outcome);
                facts.clone_from(found);
            }
            Record::Process(process) if process.case == index => {
                outcomes.push(&process.outcome);
                processes.push(process);
            }
            _ => {}
        }
    }
    let unwatched: Vec<&ProcessRecord> = processes.iter().copied().filter(|process| !process.watched).collect();
    let watched: Vec<&ProcessRecord> = processes.iter().copied().filter(|process| process.watched).collect();
    CaseReport {
        id: case.id(),
        workload: case.workload.clone(),
        flavour: case.flavour.clone(),
        engine: case.engine.name.clone(),
        n: case.n,
        artifact: prepared.guest.as_ref().ok().map(artifact),
        outcome: worst(&outcomes),
        facts,
        measurements: measurements(&unwatched),
        observer_ratio: observer_ratio(&unwatched, &watched),
        kernel: kernel(&watched),
    }
}

fn artifact(artifact: &Artifact) -> ArtifactReport {
    ArtifactReport {
        sha256: artifact.sha256.clone(),
        bytes: artifact.bytes,
        toolchain: artifact.toolchain.clone(),
        flags: artifact.flags.clone(),
    }
}

/// The first ending that was not expected, else the last that was.
fn worst(outcomes: &[&Outcome]) -> Outcome {
    let unexpected = outcomes.iter().find(|outcome| !outcome.expected);
    match unexpected.or(outcomes.last()) {
        Some(outcome) => (*outcome).clone(),
        None => Outcome { status: Status::Skipped, detail: Some("not reached".to_owned()), expected: true },
    }
}

fn measurements(unwatched: &[&ProcessRecord]) -> Vec<Measurement> {
    Phase::REPORTED
        .into_iter()
        .filter_map(|phase| {
            let samples: Vec<Vec<u64>> =
                unwatched.iter().filter_map(|process| process.samples.get(&phase).cloned()).collect();
            let summary = stats::summarise(&samples.iter().map(|process| as_floats(process)).collect::<Vec<_>>())?;
            Some(Measurement {
                metric: record::metric_of(phase),
                unit: "ns".to_owned(),
                direction: "lower_is_better".to_owned(),
                samples,
                summary,
            })
        })
        .collect()
}

/// Nanoseconds as floats: exact up to 2^53 ns, which is 104 days.
fn as_floats(samples: &[u64]) -> Vec<f64> {
    samples.iter().map(|ns| *ns as f64).collect()
}

/// How much longer an iteration takes while it is watched: the ratio of the medians over processes of each process's
/// median iteration.
fn observer_ratio(unwatched: &[&ProcessRecord], watched: &[&ProcessRecord]) -> Option<f64> {
    let typical = |processes: &[&ProcessRecord]| {
        let medians: Vec<f64> = processes.iter().filter_map(|process| stats::median(&iterations(process))).collect();
        stats::median(&medians)
    };
    let (off, on) = (typical(unwatched)?, typical(watched)?);
    (off > 0.0).then(|| on / off)
}

/// Nanoseconds of each iteration, all its phases together.
fn iterations(process: &ProcessRecord) -> Vec<f64> {
    let inside = || process.samples.iter().filter(|(phase, _)| **phase != Phase::Spawn).map(|(_, samples)| samples);
    // A guest that trapped now and then has phases of different lengths: what is complete in all of them counts.
    let complete = inside().map(Vec::len).min().unwrap_or(0);
    (0..complete).map(|iteration| inside().map(|samples| samples[iteration] as f64).sum()).collect()
}

fn kernel(watched: &[&ProcessRecord]) -> Option<KernelReport> {
    let mut phases: BTreeMap<Phase, KernelPhase> = BTreeMap::new();
    let mut seen = false;
    for process in watched {
        let Some(events) = &process.kernel else { continue };
        seen = true;
        for (phase, count) in &process.entered {
            phases.entry(*phase).or_default().iterations += count;
        }
        for (phase, events) in events.iter().filter(|(phase, _)| **phase != Phase::Outside) {
            add(phases.entry(*phase).or_default(), events);
        }
    }
    seen.then(|| KernelReport {
        phases: phases.into_iter().map(|(phase, events)| (phase.name().to_owned(), events)).collect(),
    })
}

fn add(total: &mut KernelPhase, events: &PhaseEvents) {
    for (name, tally) in &events.syscalls {
        let sum = total.syscalls.entry(name.clone()).or_default();
        sum.count += tally.count;
        sum.total_ns += tally.total_ns;
    }
    total.faults.user += events.faults_user;
    total.faults.kernel += events.faults_kernel;
}
