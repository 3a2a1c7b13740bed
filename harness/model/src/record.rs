//! Stored types: what a run leaves behind, as written and read back. No I/O here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::Phase;

use crate::code::{self, Code};
use crate::events::{Distribution, KernelEvents, TracedEvent};

/// Facts by name. Values are exact, so they are compared for equality and never averaged.
pub type Facts = BTreeMap<String, serde_json::Value>;

/// How a case, or one worker of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Ran to its end with the right check.
    Ok,
    /// The guest hit a wasm trap.
    Trapped,
    /// Wrong check, non-zero exit, failed build, missing import, dead worker.
    Failed,
    /// Passed the wall-clock limit and was killed.
    Timeout,
    /// Not run, for the reason in the detail.
    Skipped,
}

impl Status {
    /// The word used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Trapped => "trapped",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
        }
    }
}

/// How a case, or one worker of it, ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The kind of ending.
    pub status: Status,
    /// What happened, for a reader; `None` when all went well.
    pub detail: Option<String>,
    /// The same for a script; `None` when all went well, or in a report of a version that had no codes.
    #[serde(default, deserialize_with = "code::if_known", skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Whether this is the ending that the scenario expects. A row that is not as expected makes the run exit with 1.
    #[serde(default = "yes")]
    pub expected: bool,
}

const fn yes() -> bool {
    true
}

const fn once() -> u32 {
    1
}

impl Outcome {
    /// Whether the case itself is as expected, and only its facts are not within their budgets.
    #[must_use]
    pub const fn is_of_budgets(&self) -> bool {
        matches!(self.code, Some(Code::OverBudget | Code::NoSuchFact))
    }

    /// Ran to its end.
    #[must_use]
    pub const fn ok() -> Self {
        Self { status: Status::Ok, detail: None, code: None, expected: true }
    }

    /// Ended otherwise, which nobody expected so far.
    #[must_use]
    pub fn because(status: Status, code: Code, detail: impl Into<String>) -> Self {
        let detail = Some(bounded(detail.into())).filter(|detail| !detail.is_empty());
        let detail = detail.or_else(|| Some("no reason was given".to_owned()));
        Self { status, detail, code: Some(code), expected: false }
    }
}

/// Guests have a say in reasons; this much of one is enough.
fn bounded(mut detail: String) -> String {
    const BYTES: usize = 2_000;
    if detail.len() > BYTES {
        let end = (0..=BYTES).rev().find(|end| detail.is_char_boundary(*end)).unwrap_or(0);
        detail.truncate(end);
        detail.push('…');
    }
    detail
}

/// One line of the journal: what one worker gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// The single pass that collects facts and verifies the check before anything is timed.
    Facts {
        /// Index of the case in the plan.
        case: usize,
        /// The case, `workload/flavour/engine`.
        id: String,
        /// How the pass ended.
        outcome: Outcome,
        /// What it found.
        facts: Facts,
    },
    /// One worker process of timed iterations.
    Process(ProcessRecord),
    /// What a check came to.
    Check(CheckRecord),
}

impl Record {
    /// Events of a flow that found no room.
    #[must_use]
    pub fn events_lost(&self) -> u64 {
        match self {
            Self::Process(process) => process.counts.get(EVENTS_LOST).copied().unwrap_or(0),
            _ => 0,
        }
    }
}

/// What a check, or a part of one, came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// By operation, trap or file.
    pub tallies: BTreeMap<String, Tally>,
    /// How traps were caught.
    pub caught: Caught,
    /// How often each phase was entered.
    pub entered: BTreeMap<Phase, u64>,
    /// What is worth telling of a single thing, by its name.
    pub facts: Facts,
    /// What was not as it must be: the first few.
    pub failures: Vec<Failure>,
    /// Why the engine does not offer some of it, and how much that is.
    pub unsupported: BTreeMap<String, u64>,
}

impl Totals {
    /// Everything together.
    #[must_use]
    pub fn all(&self) -> Tally {
        let mut all = Tally::default();
        self.tallies.values().for_each(|tally| all.add(*tally));
        all
    }
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// Index of the case in the plan.
    pub case: usize,
    /// The case, `workload/flavour/engine`.
    pub id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it came to.
    pub totals: Totals,
    /// What the kernel charged to its worker; `None` when it was not watched.
    pub kernel: Option<KernelEvents>,
}

/// How many cells were tried, and how that went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Cells that were tried.
    pub tried: u64,
    /// Those that were as they must be.
    pub passed: u64,
    /// Cells that the engine does not offer, which were not tried.
    #[serde(default)]
    pub unsupported: u64,
}

impl Tally {
    /// Adds another.
    pub const fn add(&mut self, other: Self) {
        self.tried = self.tried.saturating_add(other.tried);
        self.passed = self.passed.saturating_add(other.passed);
        self.unsupported = self.unsupported.saturating_add(other.unsupported);
    }
}

/// How the traps of a check were caught, as the worker's own signal handler saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caught {
    /// All traps.
    pub traps: u64,
    /// By a SIGSEGV whose address lies in the guard behind the memory.
    pub by_guard: u64,
    /// By a SIGSEGV in the first page: a failed check that becomes an access to address 0, against speculation.
    pub by_null_page: u64,
    /// By a SIGSEGV of which it is not known where memory lies: those of the specification's scripts.
    #[serde(default)]
    pub by_unplaced: u64,
    /// By an instruction that raises another signal: SIGILL, SIGTRAP, SIGFPE.
    pub by_instruction: u64,
    /// By a check that calls the engine, without any signal.
    pub without_signal: u64,
}

