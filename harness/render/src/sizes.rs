//! The size ledger of one guest, for a terminal.

use std::fmt::Write;

use serde_json::Value;

use super::grid::{Grid, plain};
use super::table::Style;
use wasiscope_model::record::Facts;
use wasiscope_model::units;

/// Where the bytes of a module are: sections that add up to the file, then what else its facts say.
#[must_use]
pub fn render(name: &str, facts: &Facts) -> String {
    let number = |fact: &str| facts.get(fact).and_then(Value::as_u64);
    let whole = number("size.wasm").or_else(|| number("size.native")).unwrap_or_default();
    let mut text = format!("{name}  {whole} B ({})\n", units::bytes(whole));
    let mut packed = Vec::new();
    for (label, fact) in [("stripped", "size.stripped"), ("gzip -9", "size.gzip"), ("zstd -19", "size.zstd")] {
        packed.extend(number(fact).map(|bytes| format!("{label} {bytes} B")));
    }
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "  {}\n", packed.join(" · "));

    let mut parts: Vec<(&str, u64)> =
        facts.iter().filter_map(|(fact, value)| Some((fact.strip_prefix("size.section.")?, value.as_u64()?))).collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    parts.extend(number("size.framing").map(|bytes| ("(framing)", bytes)));
    let _ = writeln!(text, "{}\n", shares("section", parts, whole));

    let code = number("size.section.code").unwrap_or_default();
    if let Some(crates) = facts.get("size.by_crate").and_then(Value::as_object) {
        let mut crates: Vec<(&str, u64)> =
            crates.iter().map(|(name, bytes)| (name.as_str(), bytes.as_u64().unwrap_or_default())).collect();
        crates.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let _ = writeln!(text, "{}\n", shares("crate", crates, code));
    } else if facts.contains_key("size.wasm") {
        let _ = writeln!(text, "  bytes by crate: not known, the guest has no names (it is stripped)\n");
    }
    let functions = facts.get("functions.largest").and_then(Value::as_array).into_iter().flatten();
    let functions: Vec<(&str, u64)> =
        functions.filter_map(|function| Some((function["name"].as_str()?, function["bytes"].as_u64()?))).collect();
    let count = number("functions.count").unwrap_or_default();
    let title = format!("largest of {count} functions");
    let _ = writeln!(text, "{}\n", shares(&title, functions, code));

    for (label, fact) in [("imports", "imports"), ("exports", "exports")] {
        let names = facts.get(fact).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let _ = writeln!(text, "  {label}: {}", names.collect::<Vec<_>>().join(", "));
    }
    let pages = |fact: &str| number(fact).map_or("none".to_owned(), |pages| format!("{pages} pages"));
    let (initial, maximum) = (pages("memory.initial_pages"), pages("memory.maximum_pages"));
    let _ = writeln!(text, "  memory: initial {initial}, maximum {maximum}");
    let table = number("table.elements").map_or("none".to_owned(), |elements| format!("{elements} elements"));
    let segments = number("data.segments").unwrap_or_default();
    let _ = writeln!(text, "  table: {table}; data segments: {segments}");
    // A name may have any character, and a tab would move the columns.
    plain(&text.replace('\t', "\\t"), Style::Plain)
}

/// Names with their bytes and their share of `whole`.
fn shares(title: &str, rows: Vec<(&str, u64)>, whole: u64) -> String {
    let mut table = Grid::new(&[title, "bytes", "share"]);
    for (name, bytes) in rows {
        let share = if whole == 0 { 0.0 } else { bytes as f64 / whole as f64 * 100.0 };
        table.add_row([name.to_owned(), bytes.to_string(), format!("{share:.1} %")]);
    }
    table.text(Style::Plain)
}
