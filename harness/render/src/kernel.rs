//! The kernel's side of a case as tables: what was asked of it, what memory cost, how the threads were scheduled.
//!
//! Rows are phases, figures are per iteration. A phase with nothing in it has no row, an event that never happened no
//! column.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use super::grid::Grid;
use wasiscope_model::events::Distribution;
use wasiscope_model::report::{CaseReport, KernelPhase};
use wasiscope_model::units;
use wasiscope_stats as stats;

/// How many kinds of system call a phase's row names.
const NAMED_CALLS: usize = 5;

/// What stands in a cell; `None` when there was nothing of the kind.
type Cell = Option<String>;

struct Column {
    header: &'static str,
    /// Whether the column is read from the left.
    is_text: bool,
    cell: fn(&KernelPhase, &Figures) -> Cell,
}

const CALLS: &[Column] = &[
    Column { header: "system calls", is_text: false, cell: |phase, figures| figures.count(phase.syscall_count()) },
    Column { header: "in them", is_text: false, cell: |phase, figures| figures.time(phase.syscall_ns()?) },
    Column { header: "errors", is_text: false, cell: |phase, figures| figures.count(phase.syscall_errors()) },
    Column {
        header: "in futex waits",
        is_text: false,
        cell: |phase, figures| figures.time(phase.futex_waits_ns.as_ref()?.sum),
    },
    Column {
        header: "I/O requests",
        is_text: false,
        cell: |phase, figures| figures.count(phase.block_io.map(|io| stats::total([io.reads, io.writes, io.others]))?),
    },
    Column { header: "where most time went, and the mean of each", is_text: true, cell: most_time },
];

const MEMORY: &[Column] = &[
    Column { header: "user faults", is_text: false, cell: |phase, figures| figures.count(phase.faults.user?) },
    Column { header: "kernel faults", is_text: false, cell: |phase, figures| figures.count(phase.faults.kernel?) },
    Column { header: "mapped", is_text: false, cell: |phase, figures| figures.bytes(phase.mapped_bytes?) },
    Column { header: "unmapped", is_text: false, cell: |phase, figures| figures.bytes(phase.unmapped_bytes?) },
    Column { header: "protected", is_text: false, cell: |phase, figures| figures.bytes(phase.protected_bytes?) },
    Column { header: "advised", is_text: false, cell: |phase, figures| figures.bytes(phase.advised_bytes?) },
    Column { header: "signals", is_text: true, cell: signals },
    Column { header: "faults by place", is_text: true, cell: places },
];

const SCHEDULING: &[Column] = &[
    Column {
        header: "gave way",
        is_text: false,
        cell: |phase, figures| figures.count(phase.switches.map(|switches| switches.voluntary)?),
    },
    Column {
        header: "preempted",
        is_text: false,
        cell: |phase, figures| figures.count(phase.switches.map(|switches| switches.involuntary)?),
    },
    Column {
        header: "blocked",
        is_text: false,
        cell: |phase, figures| figures.time(phase.off_cpu_ns.as_ref()?.blocked),
    },
    Column {
        header: "runnable",
        is_text: false,
        cell: |phase, figures| figures.time(phase.off_cpu_ns.as_ref()?.runnable),
    },
    Column {
        header: "run queue p50 / p99 / max",
        is_text: false,
        cell: |phase, _| percentiles(phase.run_queue_ns.as_ref()?),
    },
    Column { header: "migrations", is_text: false, cell: |phase, figures| figures.count(phase.migrations?) },
    Column {
        header: "threads",
        is_text: false,
        cell: |phase, figures| figures.count(phase.created.map(|born| born.threads)?),
    },
    Column {
        header: "processes",
        is_text: false,
        cell: |phase, figures| figures.count(phase.created.map(|born| born.processes)?),
    },
];

/// The tables that have anything in them.
pub(crate) fn tables(case: &CaseReport, exact: bool) -> Vec<Grid> {
    let Some(kernel) = &case.kernel else { return Vec::new() };
    let rows: Vec<(&str, &KernelPhase)> = Phase::REPORTED
        .iter()
        .filter_map(|phase| Some((phase.name(), kernel.phases.get(phase.name())?)))
        .filter(|(_, phase)| phase.iterations > 0)
        .collect();
    [CALLS, MEMORY, SCHEDULING].iter().filter_map(|columns| table(columns, &rows, exact)).collect()
}

