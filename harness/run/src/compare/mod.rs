//! Comparisons: what two guests, two revisions or two reports say of each other. [`live`] runs both sides in the same
//! workers, which is the way to be sure; [`reports`] makes the best of two reports of different times.

pub mod answers;
pub mod bisect;
mod differences;
pub mod facts;
mod input;
pub mod kernel;
pub mod live;
pub mod matching;
pub mod reports;
pub mod revision;
pub mod sides;
mod submodules;
mod tolerance;
pub mod unlike;
mod worktrees;

use wasiscope_model::figures::Verdict;

pub use wasiscope_model::comparison::{
    Comparison, FactRow, KernelRow, Row, SCHEMA_VERSION, SKIPPED, Side, SideReport, State, WHOLE_CASE,
};

pub use differences::Differences;
pub use reports::medians;
pub use tolerance::Tolerances;

/// The ratio of this logarithm. One that no float can be is as far as floats go: JSON has no infinity, so it would be read as not known.
pub fn ratio_of(log: f64) -> f64 {
    log.exp().min(f64::MAX)
}

/// The worst verdict of all rows: regressed, else inconclusive, else improved, else unchanged.
#[must_use]
pub fn overall(rows: &[Row]) -> Verdict {
    rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Inconclusive)
}

/// What a case was called: its id, or its scenario's name before it where the id alone is as it was.
fn old_name(scenario: &str, old: &str, new: &str) -> String {
    if old == new { format!("{scenario}: {old}") } else { old.to_owned() }
}

/// Puts the cases whose answers differ first, what has only another name or only one side last, and answers before other facts that
/// differ.
pub fn put_in_order(rows: &mut [Row], facts: &mut [FactRow]) {
    let wrong = answers::with_other_answers(rows);
    rows.sort_by_key(|row| match row.state() {
        _ if wrong.contains(&answers::key(row)) => 0,
        State::OtherAnswer | State::Failed | State::Compared(_) => 1,
        State::Renamed => 2,
        State::OnlyIn(Side::Base) => 3,
        State::OnlyIn(Side::New) => 4,
    });
    facts.sort_by_key(|fact| !answers::is_answer(&fact.fact));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_answers_come_first_and_what_has_one_side_last() {
        let plain = |case: &str| Row::without_figures(case, Verdict::Unchanged, "");
        let wrong = answers::row("b", vec!["check".to_owned()]);
        let renamed = Row { renamed_from: Some("x".to_owned()), ..plain("renamed") };
        let mut rows = vec![Row::only_in(Side::New, "added", ""), renamed, plain("a"), wrong, plain("b"), plain("c")];
        put_in_order(&mut rows, &mut []);
        let shown: Vec<(&str, bool)> = rows.iter().map(|row| (row.case.as_str(), row.failed)).collect();
        let (wrong, rest) = shown.split_at(1);
        assert_eq!(wrong, [("b", true)]);
        assert_eq!(rest.iter().map(|(case, _)| *case).collect::<Vec<_>>(), ["b", "a", "c", "renamed", "added"]);
    }

    #[test]
    fn a_ratio_that_no_float_can_be_is_as_far_as_floats_go() {
        assert_eq!((ratio_of(1_000.0), ratio_of(0.0), ratio_of(-1_000.0)), (f64::MAX, 1.0, 0.0));
    }
}
