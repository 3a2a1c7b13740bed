//! Flavours of one workload must give the same answer, or their figures say nothing of each other.

use std::collections::BTreeMap;

use serde_json::Value;
use wasiscope_model::code::Code;
use wasiscope_model::record::{Outcome, Status};
use wasiscope_model::report::{CaseReport, ScenarioReport};

/// What a guest answers, the most telling first. What is not the same in two passes is not known.
const ANSWERS: [&str; 3] = ["check", "stdout.sha256", "exit.code"];

/// Fails every case whose answer is not that of the workload's first flavour.
pub(super) fn hold_against_each_other(scenario: &mut ScenarioReport) {
    let mut first: BTreeMap<String, CaseReport> = BTreeMap::new();
    for case in scenario.cases.iter_mut().filter(|case| case.outcome.status == Status::Ok) {
        match first.get(&case.workload) {
            None => _ = first.insert(case.workload.clone(), case.clone()),
            Some(other) => {
                if let Some(difference) = difference(other, case) {
                    case.outcome = Outcome::because(Status::Failed, Code::AnswersDiffer, difference);
                }
            }
        }
    }
}

/// In what the answers of two cases differ.
fn difference(first: &CaseReport, case: &CaseReport) -> Option<String> {
    if first.flavour == case.flavour {
        return None;
    }
    let known = |case: &CaseReport, name: &str| case.facts.get(name).filter(|value| !value.is_null()).cloned();
    let answers = |name: &str| Some((known(first, name)?, known(case, name)?));
    let (name, (wanted, found)) = ANSWERS.into_iter().find_map(|name| Some((name, answers(name)?)))?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (wanted != found)
        .then(|| format!("another answer than {}: {name} is {}, not {}", first.flavour, text(&found), text(&wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasiscope_model::fixtures;

    fn outcome(flavours: &[(&str, &str, Value)]) -> Vec<Status> {
        let mut scenario = fixtures::report(
            flavours
                .iter()
                .map(|(flavour, name, value)| {
                    let mut case = wasiscope_render::fixtures::case("w/f/e", "00", &[]);
                    case.flavour = (*flavour).to_owned();
                    case.facts = [((*name).to_owned(), value.clone())].into();
                    case
                })
                .collect(),
            None,
        )
        .scenarios
        .remove(0);
        hold_against_each_other(&mut scenario);
        scenario.cases.iter().map(|case| case.outcome.status).collect()
    }

    #[test]
    fn another_answer_than_the_first_flavours_fails() {
        let of = |one: Value, two: Value| outcome(&[("a", "stdout.sha256", one), ("b", "stdout.sha256", two)]);
        assert_eq!(of("x".into(), "x".into()), [Status::Ok, Status::Ok]);
        assert_eq!(of("x".into(), "y".into()), [Status::Ok, Status::Failed]);
        assert_eq!(of("x".into(), Value::Null), [Status::Ok, Status::Ok]);
        assert_eq!(outcome(&[("a", "exit.code", 0.into()), ("a", "exit.code", 1.into())]), [Status::Ok, Status::Ok]);
    }
}
