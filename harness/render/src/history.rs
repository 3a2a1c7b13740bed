//! Figures over commits, for a terminal and as Markdown.

use std::fmt::Write;

use super::grid::{Grid, plain};
use super::table::Style;
use wasiscope_model::history::{Commit, History, Series, Shift};
use wasiscope_model::units;
use wasiscope_stats::SEGMENT_MIN;

/// So many measured series are enough for some steps to be chance.
const MANY: usize = 10;
/// Most series that are shown value by value.
const SERIES: usize = 12;
/// Most characters of a commit's subject.
const SUBJECT_CHARS: usize = 50;
/// Characters of a commit's hash.
const HASH_CHARS: usize = 12;

/// The steps, machine by machine, and, where the user has asked for some, the series value by value.
#[must_use]
pub fn render(history: &History, in_full: bool, style: Style) -> String {
    let mut text = String::new();
    let machines = machines(history);
    let steps: usize = history.series.iter().map(|series| series.steps.len()).sum();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "{}, {}{}, {} series: {}",
        units::count(history.commits.len(), "commit"),
        units::count(machines.len(), "machine"),
        if machines.len() > 1 { ", each for itself" } else { "" },
        history.series.len(),
        units::count(steps, "step")
    );
    if history.commits.is_empty() {
        text.push_str(
            "no report of a commit of this branch is kept there: `wasiscope history … --add REPORT` keeps one\n",
        );
    }
    history.left_out.iter().for_each(|line| _ = writeln!(text, "  note: left out: {line}"));
    let few = history.series.iter().any(|series| !series.exact && series.points.len() < 2 * SEGMENT_MIN);
    if few {
        let _ = writeln!(
            text,
            "  note: measurements of fewer than {} commits have no steps that chance could not make",
            2 * SEGMENT_MIN
        );
    }
    let noisy = history.series.iter().filter(|series| !series.exact).count();
    if noisy >= MANY && steps > 0 {
        let _ = writeln!(
            text,
            "  note: {noisy} of the series are measured; chance makes a step in one of a hundred such, and in up to ten where a machine drifts"
        );
    }
    for machine in machines {
        let of_machine: Vec<&Series> = history.series.iter().filter(|series| series.machine == machine).collect();
        let _ = match style {
            Style::Plain => writeln!(text, "\n{machine}"),
            Style::Markdown => writeln!(text, "\n### {machine}\n"),
        };
        let _ = writeln!(text, "{}", steps_of(history, &of_machine, style));
        let shown = of_machine.iter().filter(|_| in_full).take(SERIES);
        shown.for_each(|series| text += &values(history, series, style));
        if in_full && of_machine.len() > SERIES {
            let _ = writeln!(text, "\n… and {} more series (--case, --metric)", of_machine.len() - SERIES);
        }
    }
    plain(&text, style)
}

fn machines(history: &History) -> Vec<&str> {
    let mut machines: Vec<&str> = Vec::new();
    for series in &history.series {
        if !machines.contains(&series.machine.as_str()) {
            machines.push(&series.machine);
        }
    }
    machines
}

fn steps_of(history: &History, series: &[&Series], style: Style) -> String {
    let mut steps: Vec<(&Series, &Shift)> =
        series.iter().flat_map(|series| series.steps.iter().map(move |step| (*series, step))).collect();
    if steps.is_empty() {
        return "no steps".to_owned();
    }
    steps.sort_by_key(|(series, step)| series.points[step.at].commit);
    let mut table = Grid::new(&["since", "subject", "case", "metric", "before", "after", "change", "chance", "note"]);
    for (series, step) in steps {
        let at = series.points[step.at].commit;
        let commit = &history.commits[at];
        table.add_row([
            hash(commit),
            subject(commit),
            series.case.clone(),
            series.metric.clone(),
            value(series, step.before),
            value(series, step.after),
            if step.before == 0.0 { "–".to_owned() } else { units::change(step.after / step.before) },
            step.p.map_or("exact".to_owned(), |p| format!("{p:.3}")),
            note(history, series, step),
        ]);
    }
    table.align_left(&[0, 1, 2, 3, 8]).text(style)
}

/// Which commits it may be instead, and what else changed there.
pub(crate) fn note(history: &History, series: &Series, step: &Shift) -> String {
    let (before, at) = (series.points[step.at - 1].commit, series.points[step.at].commit);
    // Neither commits without any report, nor those whose reports lack this series.
    let between = history.commits[before + 1..at].iter();
    let never = (before + 1..=at).filter_map(|index| history.unmeasured.get(&index)).flatten();
    let candidates: usize = between.count() + never.count() + 1;
    let mut parts = Vec::new();
    if candidates > 1 {
        let range = (hash(&history.commits[before]), hash(&history.commits[at]));
        parts.push(format!("one of the {candidates} commits {}..{}", range.0, range.1));
    }
    if !step.besides.is_empty() {
        parts.push(format!("besides: {}", step.besides.join(", ")));
    }
    parts.join("; ")
}

fn values(history: &History, series: &Series, style: Style) -> String {
    let title = format!("{} · {} · {}", series.scenario, series.case, series.metric);
    let how = if series.normalised { ", by the reference case" } else { "" };
    let head = match style {
        Style::Plain => format!("\n{title}{how}\n"),
        Style::Markdown => format!("\n#### {title}{how}\n\n"),
    };
    let mut table = Grid::new(&["commit", "subject", "value", "reports", ""]);
    for (index, point) in series.points.iter().enumerate() {
        let commit = &history.commits[point.commit];
        let step = series.steps.iter().find(|step| step.at == index);
        table.add_row([
            hash(commit),
            subject(commit),
            value(series, point.value),
            point.reports.to_string(),
            step.map_or(String::new(), |step| match step.before {
                0.0 => format!("◀ from 0 to {}", value(series, step.after)),
                before => format!("◀ {}", units::change(step.after / before)),
            }),
        ]);
    }
    format!("{head}{}\n", table.align_left(&[0, 1, 4]).text(style))
}

fn hash(commit: &Commit) -> String {
    commit.id.chars().take(HASH_CHARS).collect()
}

fn subject(commit: &Commit) -> String {
    if commit.subject.chars().count() <= SUBJECT_CHARS {
        return commit.subject.clone();
    }
    commit.subject.chars().take(SUBJECT_CHARS - 1).collect::<String>() + "…"
}

fn bytes(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size: whole, and not below 0")]
    units::bytes(value.round() as u64)
}

/// In the unit that people read. A fact is exact and so are its digits.
pub(crate) fn value(series: &Series, value: f64) -> String {
    match series.unit.as_str() {
        "ns" => units::duration(value),
        "us" => units::duration(value * 1_000.0),
        "bytes" => bytes(value),
        "" => format!("{value}"),
        unit => format!("{value:.0} {unit}"),
    }
}
