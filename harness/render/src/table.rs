//! The report for a terminal, and as Markdown.

use std::fmt::Write;

use serde_json::Value;
use wasiscope_ebpf_abi::Phase;
use wasiscope_model::kind::find;

use super::grid::{Grid, plain};

pub use super::grid::Style;

use super::kernel;
use super::{Titled, Views};
use wasiscope_model::record::{self, Status};
use wasiscope_model::report::by_machine;
use wasiscope_model::report::{
    CaptureReport, CaptureStatus, CaseReport, KernelPhase, Measurement, Report, ScenarioReport,
};
use wasiscope_model::units;
use wasiscope_stats as stats;

/// What columns of intervals are called.
pub const INTERVAL: &str = "99 % interval";

/// The whole report: one table of phases per case, one summary line per case, and what the capture says of itself.
#[must_use]
pub fn render(report: &Report, style: Style, views: Views) -> String {
    let machines = by_machine(report);
    let mut text = String::new();
    for report in &machines {
        if machines.len() > 1 {
            heading(&mut text, style, &format!("machine {}", report.machine.label()));
        }
        text.push_str(&of_one_machine(report, style, views));
        if machines.len() > 1 {
            text.push_str("\n\n");
        }
    }
    plain(&text, style)
}

fn of_one_machine(report: &Report, style: Style, views: Views) -> String {
    let mut text = String::new();
    if let Some(planted) = &report.planted {
        // Before everything, because nothing of it is a finding.
        let _ = writeln!(text, "A fault was planted on purpose: {planted}. What fails below shows that it is found.\n");
    }
    if report.noise > 0 {
        let _ = writeln!(text, "With {} busy process(es) on the processor of every worker (--noise).\n", report.noise);
    }
    if let Some(quota) = report.machine.limits.quota_text() {
        let _ = writeln!(text, "With a quota of processor time: {quota}. `wasiscope doctor` says where it is set.\n");
    }
    for scenario in &report.scenarios {
        heading(&mut text, style, &format!("scenario {}", scenario.name));
        let exact = report.capture.ledger.counts_are_exact();
        match find(views, &scenario.kind) {
            Some(view) => match view.tables(scenario, exact) {
                Some(tables) => {
                    text.push_str(&sections_text(&tables, style));
                    text.push_str(&view.below(scenario, style));
                }
                None => scenario.cases.iter().for_each(|case| render_case(&mut text, case, style, exact)),
            },
            None => text.push_str(&sections_text(&[raw(scenario)], style)),
        }
    }
    let of_phases = summary(report, views);
    if !of_phases.rows.is_empty() {
        heading(&mut text, style, "summary");
        text.push_str(&of_phases.text(style));
        text.push_str("\n\n");
    }
    match style {
        Style::Plain => render_capture(&mut text, report),
        Style::Markdown => {
            text.push_str("```text\n");
            render_capture(&mut text, report);
            text.push_str("```\n");
        }
    }
    text
}

/// Whether its cases are shown one by one, phase by phase. The others have tables of their own.
pub(crate) fn shows_phases(scenario: &ScenarioReport, views: Views) -> bool {
    find(views, &scenario.kind).is_some_and(|view| view.tables(scenario, true).is_none())
}

/// A scenario of a kind that this version does not know: its figures as they are.
pub(crate) fn raw(scenario: &ScenarioReport) -> Titled {
    let mut table = Grid::new(&["case", "status", "metric", "median", "unit"]).align_left(&[0, 1, 2, 4]);
    for case in &scenario.cases {
        let status = case.outcome.status.name().to_owned();
        for Measurement { metric, unit, summary, .. } in &case.measurements {
            table.add_row([case.id.clone(), status.clone(), metric.clone(), summary.median.to_string(), unit.clone()]);
        }
        if case.measurements.is_empty() {
            table.add_row([case.id.clone(), status, String::new(), String::new(), String::new()]);
        }
    }
    table.note(format!("This version does not know scenarios of `kind: {}`; the JSON has all of it.", scenario.kind));
    ("figures as they are", table)
}

fn heading(text: &mut String, style: Style, title: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = match style {
        Style::Plain => writeln!(text, "{title}\n"),
        Style::Markdown => writeln!(text, "## {title}\n"),
    };
}

