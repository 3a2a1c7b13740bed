//! What the kernel did otherwise on the new side: no verdict, but what a change in time may come from.

use std::collections::{BTreeMap, BTreeSet};

use wasiscope_model::comparison::KernelRow;
use wasiscope_model::kernel_figures::{Compared, KERNEL_COUNTS_BY_NAME, KERNEL_FIGURES, KernelFigure};

use wasiscope_model::report::{Calls, KernelPhase, KernelReport};

/// Counts that differ by less than this share of the larger are the same: faults and switches come and go.
const COUNT_SHARE: f64 = 0.05;
/// Times vary more, and are those of watched workers.
const TIME_SHARE: f64 = 0.2;
/// A count that happens less often than once in so many iterations is nobody's reason.
const COUNT_MIN: f64 = 0.05;
/// As short a time could not be told from the clock.
const TIME_MIN_NS: f64 = 200.0;
/// Shorter waits for a processor, and fewer moves from it, come and go by themselves.
const WAIT_MIN_NS: f64 = 20_000.0;
const MOVES_MIN: f64 = 0.5;
/// Most differences of one phase.
const ROWS: usize = 12;

/// What differs between the kernel's sides of a case, phase by phase, the largest changes of each first. Where one side does not know
/// something nothing is said of it.
#[must_use]
pub fn differences(case: &str, base: &KernelReport, new: &KernelReport) -> Vec<KernelRow> {
    let mut rows = Vec::new();
    for (phase, old) in &base.phases {
        let Some(now) = new.phases.get(phase).filter(|now| now.iterations > 0 && old.iterations > 0) else { continue };
        let row = |(what, unit, base, new): (String, &str, Option<u64>, Option<u64>)| {
            Some(KernelRow {
                case: case.to_owned(),
                scenario: None,
                machine: None,
                phase: phase.clone(),
                what,
                unit: unit.to_owned(),
                base: base? as f64 / old.iterations as f64,
                new: new? as f64 / now.iterations as f64,
            })
        };
        let mut of_phase: Vec<KernelRow> =
            figures(old, now).into_iter().filter_map(row).filter(is_worth_telling).collect();
        of_phase.sort_by(|one, other| share(other).total_cmp(&share(one)));
        of_phase.truncate(ROWS);
        rows.extend(of_phase);
    }
    rows
}

/// How much a row changed, as a share of the larger of the two.
fn share(row: &KernelRow) -> f64 {
    (row.new - row.base).abs() / row.new.max(row.base)
}

fn is_worth_telling(row: &KernelRow) -> bool {
    let of_machine = |figure: &&KernelFigure| figure.name == row.what && figure.compared == Some(Compared::Machine);
    let is_of_machine = KERNEL_FIGURES.iter().any(|figure| of_machine(&figure));
    let (least, at_least) = match (is_of_machine, row.unit.as_str()) {
        (true, "ns") => (WAIT_MIN_NS, TIME_SHARE),
        (true, _) => (MOVES_MIN, TIME_SHARE),
        (false, "ns") => (TIME_MIN_NS, TIME_SHARE),
        (false, _) => (COUNT_MIN, COUNT_SHARE),
    };
    (row.new - row.base).abs() >= least && share(row) >= at_least
}

/// Everything that was charged to a phase on both sides: what, in which unit, and how much in all iterations.
fn figures(old: &KernelPhase, now: &KernelPhase) -> Vec<(String, &'static str, Option<u64>, Option<u64>)> {
    let mut figures = Vec::new();
    let mut add = |what: &str, unit, of: &dyn Fn(&KernelPhase) -> Option<u64>| {
        figures.push((what.to_owned(), unit, of(old), of(now)));
    };
    let names: BTreeSet<&String> = old.syscalls.keys().chain(now.syscalls.keys()).collect();
    for name in names {
        // A call that was never made is none, and takes no time.
        let calls = |phase: &KernelPhase| phase.syscalls.get(name).cloned().unwrap_or_else(no_calls);
        add(&format!("{name} calls"), "count", &|phase| Some(calls(phase).count));
        add(&format!("in {name}"), "ns", &|phase| calls(phase).total_ns);
    }
    for counts in KERNEL_COUNTS_BY_NAME.iter().filter(|counts| counts.compared.is_some()) {
        let names: BTreeSet<&String> =
            [old, now].into_iter().filter_map(counts.value).flat_map(BTreeMap::keys).collect();
        for name in names {
            // One that never happened is none.
            add(name, "count", &|phase| (counts.value)(phase).map(|of| of.get(name).copied().unwrap_or(0)));
        }
    }
    for figure in KERNEL_FIGURES.iter().filter(|figure| figure.compared.is_some()) {
        add(figure.name, figure.unit.name(), &figure.value);
    }
    figures
}

fn no_calls() -> Calls {
    Calls { total_ns: Some(0), ..Calls::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasiscope_model::report::Faults;

    fn side(iterations: u64, phase: KernelPhase) -> KernelReport {
        let phases = BTreeMap::from([("run".to_owned(), KernelPhase { iterations, ..phase })]);
        KernelReport { phases, outside: None }
    }

    fn calls(count: u64, ns: u64) -> Calls {
        Calls { count, total_ns: Some(ns), ..Calls::default() }
    }

    #[test]
    fn only_what_differs_is_told_and_per_iteration() {
        let syscalls = |reads, maps| BTreeMap::from([("read".to_owned(), reads), ("mmap".to_owned(), maps)]);
        let old = KernelPhase { syscalls: syscalls(calls(100, 50_000), calls(10, 9_000)), ..KernelPhase::default() };
        let now = KernelPhase { syscalls: syscalls(calls(202, 101_000), calls(80, 72_000)), ..KernelPhase::default() };
        let rows = differences("w/f/e", &side(10, old), &side(20, now));
        let told: Vec<(&str, f64, f64)> = rows.iter().map(|row| (row.what.as_str(), row.base, row.new)).collect();
        assert_eq!(told, [("mmap calls", 1.0, 4.0), ("in mmap", 900.0, 3_600.0)]);
    }

    #[test]
    fn a_call_that_only_one_side_makes_is_told_and_what_is_not_known_is_not() {
        let old = KernelPhase { faults: Faults { user: Some(5), ..Faults::default() }, ..KernelPhase::default() };
        let syscalls = BTreeMap::from([("futex".to_owned(), calls(3, 6_000))]);
        let now = KernelPhase { syscalls, ..KernelPhase::default() };
        let rows = differences("w/f/e", &side(1, old), &side(1, now));
        let told: Vec<(&str, f64, f64)> = rows.iter().map(|row| (row.what.as_str(), row.base, row.new)).collect();
        assert_eq!(told, [("futex calls", 0.0, 3.0), ("in futex", 0.0, 6_000.0)]);
        assert!(differences("w/f/e", &side(0, KernelPhase::default()), &side(1, KernelPhase::default())).is_empty());
    }
}
