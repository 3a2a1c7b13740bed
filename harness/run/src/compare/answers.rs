//! What a guest answered. The one place that says what follows when two sides answer differently: it is said first, it fails the
//! comparison, and nothing about that case is an improvement. A regression stays one.

use super::Row;
use wasiscope_model::record::Facts;
use wasiscope_stats::Verdict;

/// Facts that are a guest's answer.
pub const ANSWERS: [&str; 8] =
    ["exit.code", "trap.code", "result", "check", "stdout.sha256", "stdout.bytes", "stderr.sha256", "stderr.bytes"];

/// The fact that lists those which were not the same in both of its passes.
pub const UNSTEADY: &str = "unsteady";

/// Whether a fact is part of an answer.
#[must_use]
pub fn is_answer(fact: &str) -> bool {
    ANSWERS.contains(&fact)
}

/// The parts of the answer in which two sides differ. One that a side does not know, or that changes from pass to pass, says nothing.
#[must_use]
pub fn differing(base: &Facts, new: &Facts) -> Vec<String> {
    let known = |facts: &Facts, name: &str| {
        let value = facts.get(name).filter(|value| !value.is_null());
        value.filter(|_| !is_unsteady(facts, name)).cloned()
    };
    let differs = |name: &&str| known(base, name).zip(known(new, name)).is_some_and(|(base, new)| base != new);
    ANSWERS.into_iter().filter(differs).map(str::to_owned).collect()
}

/// Whether the guest gave another answer in each pass.
fn is_unsteady(facts: &Facts, name: &str) -> bool {
    let names = facts.get(UNSTEADY).and_then(|names| names.as_array());
    names.is_some_and(|names| names.iter().any(|unsteady| unsteady == name))
}

/// The parts of the answer that change from pass to pass, on either side.
#[must_use]
pub fn unsteady(base: &Facts, new: &Facts) -> Vec<String> {
    let on_either = |name: &&str| is_unsteady(base, name) || is_unsteady(new, name);
    ANSWERS.into_iter().filter(on_either).map(str::to_owned).collect()
}

/// What the reader is told of a guest that does not always answer the same.
#[must_use]
pub fn unsteady_warning(case: &str, unsteady: &[String]) -> String {
    format!("{case}: its answer changes from pass to pass, so this part of it is not compared: {}", unsteady.join(", "))
}

/// The row that says so, which comes before all others of its case.
#[must_use]
pub fn row(case: &str, differing: Vec<String>) -> Row {
    let note = format!("differs in {}", differing.join(", "));
    Row { failed: true, answers_differ: differing, ..Row::without_figures(case, Verdict::Inconclusive, note) }
}

/// Less time for another answer is no improvement.
fn withhold_improvement(row: &mut Row) {
    if row.verdict == Verdict::Improved {
        row.verdict = Verdict::Inconclusive;
        row.note = Some("faster, but the answers differ".to_owned());
    }
}

/// The same for every case among these rows whose answers differ.
pub fn withhold_improvements(rows: &mut [Row]) {
    let wrong = with_other_answers(rows);
    rows.iter_mut().filter(|row| wrong.contains(&key(row))).for_each(withhold_improvement);
}

/// What tells the rows of one case from those of others.
pub(super) type Key = (Option<String>, Option<String>, String);

pub(super) fn key(row: &Row) -> Key {
    (row.machine.clone(), row.scenario.clone(), row.case.clone())
}

/// The cases whose answers differ.
pub(super) fn with_other_answers(rows: &[Row]) -> Vec<Key> {
    rows.iter().filter(|row| !row.answers_differ.is_empty()).map(key).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts(entries: &[(&str, Value)]) -> Facts {
        entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn only_what_both_sides_know_and_give_steadily_is_compared() {
        let base = facts(&[
            ("stdout.sha256", json!("a")),
            ("exit.code", json!(0)),
            ("check", Value::Null),
            ("fuel", json!(1)),
        ]);
        let new =
            facts(&[("stdout.sha256", json!("b")), ("exit.code", json!(0)), ("check", json!("1")), ("fuel", json!(2))]);
        assert_eq!(differing(&base, &new), ["stdout.sha256"]);
        assert_eq!(differing(&base, &base), [""; 0]);
        let unsteady_one = facts(&[("stdout.sha256", json!("c")), (UNSTEADY, json!(["stdout.sha256"]))]);
        assert_eq!(differing(&base, &unsteady_one), [""; 0]);
        assert_eq!(unsteady(&base, &unsteady_one), ["stdout.sha256"]);
    }

    #[test]
    fn another_answer_is_never_an_improvement_and_may_be_a_regression() {
        for (verdict, expected) in [
            (Verdict::Improved, Verdict::Inconclusive),
            (Verdict::Regressed, Verdict::Regressed),
            (Verdict::Unchanged, Verdict::Unchanged),
        ] {
            let mut row = Row::without_figures("a", verdict, "");
            withhold_improvement(&mut row);
            assert_eq!(row.verdict, expected);
        }
    }
}