fn render_case(text: &mut String, case: &CaseReport, style: Style, exact: bool) {
    let _ = match style {
        Style::Plain => writeln!(text, "{}  {}", case.id, outcome(case)),
        Style::Markdown => writeln!(text, "### {}\n\n{}", case.id, outcome(case)),
    };
    let bullet = match style {
        Style::Plain => "  ",
        Style::Markdown => "\n- ",
    };
    for line in lines(case) {
        let _ = writeln!(text, "{bullet}{line}");
    }
    if !case.measurements.is_empty() {
        let _ = writeln!(text, "\n{}", phases(case, exact).text(style));
    }
    for table in kernel::tables(case, exact) {
        let _ = writeln!(text, "\n{}", table.text(style));
    }
    text.push('\n');
}

fn outcome(case: &CaseReport) -> String {
    let unexpected = match (case.outcome.expected, case.outcome.status) {
        (true, _) => "",
        (false, Status::Trapped) => {
            " (unexpected; --expect-trap, or `expect: {outcome: trapped}` in a scenario, measures it)"
        }
        (false, _) => " (unexpected)",
    };
    match &case.outcome.detail {
        Some(detail) => format!("{}{unexpected}: {detail}", case.outcome.status.name()),
        None => case.outcome.status.name().to_owned(),
    }
}

