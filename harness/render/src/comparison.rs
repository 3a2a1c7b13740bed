//! A comparison for a terminal, and as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::grid::{Grid, plain};
use super::table::Style;
use wasiscope_model::comparison::{Comparison, FactRow, KernelRow, Row, SKIPPED, State};
use wasiscope_model::units;
use wasiscope_stats::Verdict;

/// Most characters of a fact's value in a table; the document has all of it.
const VALUE_CHARS: usize = 40;

/// Most characters of a note in a table; longer ones stand below it.
const NOTE_CHARS: usize = 80;

/// The verdict first, then facts that differ, then every row.
#[must_use]
pub fn render(comparison: &Comparison, style: Style) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}: {}", comparison.headline(), counts(&comparison.rows));
    for (name, side) in [("base", &comparison.base), ("new", &comparison.new)] {
        let commit = side.git.as_ref().map(|git| format!(" ({:.12})", git.commit)).unwrap_or_default();
        let _ = writeln!(text, "{}{name}: {}{commit}", bullet(style), side.label);
    }
    for warning in &comparison.warnings {
        let _ = writeln!(text, "{}note: {warning}", bullet(style));
    }
    if let Some(seed) = comparison.seed {
        let _ = writeln!(text, "{}seed {seed}", bullet(style));
    }
    if comparison.interrupted {
        let _ = writeln!(text, "{}interrupted: results are partial", bullet(style));
    }
    if comparison.budget_spent {
        let _ = writeln!(text, "{}the budget was spent before every row was settled", bullet(style));
    }
    if !comparison.facts.is_empty() {
        let _ = writeln!(text, "\n{}", facts(&comparison.facts).text(style));
    }
    let (skipped, rest): (Vec<&Row>, Vec<&Row>) = comparison.rows.iter().partition(|row| is_skipped(row));
    let (timed, identical): (Vec<&Row>, Vec<&Row>) = rest.into_iter().partition(|row| !is_identical(row));
    if !timed.is_empty() {
        let _ = writeln!(text, "\n{}", rows(&timed, comparison.confidence).text(style));
    }
    let reasons = reasons(comparison);
    if !reasons.is_empty() {
        let _ = writeln!(text, "\n{}", kernel(&reasons).text(style));
    }
    for note in long_notes(&timed) {
        let _ = writeln!(text, "\n{note}");
    }
    if !identical.is_empty() {
        let names: Vec<&str> = identical.iter().map(|row| row.case.as_str()).collect();
        let _ = writeln!(text, "\nidentical code on both sides, not timed: {}", names.join(", "));
    }
    if !skipped.is_empty() {
        let names: Vec<&str> = skipped.iter().map(|row| row.case.as_str()).collect();
        let why = skipped[0].note.as_deref().unwrap_or_default();
        let _ = writeln!(text, "\n{why}: {}", names.join(", "));
    }
    plain(&text, style)
}

/// What the kernel did otherwise in the phases whose time has changed.
fn reasons(comparison: &Comparison) -> Vec<&KernelRow> {
    let has_changed = |of: &&KernelRow| comparison.rows.iter().any(|row| row.verdict.is_change() && of.is_of(row));
    comparison.kernel.iter().filter(has_changed).collect()
}

/// What the kernel did on both sides.
pub(crate) fn kernel(rows: &[&KernelRow]) -> Grid {
    let mut table =
        Grid::new(&["case", "phase", "the kernel, for one iteration", "base", "new"]).align_left(&[0, 1, 2]);
    for row in rows {
        let [what, base, new] = figures(row);
        table.add_row([row.case.clone(), row.phase.clone(), what, base, new]);
    }
    table
}

/// The same where case and phase are known.
#[cfg(feature = "html")]
pub(crate) fn kernel_of_phase(rows: &[&KernelRow]) -> Grid {
    let mut table = Grid::new(&["the kernel, for one iteration", "base", "new"]);
    rows.iter().for_each(|row| table.add_row(figures(row)));
    table
}

fn figures(row: &KernelRow) -> [String; 3] {
    let figure = |value: f64| match row.unit.as_str() {
        "ns" => units::duration(value),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes: not below 0")]
        "bytes" => units::bytes(value.max(0.0).round() as u64),
        _ => units::plain(value),
    };
    [row.what.clone(), figure(row.base), figure(row.new)]
}

/// Whether a row only says that there is nothing to compare.
fn is_identical(row: &Row) -> bool {
    row.is_of_whole_case() && row.state() == State::Compared(Verdict::Unchanged) && !is_skipped(row)
}

/// Whether neither side was there.
fn is_skipped(row: &Row) -> bool {
    row.is_of_whole_case() && row.note.as_deref().is_some_and(|note| note.starts_with(SKIPPED))
}

/// Notes that do not fit into a table, each once.
fn long_notes(rows: &[&Row]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for note in rows.iter().map(|row| note(row)).filter(|note| !fits(note)) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

/// The note of a row, with the name that it had.
pub(crate) fn note(row: &Row) -> String {
    let renamed = row.renamed_from.as_ref().map(|name| format!("renamed from {name}"));
    if let (Some(renamed), State::Renamed) = (&renamed, row.state()) {
        return format!("{renamed}, otherwise identical");
    }
    renamed.into_iter().chain(row.note.clone().filter(|note| !note.is_empty())).collect::<Vec<_>>().join("; ")
}

fn fits(note: &str) -> bool {
    !note.contains('\n') && note.chars().count() <= NOTE_CHARS
}

/// A note as it fits into a table.
fn brief(note: &str) -> String {
    if fits(note) {
        return note.to_owned();
    }
    let first_line = note.lines().next().unwrap_or_default();
    format!("{}… (below)", first_line.chars().take(NOTE_CHARS).collect::<String>())
}

const fn bullet(style: Style) -> &'static str {
    match style {
        Style::Plain => "  ",
        Style::Markdown => "- ",
    }
}

