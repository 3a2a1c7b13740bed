//! Figures in documents: what samples come to, and what a comparison says of them. How they are computed is for `wasiscope-stats`.

use serde::{Deserialize, Serialize};

/// Counts added up. What is read of a file may hold any numbers, and the largest there is says more than what is left of a sum that wrapped.
pub fn total(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// What the samples of one measurement say. All values are in the unit of the samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of samples over all processes.
    pub n: usize,
    /// Number of processes that gave at least one sample.
    pub processes: usize,
    /// Median of the processes' medians, so that each process weighs the same.
    pub median: f64,
    /// Lower end of the interval of the median; `None` when there are too few processes for the confidence that the report names.
    pub ci_low: Option<f64>,
    /// Upper end of the interval of the median; `None` when there are too few processes for the confidence that the report names.
    pub ci_high: Option<f64>,
    /// Smallest sample.
    pub min: f64,
    /// Largest sample.
    pub max: f64,
    /// Median absolute deviation of all samples from their median.
    pub mad: f64,
    /// 95th percentile of all samples.
    pub p95: f64,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The interval lies wholly within the tolerance.
    Unchanged,
    /// The interval lies wholly below it.
    Improved,
    /// None of the others: more samples or a quieter machine are needed.
    Inconclusive,
    /// The interval lies wholly above it.
    Regressed,
}

impl Verdict {
    /// The word used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Improved => "improved",
            Self::Inconclusive => "inconclusive",
            Self::Regressed => "regressed",
        }
    }

    /// From an interval of log(new / base), where less is better. `tolerance` is relative: 0.03 for 3 %.
    #[must_use]
    pub fn of((low, high): (f64, f64), tolerance: f64) -> Self {
        // As a ratio, so that -3 % and +3 % are what the user wrote.
        let (worse, better) = ((1.0 + tolerance).ln(), (1.0 - tolerance.min(0.999)).ln());
        if low > worse {
            Self::Regressed
        } else if high < better {
            Self::Improved
        } else if better <= low && high <= worse {
            Self::Unchanged
        } else {
            Self::Inconclusive
        }
    }

    /// Whether it says that something has changed.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Regressed | Self::Improved)
    }
}