/// What else there is to be said of a case, a line each.
pub(crate) fn lines(case: &CaseReport) -> Vec<String> {
    let lines = [facts_line(case), memory_line(case), sampling_line(case)];
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

fn facts_line(case: &CaseReport) -> String {
    let size = |name: &str| case.facts.get(name).and_then(Value::as_u64).map(units::bytes);
    let mut parts = Vec::new();
    for (label, fact) in [("wasm", "size.wasm"), ("gzip", "size.gzip"), ("native code", "size.native_code")] {
        parts.extend(size(fact).map(|size| format!("{label} {size}")));
    }
    if let Some(pages) = case.facts.get("memory.initial_pages").and_then(Value::as_u64) {
        let last = case.facts.get("memory.final_pages").and_then(Value::as_u64).filter(|last| *last != pages);
        let page_bytes = case.facts.get("memory.page_bytes").and_then(Value::as_u64).unwrap_or(1 << 16);
        let shown = |pages: u64| units::bytes(pages.saturating_mul(page_bytes));
        let grown = last.map(|last| format!(" → {}", shown(last))).unwrap_or_default();
        parts.push(format!("memory {}{grown}", shown(pages)));
    }
    if let Some(n) = case.n {
        parts.push(format!("n {n}"));
    }
    if let Some(check) = case.facts.get("check").and_then(Value::as_str) {
        parts.push(format!("check {check}"));
    }
    if let Some(fuel) = case.facts.get("fuel").and_then(Value::as_u64) {
        parts.push(format!("fuel {fuel}"));
    }
    if let Some(count) = case.facts.get(record::INSTRUCTIONS).and_then(Value::as_u64) {
        parts.push(format!("instructions {count}"));
    }
    if let Some(ratio) = case.observer_ratio {
        let processes = case.measurements.first().map_or(0, |measurement| measurement.summary.processes);
        // As with intervals: below that, chance says more than the kernel does.
        let rough =
            if processes < stats::UNITS_MIN { format!(" (rough: {processes} processes)") } else { String::new() };
        parts.push(format!("observer ×{ratio:.3}{rough}"));
    }
    parts.join(" · ")
}

fn memory_line(case: &CaseReport) -> String {
    let labels = [
        (record::RSS_INSTANTIATE, "resident after instantiate"),
        (record::RSS_RUN, "resident after run"),
        (record::TOUCHED, "linear memory touched"),
    ];
    let figure = |(metric, label): (&str, &str)| {
        let measured = case.measurements.iter().find(|measurement| measurement.metric == metric)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a median of byte counts")]
        let bytes = measured.summary.median as u64;
        Some(format!("{label} {}", units::bytes(bytes)))
    };
    labels.into_iter().filter_map(figure).collect::<Vec<_>>().join(" · ")
}

/// How it was sampled, and what stood in the way.
fn sampling_line(case: &CaseReport) -> String {
    let Some(processes) = case.measurements.iter().map(|measurement| measurement.summary.processes).max() else {
        return String::new();
    };
    let count = |number: usize, what: &str, plural: &str| {
        if number == 1 { format!("1 {what}") } else { format!("{number} {plural}") }
    };
    let mut line =
        count(processes, "process", "processes") + " × " + &count(case.iterations as usize, "iteration", "iterations");
    if case.batch > 1 {
        let _ = write!(line, " × {} passes from instantiate on", case.batch);
    }
    if let Some(note) = case.disturbance.as_ref().and_then(|disturbance| disturbance.note.as_ref()) {
        let _ = write!(line, " · disturbed: {note}");
    }
    line
}

/// Tables under their headings.
pub(crate) fn sections_text(sections: &[(&str, Grid)], style: Style) -> String {
    let mut text = String::new();
    for (title, table) in sections {
        let body = table.text(style);
        let _ = match style {
            Style::Plain => writeln!(text, "{title}\n\n{body}\n"),
            Style::Markdown => writeln!(text, "### {title}\n\n{body}\n"),
        };
    }
    text
}

/// What each phase took, and what the kernel saw in it.
pub(crate) fn phases(case: &CaseReport, exact: bool) -> Grid {
    let mut header = vec!["phase", "median", INTERVAL, "min", "p95", "samples"];
    if case.kernel.is_some() {
        header.extend(["syscalls", "faults", "off CPU"]);
    }
    let mut table = Grid::new(&header);
    for phase in Phase::REPORTED {
        let metric = record::metric_of(phase);
        let measured = case.measurements.iter().find(|measurement| measurement.metric == metric);
        let seen = case.kernel.as_ref().and_then(|kernel| kernel.phases.get(phase.name()));
        if measured.is_none() && seen.is_none() {
            continue;
        }
        let mut row = vec![phase.name().to_owned()];
        row.extend(measured.map_or_else(no_figures, figures));
        if case.kernel.is_some() {
            row.extend(seen.map_or_else(|| [(); 3].map(|()| "–".to_owned()), |seen| kernel_cells(seen, exact)));
        }
        table.add_row(row);
    }
    table
}

fn no_figures() -> [String; 5] {
    [(); 5].map(|()| "–".to_owned())
}

fn figures(measurement: &Measurement) -> [String; 5] {
    let summary = &measurement.summary;
    [
        units::duration(summary.median),
        interval(summary.ci_low, summary.ci_high),
        units::duration(summary.min),
        units::duration(summary.p95),
        samples(measurement),
    ]
}

/// Samples in the summary, and how many iterations of each process were left out as warm-up.
fn samples(measurement: &Measurement) -> String {
    match measurement.warm_up {
        0 => measurement.summary.n.to_string(),
        left_out => format!("{} (−{left_out} each)", measurement.summary.n),
    }
}

fn interval(low: Option<f64>, high: Option<f64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{} … {}", units::duration(low), units::duration(high)),
        _ => "–".to_owned(),
    }
}

fn kernel_cells(phase: &KernelPhase, exact: bool) -> [String; 3] {
    let at_least = if exact { "" } else { "≥ " };
    let per_iteration = |count| {
        units::per_iteration(count, phase.iterations).map_or("–".to_owned(), |figure| format!("{at_least}{figure}"))
    };
    let off_cpu = phase.off_cpu_ns.as_ref().map(|off| off.blocked.saturating_add(off.runnable));
    let off_cpu = off_cpu.filter(|_| phase.iterations > 0).map_or("–".to_owned(), |ns| match ns {
        0 => format!("{at_least}0"),
        ns => format!("{at_least}{}", units::duration(ns as f64 / phase.iterations as f64)),
    });
    [per_iteration(phase.syscall_count()), phase.faults.total().map_or("–".to_owned(), per_iteration), off_cpu]
}

