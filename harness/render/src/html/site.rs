//! The index of many reports: a line for each series over commits, and a link to each report.

use std::collections::BTreeMap;

use maud::html;

use super::charts::{Spot, sparkline};
use super::{cut, shell};
use crate::history::{note, value as shown};
use wasiscope_model::history::{History, Point, Series};
use wasiscope_model::units;

/// One report of the site.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file of its page.
    pub href: String,
    /// When it began.
    pub started_at: String,
    /// Its commit, if it is of one.
    pub commit: Option<String>,
    /// Whether it is of that commit alone, and so part of the history.
    pub is_of_commit: bool,
    /// Its scenarios.
    pub scenarios: Vec<String>,
    /// The machine.
    pub machine: String,
    /// Whether a case was not as expected.
    pub failed: bool,
}

/// Most series on one page.
const SERIES: usize = 400;

/// The index.
#[must_use]
pub fn index(history: &History, entries: &[Entry]) -> String {
    let mut machines: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in history.series.iter().filter(|series| series.points.len() > 1) {
        machines.entry(&series.machine).or_default().push(series);
    }
    // What has changed comes first.
    machines.values_mut().for_each(|series| series.sort_by_key(|series| series.steps.is_empty()));
    let steps: usize = history.series.iter().map(|series| series.steps.len()).sum();
    let pages = Pages::of(entries);
    let header = html! {
        h1 { "wasiscope reports" }
        p.verdict { (entries.len()) " reports of " (history.commits.len()) " commits, " (steps) " steps" }
        @for line in &history.left_out { p.doubt { "left out: " (cut(line)) } }
    };
    let content = html! {
        @for (machine, series) in &machines {
            section aria-label=(cut(machine)) {
                h2 { (cut(machine)) }
                div.wide tabindex="0" role="region" aria-label=(format!("series of {}", cut(machine))) {
                    table {
                        thead { tr { th.l scope="col" { "case" } th.l scope="col" { "metric" } th scope="col" { "last" } th scope="col" { "change" } th.l scope="col" { "over commits" } th.l scope="col" { "steps" } } }
                        tbody {
                            @for series in series.iter().take(SERIES) {
                                @let spots = spots(history, series, &pages);
                                @let at: Vec<usize> = series.steps.iter().map(|step| step.at).collect();
                                @let (first, last) = (spots[0].value, spots[spots.len() - 1].value);
                                tr {
                                    td.l { (cut(&series.scenario)) "/" (cut(&series.case)) } td.l { (cut(&series.metric)) }
                                    td { (shown(series, last)) }
                                    td { @if first == 0.0 { "–" } @else { (units::change(last / first)) } }
                                    td.l { (sparkline(&spots, &at, ends(series), &format!("{} values from {} to {}", spots.len(), shown(series, first), shown(series, last)))) }
                                    td.l {
                                        @for step in &series.steps {
                                            @let commit = &history.commits[series.points[step.at].commit];
                                            @let text = format!("{:.12} {}", commit.id, if step.before == 0.0 { String::new() } else { units::change(step.after / step.before) });
                                            @let note = note(history, series, step);
                                            @if let Some(href) = pages.get(series, &commit.id) { a href=(href) { (text) } } @else { (text) }
                                            @if !note.is_empty() { " (" (cut(&note)) ")" }
                                            " "
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if series.len() > SERIES { p.dim { (series.len() - SERIES) " more series are not here: choose metrics" } }
            }
        }
        h2 { "Reports" }
        div.wide tabindex="0" role="region" aria-label="reports" {
            table {
                thead { tr { th.l scope="col" { "report" } th.l scope="col" { "commit" } th.l scope="col" { "scenarios" } th.l scope="col" { "machine" } th.l scope="col" { "cases" } } }
                tbody {
                    @for entry in entries {
                        tr data-commit=[place_of(history, entry)] {
                            td.l { a href=(entry.href) { (cut(&entry.started_at)) } }
                            td.l { code { (entry.commit.as_deref().map_or("–".to_owned(), |commit| format!("{commit:.12}"))) } @if !entry.is_of_commit { span.doubt { " not of it alone" } } }
                            td.l { (cut(&entry.scenarios.join(", "))) }
                            td.l { (cut(&entry.machine)) }
                            td.l { @if entry.failed { span.bad { "✗ not all as expected" } } @else { span.good { "✓" } } }
                        }
                    }
                }
            }
        }
    };
    shell("wasiscope reports", &header, &content)
}

/// The points of a series with what is said of each.
fn spots<'a>(history: &History, series: &Series, pages: &Pages<'a>) -> Vec<Spot<'a>> {
    let spot = |point: &Point| {
        let commit = &history.commits[point.commit];
        Spot {
            value: point.value,
            text: format!("{:.12} {} {}", commit.id, shown(series, point.value), cut(&commit.subject)),
            page: pages.get(series, &commit.id),
        }
    };
    series.points.iter().map(spot).collect()
}

/// The commits of the first point and of the last.
fn ends(series: &Series) -> (usize, usize) {
    let at = |point: Option<&Point>| point.map_or(0, |point| point.commit);
    (at(series.points.first()), at(series.points.last()))
}

/// Which commit of the history a report is of.
fn place_of(history: &History, entry: &Entry) -> Option<usize> {
    let commit = entry.commit.as_ref().filter(|_| entry.is_of_commit)?;
    history.commits.iter().position(|known| known.id == *commit)
}

/// The pages of commits. One commit may have several: of other machines, of other scenarios.
struct Pages<'a> {
    exact: BTreeMap<(&'a str, &'a str, &'a str), &'a str>,
    of_commit: BTreeMap<&'a str, &'a str>,
}

impl<'a> Pages<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut pages = Self { exact: BTreeMap::new(), of_commit: BTreeMap::new() };
        for entry in entries.iter().filter(|entry| entry.is_of_commit) {
            let Some(commit) = entry.commit.as_deref() else { continue };
            pages.of_commit.insert(commit, &entry.href);
            let of_scenarios =
                entry.scenarios.iter().map(|scenario| (entry.machine.as_str(), scenario.as_str(), commit));
            pages.exact.extend(of_scenarios.map(|key| (key, entry.href.as_str())));
        }
        pages
    }

    /// That of a series' machine and scenario; of a report of many machines, which is called by its first, that of the commit.
    fn get(&self, series: &Series, commit: &str) -> Option<&'a str> {
        let exact = self.exact.get(&(series.machine.as_str(), series.scenario.as_str(), commit));
        exact.or_else(|| self.of_commit.get(commit)).copied()
    }
}
