//! What a guest answered, as facts: what it wrote, how it ended, the check that it printed. Two passes are compared, and
//! what differs between them is no fact.

use serde_json::Value;

use super::protocol::{Ending, ProtocolLine, Subject};
use super::written::Output;
use wasiscope_model::record::{Facts, UNSTEADY};

/// The facts of one pass.
pub fn facts(output: &Output, ending: &Ending, line: Option<&ProtocolLine>) -> Facts {
    let code = match ending {
        Ending::Returned => Value::from(0),
        Ending::Exited { code, .. } => Value::from(*code),
        Ending::Trapped { .. } | Ending::Broken { .. } => Value::Null,
    };
    let mut facts = Facts::from([
        ("check".to_owned(), Value::from(line.map(|line| line.check.clone()))),
        ("exit.code".to_owned(), code),
        ("stdout.bytes".to_owned(), Value::from(output.stdout.bytes)),
        ("stdout.sha256".to_owned(), Value::from(output.stdout.sha256.clone())),
        ("stderr.bytes".to_owned(), Value::from(output.stderr.bytes)),
    ]);
    // Most guests write nothing there.
    if output.stderr.bytes > 0 {
        facts.insert("stderr.sha256".to_owned(), Value::from(output.stderr.sha256.clone()));
    }
    facts
}

/// The facts of a pass, without the values that another pass does not share. Their names are listed.
pub fn steady(mut first: Facts, again: &Facts) -> Facts {
    let mut unsteady = Vec::new();
    for (name, value) in &mut first {
        if again.get(name) != Some(value) {
            *value = Value::Null;
            unsteady.push(name.clone());
        }
    }
    if !unsteady.is_empty() {
        first.insert(UNSTEADY.to_owned(), Value::from(unsteady));
    }
    first
}

/// What is told of the output of two passes: nothing, or each different output once.
pub fn outputs(subject: &Subject, [first, again]: [Output; 2]) -> Vec<Output> {
    match subject.tells_output {
        false => Vec::new(),
        true if first == again => vec![first],
        true => vec![first, again],
    }
}

/// The ending by which two passes are judged: a guest that returns once and then does not has not returned.
pub fn worse(first: Ending, again: Ending) -> Ending {
    if first == Ending::Returned { again } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_two_passes_is_listed_and_has_no_value() {
        let facts = |text: &str| {
            let stdout = crate::written::Written::of(text.as_bytes());
            facts(&Output { stdout, ..Output::default() }, &Ending::Returned, None)
        };
        let steady_facts = steady(facts("12 ms"), &facts("12 ms"));
        assert!(!steady_facts.contains_key(UNSTEADY) && steady_facts["stdout.sha256"].is_string());
        let differing = steady(facts("12 ms"), &facts("13 ms"));
        assert_eq!(differing[UNSTEADY], Value::from(vec!["stdout.sha256"]));
        assert_eq!((&differing["stdout.sha256"], &differing["stdout.bytes"]), (&Value::Null, &Value::from(5)));
    }
}
