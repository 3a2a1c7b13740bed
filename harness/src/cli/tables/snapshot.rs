//! What became of facts, for people.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::snapshot::{Checked, Difference, Excess, Part, State};

/// Most entries of a list that are told.
const ENTRIES: usize = 4;
/// Most parts of a size that are told.
const PARTS: usize = 6;
/// Most characters of a value.
const VALUE_CHARS: usize = 60;

/// In a word.
#[must_use]
pub fn word(checked: &Checked) -> &'static str {
    match &checked.state {
        State::New => "new",
        State::OtherToolchain(_) => "unknown toolchain",
        State::Differs(_) => "differs",
        State::Same if checked.excesses.iter().any(|excess| excess.found.is_none()) => "budget of nothing",
        State::Same if !checked.excesses.is_empty() => "over budget",
        State::Same => "same",
    }
}

/// What is wrong with a case, a line for each fact; nothing when all is as it must be. `shown` says how a snapshot is called,
/// and `toolchain` what made the guest.
#[must_use]
pub fn explain(checked: &Checked, shown: impl Fn(&Path) -> String, toolchain: Option<&str>) -> String {
    let mut text = String::new();
    let files: Vec<String> = checked.changes().map(shown).collect();
    let files = files.join(", ");
    // Writing to a String cannot fail, here and below.
    let _ = match &checked.state {
        State::Same => Ok(()),
        State::New => writeln!(text, "  no snapshot {files}: nobody has accepted these facts yet"),
        State::OtherToolchain(known) => writeln!(
            text,
            "  unknown toolchain: the guest is made by {}, and there are facts only of {}",
            toolchain.unwrap_or("no toolchain that says its name"),
            known.join(", ")
        ),
        State::Differs(differences) => {
            differences.iter().for_each(|difference| text += &line(difference));
            writeln!(text, "  (old: {files})")
        }
    };
    if let (Some(other), State::Differs(_)) = (&checked.other_wasmtime, &checked.state) {
        let _ = writeln!(text, "  the snapshot is of wasmtime {other}; fuel may differ for that alone");
    }
    checked.excesses.iter().for_each(|excess| text += &over(excess));
    text
}

fn line(difference: &Difference) -> String {
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_u64);
    let mut text = match (number(&difference.old), number(&difference.new)) {
        (Some(old), Some(new)) => format!("  {}: {}\n", difference.fact, step(old, new)),
        _ => match list_change(difference) {
            Some(change) => format!("  {}: {change}\n", difference.fact),
            None => format!("  {}: {} → {}\n", difference.fact, brief(&difference.old), brief(&difference.new)),
        },
    };
    for Part { name, old, new } in difference.parts.iter().take(PARTS) {
        let _ = writeln!(text, "      {name}: {}", step(*old, *new));
    }
    if difference.parts.len() > PARTS {
        let _ = writeln!(text, "      … and {} more", difference.parts.len() - PARTS);
    }
    text
}

/// Of lists: what came and what went.
fn list_change(difference: &Difference) -> Option<String> {
    let (old, new) = (difference.old.as_ref()?.as_array()?, difference.new.as_ref()?.as_array()?);
    let entry = |value: &Value| match (value.get("name").and_then(Value::as_str), value.get("bytes")) {
        (Some(name), Some(bytes)) => format!("{name} ({bytes})"),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    };
    let only = |these: &[Value], others: &[Value], sign: char| {
        let entries = these.iter().filter(|value| !others.contains(value));
        entries.map(|value| format!("{sign} {}", entry(value))).collect::<Vec<_>>()
    };
    let mut changes = only(new, old, '+');
    changes.extend(only(old, new, '−'));
    if changes.is_empty() {
        return Some("the same in another order".to_owned());
    }
    let more = changes.len().saturating_sub(ENTRIES);
    changes.truncate(ENTRIES);
    changes.extend((more > 0).then(|| format!("… and {more} more")));
    Some(changes.join(", "))
}

/// `100 → 160 (+60, +60.0 %)`.
fn step(old: u64, new: u64) -> String {
    let sign = if new < old { '−' } else { '+' };
    let by = old.abs_diff(new);
    let percent = match by as f64 / old as f64 * 100.0 {
        _ if old == 0 => String::new(),
        percent if percent < 1.0 => format!(", {sign}{percent:.3} %"),
        percent => format!(", {sign}{percent:.1} %"),
    };
    format!("{old} → {new} ({sign}{by}{percent})")
}