impl Caught {
    /// Adds another.
    pub const fn add(&mut self, other: Self) {
        self.traps = self.traps.saturating_add(other.traps);
        self.by_guard = self.by_guard.saturating_add(other.by_guard);
        self.by_null_page = self.by_null_page.saturating_add(other.by_null_page);
        self.by_unplaced = self.by_unplaced.saturating_add(other.by_unplaced);
        self.by_instruction = self.by_instruction.saturating_add(other.by_instruction);
        self.without_signal = self.without_signal.saturating_add(other.without_signal);
    }

    /// SIGSEGV that the kernel must have delivered for them.
    #[must_use]
    pub const fn segmentation_faults(&self) -> u64 {
        self.by_guard.saturating_add(self.by_null_page).saturating_add(self.by_unplaced)
    }
}

/// Something that was not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What came of it.
    pub got: String,
    /// A command in the text format that does the same; `None` where there is none.
    #[serde(default)]
    pub wat: Option<String>,
}

/// The name of a phase's measurement.
#[must_use]
pub fn metric_of(phase: Phase) -> String {
    format!("phase.{}", phase.name())
}

/// Whether an iteration passes this phase several times when the guest is short.
#[must_use]
pub const fn is_repeated(phase: Phase) -> bool {
    matches!(phase, Phase::Instantiate | Phase::Init | Phase::Run | Phase::Trap | Phase::Teardown)
}

/// Resident memory of the worker after an instance was made.
pub const RSS_INSTANTIATE: &str = "memory.rss.instantiate";
/// Resident memory of the worker at the end of `run`.
pub const RSS_RUN: &str = "memory.rss.run";
/// Resident bytes of the guest's linear memory at the end of `run`: what the guest has touched.
pub const TOUCHED: &str = "memory.touched";
/// The fact that lists those facts which came out differently in two passes, and so have no value.
pub const UNSTEADY: &str = "unsteady";
/// The fact with the instructions between the guest's marks.
pub const INSTRUCTIONS: &str = "instructions.run";
/// From the faulting access to control in the host: the phase `trap` of a guest that traps on purpose.
pub const TRAP_LATENCY: &str = "trap.latency";
/// The count of events that found no room in their ring buffer.
pub const EVENTS_LOST: &str = "events.lost";

/// Samples of one worker process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Index of the case in the plan.
    pub case: usize,
    /// The case, `workload/flavour/engine`.
    pub id: String,
    /// Which of the case's processes, from 0, counted apart for watched and unwatched ones.
    pub process: u32,
    /// Whether the kernel programs were attached and following this worker.
    pub watched: bool,
    /// How the worker ended.
    pub outcome: Outcome,
    /// Nanoseconds of each pass through each phase, in order.
    pub samples: BTreeMap<Phase, Vec<u64>>,
    /// Bytes of memory at certain points of each iteration, by metric.
    #[serde(default)]
    pub memory: BTreeMap<String, Vec<u64>>,
    /// What experiments measured, by metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measured: BTreeMap<String, Vec<f64>>,
    /// What flows of events counted, by name, over all iterations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// How durations of flows are spread, in nanoseconds, by metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spreads: BTreeMap<String, Distribution>,
    /// How often the phases of which [`is_repeated`] is true were passed in each iteration; a sample is their mean.
    #[serde(default = "once")]
    pub repeats: u32,
    /// How often the kernel took the processor away, in each iteration.
    #[serde(default)]
    pub preemptions: Vec<u64>,
    /// Share of the machine's processor time that the hypervisor gave to others meanwhile.
    #[serde(default)]
    pub steal_ratio: Option<f64>,
    /// How often the quota of its cgroup stopped it; `None` without a quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Throttled>,
    /// How often each phase was entered, including passes that did not end.
    pub entered: BTreeMap<Phase, u64>,
    /// What the kernel charged to the worker; `None` when it was not watched.
    pub kernel: Option<KernelEvents>,
}

/// How often a quota of processor time stopped the processes of a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// Periods of the quota in which it was used up.
    pub periods: u64,
    /// For how long processes were stopped, in microseconds, added up over the processors.
    pub time_us: u64,
}

/// When a phase was passed, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The phase.
    pub phase: Phase,
    /// Its beginning.
    pub start_ns: u64,
    /// Its end.
    pub end_ns: u64,
}

/// One iteration of one case, event by event, on CLOCK_MONOTONIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// When each phase was passed.
    pub spans: Vec<Span>,
    /// What the kernel told, in the order of beginnings; empty without capture.
    pub events: Vec<TracedEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_being_stored() {
        let record = Record::Process(ProcessRecord {
            case: 3,
            id: "hello/std/cranelift".into(),
            process: 1,
            watched: true,
            outcome: Outcome::because(Status::Timeout, Code::TimedOut, "in run for 10s"),
            samples: BTreeMap::from([(Phase::InstantiateCold, vec![1, 2])]),
            memory: BTreeMap::from([(RSS_RUN.into(), vec![4096])]),
            measured: BTreeMap::from([("fairness".into(), vec![0.5])]),
            counts: BTreeMap::from([("events.lost".into(), 3)]),
            spreads: BTreeMap::new(),
            repeats: 7,
            preemptions: vec![0, 3],
            steal_ratio: Some(0.25),
            throttled: Some(Throttled { periods: 2, time_us: 160_000 }),
            entered: BTreeMap::from([(Phase::Run, 2)]),
            kernel: Some(BTreeMap::new()),
        });
        let line = serde_json::to_string(&record).expect("plain data");
        assert_eq!(serde_json::from_str::<Record>(&line).expect("our own line"), record);
    }
}
