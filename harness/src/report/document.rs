//! The report as a document: what CONTRACT calls version 1. Readers ignore what they do not know, so fields may be
//! added; what is here keeps its name, its unit and its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::machine::{Machine, MachineLimits};
use crate::capture::{Births, BlockIo, Distribution, Ledger, ProgramCost, Switches};
use crate::record::{Facts, Failure, Outcome, Throttled, Timeline};
use crate::scenario::{Budgets, EngineSettings};
use crate::stats::{self, Summary};
use crate::traps::Planted;

/// Version of the stored format.
pub const SCHEMA_VERSION: u32 = 1;

/// The document of one `wasiscope run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the tool.
    pub wasiscope: String,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// What decided the order of workers.
    pub seed: u64,
    /// Busy processes that kept the processor of every worker besides (`--noise`).
    #[serde(default, skip_serializing_if = "is_none")]
    pub noise: u32,
    /// The fault that was put into it on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<Planted>,
    /// Which part of the suite this is, where it was divided (`--shard`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// How it was asked for; `None` for a joined report, and for one of a round of `soak`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<Invocation>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Whether it stopped adding samples because its budget of time was spent.
    #[serde(default)]
    pub budget_spent: bool,
    /// The chance, at least, that an interval covers the true median.
    #[serde(default)]
    pub confidence: f64,
    /// The checkout; `None` outside a repository.
    pub git: Option<Git>,
    /// The machine.
    pub machine: Machine,
    /// Tool → version; `None` for a tool that is not there.
    pub tools: BTreeMap<String, Option<String>>,
    /// The kernel's side.
    pub capture: CaptureReport,
    /// What was run.
    pub scenarios: Vec<ScenarioReport>,
    /// A fixed guest among them, the same in every version of this tool: by it, reports of different times are compared.
    #[serde(default)]
    pub reference: Option<CaseReport>,
    /// The runs that this report was joined from; none for the report of one run. What stands above is then that of the first, or of
    /// all together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// How a run was asked for, in words as a shell takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The folder it was started in, which relative paths begin at.
    pub folder: String,
    /// Its options with their values, but for those that say where results go.
    pub options: Vec<String>,
    /// Scenarios and guests; after `--`, arguments of guests.
    pub operands: Vec<String>,
}

/// A part of a suite: every case whose place in it, counted from 0, leaves `index` − 1 when divided by `count`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// Of which suite: a fingerprint of all its cases, so that parts of different suites are not taken for one.
    #[serde(default)]
    pub suite: String,
}

impl Shard {
    /// What of a suite belongs to it, in order.
    #[must_use]
    pub fn of<T>(&self, suite: Vec<T>) -> Vec<T> {
        let (index, count) = (self.index as usize - 1, self.count as usize);
        suite.into_iter().skip(index).step_by(count).collect()
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((_, count)) if count > 10_000 => {
                Err(format!("{count} shards are more than there are cases in any suite"))
            }
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count, suite: String::new() }),
            Some((index, count)) => Err(format!("there is no shard {index} of {count}: write 1/3, 2/3 or 3/3")),
            None => Err("write the number of the shard and how many there are, as in 1/3".to_owned()),
        }
    }
}

/// One of the runs that a report was joined from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The file it was read from, without its folder.
    pub report: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// What decided its order of workers.
    pub seed: u64,
    /// Which part of the suite it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The machine.
    pub machine: Machine,
    /// Tool → version.
    pub tools: BTreeMap<String, Option<String>>,
    /// The kernel's side.
    pub capture: CaptureReport,
    /// The reference case as it ran among its cases.
    pub reference: Option<CaseReport>,
}

impl Report {
    /// Whether any case ended otherwise than its scenario expects.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        let mut prices = self.scenarios.iter().flat_map(|scenario| &scenario.prices);
        self.cases().any(|case| !case.outcome.expected) || prices.any(|price| price.failed)
    }

    /// The reference case that ran among the same workers as a case of this report.
    #[must_use]
    pub fn reference_of(&self, case: &CaseReport) -> Option<&CaseReport> {
        match case.source.and_then(|source| self.sources.get(source)) {
            Some(source) => source.reference.as_ref(),
            None => self.reference.as_ref(),
        }
    }

    /// Every case of every scenario.
    pub fn cases(&self) -> impl Iterator<Item = &CaseReport> {
        self.scenarios.iter().flat_map(|scenario| &scenario.cases)
    }
}

/// The state of the checkout that was run in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The commit checked out.
    pub commit: String,
    /// Whether tracked files differ from it.
    pub dirty: bool,
}

/// Whether the kernel was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureStatus {
    /// It was.
    Live,
    /// It was not asked for.
    Off,
    /// It was wanted and could not be had.
    Unavailable,
    /// The kernel's side is that of an earlier run, replayed.
    Replayed,
}

