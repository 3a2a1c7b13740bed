//! Reports for tests and properties of what is made of reports.

use std::collections::BTreeMap;

use super::document::{
    ArtifactReport, CaptureReport, CaptureStatus, CaseReport, Machine, MachineLimits, Measurement, Report,
    ScenarioReport,
};
use crate::capture::Ledger;
use crate::record::{Facts, Outcome};
use crate::stats;

/// A case whose guest has this hash, and whose `run` took so long in each process.
pub(crate) fn case(id: &str, hash: &str, run_ns: &[u64]) -> CaseReport {
    let samples: Vec<Vec<f64>> = run_ns.iter().map(|ns| vec![*ns as f64]).collect();
    let measurement = stats::summarise(&samples).map(|summary| Measurement {
        metric: "phase.run".into(),
        unit: "ns".into(),
        direction: "lower_is_better".into(),
        samples: samples.clone(),
        warm_up: 0,
        spread: None,
        summary,
    });
    CaseReport {
        id: id.into(),
        workload: "w".into(),
        flavour: "f".into(),
        engine: "e".into(),
        source: None,
        n: Some(1),
        args: Vec::new(),
        processes: 10,
        iterations: 1,
        batch: 1,
        engine_settings: None,
        disturbance: None,
        artifact: Some(ArtifactReport { sha256: hash.into(), bytes: 1, toolchain: None, flags: None }),
        outcome: Outcome::ok(),
        facts: Facts::from([("check".into(), "1".into())]),
        measurements: measurement.into_iter().collect(),
        observer_ratio: None,
        kernel: None,
        budgets: BTreeMap::new(),
        failures: Vec::new(),
        timeline: None,
    }
}

#[cfg(test)]
/// Ten processes around `centre`, with half a percent between them.
pub(crate) fn around(centre: u64) -> Vec<u64> {
    [5, 2, 8, 0, 9, 4, 1, 7, 3, 6].iter().map(|step| centre + centre * step / 2_000).collect()
}

/// A machine by name.
pub(crate) fn machine(name: Option<&str>) -> Machine {
    Machine {
        name: name.map(str::to_owned),
        os: "linux".into(),
        kernel: None,
        arch: "x".into(),
        cpu: None,
        cpus: 2,
        memory_bytes: None,
        virtualized: None,
        steal_ratio: None,
        frequency_governor: None,
        pinned: true,
        limits: MachineLimits::default(),
        container: None,
        namespaces: Vec::new(),
    }
}

/// A report of one scenario, `s`.
pub(crate) fn report(cases: Vec<CaseReport>, reference: Option<CaseReport>) -> Report {
    Report {
        schema_version: 1,
        wasiscope: "0".into(),
        started_at: "2026-11-24T00:00:00Z".into(),
        duration_s: 1.0,
        seed: 1,
        noise: 0,
        planted: None,
        shard: None,
        invocation: None,
        interrupted: false,
        budget_spent: false,
        confidence: 0.99,
        git: None,
        machine: machine(None),
        tools: BTreeMap::from([("wasmtime".into(), Some("48".into()))]),
        capture: CaptureReport {
            status: CaptureStatus::Off,
            reason: None,
            programs: Vec::new(),
            ledger: Ledger::default(),
        },
        scenarios: vec![ScenarioReport { name: "s".into(), kind: "workload".into(), cases, prices: Vec::new() }],
        reference,
        sources: Vec::new(),
    }
}
