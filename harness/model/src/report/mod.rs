//! The report as a document: what CONTRACT calls version 1. Readers ignore what they do not know, so fields may be
//! added; what is here keeps its name, its unit and its meaning.

mod case;
mod kernel;
mod machine;
pub mod machines;
mod planted;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capture::{Ledger, ProgramCost};

pub use case::{ArtifactReport, Budgets, CaseReport, CheckOverhead, Disturbance, Measurement, ScenarioReport, Spread};
pub use kernel::{Calls, Faults, KernelPhase, KernelReport, OffCpu};
pub use machine::{Machine, MachineLimits};
pub use machines::by_machine;
pub use planted::Planted;

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

const fn is_none(count: &u32) -> bool {
    *count == 0
}
