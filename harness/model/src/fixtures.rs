//! Reports for tests and properties of what is made of reports.

use std::collections::BTreeMap;

use crate::capture::Ledger;
use crate::report::{CaptureReport, CaptureStatus, CaseReport, Machine, MachineLimits, Report, ScenarioReport, Source};

/// A machine by name.
#[must_use]
pub fn machine(name: Option<&str>) -> Machine {
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
#[must_use]
pub fn report(cases: Vec<CaseReport>, reference: Option<CaseReport>) -> Report {
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

/// Reports joined as one: each is a source, and its cases say which. A suite that ran in parts is joined with more care elsewhere.
///
/// # Panics
/// Without any report.
#[must_use]
pub fn joined(parts: Vec<(String, Report)>) -> Report {
    let mut whole = parts[0].1.clone();
    whole.scenarios.iter_mut().for_each(|scenario| scenario.cases.clear());
    for (index, (name, part)) in parts.into_iter().enumerate() {
        let cases = part.scenarios.into_iter().flat_map(|scenario| scenario.cases);
        whole.scenarios[0].cases.extend(cases.map(|case| CaseReport { source: Some(index), ..case }));
        whole.sources.push(Source {
            report: name,
            started_at: part.started_at,
            duration_s: part.duration_s,
            seed: part.seed,
            shard: None,
            machine: part.machine,
            tools: part.tools,
            capture: part.capture,
            reference: part.reference,
        });
    }
    whole
}
