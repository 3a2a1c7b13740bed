//! Faults that are put into a run on purpose.

use serde::{Deserialize, Serialize};

/// A fault put in on purpose, to see that it is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Planted {
    /// The oracle says the opposite of one operation.
    Oracle {
        /// Its name.
        operation: String,
    },
    /// A byte of another instance changes behind the back of one operation.
    Canary {
        /// Its name.
        operation: String,
    },
    /// The engine checks bounds otherwise than its settings say.
    Engine,
}

impl std::fmt::Display for Planted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Oracle { operation } => write!(f, "the oracle says the opposite of {operation}"),
            Self::Canary { operation } => write!(f, "another instance changes behind the back of {operation}"),
            Self::Engine => f.write_str("guard pages and explicit checks have changed places"),
        }
    }
}
