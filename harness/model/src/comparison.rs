//! The document of a comparison: what two guests, two revisions or two reports say of each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasiscope_ebpf_abi::Phase;

use crate::code::{self, Code};
use crate::figures::Verdict;
use crate::record::TRAP_LATENCY;
use crate::report::{Git, Machine};

/// Version of the stored format.
pub const SCHEMA_VERSION: u32 = 1;

/// The document of one comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the tool.
    pub wasiscope: String,
    /// What is compared with.
    pub base: SideReport,
    /// What may have changed.
    pub new: SideReport,
    /// The worst of the rows.
    pub verdict: Verdict,
    /// What decided the order of workers; `None` where none were run.
    pub seed: Option<u64>,
    /// The chance, at least, that a row's interval covers the true ratio.
    pub confidence: f64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Whether it stopped because its budget of time was spent.
    pub budget_spent: bool,
    /// What a reader must know before believing the rows: other machines, other tools.
    pub warnings: Vec<String>,
    /// Facts that differ.
    pub facts: Vec<FactRow>,
    /// What was compared.
    pub rows: Vec<Row>,
    /// What the kernel did otherwise: of guests, where their time has changed; of reports, wherever both sides have been watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel: Vec<KernelRow>,
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideReport {
    /// What the user called it: a file or a revision.
    pub label: String,
    /// The commit.
    pub git: Option<Git>,
    /// The machine.
    pub machine: Option<Machine>,
    /// Tool → version.
    pub tools: BTreeMap<String, Option<String>>,
}

/// What stands in place of a metric in a row about a case as a whole.
pub const WHOLE_CASE: &str = "all";

/// How the note begins of a case that neither side could run here.
pub const SKIPPED: &str = "skipped on both sides";

/// One metric of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `workload/flavour/engine`.
    pub case: String,
    /// The metric; [`WHOLE_CASE`] in a row that only says why there are no figures.
    pub metric: String,
    /// The unit of `base` and `new`.
    pub unit: String,
    /// Typical value on the base's side: of the faster half of each process's passes the geometric mean, over processes
    /// trimmed as the ratio is; of reports, the median.
    pub base: Option<f64>,
    /// The same on the new side.
    pub new: Option<f64>,
    /// New over base: the estimate that the interval belongs to. Close to `new / base`, but made of the ratios within
    /// the processes.
    pub ratio: Option<f64>,
    /// Lower end of the ratio's interval.
    pub ci_low: Option<f64>,
    /// Upper end of the ratio's interval.
    pub ci_high: Option<f64>,
    /// What follows.
    pub verdict: Verdict,
    /// Why, where the figures alone do not say it.
    pub note: Option<String>,
    /// The code of the outcome that the note tells of, where a side has no figures.
    #[serde(default, deserialize_with = "code::if_known", skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The relative change that is let pass, 0.03 for 3 %.
    #[serde(default)]
    pub tolerance: f64,
    /// The log of new over base in each worker; empty for reports, whose sides have workers of their own.
    #[serde(default)]
    pub log_ratios: Vec<f64>,
    /// The typical value of each worker on the base's side. Of guests, the worker at the same place of `new_workers` is the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_workers: Vec<f64>,
    /// The same on the new side.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_workers: Vec<f64>,
    /// Whether a side failed or answered wrong.
    #[serde(default)]
    pub failed: bool,
    /// The side that has this, where the other does not: of a row about a case as a whole the case, else the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_in: Option<Side>,
    /// What the case is called on the base's side, where that is another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// The facts in which the answers of the two sides differ, in the row that says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers_differ: Vec<String>,
    /// Of which scenario, where the case is in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Of which machine, in a comparison of reports from several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

impl Row {
    /// A row that only says why there are no figures.
    #[must_use]
    pub fn without_figures(case: &str, verdict: Verdict, note: impl Into<String>) -> Self {
        Self {
            case: case.to_owned(),
            metric: WHOLE_CASE.to_owned(),
            unit: String::new(),
            base: None,
            new: None,
            ratio: None,
            ci_low: None,
            ci_high: None,
            verdict,
            note: Some(note.into()),
            code: None,
            tolerance: 0.0,
            log_ratios: Vec::new(),
            base_workers: Vec::new(),
            new_workers: Vec::new(),
            failed: false,
            only_in: None,
            renamed_from: None,
            answers_differ: Vec::new(),
            scenario: None,
            machine: None,
        }
    }

