//! What a case does: the same word in plans, requests and reports.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a case does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Its guest is run through the phases, again and again.
    #[default]
    Phases,
    /// Something that must hold is tried once, piece by piece, and what held is counted.
    Check,
    /// An experiment is repeated, and what it measures is kept.
    Experiment,
    /// Its guest handles a flow of kernel events.
    Flow,
}

impl Work {
    /// Whether a guest is run through the phases. Only then are there facts, timelines and comparisons.
    #[must_use]
    pub const fn runs_phases(self) -> bool {
        matches!(self, Self::Phases)
    }
}

/// Which check, experiment or flow: a value that only its kind of scenario reads. It crosses the pipe to the worker as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spec(serde_json::Value);

impl Spec {
    /// Of a value of the kind's own.
    ///
    /// # Panics
    /// When the value cannot be JSON: a mistake in the kind, which its tests meet.
    #[must_use]
    pub fn of<T: Serialize>(value: &T) -> Self {
        Self(serde_json::to_value(value).unwrap_or_else(|error| panic!("a spec is plain data: {error}")))
    }

    /// The value again.
    ///
    /// # Errors
    /// When it is of another kind, or of another version of this one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }
}
