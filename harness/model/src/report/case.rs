//! Scenarios and cases in a report: facts, measurements, and how the case ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::KernelReport;
use crate::engine::Settings;
use crate::figures::Summary;
use crate::record::{Facts, Failure, Outcome, Throttled, Timeline};
use crate::work::Work;

/// What facts may come to instead of being exactly as their snapshot: at most so much, or anything (`None`). By name, or by pattern.
pub type Budgets = BTreeMap<String, Option<u64>>;

/// One scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its cases, in the order of its matrix.
    pub cases: Vec<CaseReport>,
    /// What checks cost that an engine makes and another does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<CheckOverhead>,
}

/// What the checks of an engine cost one workload: it and the engine without them in the same workers, their passes alternating.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckOverhead {
    /// The case with the checks, `workload/flavour/engine`.
    pub case: String,
    /// The engine without them.
    pub base: String,
    /// The metric.
    pub metric: String,
    /// Typical nanoseconds without.
    pub base_ns: Option<f64>,
    /// Typical nanoseconds with them.
    pub checked_ns: Option<f64>,
    /// With over without.
    pub ratio: Option<f64>,
    /// Lower end of its interval.
    pub ci_low: Option<f64>,
    /// Upper end of its interval.
    pub ci_high: Option<f64>,
    /// The log of that ratio in each worker.
    pub log_ratios: Vec<f64>,
    /// Why there are no figures.
    pub note: Option<String>,
    /// Whether one side failed or answered wrong.
    #[serde(default)]
    pub failed: bool,
    /// Which of the report's `sources` it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<usize>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// `workload/flavour/engine`.
    pub id: String,
    /// First part of the id.
    pub workload: String,
    /// Second part of the id.
    pub flavour: String,
    /// Third part of the id.
    pub engine: String,
    /// Which of the report's `sources` it is from; `None` in the report of one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<usize>,
    /// What it did.
    #[serde(default)]
    pub work: Work,
    /// The size it was run at; `None` for guests that have none.
    pub n: Option<u64>,
    /// The arguments it was given.
    #[serde(default)]
    pub args: Vec<String>,
    /// Workers that were to run unwatched, and as many watched.
    #[serde(default)]
    pub processes: u32,
    /// Iterations of each worker.
    #[serde(default)]
    pub iterations: u32,
    /// Warm passes (`instantiate` to `teardown`) in each iteration of an unwatched worker; a sample of these phases is
    /// their mean. More than 1 for guests too short for the clock.
    #[serde(default = "once")]
    pub batch: u32,
    /// What the engine's name stands for; `None` outside wasm.
    #[serde(default)]
    pub engine_settings: Option<Settings>,
    /// What else the machine did meanwhile; `None` when nothing was measured.
    #[serde(default)]
    pub disturbance: Option<Disturbance>,
    /// The guest; `None` when it could not be built.
    pub artifact: Option<ArtifactReport>,
    /// How it ended.
    pub outcome: Outcome,
    /// What is exact.
    pub facts: Facts,
    /// What is noisy.
    pub measurements: Vec<Measurement>,
    /// Median time of an iteration in watched workers, divided by that in unwatched ones; `None` without capture.
    pub observer_ratio: Option<f64>,
    /// What the kernel saw; `None` without capture.
    pub kernel: Option<KernelReport>,
    /// What its facts may come to, where they need not be exactly as their snapshot; `null` for anything.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets: Budgets,
    /// Of a check: the first things that were not as they must be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// One more iteration of it, event by event; where that was asked for (`--trace`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
}

const fn once() -> u32 {
    1
}

/// How much the machine kept from a case while it was being timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disturbance {
    /// How often the kernel took the processor away in an iteration, on average; `None` where it does not tell.
    pub preemptions_per_iteration: Option<f64>,
    /// Share of the machine's processor time that the hypervisor gave to others, on average over the workers.
    pub steal_ratio: Option<f64>,
    /// How often the quota of the run's cgroup stopped it; `None` without a quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Throttled>,
    /// Which bound was passed; `None` when the case ran in peace.
    pub note: Option<String>,
}

/// A guest as a file, without its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactReport {
    /// Hash of its bytes.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The compiler.
    pub toolchain: Option<String>,
    /// What the compiler was told.
    pub flags: Option<String>,
}

/// One metric of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Its name.
    pub metric: String,
    /// The unit of samples and summary.
    pub unit: String,
    /// Which way is better.
    pub direction: String,
    /// Every sample, grouped by process. From unwatched workers only.
    #[serde(with = "samples")]
    pub samples: Vec<Vec<f64>>,
    /// Leading iterations of every process that the summary leaves out, because they still differ from the later ones.
    #[serde(default)]
    pub warm_up: usize,
    /// What the others say.
    pub summary: Summary,
    /// All samples of an experiment together, where their spread is the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

/// How samples are spread, whichever process they are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them are below.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// All but one of a hundred are below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
    /// All together, where the samples are not in the report one by one. Buckets are then of samples rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// The largest whole number that belongs to a bucket, and how many samples do; eight buckets to the octave, empty ones left
    /// out. Samples below 0 are in the first.
    pub buckets: Vec<(u64, u64)>,
    /// The mean of the same metric in watched workers, of which the kernel's figures are; `None` without capture.
    pub watched_mean: Option<f64>,
}

/// Samples as JSON: whole numbers, which most are, without a point.
mod samples {
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Up to here every whole number is one of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u64),
        Other(f64),
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    fn number(sample: f64) -> Number {
        if sample.fract() == 0.0 && (0.0..EXACT).contains(&sample) {
            Number::Whole(sample as u64)
        } else {
            Number::Other(sample)
        }
    }

    pub(super) fn serialize<S: Serializer>(samples: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = |process: &Vec<f64>| process.iter().map(|sample| number(*sample)).collect::<Vec<_>>();
        samples.iter().map(numbers).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f64>>, D::Error> {
        let samples: Vec<Vec<f64>> = Vec::deserialize(deserializer)?;
        // Nothing that is measured can be less than nothing.
        match samples.iter().flatten().find(|sample| **sample < 0.0) {
            Some(negative) => Err(Error::invalid_value(Unexpected::Float(*negative), &"a sample of 0 or more")),
            None => Ok(samples),
        }
    }
}
