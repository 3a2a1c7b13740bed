//! `kind: traps`: every access at every edge of every kind of memory, traps of every other kind, guests that make
//! mistakes, and what a trap costs.
//!
//! Most cases have no guest: the worker makes the modules that it tries (`worker/`), block by block of a thousand
//! cells, and sends what each block came to. The cells, their addresses and their right results are computed
//! here, without any engine, on both sides of the pipe alike: which cells there are (`matrix.rs`, `cell.rs`,
//! `layout.rs`, `operation.rs`), what the specification says of each (`oracle.rs`), and how it is written as wasm
//! (`module.rs`, `instructions.rs`).
//!
//! A cell is one function of a generated module. Its instance is shared by all cells of a block, filled with a
//! pattern that is restored after every store; beside it live two other instances of the same module, made before
//! and after it, and a memory of the host's, with patterns of their own. After each cell everything is compared:
//! the trap or the bits of the result, the memory, all canaries, and that the instance still answers. The worker's
//! own signal handler, in front of wasmtime's, says how a trap was caught; in `summary.rs` the kernel's count of
//! the same worker must agree, or the row fails.
//!
//! A worker that dies in a check is run once more and names every cell before it tries it, so the last one it names
//! is the culprit. Guests whose traps are timed (`depth-N`) and guests that make mistakes are ordinary cases that
//! are expected to trap; what explicit checks cost is a comparison of one guest under two engines.

mod cell;
mod check;
mod depth;
mod instructions;
mod layout;
mod matrix;
mod module;
mod operation;
mod oracle;
mod other_traps;
pub mod planted;
mod scenario;
pub mod specification;
mod summary;
pub(crate) mod tables;
mod worker;

pub use cell::{Address, Cell, Position, Reserved, Shape, Split};
pub use check::{Check, GENERATED, TESTSUITE};
pub use depth::{DEPTHS, trapping_at};
pub use layout::Layout;
pub use matrix::{BLOCK_CELLS, Block, Share, blocks};
pub use module::{
    ALIVE, GROW, MEMORY, OTHER, PEEK, TABLE, function_name, of_cells, parameter_types, reproduction, result_type, shown,
};
pub use operation::{Effect, Family, OPERATIONS, Operation, Type};
pub use oracle::{Code, Expected, OTHER_MASK, Stored, byte_at, element_at, expected};
pub use other_traps::{Needs, OTHER_TRAPS, OtherTrap};
pub use wasiscope_model::report::Planted;

use wasiscope_ebpf_abi::Phase;
use wasiscope_model::kind::Named;
use wasiscope_model::work::Spec;

use super::Kind;
use wasiscope_model::capture::Coverage;
use wasiscope_model::record::{self, CheckRecord, Facts, Outcome};
use wasiscope_model::report::{KernelReport, ScenarioReport};
use wasiscope_scenario::Engine;
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
    fn fingerprint(&self, spec: &Spec, engine: &Engine) -> (String, u64) {
        spec.read::<Check>()
            .map(|check| check.fingerprint(Reserved::of(engine.settings.unwrap_or_default())))
            .unwrap_or_default()
    }

    /// The cell of this name as a command, if it is one of the matrix.
    fn reproduction(&self, spec: &Spec, engine: &Engine, name: &str) -> Option<String> {
        let Check::Matrix { family, share } = spec.read().ok()? else { return None };
        let blocks = blocks(family, share, Reserved::of(engine.settings.unwrap_or_default()));
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
