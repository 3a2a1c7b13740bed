//! The table of metrics: what is measured, in which unit, and which way is better. A kind of scenario adds its own rows.

use wasiscope_ebpf_abi::Phase;

use crate::record::{RSS_INSTANTIATE, RSS_RUN, TOUCHED, TRAP_LATENCY, metric_of};

/// The fact that counts events which did not get from the kernel to the guest; with the reason behind a point.
/// Facts of guests that are numbers, by name or pattern.
pub const NUMERIC_FACTS: &[&str] = &[
    "size.wasm",
    "size.native",
    "size.native_code",
    "size.stripped",
    "size.gzip",
    "size.zstd",
    "size.framing",
    "size.section.*",
    "size.over_abort",
    "functions.count",
    "data.segments",
    "table.elements",
    "memory.initial_pages",
    "memory.maximum_pages",
    "memory.final_pages",
    "fuel",
    "instructions",
    "stdout.bytes",
    "stderr.bytes",
];

/// Events that did not get through it; with the reason behind a point.
pub const HAND_OVER_ERRORS: &str = "bpf_to_wasm_err";

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

impl Direction {
    /// As reports say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lower => "lower_is_better",
            Self::Higher => "higher_is_better",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name. A measurement may have a suffix behind a point: `oversleep.1ms`.
    pub name: &'static str,
    /// The unit of its samples: `ns`, `us`, `bytes`, `1/s`, `ratio`, `index`.
    pub unit: &'static str,
    /// Which way is better.
    pub direction: Direction,
}

impl Metric {
    /// One of which less is better.
    #[must_use]
    pub const fn lower(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, direction: Direction::Lower }
    }

    /// One of which more is better.
    #[must_use]
    pub const fn higher(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, direction: Direction::Higher }
    }
}

/// The row of a measurement's name: the one with the longest name that the measurement's begins with.
#[must_use]
pub fn find<'a>(rows: &'a [Metric], measurement: &str) -> Option<&'a Metric> {
    let is_of =
        |row: &&Metric| measurement.strip_prefix(row.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    rows.iter().filter(is_of).max_by_key(|row| row.name.len())
}

/// What phases take: `phase.run`, and [`TRAP_LATENCY`] where the phase `trap` has that name.
pub const DURATIONS: &[Metric] = &[Metric::lower("phase", "ns"), Metric::lower(TRAP_LATENCY, "ns")];

/// What a worker's memory comes to at certain points of an iteration.
pub const MEMORY: &[Metric] =
    &[Metric::lower(RSS_INSTANTIATE, "bytes"), Metric::lower(RSS_RUN, "bytes"), Metric::lower(TOUCHED, "bytes")];

/// Every measurement that a report of workloads can hold.
pub fn of_phases() -> impl Iterator<Item = String> {
    let others = MEMORY.iter().map(|row| row.name).chain([TRAP_LATENCY]);
    Phase::REPORTED.into_iter().map(metric_of).chain(others.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_belongs_to_the_longest_name_before_it() {
        let rows = [Metric::lower("probe", "us"), Metric::higher("probe.rate", "1/s")];
        assert_eq!(find(&rows, "probe.1ms"), Some(&rows[0]));
        assert_eq!(find(&rows, "probe.rate.max"), Some(&rows[1]));
        assert_eq!(find(&rows, "probes"), None);
    }

    #[test]
    fn every_measurement_of_workloads_has_one_row() {
        for name in of_phases() {
            let rows = [DURATIONS, MEMORY].into_iter().filter(|rows| find(rows, &name).is_some());
            assert_eq!(rows.count(), 1, "{name}");
        }
    }
}