fn table(columns: &[Column], rows: &[(&str, &KernelPhase)], exact: bool) -> Option<Grid> {
    let cells = |phase: &KernelPhase| -> Vec<Cell> {
        let figures = Figures { iterations: phase.iterations, exact };
        columns.iter().map(|column| (column.cell)(phase, &figures)).collect()
    };
    let rows: Vec<(&str, Vec<Cell>)> = rows.iter().map(|(name, phase)| (*name, cells(phase))).collect();
    let is_used = |column: usize| rows.iter().any(|(_, cells)| cells[column].is_some());
    let used: Vec<usize> = (0..columns.len()).filter(|column| is_used(*column)).collect();
    if used.is_empty() {
        return None;
    }
    let header: Vec<&str> = ["phase"].into_iter().chain(used.iter().map(|column| columns[*column].header)).collect();
    let mut table = Grid::new(&header);
    for (name, cells) in rows.iter().filter(|(_, cells)| cells.iter().any(Option::is_some)) {
        let shown = used.iter().map(|column| cells[*column].clone().unwrap_or_else(|| "·".to_owned()));
        table.add_row([(*name).to_owned()].into_iter().chain(shown));
    }
    let texts = used.iter().enumerate().filter(|(_, column)| columns[**column].is_text).map(|(at, _)| at + 1);
    Some(table.align_left(&[0].into_iter().chain(texts).collect::<Vec<_>>()))
}

/// How figures of one phase are written.
struct Figures {
    iterations: u64,
    exact: bool,
}

impl Figures {
    fn at_least(&self, figure: String) -> String {
        if self.exact { figure } else { format!("≥ {figure}") }
    }

    fn count(&self, count: u64) -> Cell {
        let figure = units::per_iteration(count, self.iterations).filter(|_| count > 0)?;
        Some(self.at_least(figure))
    }

    fn time(&self, ns: u64) -> Cell {
        (ns > 0).then(|| self.at_least(units::duration(ns as f64 / self.iterations as f64)))
    }

    fn bytes(&self, bytes: u64) -> Cell {
        (bytes > 0).then(|| self.at_least(units::bytes(bytes / self.iterations.max(1))))
    }

    /// `name figure, name figure, …`, the most first.
    fn named<'a>(&self, counts: impl IntoIterator<Item = (&'a String, &'a u64)>) -> Cell {
        let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| **count > 0).collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let parts = counts.into_iter().filter_map(|(name, count)| Some(format!("{name} {}", self.count(*count)?)));
        let text = parts.collect::<Vec<_>>().join(", ");
        (!text.is_empty()).then_some(text)
    }
}

/// Calls that did not return, such as `exit`, took no time that is known.
fn most_time(phase: &KernelPhase, figures: &Figures) -> Cell {
    let mut by_time: Vec<_> = phase.syscalls.iter().collect();
    by_time.sort_by_key(|(_, calls)| std::cmp::Reverse((calls.total_ns, calls.count)));
    let mut parts: Vec<String> = by_time
        .iter()
        .take(NAMED_CALLS)
        .filter_map(|(name, calls)| {
            let mean = calls.latency_ns.as_ref().and_then(Distribution::mean);
            let mean = mean.map(|ns| format!(" ({})", units::duration(ns))).unwrap_or_default();
            Some(format!("{name} {}{mean}", figures.count(calls.count)?))
        })
        .collect();
    if by_time.len() > NAMED_CALLS {
        parts.push("…".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn signals(phase: &KernelPhase, figures: &Figures) -> Cell {
    figures.named(phase.signals.as_ref()?)
}

fn places(phase: &KernelPhase, figures: &Figures) -> Cell {
    let mut by_place: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in phase.faults.user_by_region.iter().chain(&phase.faults.kernel_by_region) {
        let sum = by_place.entry(name.replace('_', " ")).or_default();
        *sum = sum.saturating_add(*count);
    }
    figures.named(&by_place)
}

fn percentiles(waits: &Distribution) -> Cell {
    let shown = |ns: Option<u64>| ns.map(|ns| units::duration(ns as f64));
    Some([shown(waits.quantile(0.5))?, shown(waits.quantile(0.99))?, shown(waits.max)?].join(" / "))
}
