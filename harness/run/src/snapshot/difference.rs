//! Which facts are not as they were.

use std::collections::BTreeMap;

use serde_json::Value;

use wasiscope_model::record::Facts;
use wasiscope_scenario::Budgets;

use crate::budgets::means;

/// One fact that is not as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its name.
    pub fact: String,
    /// What was kept.
    pub old: Option<Value>,
    /// What was found.
    pub new: Option<Value>,
    /// Of a guest's size: the sections and crates that grew or shrank, the largest change first.
    pub parts: Vec<Part>,
}

/// A section, or a crate, whose size changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `section data` or `crate serde`.
    pub name: String,
    /// Bytes before.
    pub old: u64,
    /// Bytes now.
    pub new: u64,
}

impl Part {
    fn change(&self) -> u64 {
        self.old.abs_diff(self.new)
    }
}

/// Facts that differ and are under no budget. Sizes come first, with what changed inside; the parts are not told twice.
pub(super) fn differences(old: &Facts, new: &Facts, budgets: &Budgets) -> Vec<Difference> {
    let is_budgeted = |fact: &str| budgets.keys().any(|budget| means(budget, fact));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let mut differing: Vec<&String> =
        names.filter(|name| old.get(*name) != new.get(*name) && !is_budgeted(name)).collect();
    differing.sort_by_key(|name| (!is_whole_size(name), is_detail_of_size(name), *name));
    let parts = size_parts(old, new);
    let explained = differing.iter().any(|name| is_whole_size(name));
    differing.retain(|name| !(explained && is_part_of_size(name)));
    differing
        .into_iter()
        .map(|name| Difference {
            fact: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
            parts: if is_whole_size(name) { parts.clone() } else { Vec::new() },
        })
        .collect()
}

fn is_whole_size(fact: &str) -> bool {
    matches!(fact, "size.wasm" | "size.native")
}

fn is_part_of_size(fact: &str) -> bool {
    fact.starts_with("size.section.") || matches!(fact, "size.framing" | "size.by_crate")
}

fn is_detail_of_size(fact: &str) -> bool {
    fact.starts_with("size.") || fact.starts_with("functions.") || fact.starts_with("data.")
}

/// The sections and crates whose size differs, the largest change first.
#[must_use]
pub fn size_parts(old: &Facts, new: &Facts) -> Vec<Part> {
    let of = |facts: &Facts| {
        let sections = facts.iter().filter_map(|(fact, value)| {
            Some((format!("section {}", fact.strip_prefix("size.section.")?), value.as_u64()?))
        });
        let crates = facts.get("size.by_crate").and_then(Value::as_object).into_iter().flatten();
        let crates = crates.filter_map(|(name, bytes)| Some((format!("crate {name}"), bytes.as_u64()?)));
        sections.chain(crates).collect::<BTreeMap<String, u64>>()
    };
    let (old, new) = (of(old), of(new));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let bytes = |parts: &BTreeMap<String, u64>, name: &String| parts.get(name).copied().unwrap_or(0);
    let mut parts: Vec<Part> = names
        .map(|name| Part { name: name.clone(), old: bytes(&old, name), new: bytes(&new, name) })
        .filter(|part| part.change() > 0)
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.change()));
    parts
}
