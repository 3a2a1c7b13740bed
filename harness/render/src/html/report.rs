//! The page of one report.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use maud::{Markup, html};

use super::charts::{self, Ratio};
use super::{cut, link_to, readable, save_link, shell, table, table_with, timeline};
use crate::Views;
use crate::grid::Grid;
use crate::{kernel, table as tables};
use wasiscope_model::events::Distribution;
use wasiscope_model::kernel_figures::KERNEL_DISTRIBUTIONS;
use wasiscope_model::kind::{GENERATED, find};
use wasiscope_model::names;
use wasiscope_model::record::Status;
use wasiscope_model::report::by_machine;
use wasiscope_model::report::{
    CaptureStatus, CaseReport, Invocation, KernelPhase, KernelReport, Measurement, Report, ScenarioReport, Spread,
};
use wasiscope_model::units;

/// Cases of a scenario that are shown with all their figures; of more, only those that are not as expected are.
const IN_FULL: usize = 200;

/// The page.
#[must_use]
pub fn page(report: &Report, views: Views) -> String {
    let (whole, report) = (report, &readable(report));
    let machines = by_machine(report);
    let names: Vec<&str> = report.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let title = format!("wasiscope: {}", names.join(", "));
    let header = html! { (headline(report)) (contents(&machines)) };
    let content = html! {
        @for of_machine in &machines {
            @if machines.len() > 1 { h2 { "Machine " (cut(&of_machine.machine.label())) } }
            @for scenario in &of_machine.scenarios {
                (scenario_section(of_machine, scenario, (machines.len() > 1).then(|| of_machine.machine.label()).as_deref(), views))
            }
        }
        (environment(report, &reproduce(whole)))
        (save_link("report", whole))
    };
    shell(&title, &header, &content)
}

/// What ran, where, how it ended, and what the figures can bear.
fn headline(report: &Report) -> Markup {
    let cases = report.cases().count();
    let failed = report.cases().filter(|case| !case.outcome.expected).count();
    let skipped = report.cases().filter(|case| case.outcome.status == Status::Skipped).count();
    let ratios: Vec<f64> = report.cases().filter_map(|case| case.observer_ratio).collect();
    let commit =
        report.git.as_ref().map(|git| format!("{:.12}{}", git.commit, if git.dirty { " with changes" } else { "" }));
    let ledger = &report.capture.ledger;
    let exact = ledger.counts_are_exact();
    html! {
        h1 { "wasiscope report" }
        p.verdict {
            @if failed > 0 { span.bad { "✗ " (failed) " of " (count(cases)) " not as expected" } }
            @else { span.good { "✓ " (count(cases)) ", all as expected" } }
            @if skipped > 0 { span.doubt { ", " (skipped) " skipped" } }
            @if report.interrupted { span.bad { " (interrupted: results are partial)" } }
            @if report.budget_spent { span.doubt { " (the budget was spent before all samples were there)" } }
        }
        @if let Some(planted) = &report.planted { p.bad { "A fault was planted on purpose: " (planted.to_string()) ". What fails shows that it is found." } }
        @if report.noise > 0 { p.doubt { "With " (report.noise) " busy processes on the processor of every worker (--noise)." } }
        ul.facts {
            li { "commit " code { (commit.as_deref().unwrap_or("none")) } }
            li { (cut(&report.started_at)) ", " (format!("{:.1} s", report.duration_s)) }
            li { (cut(&report.machine.label())) }
            li { "kernel watched: " b { (report.capture.status.name()) } @if let Some(reason) = &report.capture.reason { " (" (cut(reason)) ")" } }
            @if report.capture.status.sees_kernel() {
                li { @if exact && ledger.events_lost == 0 { "nothing lost" } @else if exact { "of what is watched nothing lost" } @else { span.doubt { "lost: " (ledger.map_full) " to full maps, " (ledger.recursion_missed) " to recursion: counts are lower bounds" } } }
                @if ledger.events_lost > 0 { li.doubt { (ledger.events_lost) " events found no room on their way into handlers" } }
                @if ledger.switches_unseen > 0 { li.doubt { (ledger.switches_unseen) " waits for a processor without an end" } }
            }
            @if let Some((low, high)) = range(&ratios) {
                li { "watching made cases ×" (format!("{low:.3}")) " … ×" (format!("{high:.3}")) " as long; times are of unwatched workers" }
            }
            li { "intervals of " (units::percent_plain(report.confidence)) " %" }
        }
    }
}

