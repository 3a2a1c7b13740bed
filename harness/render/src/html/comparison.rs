//! The page of a comparison: the verdict first, then facts, then every ratio with its interval.

use maud::{Markup, html};

use super::charts::{self, Ratio};
use super::{cut, link_to, readable, save_link, shell, table, table_with};
use crate::comparison as tables;
use wasiscope_model::comparison::{Comparison, KernelRow, Row};
use wasiscope_model::units;
use wasiscope_stats::Verdict;

/// Rows whose workers are shown side by side.
const CLOUDS: usize = 40;
/// Most rows of what the kernel did where no workers are shown.
const KERNEL_ROWS: usize = 500;

/// The page.
#[must_use]
pub fn page(comparison: &Comparison) -> String {
    let (whole, comparison) = (comparison, &readable(comparison));
    let title = format!("wasiscope: {} against {}", comparison.new.label, comparison.base.label);
    let (timed, rest): (Vec<&Row>, Vec<&Row>) = comparison.rows.iter().partition(|row| row.ratio.is_some());
    let mut sorted = timed.clone();
    sorted.sort_by_key(|row| std::cmp::Reverse(row.verdict));
    let ratios: Vec<Ratio> = sorted.iter().filter_map(|row| ratio(row)).collect();
    let grid = tables::rows(&sorted, comparison.confidence);
    let verdict = |row: usize, column: usize| (column == 7).then(|| class(sorted[row].verdict));
    let content = html! {
        @if !comparison.facts.is_empty() { h2 { "Facts that differ" } (table(&tables::facts(&comparison.facts), "facts that differ")) }
        @if let Some(chart) = charts::forest("New over base, and its interval", &ratios) { h2 { "Ratios" } (chart) }
        @if !sorted.is_empty() { (table_with(&grid, "every ratio", &|row| Some(id_of(sorted[row])), &verdict)) }
        @let shown: Vec<&Row> = sorted.iter().copied().filter(|row| !row.base_workers.is_empty() && !row.new_workers.is_empty()).collect();
        @if !shown.is_empty() {
            h2 { "Worker by worker, and what the kernel did otherwise" }
            p.dim { "A dot is what is typical of one worker: the independent units that the intervals are of. Where a line joins two, the same worker ran both sides, A B B A."
                " The kernel's figures are of one iteration in watched workers; they carry no verdict, but may be the reason of one." }
            div.row { @for row in shown.iter().take(CLOUDS) { (workers(comparison, row)) } }
            @if shown.len() > CLOUDS { p.dim { (shown.len() - CLOUDS) " more rows are in the table above and in the JSON" } }
        }
        @let rest_of_kernel: Vec<&KernelRow> = comparison.kernel.iter().filter(|of| !shown.iter().take(CLOUDS).any(|row| of.is_of(row))).take(KERNEL_ROWS).collect();
        @if !rest_of_kernel.is_empty() { h2 { "What the kernel did otherwise elsewhere" } (table(&tables::kernel(&rest_of_kernel), "what the kernel did otherwise elsewhere")) }
        @if !rest.is_empty() {
            h2 { "Without figures" }
            ul { @for row in rest { li id=(id_of(row)) { (cut(&row.case)) ": " span class=(class(row.verdict)) { (row.state().name()) }
                @let note = tables::note(row);
                @if !note.is_empty() { " (" (cut(&note)) ")" } } } }
        }
        (save_link("comparison", whole))
    };
    shell(&title, &headline(comparison), &content)
}

fn headline(comparison: &Comparison) -> Markup {
    html! {
        h1 { "wasiscope comparison" }
        p.verdict { span class=(class(comparison.verdict)) { (sign(comparison.verdict)) " " (comparison.headline()) }
            ": " (tables::counts(&comparison.rows)) }
        ul.facts {
            @for (name, side) in [("base", &comparison.base), ("new", &comparison.new)] {
                li { (name) ": " b { (cut(&side.label)) } @if let Some(git) = &side.git { " " code { (format!("{:.12}", git.commit)) } } }
            }
            @if let Some(machine) = &comparison.new.machine { li { (cut(&machine.label())) } }
            @if let Some(seed) = comparison.seed { li { "seed " (seed) } }
            li { "intervals of " (units::percent_plain(comparison.confidence)) " %" }
        }
        @for warning in &comparison.warnings { p.doubt { (cut(warning)) } }
        @if comparison.interrupted { p.bad { "Interrupted: results are partial." } }
        @if comparison.budget_spent { p.doubt { "The budget was spent before every row was settled." } }
    }
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regressed => "bad",
        Verdict::Improved => "good",
        Verdict::Inconclusive => "doubt",
        Verdict::Unchanged => "dim",
    }
}

const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regressed => "▲",
        Verdict::Improved => "▼",
        Verdict::Inconclusive => "?",
        Verdict::Unchanged => "=",
    }
}

/// `case/metric`, which links hold on to.
fn id_of(row: &Row) -> String {
    let machine = row.machine.as_ref().map(|machine| format!("{machine}/")).unwrap_or_default();
    let scenario = row.scenario.as_ref().map(|scenario| format!("{scenario}/")).unwrap_or_default();
    format!("{machine}{scenario}{}/{}", row.case, row.metric)
}

fn ratio(row: &Row) -> Option<Ratio> {
    Some(Ratio {
        name: format!("{} {}", row.case, row.metric),
        link: Some(link_to(&id_of(row))),
        ratio: row.ratio?,
        low: row.ci_low?,
        high: row.ci_high?,
        tolerance: row.tolerance,
        verdict: row.verdict.name(),
    })
}

/// The workers of one row, and what the kernel did otherwise in that phase.
fn workers(comparison: &Comparison, row: &Row) -> Markup {
    let title = format!("{} {} {}", row.case, row.metric, row.ratio.map_or(String::new(), units::change));
    let seen: Vec<&KernelRow> = comparison.kernel.iter().filter(|of| of.is_of(row)).collect();
    html! {
        div.card {
            @if let Some(chart) = charts::clouds(&title, &row.base_workers, &row.new_workers, !row.log_ratios.is_empty()) { (chart) }
            @if !seen.is_empty() {
                (table(&tables::kernel_of_phase(&seen), &format!("what the kernel did otherwise in {title}")))
            }
        }
    }
}
