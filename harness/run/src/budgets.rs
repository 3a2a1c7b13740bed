//! Facts that may not be more than a scenario says.

use globset::Glob;
use serde_json::Value;

use wasiscope_model::code::Code;
use wasiscope_model::metrics::NUMERIC_FACTS;
use wasiscope_model::record::{Facts, Outcome, Status};
use wasiscope_scenario::{self as scenario, Budgets};

/// A fact above its budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Excess {
    /// The budget, a fact's name or a pattern.
    pub budget: String,
    /// The fact, with what was found; `None` when no fact has this name, which is a mistake in the scenario.
    pub found: Option<(String, Value)>,
    /// The fact whose name is most like it, where none has it.
    pub meant: Option<String>,
    /// The most that it may be.
    pub most: Option<u64>,
}

/// Whether a budget's name, which may be a pattern, means this fact.
pub(crate) fn means(budget: &str, fact: &str) -> bool {
    budget == fact || Glob::new(budget).is_ok_and(|glob| glob.compile_matcher().is_match(fact))
}

/// Facts above their budgets, and budgets of facts that there are none of. The exact name counts before a pattern.
pub(crate) fn excesses(facts: &Facts, budgets: &Budgets) -> Vec<Excess> {
    let mut excesses = Vec::new();
    for (budget, most) in budgets {
        let meant: Vec<(&String, &Value)> = facts
            .iter()
            .filter(|(fact, _)| means(budget, fact) && (*fact == budget || !budgets.contains_key(*fact)))
            .collect();
        // A fact of other guests, as `size.wasm` is where one is native, is no mistake.
        let is_known = NUMERIC_FACTS.iter().any(|known| means(known, budget) || means(budget, known));
        if meant.is_empty() && !is_known && !facts.keys().any(|fact| means(budget, fact)) {
            let meant = scenario::nearest(budget, facts.keys().map(String::as_str)).map(str::to_owned);
            excesses.push(Excess { budget: budget.clone(), found: None, meant, most: *most });
        }
        let Some(most) = most else { continue };
        // A pattern means numbers; who names anything else has made a mistake.
        let above =
            meant.into_iter().filter(|(fact, value)| value.as_u64().map_or(*fact == budget, |value| value > *most));
        excesses.extend(above.map(|(fact, value)| Excess {
            budget: budget.clone(),
            found: Some((fact.clone(), value.clone())),
            meant: None,
            most: Some(*most),
        }));
    }
    excesses
}

/// The outcome of a case that ended as it should and is above a budget; `None` where it is within all of them.
pub(crate) fn outcome(facts: &Facts, budgets: &Budgets) -> Option<Outcome> {
    let excesses = excesses(facts, budgets);
    // A mistake in the scenario is more urgent than what it would have allowed.
    let worst = excesses.iter().min_by_key(|excess| excess.found.is_some())?;
    let more = if excesses.len() > 1 { format!(" (and {} more)", excesses.len() - 1) } else { String::new() };
    let most = worst.most.map(|most| most.to_string()).unwrap_or_default();
    Some(match &worst.found {
        Some((fact, value)) => {
            let detail = format!("{fact} is {value}, and its budget is {most}{more}");
            Outcome::because(Status::Failed, Code::OverBudget, detail)
        }
        None => {
            let meant = worst.meant.as_deref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
            let detail = format!("no fact is called `{}`, which has a budget{meant}{more}", worst.budget);
            Outcome::because(Status::Failed, Code::NoSuchFact, detail)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fact_above_its_budget_fails_and_so_does_a_budget_of_no_fact() {
        let facts = Facts::from([("size.wasm".to_owned(), json!(1_000)), ("check".to_owned(), json!("00"))]);
        let code = |name: &str, most| outcome(&facts, &Budgets::from([(name.to_owned(), most)]))?.code;
        assert_eq!(code("size.wasm", Some(1_000)), None);
        assert_eq!(code("size.wasm", Some(999)), Some(Code::OverBudget));
        assert_eq!(code("size.*", Some(10)), Some(Code::OverBudget));
        assert_eq!(code("size.*", None), None);
        assert_eq!(code("*", Some(1_000)), None, "of what is no number, a pattern says nothing");
        assert_eq!(code("size.native", Some(1)), None, "other guests have it");
        assert_eq!(code("size.wsm", Some(9)), Some(Code::NoSuchFact));
        assert_eq!(code("check", Some(9)), Some(Code::OverBudget), "what is no number can be under no budget");
    }
}