    /// The row of a case that only one side has. Not a doubt: there is nothing that it could be compared with, so `--fail-on` does not
    /// count it.
    #[must_use]
    pub fn only_in(side: Side, case: &str, note: impl Into<String>) -> Self {
        Self { only_in: Some(side), ..Self::without_figures(case, Verdict::Unchanged, note) }
    }
}

/// What a row comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The two sides answer differently.
    OtherAnswer,
    /// A side could not be run, or ended badly.
    Failed,
    /// What was measured, or why it could not be.
    Compared(Verdict),
    /// The same under another name.
    Renamed,
    /// A case that the other side does not have.
    OnlyIn(Side),
}

impl State {
    /// Every state, the most urgent first.
    pub const ALL: [Self; 9] = [
        Self::OtherAnswer,
        Self::Failed,
        Self::Compared(Verdict::Regressed),
        Self::Compared(Verdict::Improved),
        Self::Compared(Verdict::Inconclusive),
        Self::Compared(Verdict::Unchanged),
        Self::Renamed,
        Self::OnlyIn(Side::Base),
        Self::OnlyIn(Side::New),
    ];

    /// The words used in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherAnswer => "other answer",
            Self::Failed => "failed",
            Self::Compared(verdict) => verdict.name(),
            Self::Renamed => "renamed",
            Self::OnlyIn(Side::Base) => "only in base",
            Self::OnlyIn(Side::New) => "only in new",
        }
    }
}

impl Row {
    /// Whether it is about the case as a whole.
    #[must_use]
    pub fn is_of_whole_case(&self) -> bool {
        self.metric == WHOLE_CASE
    }

    /// What it comes to.
    #[must_use]
    pub fn state(&self) -> State {
        match self.only_in {
            _ if !self.answers_differ.is_empty() => State::OtherAnswer,
            _ if self.failed && self.verdict != Verdict::Regressed => State::Failed,
            Some(side) if self.is_of_whole_case() => State::OnlyIn(side),
            _ if self.renamed_from.is_some() && self.is_of_whole_case() && self.verdict == Verdict::Unchanged => {
                State::Renamed
            }
            _ => State::Compared(self.verdict),
        }
    }
}

impl Comparison {
    /// What it comes to, in a word or two: first what decides the exit status.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        let has = |state: State| self.rows.iter().any(|row| row.state() == state);
        match self.verdict {
            Verdict::Regressed => Verdict::Regressed.name(),
            _ if self.rows.iter().any(|row| row.failed && !row.answers_differ.is_empty()) => "answers differ",
            _ if has(State::Failed) => "failed",
            _ if self.rows.iter().all(|row| row.only_in.is_some()) => "nothing to compare",
            verdict => verdict.name(),
        }
    }

    /// Whether a side of any case failed, or a fact grew by more than its tolerance.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.rows.iter().any(|row| row.failed) || self.facts.iter().any(|fact| fact.above.is_some())
    }
}

/// One of two guests being compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// A: what is compared with.
    Base,
    /// B: what may have changed.
    New,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Base => Self::New,
            Self::New => Self::Base,
        }
    }
}

/// One fact that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactRow {
    /// `workload/flavour/engine`.
    pub case: String,
    /// The fact.
    pub fact: String,
    /// On the base's side; `None` when it is not there.
    pub base: Option<Value>,
    /// On the new side; `None` when it is not there.
    pub new: Option<Value>,
    /// Of which scenario, where the case is in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The tolerance that it is above, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<String>,
}

/// Something that the kernel did in one phase of one case, on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelRow {
    /// `workload/flavour/engine`.
    pub case: String,
    /// Of which scenario, where the case is in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Of which machine, in a comparison of reports from several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The phase that it was charged to.
    pub phase: String,
    /// What it is: `mmap calls`, `user faults`, `blocked`.
    pub what: String,
    /// `count`, `bytes` or `ns`, of one iteration.
    pub unit: String,
    /// In an iteration of the base.
    pub base: f64,
    /// In an iteration of the new side.
    pub new: f64,
}

impl KernelRow {
    /// Whether this is of the case and the phase that a row of times is of.
    #[must_use]
    pub fn is_of(&self, row: &Row) -> bool {
        self.case == row.case
            && self.scenario == row.scenario
            && self.machine == row.machine
            && (row.metric.strip_prefix("phase.") == Some(&self.phase)
                || row.metric == TRAP_LATENCY && self.phase == Phase::Trap.name())
    }
}
