//! The kernel's side of a case as tables: what was asked of it, what memory cost, how the threads were scheduled.
//!
//! Rows are phases, figures are per iteration. A phase with nothing in it has no row, an event that never happened no
//! column.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use super::grid::Grid;
use wasiscope_model::events::Distribution;
use wasiscope_model::kernel_figures::{Group, KERNEL_FIGURES, Unit};
use wasiscope_model::report::{CaseReport, KernelPhase};
use wasiscope_model::units;

/// How many kinds of system call a phase's row names.
const NAMED_CALLS: usize = 5;

/// What stands in a cell; `None` when there was nothing of the kind.
type Cell = Option<String>;

/// A column that is more than one figure.
struct Detail {
    header: &'static str,
    /// Whether the column is read from the left.
    is_text: bool,
    /// The heading of the column that it stands behind; the last one's where there is none.
    behind: Option<&'static str>,
    cell: fn(&KernelPhase, &Figures) -> Cell,
}

const DETAILS: [(Group, &[Detail]); 3] = [
    (
        Group::Calls,
        &[Detail {
            header: "where most time went, and the mean of each",
            is_text: true,
            behind: None,
            cell: most_time,
        }],
    ),
    (
        Group::Memory,
        &[
            Detail { header: "signals", is_text: true, behind: None, cell: signals },
            Detail { header: "faults by place", is_text: true, behind: None, cell: places },
        ],
    ),
    (
        Group::Scheduling,
        &[Detail {
            header: "run queue p50 / p99 / max",
            is_text: false,
            behind: Some("runnable"),
            cell: |phase, _| percentiles(phase.run_queue_ns.as_ref()?),
        }],
    ),
];

/// Makes the cell of a phase.
type MakesCell = dyn Fn(&KernelPhase, &Figures) -> Cell;

/// A column of either sort.
struct Column {
    header: &'static str,
    is_text: bool,
    cell: Box<MakesCell>,
}

/// The columns of a table, in order.
fn columns(group: Group, details: &'static [Detail]) -> Vec<Column> {
    let column = |detail: &'static Detail| Column {
        header: detail.header,
        is_text: detail.is_text,
        cell: Box::new(detail.cell),
    };
    let mut columns = Vec::new();
    for figure in KERNEL_FIGURES.iter().filter(|figure| figure.group == group) {
        let Some(header) = figure.header else { continue };
        let cell = move |phase: &KernelPhase, figures: &Figures| {
            let value = (figure.value)(phase)?;
            match figure.unit {
                Unit::Count => figures.count(value),
                Unit::Nanoseconds => figures.time(value),
                Unit::Bytes => figures.bytes(value),
            }
        };
        columns.push(Column { header, is_text: false, cell: Box::new(cell) });
        columns.extend(details.iter().filter(|detail| detail.behind == Some(header)).map(column));
    }
    columns.extend(details.iter().filter(|detail| detail.behind.is_none()).map(column));
    columns
}

/// The tables that have anything in them.
pub(crate) fn tables(case: &CaseReport, exact: bool) -> Vec<Grid> {
    let Some(kernel) = &case.kernel else { return Vec::new() };
    let rows: Vec<(&str, &KernelPhase)> = Phase::REPORTED
        .iter()
        .filter_map(|phase| Some((phase.name(), kernel.phases.get(phase.name())?)))
        .filter(|(_, phase)| phase.iterations > 0)
        .collect();
    let table = |(group, details): &(Group, &'static [Detail])| table(&columns(*group, details), &rows, exact);
    DETAILS.iter().filter_map(table).collect()
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
