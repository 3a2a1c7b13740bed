//! How much change is let pass.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use wasiscope_model::record::metric_of;

/// Relative change of a metric that is no regression yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tolerances {
    by_metric: BTreeMap<String, f64>,
}

impl Tolerances {
    /// These, and the defaults for all other metrics.
    #[must_use]
    pub fn new(by_metric: BTreeMap<String, f64>) -> Self {
        Self { by_metric }
    }

    /// These take the place of those of `self`.
    #[must_use]
    pub fn overridden_by(&self, other: &Self) -> Self {
        let mut by_metric = self.by_metric.clone();
        by_metric.extend(other.by_metric.clone());
        Self { by_metric }
    }

    /// For one metric: what was asked for, else half a percent of `run`, which is what a comparison can tell, and more
    /// of phases that hold mostly system calls and allocations.
    #[must_use]
    pub fn of(&self, metric: &str) -> f64 {
        const RUN: f64 = 0.005;
        const COMPILE: f64 = 0.03;
        const OTHER: f64 = 0.05;
        self.by_metric.get(metric).copied().unwrap_or_else(|| match metric {
            _ if metric == metric_of(Phase::Run) => RUN,
            _ if metric == metric_of(Phase::Compile) => COMPILE,
            _ => OTHER,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let scenario = Tolerances::new(BTreeMap::from([("phase.run".to_owned(), 0.1), ("phase.init".to_owned(), 0.2)]));
        let user = Tolerances::new(BTreeMap::from([("phase.run".to_owned(), 0.0)]));
        let both = scenario.overridden_by(&user);
        assert_eq!((both.of("phase.run"), both.of("phase.init"), both.of("phase.compile")), (0.0, 0.2, 0.03));
    }
}