fn over(excess: &Excess) -> String {
    match (&excess.found, excess.most) {
        (Some((fact, value)), Some(most)) => {
            let Some(found) = value.as_u64() else {
                let value = brief(&Some(value.clone()));
                return format!(
                    "  {fact}: {value} is no number, and so under no budget: write `any`, or leave it out\n"
                );
            };
            let over = found.saturating_sub(most);
            format!(
                "  {fact}: {found} is above its budget of {most}, {over} too many (raise it in the scenario, or mend the guest)\n"
            )
        }
        _ => {
            let meant = excess.meant.as_ref().map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
            format!(
                "  budget `{}`: the case has no such fact{meant}; budgets are for facts, not for measurements\n",
                excess.budget
            )
        }
    }
}

fn brief(value: &Option<Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    if text.chars().count() <= VALUE_CHARS {
        return text;
    }
    text.chars().take(VALUE_CHARS - 1).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::File;

    fn shown(path: &Path) -> String {
        path.display().to_string()
    }

    fn checked(state: State, excesses: Vec<Excess>) -> Checked {
        let file = File { path: "x.snap".into(), contents: Some(String::new()), changes: true };
        Checked { files: vec![file], state, excesses, other_wasmtime: None }
    }

    #[test]
    fn growth_says_by_how_much_and_where() {
        let part = |name: &str, old, new| Part { name: name.to_owned(), old, new };
        let size = Difference {
            fact: "size.wasm".into(),
            old: Some(100.into()),
            new: Some(160.into()),
            parts: vec![part("section data", 30, 80), part("section code", 20, 10)],
        };
        let check =
            Difference { fact: "check".into(), old: Some("a".into()), new: Some("b".into()), parts: Vec::new() };
        let text = explain(&checked(State::Differs(vec![size, check]), Vec::new()), shown, None);
        insta::assert_snapshot!(text, @r#"
          size.wasm: 100 → 160 (+60, +60.0 %)
              section data: 30 → 80 (+50, +166.7 %)
              section code: 20 → 10 (−10, −50.0 %)
          check: "a" → "b"
          (old: x.snap)
        "#);
    }

    #[test]
    fn of_a_list_it_is_said_what_came_and_what_went() {
        let list = |fact: &str, old: Value, new: Value| {
            let difference = Difference { fact: fact.into(), old: Some(old), new: Some(new), parts: Vec::new() };
            explain(&checked(State::Differs(vec![difference]), Vec::new()), shown, None)
        };
        let text = list("imports", json!(["a.b", "a.c"]), json!(["a.b", "a.d"]));
        assert!(text.starts_with("  imports: + a.d, − a.c\n"), "{text}");
        let function = |name: &str, bytes: u32| json!({"name": name, "bytes": bytes});
        let text = list(
            "functions.largest",
            json!([function("f", 9), function("g", 5)]),
            json!([function("f", 9), function("h", 7)]),
        );
        assert!(text.starts_with("  functions.largest: + h (7), − g (5)\n"), "{text}");
        let text = list("exports", json!(["a", "b"]), json!(["b", "a"]));
        assert!(text.contains("the same in another order"), "{text}");
    }

    #[test]
    fn a_budget_says_by_how_much_it_is_exceeded() {
        let found = Some(("size.wasm".to_owned(), 25_000.into()));
        let excess = Excess { budget: "size.wasm".into(), found, meant: None, most: Some(20_480) };
        let text = explain(&checked(State::Same, vec![excess]), shown, None);
        insta::assert_snapshot!(text, @"  size.wasm: 25000 is above its budget of 20480, 4520 too many (raise it in the scenario, or mend the guest)");
        let excess = Excess { budget: "size.wsam".into(), found: None, meant: Some("size.wasm".into()), most: Some(1) };
        let text = explain(&checked(State::Same, vec![excess]), shown, None);
        assert!(text.contains("`size.wsam`: the case has no such fact (did you mean `size.wasm`?)"), "{text}");
    }

    #[test]
    fn an_unknown_toolchain_is_said_to_be_one() {
        let state = State::OtherToolchain(vec!["rustc 1.94.0".into(), "rustc 1.95.0".into()]);
        let text = explain(&checked(state, Vec::new()), shown, Some("rustc 1.96.0"));
        assert!(
            text.contains("made by rustc 1.96.0, and there are facts only of rustc 1.94.0, rustc 1.95.0"),
            "{text}"
        );
    }
}
