//! The kinds of scenario, a folder for each: what its files can say, which cases they make, what a worker does for them, how
//! that is summarised and shown. Nothing outside of these folders asks for a kind by its name.
//!
//! A new kind is a folder, its `pub mod`, and a line in the list at the end of this file.

mod endings;
mod leader;
mod parts;
pub mod pipeline;
pub mod prices;
pub mod scheduler;
mod spread;
pub mod traps;
pub mod workload;

use std::path::Path;

pub use leader::{FlowError, Leader, Source};

use wasiscope_ebpf_abi::Phase;
use wasiscope_model::kind::find;
use wasiscope_model::metrics::Metric;
use wasiscope_model::work::Spec;

use wasiscope_model::capture::Coverage;
use wasiscope_model::record::{self, CheckRecord, Facts, Outcome, ProcessRecord};
use wasiscope_model::report::{KernelReport, ScenarioReport, Spread};
use wasiscope_render::View;
use wasiscope_scenario::plan::Case;
use wasiscope_scenario::{self as scenario, Engine, Scenario, ScenarioError};
use wasiscope_worker as worker;

/// Everything that is different about a kind of scenario. What is not said here is as for workloads.
pub trait Kind: scenario::Kind + worker::Kind + View {
    /// The function of a guest that a case of this kind calls, with its arguments.
    fn entry(&self, _case: &Case) -> (&'static str, &'static [&'static str]) {
        ("_start", &[])
    }

    /// Whether guests of this case may import WASI, and nothing else.
    fn offers_wasi(&self, _case: &Case) -> bool {
        true
    }

    /// The hash of all modules that a check makes, and their bytes together.
    fn fingerprint(&self, _spec: &Spec, _engine: &Engine) -> (String, u64) {
        (String::new(), 0)
    }

    /// Something that a check tried, as a command in the text format that does the same.
    fn reproduction(&self, _spec: &Spec, _engine: &Engine, _name: &str) -> Option<String> {
        None
    }

    /// Who leads the workers of a flow.
    fn leader(&self, _spec: &Spec) -> Option<Box<dyn Leader>> {
        None
    }

    /// Whether a fact of this name is a count that differs from run to run.
    fn varies(&self, _fact: &str) -> bool {
        false
    }

    /// Metrics of this kind only.
    fn metrics(&self) -> &'static [Metric] {
        &[]
    }

    /// The name of what the durations of a phase measure.
    fn phase_metric(&self, phase: Phase) -> String {
        record::metric_of(phase)
    }

    /// How the samples of a metric are spread, where that is a result.
    fn spread(&self, metric: &str, unwatched: &[&ProcessRecord], watched: &[&ProcessRecord]) -> Option<Spread> {
        spread::of_samples(metric, unwatched, watched)
    }

    /// What a check came to, as facts.
    fn check_facts(&self, record: &CheckRecord, _case: &Case) -> Facts {
        record.totals.facts.clone()
    }

    /// How a check ended, once the kernel has been asked, too.
    fn check_outcome(&self, record: &CheckRecord, _coverage: Coverage) -> Outcome {
        record.outcome.clone()
    }

    /// What the kernel saw of a case that cannot be; asked only where nothing was lost.
    fn kernel_problem(&self, _case: &Case, _outcome: &Outcome, _kernel: &KernelReport) -> Option<String> {
        None
    }

    /// Adds to a scenario what only all of its cases together tell.
    fn complete(&self, _scenario: &mut ScenarioReport) {}
}

/// The kind of this name.
///
/// # Panics
/// When there is none: names of kinds come from this list, but for those in reports, which may be of another version and are
/// looked up by [`find`].
#[must_use]
pub fn of(name: &str) -> &'static dyn Kind {
    find(ALL, name).unwrap_or_else(|| panic!("no kind of scenario is called `{name}`"))
}

/// Whether a fact of this name is a count that differs from run to run.
#[must_use]
pub fn varies(fact: &str) -> bool {
    ALL.iter().any(|kind| kind.varies(fact))
}

/// Reads a scenario of any kind.
///
/// # Errors
/// As [`scenario::read`].
pub fn read(path: &Path) -> Result<Scenario, ScenarioError> {
    scenario::read(path, SCENARIOS)
}

/// As [`read`], of a scenario whose guest need not be there.
///
/// # Errors
/// As [`scenario::read`].
pub fn read_without_guest(path: &Path) -> Result<Scenario, ScenarioError> {
    scenario::read_without_guest(path, SCENARIOS)
}

/// Reads every scenario of a folder.
///
/// # Errors
/// As [`scenario::read_folder`].
pub fn read_folder(folder: &Path) -> Result<Vec<Scenario>, ScenarioError> {
    scenario::read_folder(folder, SCENARIOS)
}

/// Validates the text of a scenario file of any kind; `path` is only for messages.
///
/// # Errors
/// As [`scenario::parse`].
pub fn parse(path: &Path, text: &str) -> Result<Scenario, ScenarioError> {
    scenario::parse(path, text, SCENARIOS)
}

macro_rules! kinds {
    ($($kind:path),* $(,)?) => {
        /// Every kind. The first is that of a scenario which names none.
        pub const ALL: &[&dyn Kind] = &[$(&$kind),*];
        /// As files are read by them.
        pub const SCENARIOS: scenario::Kinds = &[$(&$kind),*];
        /// As workers work for them.
        pub const WORKERS: worker::Kinds = &[$(&$kind),*];
        /// As reports are shown by them.
        pub const VIEWS: wasiscope_render::Views = &[$(&$kind),*];
    };
}

// Every kind there is.
kinds![workload::Workload, traps::Traps, scheduler::Scheduler, pipeline::Pipeline,];

#[cfg(test)]
mod tests;
