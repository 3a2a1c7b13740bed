//! What a comparison found, and the document that it becomes.

use wasiscope_stats::FALSE_ALARMS;

use super::{Comparison, FactRow, KernelRow, Row, SCHEMA_VERSION, SideReport, overall};

/// What two sides say of each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// Every row, of every metric of every case.
    pub rows: Vec<Row>,
    /// Facts that differ.
    pub facts: Vec<FactRow>,
    /// What the kernel did otherwise.
    pub kernel: Vec<KernelRow>,
    /// What the reader must know besides.
    pub warnings: Vec<String>,
    /// Decides the order of what was run; `None` where nothing was.
    pub seed: Option<u64>,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether the budget was spent before everything was settled.
    pub budget_spent: bool,
}

impl Differences {
    /// The document that they are, between these two.
    #[must_use]
    pub fn between(self, base: SideReport, new: SideReport) -> Comparison {
        Comparison {
            schema_version: SCHEMA_VERSION,
            wasiscope: env!("CARGO_PKG_VERSION").to_owned(),
            base,
            new,
            verdict: overall(&self.rows),
            seed: self.seed,
            confidence: 1.0 - FALSE_ALARMS,
            interrupted: self.interrupted,
            budget_spent: self.budget_spent,
            warnings: self.warnings,
            facts: self.facts,
            rows: self.rows,
            kernel: self.kernel,
        }
    }
}