fn count(cases: usize) -> String {
    if cases == 1 { "1 case".to_owned() } else { format!("{cases} cases") }
}

fn range(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().reduce(f64::min)?;
    Some((low, values.iter().copied().reduce(f64::max)?))
}

fn contents(machines: &[Report]) -> Markup {
    let several = machines.len() > 1;
    let scenarios = machines.iter().flat_map(|of| of.scenarios.iter().map(move |scenario| (of, scenario)));
    html! {
        nav aria-label="scenarios" {
            ul {
                @for (of, scenario) in scenarios {
                    @let failed = scenario.cases.iter().filter(|case| !case.outcome.expected).count();
                    @let machine = several.then(|| of.machine.label());
                    li { a href=(link_to(&section_id(machine.as_deref(), scenario))) { (cut(&scenario.name)) } " "
                        @if let Some(machine) = &machine { "on " (cut(machine)) " " }
                        span.dim { (count(scenario.cases.len())) } @if failed > 0 { span.bad { ", " (failed) " ✗" } } }
                }
                li { a href="#/environment" { "environment" } }
            }
        }
    }
}

/// The id of a case, which links hold on to: `scenario/workload/flavour/engine`. On a page of many machines their names come first.
fn id_of(machine: Option<&str>, scenario: &ScenarioReport, case: &CaseReport) -> String {
    let prefix = machine.map(|machine| format!("{machine}/")).unwrap_or_default();
    format!("{prefix}{}/{}", scenario.name, case.id)
}

fn section_id(machine: Option<&str>, scenario: &ScenarioReport) -> String {
    machine.map_or_else(|| scenario.name.clone(), |machine| format!("{machine}/{}", scenario.name))
}

fn scenario_section(report: &Report, scenario: &ScenarioReport, machine: Option<&str>, views: Views) -> Markup {
    let exact = report.capture.ledger.counts_are_exact();
    let id = section_id(machine, scenario);
    let linked: Vec<(&CaseReport, String)> =
        scenario.cases.iter().map(|case| (case, link_to(&id_of(machine, scenario, case)))).collect();
    let shows_phases = tables::shows_phases(scenario, views);
    let body = match find(views, &scenario.kind) {
        Some(view) => match view.tables(scenario, exact) {
            Some(tables) => html! { (grids(&tables, scenario)) (prices(scenario)) (curves(scenario)) },
            None => of_workloads(report, scenario, &linked, views),
        },
        None => html! { (grids(&[tables::raw(scenario)], scenario)) },
    };
    let in_full = scenario.cases.len() <= IN_FULL;
    let shown = scenario.cases.iter().filter(|case| in_full || !case.outcome.expected).take(IN_FULL);
    html! {
        section id=(id) aria-label=(cut(&scenario.name)) {
            h2 { (cut(&scenario.name)) " " span.dim { (cut(&scenario.kind)) ", " (count(scenario.cases.len())) } }
            (body)
            h3 { "Case by case" }
            @if !in_full { p.dim { "Of " (scenario.cases.len()) " cases those are here that are not as expected; the tables above are of all, and so is the JSON." } }
            @for case in shown { (case_section(&id_of(machine, scenario, case), case, shows_phases.then_some(exact))) }
        }
    }
}

fn of_workloads(report: &Report, scenario: &ScenarioReport, linked: &[(&CaseReport, String)], views: Views) -> Markup {
    let of_scenario = Report { scenarios: vec![scenario.clone()], ..shallow(report) };
    html! {
        (table(&tables::summary(&of_scenario, views), &format!("medians of {}", scenario.name)))
        @if let Some(chart) = charts::startup(linked) { (chart) }
        @if let Some(chart) = charts::sizes(linked) { (chart) }
    }
}

/// A report without its scenarios: what tables of one of them need besides.
fn shallow(report: &Report) -> Report {
    Report { scenarios: Vec::new(), sources: Vec::new(), reference: None, ..report.clone() }
}

/// How cells of the grid are marked, beside what they say.
fn mark(text: &str) -> Option<&'static str> {
    match text {
        _ if text.contains("FAILED") => Some("bad"),
        "not offered" | "not reached" => Some("dim"),
        _ => None,
    }
}

