//! Guests' files.

use serde_json::Value;

use super::is_plain;
use crate::module::{Imports, ModuleError, Offered};
use crate::record::Facts;
use crate::report::sizes;
use crate::{executable, module};

/// A module that is valid has facts; they add up to its size, and are not much larger than it is. Text is assembled first.
pub fn wasm(bytes: &[u8]) {
    let assembled = std::str::from_utf8(bytes).ok().filter(|text| text.starts_with('(')).map(module::assemble);
    let bytes = match &assembled {
        Some(Ok(wasm)) => wasm,
        Some(Err(_)) => return,
        None => bytes,
    };
    let facts = module::facts(bytes);
    let valid = module::validate(bytes).is_ok();
    if let Err(error) = &facts {
        assert!(!valid, "a valid module without facts: {error}");
    }
    for (function, args) in [("_start", vec![]), ("f", vec!["1".to_owned()])] {
        let checked = module::check(bytes, (function, &args), None);
        assert!(valid || checked.is_err(), "what is no module can be called");
        let offered = Offered::new();
        let strict = module::check(bytes, (function, &args), Some(Imports { offered: &offered, stubs: false }));
        let unknown = matches!(&strict, Err(ModuleError::Imports(_)));
        assert!(unknown || strict.is_ok() == checked.is_ok(), "only imports make a difference");
        if let Err(error @ ModuleError::Imports(_)) = strict {
            is_plain(&error.to_string());
        }
    }
    if let Ok(facts) = facts {
        add_up(&facts, bytes.len());
        is_plain(&sizes::render("fuzzed", &facts));
    }
    if let Ok(facts) = executable::facts(bytes) {
        let [whole, code] = ["size.native", "size.native_code"].map(|name| number(&facts, name));
        assert_eq!(whole, bytes.len() as u64);
        assert!(code <= whole, "{code} bytes of code in a file of {whole}");
        is_plain(&sizes::render("fuzzed", &facts));
    }
}

fn number(facts: &Facts, name: &str) -> u64 {
    facts.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {name}"))
}

fn add_up(facts: &Facts, length: usize) {
    let length = length as u64;
    let sections = facts.iter().filter(|(name, _)| name.starts_with("size.section.")).map(|(name, _)| name);
    let sum: u64 = sections.map(|name| number(facts, name)).sum();
    assert_eq!(sum + number(facts, "size.framing"), length, "sections do not add up");
    assert_eq!(number(facts, "size.wasm"), length);
    assert!(number(facts, "size.stripped") <= length);
    let largest = facts["functions.largest"].as_array().expect("a list");
    assert!(largest.len() as u64 <= number(facts, "functions.count"));
    let sizes: Vec<u64> = largest.iter().map(|function| function["bytes"].as_u64().expect("a size")).collect();
    assert!(sizes.is_sorted_by(|one, other| one >= other));
    let code = facts.get("size.section.code").and_then(Value::as_u64).unwrap_or_default();
    assert!(sizes.iter().sum::<u64>() <= code);
    if let Some(crates) = facts.get("size.by_crate").and_then(Value::as_object) {
        assert!(crates.values().filter_map(Value::as_u64).sum::<u64>() <= code);
    }
    // Names are as long as in the module, but for what demangling and the text of JSON add.
    let text = serde_json::to_string(facts).expect("plain data").len() as u64;
    assert!(text <= 64 * length + 65_536, "{text} bytes of facts about {length} bytes");
}
