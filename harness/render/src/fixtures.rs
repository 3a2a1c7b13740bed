//! Reports for tests and properties of what is made of reports.

use std::collections::BTreeMap;

pub use wasiscope_model::fixtures::machine;
pub use wasiscope_model::fixtures::report;

use wasiscope_model::record::{Facts, Outcome};
use wasiscope_model::report::{ArtifactReport, CaseReport, Measurement};
use wasiscope_model::work::Work;
use wasiscope_stats as stats;

/// A case whose guest has this hash, and whose `run` took so long in each process.
pub fn case(id: &str, hash: &str, run_ns: &[u64]) -> CaseReport {
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
        work: Work::Phases,
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

/// Ten processes around `centre`, with half a percent between them.
pub fn around(centre: u64) -> Vec<u64> {
    [5, 2, 8, 0, 9, 4, 1, 7, 3, 6].iter().map(|step| centre + centre * step / 2_000).collect()
}
