//! Facts that differ between two sides. Exact, so there is nothing to estimate.

use serde_json::Value;
use wasiscope_model::comparison::FactRow;

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
        })
        .filter(|row| row.base != row.new)
        .collect()
}

/// A fact that is `null` is not known, and stored it could not be told from one that is not there.
fn known(facts: &Facts, name: &str) -> Option<Value> {
    facts.get(name).filter(|value| !value.is_null()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