impl CaptureStatus {
    /// Whether there is a kernel's side, live or replayed.
    #[must_use]
    pub const fn sees_kernel(self) -> bool {
        matches!(self, Self::Live | Self::Replayed)
    }

    /// The word used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Off => "off",
            Self::Unavailable => "unavailable",
            Self::Replayed => "replayed",
        }
    }
}

/// The kernel's side of the run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptureReport {
    /// Whether the kernel was watched.
    pub status: CaptureStatus,
    /// Why not.
    pub reason: Option<String>,
    /// The kernel programs and what they cost.
    pub programs: Vec<ProgramCost>,
    /// What was lost.
    pub ledger: Ledger,
}

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
    pub prices: Vec<Price>,
}

/// What the checks of an engine cost one workload: it and the engine without them in the same workers, their passes alternating.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
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
    pub engine_settings: Option<EngineSettings>,
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

const fn is_none(count: &u32) -> bool {
    *count == 0
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

/// What the kernel charged to one case, over all its watched workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelReport {
    /// By phase.
    pub phases: BTreeMap<String, KernelPhase>,
    /// What belongs to no phase: the worker's own doings between phases, repeated passes, its end. With the phases it is all
    /// that a worker did, from its first system call after `fork` to its end, as `getrusage` or `perf stat` see it;
    /// `iterations` counts workers here.
    #[serde(default)]
    pub outside: Option<KernelPhase>,
}

/// What the kernel charged to one phase. Totals over `iterations` passes; `None` is what no program could see here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelPhase {
    /// How often the phase was entered.
    pub iterations: u64,
    /// System calls by name.
    pub syscalls: BTreeMap<String, Calls>,
    /// Page faults.
    pub faults: Faults,
    /// Signals delivered, by name; those that traps come from are there even when they are 0.
    pub signals: Option<BTreeMap<String, u64>>,
    /// How often threads lost their processor.
    pub switches: Option<Switches>,
    /// How often threads were moved to another processor.
    pub migrations: Option<u64>,
    /// Nanoseconds from runnable to running.
    pub run_queue_ns: Option<Distribution>,
    /// Nanoseconds without a processor.
    pub off_cpu_ns: Option<OffCpu>,
    /// Nanoseconds in futex waits.
    pub futex_waits_ns: Option<Distribution>,
    /// Bytes of address space mapped: by `mmap`, `mremap`, and `brk` upwards.
    pub mapped_bytes: Option<u64>,
    /// Unmapped: by `munmap`, `mremap`, and `brk` downwards.
    pub unmapped_bytes: Option<u64>,
    /// By `mprotect` and `pkey_mprotect`.
    pub protected_bytes: Option<u64>,
    /// By `madvise`.
    pub advised_bytes: Option<u64>,
    /// Threads and processes started.
    pub created: Option<Births>,
    /// Requests to block devices.
    pub block_io: Option<BlockIo>,
}

/// One system call in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// How often it was entered.
    pub count: u64,
    /// Nanoseconds spent in those that returned.
    pub total_ns: Option<u64>,
    /// How many returned an error.
    pub errors: u64,
    /// Nanoseconds of each that returned.
    pub latency_ns: Option<Distribution>,
}

/// Time without a processor, charged to the phase in which it was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OffCpu {
    /// Nanoseconds waiting for something.
    pub blocked: u64,
    /// Nanoseconds waiting for a processor.
    pub runnable: u64,
    /// Each wait for something.
    pub blocked_spans: Distribution,
    /// Each wait for a processor.
    pub runnable_spans: Distribution,
}

impl KernelPhase {
    /// All system calls together.
    #[must_use]
    pub fn syscall_count(&self) -> u64 {
        stats::total(self.syscalls.values().map(|calls| calls.count))
    }

    /// How many of them returned an error.
    #[must_use]
    pub fn syscall_errors(&self) -> u64 {
        stats::total(self.syscalls.values().map(|calls| calls.errors))
    }

    /// Nanoseconds in all that returned; `None` when that is not known of one.
    #[must_use]
    pub fn syscall_ns(&self) -> Option<u64> {
        self.syscalls.values().try_fold(0, |sum: u64, calls| Some(sum.saturating_add(calls.total_ns?)))
    }
}

/// Page faults by the mode in which they were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// In user mode; `None` when the kernel program for it is unavailable.
    pub user: Option<u64>,
    /// In the kernel, on the worker's behalf; `None` when the kernel program for it is unavailable.
    pub kernel: Option<u64>,
    /// Those in user mode, by where the address lies: `linear_memory`, `guard`, `code`, `host_heap`, `stack`, `other`.
    pub user_by_region: BTreeMap<String, u64>,
    /// Those in the kernel, likewise.
    pub kernel_by_region: BTreeMap<String, u64>,
}

impl Faults {
    /// Both together; `None` when either is not known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        Some(self.user?.saturating_add(self.kernel?))
    }
}