/// A line for each case of workloads.
pub(crate) fn summary(report: &Report, views: Views) -> Grid {
    let columns = [Phase::Spawn, Phase::Compile, Phase::InstantiateCold, Phase::Instantiate, Phase::Init, Phase::Run];
    let mut header = vec!["case", "outcome", "size"];
    header.extend(columns.map(Phase::name));
    header.extend(["run syscalls", "run faults", "run off CPU"]);
    let mut table = Grid::new(&header);
    let of_workloads = report.scenarios.iter().filter(|scenario| shows_phases(scenario, views));
    for case in of_workloads.flat_map(|scenario| &scenario.cases) {
        let size = case.artifact.as_ref().map_or("–".to_owned(), |artifact| units::bytes(artifact.bytes));
        let mut row = vec![case.id.clone(), case.outcome.status.name().to_owned(), size];
        row.extend(columns.map(|phase| {
            let metric = record::metric_of(phase);
            let found = case.measurements.iter().find(|measurement| measurement.metric == metric);
            found.map_or("–".to_owned(), |measurement| units::duration(measurement.summary.median))
        }));
        let run = case.kernel.as_ref().and_then(|kernel| kernel.phases.get(Phase::Run.name()));
        let seen = run.map_or_else(
            || [(); 3].map(|()| "–".to_owned()),
            |run| kernel_cells(run, report.capture.ledger.counts_are_exact()),
        );
        row.extend(seen);
        table.add_row(row);
    }
    table.align_left(&[0, 1])
}

/// How many kernel programs there are, what is wrong with some, and what they cost where that was counted.
fn programs(text: &mut String, capture: &CaptureReport) {
    let verb = if capture.status == CaptureStatus::Replayed { "recorded" } else { "attached" };
    let attached = capture.programs.iter().filter(|program| program.unavailable.is_none()).count();
    if attached > 0 {
        let _ = writeln!(text, "  {attached} kernel programs {verb}");
    }
    for program in &capture.programs {
        let cost = match (program.run_count, program.mean_ns) {
            (Some(runs), Some(mean)) => {
                let mean = units::duration(mean);
                Some(format!("{mean} on average ({runs} events of the whole machine, in a pass of its own)"))
            }
            (Some(_), None) => Some("did not run in the pass that counts costs".to_owned()),
            _ => None,
        };
        let unavailable = program.unavailable.as_ref().map(|reason| format!("unavailable: {reason}"));
        let blind = program.blind_to.as_ref().map(|what| format!("blind to {what}"));
        let line: Vec<String> = [unavailable, blind, cost].into_iter().flatten().collect();
        if !line.is_empty() {
            let _ = writeln!(text, "  {:<18} {}", program.name, line.join(", "));
        }
    }
}

fn render_capture(text: &mut String, report: &Report) {
    let capture = &report.capture;
    let reason = capture.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let _ = writeln!(text, "capture: {}{reason}", capture.status.name());
    programs(text, capture);
    let ledger = &capture.ledger;
    if !ledger.counts_are_exact() {
        let _ = writeln!(
            text,
            "  lost: {} to full maps, {} to recursion: counts are lower bounds",
            ledger.map_full, ledger.recursion_missed
        );
    }
    if ledger.switches_unseen > 0 {
        let _ = writeln!(
            text,
            "  waits for a processor that are missing, because their end was not seen: {}",
            ledger.switches_unseen
        );
    }
    if ledger.events_lost > 0 {
        let _ = writeln!(text, "  {} events found no room on their way into handlers", ledger.events_lost);
    }
    if ledger.ring_dropped > 0 {
        let _ = writeln!(text, "  {} events are missing in the timeline: its buffer was full", ledger.ring_dropped);
    }
    let failed = report.cases().filter(|case| !case.outcome.expected).count();
    let skipped = report.cases().filter(|case| case.outcome.status == Status::Skipped).count();
    let _ = write!(text, "{} case(s), {failed} not as expected, {skipped} skipped", report.cases().count());
    let _ = writeln!(text, ", {:.1} s, seed {}", report.duration_s, report.seed);
    if report.budget_spent {
        text.push_str("the budget was spent: some cases have fewer processes than their scenario says\n");
    }
    if report.interrupted {
        text.push_str("interrupted: results are partial\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_intervals_say_how_sure_they_are() {
        assert_eq!(INTERVAL, format!("{} % interval", units::percent_plain(stats::CONFIDENCE)));
    }
}
