//! The matrix of memory-bounds traps: every access, at every edge, in every kind of memory.
//!
//! What is here is pure: which cells there are, what the specification says of each, and how it is written as WebAssembly.
//! It knows no engine and no process; the worker tries the cells.

mod cell;
mod check;
mod depth;
mod matrix;
mod mishaps;
mod module;
mod operation;
mod oracle;
pub mod planted;
mod scenario;
pub mod specification;
mod summary;
pub(crate) mod tables;
mod worker;

pub use cell::{Address, Cell, Layout, Position, Reserved, Shape, Split};
pub use check::{Check, GENERATED, TESTSUITE};
pub use depth::{DEPTHS, trapping_at};
pub use matrix::{BLOCK_CELLS, Block, Share, blocks};
pub use mishaps::{MISHAPS, Mishap, Needs};
pub use module::{
    ALIVE, GROW, MEMORY, OTHER, PEEK, TABLE, function_name, of_cells, parameter_types, reproduction, result_type, shown,
};
pub use operation::{Effect, Family, OPERATIONS, Operation, Type};
pub use oracle::{Code, Expected, OTHER_MASK, Stored, byte_at, element_at, expected};
pub use wasiscope_model::report::Planted;

use wasiscope_ebpf_abi::Phase;
use wasiscope_model::kind::Named;
use wasiscope_model::work::Spec;

use super::Kind;
use wasiscope_model::capture::Coverage;
use wasiscope_model::record::{self, CheckRecord, Facts, Outcome};
use wasiscope_model::report::{KernelReport, ScenarioReport};
use wasiscope_scenario::EngineSettings;
use wasiscope_scenario::plan::Case;

/// The kind of scenario.
#[derive(Debug)]
pub struct Traps;

impl Named for Traps {
    fn name(&self) -> &'static str {
        "traps"
    }
}

impl Kind for Traps {
    fn fingerprint(&self, spec: &Spec, settings: EngineSettings) -> (String, u64) {
        spec.read::<Check>().map(|check| check.fingerprint(Reserved::of(settings))).unwrap_or_default()
    }

    /// The cell of this name as a command, if it is one of the matrix.
    fn reproduction(&self, spec: &Spec, settings: EngineSettings, name: &str) -> Option<String> {
        let Check::Matrix { family, share } = spec.read().ok()? else { return None };
        let blocks = blocks(family, share, Reserved::of(settings));
        let (cell, address) =
            blocks.iter().flat_map(|block| &block.cells).find(|(cell, _)| cell.to_string() == name)?;
        reproduction(cell, address).ok()
    }

    /// The phase `trap` is what is measured, and bears the name of that.
    fn phase_metric(&self, phase: Phase) -> String {
        if phase == Phase::Trap { record::TRAP_LATENCY.to_owned() } else { record::metric_of(phase) }
    }

    fn check_facts(&self, record: &CheckRecord, case: &Case) -> Facts {
        summary::facts(record, case)
    }

    fn check_outcome(&self, record: &CheckRecord, coverage: Coverage) -> Outcome {
        summary::outcome(record, coverage)
    }

    fn kernel_problem(&self, case: &Case, outcome: &Outcome, kernel: &KernelReport) -> Option<String> {
        summary::wrong_signals(case, outcome, kernel)
    }

    fn complete(&self, scenario: &mut ScenarioReport) {
        summary::message_costs(scenario);
    }
}