pub(crate) fn counts(rows: &[Row]) -> String {
    let parts: Vec<String> = State::ALL
        .into_iter()
        .map(|state| (state, rows.iter().filter(|row| row.state() == state).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    if parts.is_empty() { "nothing was compared".to_owned() } else { parts.join(", ") }
}

pub(crate) fn facts(rows: &[FactRow]) -> Grid {
    let mut table = Grid::new(&["case", "fact that differs", "base", "new"]).align_left(&[0, 1, 2, 3]);
    for row in rows {
        let cell = |value: &Option<Value>| value.as_ref().map_or("–".to_owned(), shortened);
        let change = match (row.base.as_ref().and_then(Value::as_i64), row.new.as_ref().and_then(Value::as_i64)) {
            (Some(base), Some(new)) => change(base, new, row.above.as_deref()),
            _ => row.above.as_ref().map(|tolerance| format!(" (FAILED: above {tolerance})")).unwrap_or_default(),
        };
        if let Some(parts) = parts(row.base.as_ref(), row.new.as_ref()) {
            let scenario = row.scenario.as_ref().map(|scenario| format!("{scenario}: ")).unwrap_or_default();
            table.add_row([scenario + &row.case, row.fact.clone(), "by part:".to_owned(), parts]);
            continue;
        }
        let scenario = row.scenario.as_ref().map(|scenario| format!("{scenario}: ")).unwrap_or_default();
        table.add_row([scenario + &row.case, row.fact.clone(), cell(&row.base), cell(&row.new) + &change]);
    }
    table
}

/// By how much a number differs, and whether that is too much.
fn change(base: i64, new: i64, above: Option<&str>) -> String {
    let relative = if base > 0 { format!(", {}", units::change(new as f64 / base as f64)) } else { String::new() };
    let above = above.map(|tolerance| format!(", FAILED: above {tolerance}")).unwrap_or_default();
    format!(" ({:+}{relative}{above})", new.saturating_sub(base))
}

/// Parts of a whole that differ, the largest change first: crates with their bytes, or functions.
fn parts(base: Option<&Value>, new: Option<&Value>) -> Option<String> {
    const SHOWN: usize = 4;
    let (base, new) = (numbers(base?)?, numbers(new?)?);
    let of = |parts: &BTreeMap<String, i64>, name: &String| parts.get(name).copied().unwrap_or(0);
    let names: BTreeSet<&String> = base.keys().chain(new.keys()).collect();
    let mut changes: Vec<(i64, &String)> =
        names.into_iter().map(|name| (of(&new, name) - of(&base, name), name)).collect();
    changes.retain(|(change, _)| *change != 0);
    changes.sort_by_key(|(change, name)| (std::cmp::Reverse(change.abs()), *name));
    let shown = changes.iter().take(SHOWN).map(|(change, name)| format!("{name} {change:+}"));
    let more = changes.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("{more} more"));
    Some(shown.chain(more).collect::<Vec<_>>().join(", "))
}

/// A map of numbers, or a list of things with a name and bytes.
fn numbers(value: &Value) -> Option<BTreeMap<String, i64>> {
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| Some((name.clone(), value.as_i64()?))).collect(),
        Value::Array(list) if !list.is_empty() => {
            let named = |entry: &Value| Some((entry.get("name")?.as_str()?.to_owned(), entry.get("bytes")?.as_i64()?));
            list.iter().map(named).collect()
        }
        _ => None,
    }
}

fn shortened(value: &Value) -> String {
    if value.as_array().is_some_and(|entries| entries.iter().any(Value::is_object)) || value.is_object() {
        return "(in the JSON)".to_owned();
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= VALUE_CHARS {
        return text;
    }
    text.chars().take(VALUE_CHARS - 1).collect::<String>() + "…"
}

pub(crate) fn rows(rows: &[&Row], confidence: f64) -> Grid {
    let interval = format!("{} % interval", units::percent_plain(confidence));
    let mut table = Grid::new(&["case", "metric", "base", "new", "change", &interval, "workers", "verdict", "note"])
        .align_left(&[0, 1, 7, 8]);
    for row in rows {
        let duration = |ns: Option<f64>| ns.map_or("–".to_owned(), units::duration);
        let interval = row
            .ci_low
            .zip(row.ci_high)
            .map_or("–".to_owned(), |(low, high)| format!("{} … {}", units::change(low), units::change(high)));
        let machine = row.machine.as_ref().map(|machine| format!(" on {machine}")).unwrap_or_default();
        table.add_row([
            row.scenario.as_ref().map_or(String::new(), |scenario| format!("{scenario}: ")) + &row.case + &machine,
            row.metric.clone(),
            duration(row.base),
            duration(row.new),
            row.ratio.map_or("–".to_owned(), units::change),
            interval,
            if row.log_ratios.is_empty() { "–".to_owned() } else { row.log_ratios.len().to_string() },
            row.state().name().to_owned(),
            brief(&note(row)),
        ]);
    }
    table
}
