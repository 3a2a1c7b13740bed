//! Scenario files.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use crate::kinds;
use crate::scenario::{Scenario, ScenarioError};

const PATH: &str = "scenarios/fuzzed.yaml";

/// A scenario that is read is valid, reads the same again, and makes cases that can be told apart; an error points into the file.
pub fn scenario(bytes: &[u8]) {
    // A file that is no UTF-8 is refused before anything of it is read.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match kinds::parse(Path::new(PATH), text) {
        Ok(scenario) => {
            is_valid(&scenario);
            assert_eq!(
                kinds::parse(Path::new(PATH), text).ok().map(|again| format!("{again:?}")),
                Some(format!("{scenario:?}")),
                "it reads otherwise the second time"
            );
        }
        Err(ScenarioError::Invalid { text: message, .. }) => points_into(text, &message),
        Err(other) => panic!("the text alone gives {other:?}"),
    }
}

fn is_valid(scenario: &Scenario) {
    assert!(!scenario.name.is_empty() && !scenario.name.contains(['/', '\\', ':']) && !scenario.name.starts_with('.'));
    assert!(scenario.processes > 0 && scenario.iterations > 0 && !scenario.engines.is_empty());
    // The parent waits so long for a sign of life, and four times as long for a pair.
    let wall = scenario.limits.wall.checked_mul(4);
    assert!(
        wall.is_some_and(|wall| Instant::now().checked_add(wall).is_some()),
        "{:?} has no end",
        scenario.limits.wall
    );
    assert!(scenario.limits.memory_bytes > 0 && scenario.limits.stack_bytes > 0);
    let tolerances = scenario.tolerance.values();
    assert!(tolerances.into_iter().all(|tolerance| tolerance.is_finite() && *tolerance >= 0.0));
    let cases = scenario.cases();
    assert!(!cases.is_empty() || !scenario.prices().is_empty(), "nothing would run");
    let mut ids = BTreeSet::new();
    for case in &cases {
        let id = case.id();
        assert_eq!(id.split('/').count(), 3, "{id} is not workload/flavour/engine");
        assert!(!id.chars().any(char::is_control), "{id:?} cannot be printed");
        assert!(ids.insert(id), "two cases have the id {}", case.id());
    }
}

/// The first place that the message names is a place of the text, and the message names the file at least.
fn points_into(text: &str, message: &str) {
    assert!(message.contains(PATH), "no file in {message}");
    let Some((_, place)) = message.split_once(&format!("--> {PATH}:")) else { return };
    let mut numbers = place.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<usize>().ok());
    let (Some(Some(line)), Some(Some(column))) = (numbers.next(), numbers.next()) else {
        panic!("no line and column in {message}")
    };
    let lines: Vec<&str> = text.split('\n').collect();
    assert!((1..=lines.len()).contains(&line), "line {line} of {}: {message}", lines.len());
    let columns = lines[line - 1].chars().count() + 1;
    assert!((1..=columns).contains(&column), "column {column} of {columns}: {message}");
}