fn grids(sections: &[(&'static str, Grid)], scenario: &ScenarioReport) -> Markup {
    html! {
        @for (title, grid) in sections {
            h3 { (title) }
            (table_with(grid, &format!("{}: {title}", scenario.name), &|_| None, &|row, column| mark(&grid.rows[row][column])))
        }
    }
}

fn prices(scenario: &ScenarioReport) -> Markup {
    let ratios = scenario.prices.iter().filter_map(|price| {
        Some(Ratio {
            name: price.case.clone(),
            link: None,
            ratio: price.ratio?,
            low: price.ci_low?,
            high: price.ci_high?,
            tolerance: 0.0,
            verdict: "",
        })
    });
    let chart = charts::forest("With the checks over without, and the interval", &ratios.collect::<Vec<_>>());
    html! { @if let Some(chart) = chart { (chart) } }
}

fn curves(scenario: &ScenarioReport) -> Markup {
    html! {
        @for (metric, curves) in spreads(scenario) {
            @if let Some(chart) = charts::percentiles(&metric, &curves) { (chart) }
        }
    }
}

/// The spreads in time of a scenario's cases, by metric without its suffix.
fn spreads(scenario: &ScenarioReport) -> BTreeMap<String, Vec<(String, Spread)>> {
    let mut by_metric: BTreeMap<String, Vec<(String, Spread)>> = BTreeMap::new();
    for case in &scenario.cases {
        for measurement in case.measurements.iter().filter(|measurement| is_time(measurement)) {
            let Some(spread) = measurement.spread.as_ref().filter(|spread| spread.max > 0.0) else { continue };
            let (metric, of) = measurement.metric.split_once('.').unwrap_or((&measurement.metric, ""));
            let is_of_case = |other: &&Measurement| {
                other.metric.split('.').next() == Some(metric) && other.spread.is_some() && is_time(other)
            };
            let mut name = case.workload.clone();
            // What tells curves apart: the flavour where there are any, and what it is of where a case has several.
            if case.flavour != GENERATED {
                name = format!("{name}/{}", case.flavour);
            }
            if case.measurements.iter().filter(is_of_case).count() > 1 {
                name = format!("{name} {of}");
            }
            by_metric.entry(metric.to_owned()).or_default().push((name, in_ns(spread, &measurement.unit)));
        }
    }
    by_metric
}

/// Charts are drawn in nanoseconds.
fn in_ns(spread: &Spread, unit: &str) -> Spread {
    let scale: u64 = if unit == "us" { 1_000 } else { 1 };
    let scaled = |value: f64| value * scale as f64;
    Spread {
        p50: scaled(spread.p50),
        p90: scaled(spread.p90),
        p99: scaled(spread.p99),
        max: scaled(spread.max),
        sum: spread.sum.map(scaled),
        buckets: spread.buckets.iter().map(|(upper, count)| (upper.saturating_mul(scale), *count)).collect(),
        watched_mean: spread.watched_mean.map(scaled),
    }
}

fn is_time(measurement: &Measurement) -> bool {
    matches!(measurement.unit.as_str(), "ns" | "us")
}

/// `exact` is whether nothing was lost, where the kernel's side is shown case by case: other kinds of scenario have it in tables of their own.
fn case_section(id: &str, case: &CaseReport, exact: Option<bool>) -> Markup {
    let status = case.outcome.status.name();
    html! {
        details id=(id) open[!case.outcome.expected] {
            summary { (cut(&case.id)) " " @if case.outcome.expected { span.dim { (status) } } @else { span.bad { "✗ " (status) } } }
            // Not within the summary, which is a control itself.
            p.tools { a href=(link_to(id)) { "link to this case" } }
            @if let Some(detail) = &case.outcome.detail { p { (cut(detail)) } }
            @for line in tables::lines(case) { p.dim { (cut(&line)) } }
            (measurements(id, case))
            @for failure in &case.failures {
                p.bad { (cut(&failure.what)) ": expected " (cut(&failure.expected)) ", got " (cut(&failure.got)) }
                @if let Some(wat) = &failure.wat { pre { (cut(wat)) } }
            }
            @if let (Some(exact), Some(seen)) = (exact, &case.kernel) { (kernel_section(case, seen, exact)) }
            @if let Some(traced) = &case.timeline { @if let Some(drawn) = timeline::timeline(&case.id, traced) { (drawn) } }
            @if exact.is_some() { (size_section(case)) }
        }
    }
}

/// A line for each metric, with every sample.
fn measurements(id: &str, case: &CaseReport) -> Markup {
    let shown: Vec<_> = case.measurements.iter().filter(|measurement| !measurement.samples.is_empty()).collect();
    html! {
        @if !shown.is_empty() {
            div.wide tabindex="0" role="region" aria-label=(format!("measurements of {}", cut(&case.id))) {
                table {
                    thead { tr {
                        th.l scope="col" { "metric" } th scope="col" { "median" } th scope="col" { "interval" } th scope="col" { "min" } th scope="col" { "p95" }
                        th scope="col" { "samples" } th.l scope="col" { "each of them, a lane for each process" }
                    } }
                    tbody {
                        @for measurement in shown {
                            @let summary = &measurement.summary;
                            @let figure = |value: f64| charts::value(measurement, value);
                            tr id=(format!("{id}/{}", measurement.metric)) {
                                td.l { (cut(&measurement.metric)) }
                                td { (figure(summary.median)) }
                                td { @match summary.ci_low.zip(summary.ci_high) { Some((low, high)) => { (figure(low)) " … " (figure(high)) } None => "–" } }
                                td { (figure(summary.min)) } td { (figure(summary.p95)) }
                                td { (summary.n) @if measurement.warm_up > 0 { " (−" (measurement.warm_up) " each)" } }
                                td.l { (charts::strip(measurement)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn kernel_section(case: &CaseReport, seen: &KernelReport, exact: bool) -> Markup {
    let sum = |of: fn(&KernelPhase) -> Option<&Distribution>| added(seen.phases.values().filter_map(of));
    html! {
        @for grid in kernel::tables(case, exact) {
            @let heat = heat(&grid);
            (table_with(&grid, &format!("the kernel's side of {}", case.id), &|_| None, &|row, column| heat.get(&(row, column)).copied()))
        }
        div.row {
            @for of in KERNEL_DISTRIBUTIONS {
                @if let Some(chart) = charts::histogram(of.name, &sum(of.value)) { (chart) }
            }
        }
    }
}

fn added<'a>(distributions: impl Iterator<Item = &'a Distribution>) -> Distribution {
    let mut all = Distribution::default();
    let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
    for of in distributions {
        all.count = all.count.saturating_add(of.count);
        all.sum = all.sum.saturating_add(of.sum);
        all.min = all.min.into_iter().chain(of.min).min();
        all.max = all.max.into_iter().chain(of.max).max();
        for (upper, count) in &of.buckets {
            let sum = buckets.entry(*upper).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    all.buckets = buckets.into_iter().collect();
    all
}

/// How hot each figure is among those of its column, in five steps by its logarithm.
fn heat(grid: &Grid) -> BTreeMap<(usize, usize), &'static str> {
    const STEPS: [&str; 5] = ["h1", "h2", "h3", "h4", "h5"];
    let mut heat = BTreeMap::new();
    for column in (1..grid.header.len()).filter(|column| !grid.left.contains(column)) {
        let figures = grid.rows.iter().enumerate().filter_map(|(row, cells)| Some((row, figure(&cells[column])?)));
        let figures: Vec<(usize, f64)> = figures.filter(|(_, figure)| *figure > 0.0).collect();
        let most = figures.iter().map(|(_, figure)| *figure).fold(0.0, f64::max);
        for (row, figure) in figures {
            // A factor of four for each step.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 4")]
            let below = ((most / figure).log2() / 2.0).round().clamp(0.0, 4.0) as usize;
            heat.insert((row, column), STEPS[STEPS.len() - 1 - below]);
        }
    }
    heat
}

/// The number at the head of a cell, in its smallest unit.
fn figure(text: &str) -> Option<f64> {
    let mut words = text.trim_start_matches(['≥', ' ', '<']).split(' ');
    let number: f64 = words.next()?.parse().ok()?;
    let scale = match words.next().unwrap_or_default() {
        "µs" | "KiB" => 1e3,
        "ms" | "MiB" => 1e6,
        "s" | "GiB" => 1e9,
        _ => 1.0,
    };
    Some(number * scale)
}

fn size_section(case: &CaseReport) -> Markup {
    let functions = charts::functions(&case.facts);
    let sections = case
        .facts
        .iter()
        .filter_map(|(fact, value)| Some((fact.strip_prefix("size.section.")?.to_owned(), value.as_u64()?)));
    let mut sections: Vec<(String, u64)> = sections.collect();
    sections.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let grid = |name: &str, rows: Vec<(String, u64)>| {
        let mut grid = Grid::new(&[name, "bytes"]);
        rows.into_iter().for_each(|(name, bytes)| grid.add_row([name, bytes.to_string()]));
        grid.if_any()
    };
    html! {
        div.row {
            @for (label, rows) in [("section", sections), ("largest functions", functions)] {
                @if let Some(grid) = grid(label, rows) { div { (table(&grid, &format!("{label} of {}", case.id))) } }
            }
        }
    }
}

fn environment(report: &Report, again: &str) -> Markup {
    let machine = &report.machine;
    let unknown = || "unknown".to_owned();
    let mut grid = Grid::new(&["what", "value"]).align_left(&[0, 1]);
    let mut add = |what: &str, value: String| grid.add_row([what.to_owned(), value]);
    add("wasiscope", report.wasiscope.clone());
    for (tool, version) in &report.tools {
        add(tool, version.clone().unwrap_or_else(|| "not there".to_owned()));
    }
    add(
        "operating system",
        format!("{} {}, {}", machine.os, machine.kernel.clone().unwrap_or_else(unknown), machine.arch),
    );
    add("processor", format!("{} × {}", machine.cpus, machine.cpu.clone().unwrap_or_else(unknown)));
    add("memory", machine.memory_bytes.map_or_else(unknown, units::bytes));
    add("virtual machine", machine.virtualized.map_or_else(unknown, |is| if is { "yes" } else { "no" }.to_owned()));
    add(
        "processor time that the hypervisor took",
        machine.steal_ratio.map_or_else(unknown, |share| format!("{:.2} %", share * 100.0)),
    );
    add("workers kept on one processor each", if machine.pinned { "yes" } else { "no" }.to_owned());
    for (what, value) in machine.restrictions() {
        add(what, value);
    }
    let programs = report.capture.programs.iter().filter(|program| program.unavailable.is_none()).count();
    let missing: Vec<String> = report
        .capture
        .programs
        .iter()
        .filter_map(|program| Some(format!("{}: {}", program.name, program.unavailable.as_ref()?)))
        .collect();
    if report.capture.status != CaptureStatus::Off {
        add(
            "kernel programs",
            if missing.is_empty() { programs.to_string() } else { format!("{programs}; {}", missing.join("; ")) },
        );
    }
    html! {
        section id="/environment" aria-label="environment" {
            h2 { "Environment, and how to see this again" }
            (table(&grid, "environment"))
            // A long command is scrolled, by keyboard too.
            pre tabindex="0" role="region" aria-label="the command that does the same run" { (again) }
        }
    }
}

/// The commands that make such a report again. Pasted into a shell, they are the same run.
fn reproduce(report: &Report) -> String {
    let commit = report.git.as_ref().map(|git| {
        let changes = if git.dirty { ", with the changes that were on top of it" } else { "" };
        format!("# at commit {}{changes}", cut(&git.commit))
    });
    let folder = report.invocation.as_ref().map(|Invocation { folder, .. }| folder).filter(|folder| !folder.is_empty());
    let folder = folder.map(|folder| format!("cd {folder}"));
    let unknown = report.invocation.is_none();
    let unknown = unknown.then(|| "# options that choose cases, or give guests something, are not known".to_owned());
    let lines: Vec<String> = [commit, unknown, folder, Some(command(report))].into_iter().flatten().collect();
    let text = lines.join("\n");
    // Half a command would be another one.
    if text.len() > COMMAND_BYTES {
        return format!(
            "# The command is too long for a page ({} bytes); the report has it as `invocation`.",
            text.len()
        );
    }
    text
}

/// Most bytes of a command that a page shows.
const COMMAND_BYTES: usize = 32 << 10;

fn command(report: &Report) -> String {
    let status = match report.capture.status {
        CaptureStatus::Live => Some("--capture on".to_owned()),
        CaptureStatus::Off => Some("--capture off".to_owned()),
        CaptureStatus::Unavailable | CaptureStatus::Replayed => None,
    };
    let seed = Some(format!("--seed {}", report.seed));
    let words: Vec<String> = match &report.invocation {
        Some(Invocation { folder: _, options, operands }) => {
            let is_given =
                |option: &str| options.iter().any(|own| own == option || own.starts_with(&format!("{option} ")));
            let status = status.filter(|_| !is_given("--capture"));
            let seed = seed.filter(|_| !is_given("--seed"));
            options.iter().cloned().chain(status).chain(seed).chain(operands.iter().cloned()).collect()
        }
        None => {
            let names = report.scenarios.iter().map(|scenario| names::shell_word(OsStr::new(&scenario.name)));
            let noise = (report.noise > 0).then(|| format!("--noise {}", report.noise));
            names.chain(status).chain(noise).chain(seed).collect()
        }
    };
    format!("wasiscope run {}", words.join(" "))
}
