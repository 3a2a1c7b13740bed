//! The page of a comparison: the verdict first, then facts, then every ratio with its interval.

use maud::{Markup, html};

use super::charts::{self, Ratio};
use super::{cut, link_to, readable, save_link, shell, table, table_with};
use crate::compare::{Comparison, Row};
use crate::report::comparison as tables;
use crate::stats::Verdict;
use crate::units;

/// Rows whose samples are shown side by side.
const CLOUDS: usize = 40;

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
        @let shown: Vec<&&Row> = sorted.iter().filter(|row| !row.log_ratios.is_empty()).take(CLOUDS).collect();
        @if !shown.is_empty() {
            h2 { "Each worker's ratio" }
            p.dim { "A worker runs both sides, A B B A, and gives one ratio: these are the independent units that the intervals are of." }
            div.row { @for row in shown { (workers(row)) } }
        }
        @if !rest.is_empty() {
            h2 { "Without figures" }
            ul { @for row in rest { li id=(id_of(row)) { (cut(&row.case)) ": " span class=(class(row.verdict)) { (row.verdict.name()) }
                @if let Some(note) = &row.note { " (" (cut(note)) ")" } } } }
        }
        (save_link("comparison", whole))
    };
    shell(&title, &headline(comparison), &content)
}

fn headline(comparison: &Comparison) -> Markup {
    html! {
        h1 { "wasiscope comparison" }
        p.verdict { span class=(class(comparison.verdict)) { (sign(comparison.verdict)) " " (comparison.verdict.name()) }
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
        @if comparison.interrupted { p.bad { "Interrupted: what was measured until then." } }
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

/// The ratios of the workers of one row, as per cent.
fn workers(row: &Row) -> Markup {
    let ratios: Vec<Vec<f64>> = vec![row.log_ratios.iter().map(|log| log.exp()).collect()];
    let title = format!("{} {}: {} workers", row.case, row.metric, row.log_ratios.len());
    html! { @if let Some(chart) = charts::cloud(&title, &ratios) { (chart) } }
}
