//! Facts that differ between two sides. Exact, so there is nothing to estimate.

use serde_json::Value;
use wasiscope_model::comparison::FactRow;

use crate::budgets::means;

use wasiscope_kinds as kinds;
use wasiscope_model::record::Facts;

/// The facts in which two sides of a case differ, by name.
#[must_use]
pub fn differences(case: &str, base: &Facts, new: &Facts) -> Vec<FactRow> {
    let mut names: Vec<&String> = base.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        // What a flow of events counts is another in every run.
        .filter(|name| !kinds::varies(name))
        .map(|name| FactRow {
            case: case.to_owned(),
            fact: name.clone(),
            base: known(base, name),
            new: known(new, name),
            scenario: None,
            above: None,
        })
        .filter(|row| row.base != row.new)
        .collect()
}

/// By how much a fact may grow.
#[derive(Clone, Debug, PartialEq)]
pub struct FactTolerance {
    /// The fact, or a pattern of several.
    pub fact: String,
    /// By how much.
    pub growth: Growth,
    /// As it was written.
    pub written: String,
}

/// How much more a number may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Growth {
    /// So much.
    By(u64),
    /// So much of what it was.
    Relative(f64),
}

impl Growth {
    #[expect(clippy::cast_precision_loss, reason = "facts are counts and bytes")]
    fn lets_pass(self, base: u64, new: u64) -> bool {
        match self {
            Self::By(most) => new.saturating_sub(base) <= most,
            Self::Relative(share) => new as f64 <= base as f64 * (1.0 + share),
        }
    }
}

/// Marks the facts that grew by more than they may. What is only on one side was 0 on the other.
pub fn mark(rows: &mut [FactRow], tolerances: &[FactTolerance]) {
    let number = |value: &Option<Value>| value.as_ref().map_or(Some(0), Value::as_u64);
    for row in rows {
        let Some((base, new)) = number(&row.base).zip(number(&row.new)) else { continue };
        // The last that means it counts, as with options that are given twice.
        let tolerance = tolerances.iter().rev().find(|tolerance| means(&tolerance.fact, &row.fact));
        row.above = tolerance.filter(|of| !of.growth.lets_pass(base, new)).map(|of| of.written.clone());
    }
}

/// A fact that is `null` is not known, and stored it could not be told from one that is not there.
fn known(facts: &Facts, name: &str) -> Option<Value> {
    facts.get(name).filter(|value| !value.is_null()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_that_grows_by_more_than_its_tolerance_is_marked() {
        let facts = |bytes: u64| Facts::from([("size.wasm".to_owned(), bytes.into())]);
        let above = |base, new, growth| {
            let tolerance = FactTolerance { fact: "size.*".to_owned(), growth, written: "it".to_owned() };
            let mut rows = differences("a/b/c", &facts(base), &facts(new));
            mark(&mut rows, &[tolerance]);
            rows[0].above.is_some()
        };
        assert!(!above(1_000, 1_100, Growth::By(100)) && above(1_000, 1_101, Growth::By(100)));
        assert!(!above(1_000, 1_020, Growth::Relative(0.02)) && above(1_000, 1_021, Growth::Relative(0.02)));
        assert!(!above(1_000, 10, Growth::By(0)), "less is no growth");
    }

    #[test]
    fn null_is_as_good_as_not_there() {
        let base = Facts::from([("a".into(), Value::Null), ("b".into(), Value::Null)]);
        let new = Facts::from([("b".into(), 5.into())]);
        let rows = differences("x", &base, &new);
        assert_eq!(rows.iter().map(|row| (row.fact.as_str(), &row.base)).collect::<Vec<_>>(), [("b", &None)]);
    }

    #[test]
    fn only_what_differs_is_named() {
        let base = Facts::from([("a".into(), 1.into()), ("b".into(), 2.into()), ("c".into(), 3.into())]);
        let new = Facts::from([("a".into(), 1.into()), ("b".into(), 5.into()), ("d".into(), 4.into())]);
        let rows = differences("x", &base, &new);
        let shown: Vec<_> = rows.iter().map(|row| (row.fact.as_str(), row.base.clone(), row.new.clone())).collect();
        let number = |value: i32| Some(Value::from(value));
        assert_eq!(shown, [("b", number(2), number(5)), ("c", number(3), None), ("d", None, number(4))]);
    }
}
