//! The size ledger agrees with wabt's `wasm-objdump -h` and `wasm-strip` (ci/setup installs them).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::{WASISCOPE, root};
use serde_json::Value;

/// Every guest of the scenarios, and one with names, debug information and other custom sections, made by rustc.
fn ledgers(folder: &Path) -> Vec<Value> {
    let source = folder.join("named.rs");
    std::fs::write(&source, "fn main() { println!(\"{:?}\", std::env::args()); }").unwrap();
    let named = folder.join("named.wasm");
    let mut rustc = Command::new("rustc");
    rustc.current_dir(root()).args(["--target", "wasm32-wasip1", "-g", "-o"]).args([&named, &source]);
    assert!(rustc.status().unwrap().success());
    let ledgers = |arguments: &[&str]| {
        let mut wasiscope = Command::new(WASISCOPE);
        let output =
            wasiscope.args(["build", "--size", "--format", "json", "--root"]).arg(root()).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap()
    };
    let mut all = ledgers(&[]);
    all.retain(|ledger| ledger["path"].as_str().unwrap().ends_with(".wasm"));
    assert!(all.len() >= 6);
    all.extend(ledgers(&[named.to_str().unwrap()]));
    all
}

/// Bytes of each kind of section by `wasm-objdump -h`, under the ledger's names.
fn by_objdump(path: &str) -> BTreeMap<String, u64> {
    let output = Command::new("wasm-objdump").args(["-h", path]).output().unwrap();
    assert!(output.status.success());
    let mut sections = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((kind, rest)) = line.trim().split_once(" start=") else { continue };
        let size = rest.split_once("(size=0x").and_then(|(_, size)| size.split_once(')')).unwrap().0;
        let name = match kind {
            "Elem" => "element".to_owned(),
            "DataCount" => "data_count".to_owned(),
            other => other.to_lowercase(),
        };
        *sections.entry(name).or_default() += u64::from_str_radix(size, 16).unwrap();
    }
    sections
}

#[test]
fn sections_are_those_of_wasm_objdump_and_stripped_is_that_of_wasm_strip() {
    let folder = tempfile::tempdir().unwrap();
    for ledger in ledgers(folder.path()) {
        let (path, facts) = (ledger["path"].as_str().unwrap(), ledger["facts"].as_object().unwrap());
        let size = |fact: &str| facts[fact].as_u64().unwrap();
        let sections: BTreeMap<String, u64> = facts
            .iter()
            .filter_map(|(fact, size)| Some((fact.strip_prefix("size.section.")?.to_owned(), size.as_u64()?)))
            .collect();
        assert_eq!(sections, by_objdump(path), "{path}");
        assert_eq!(sections.values().sum::<u64>() + size("size.framing"), size("size.wasm"), "{path}");
        assert_eq!(std::fs::metadata(path).unwrap().len(), size("size.wasm"), "{path}");

        let stripped = folder.path().join("stripped.wasm");
        assert!(Command::new("wasm-strip").args([path, "-o"]).arg(&stripped).status().unwrap().success());
        let mut kept = sections.clone();
        kept.remove("custom");
        assert_eq!(by_objdump(stripped.to_str().unwrap()), kept, "{path}");
        // wasm-strip writes every section's length in five bytes, as Rust's linker does and Go's does not.
        if ledger["name"].as_str().is_none_or(|name| !name.ends_with("/go")) {
            assert_eq!(std::fs::metadata(&stripped).unwrap().len(), size("size.stripped"), "{path}");
        }
        assert!(size("size.stripped") <= size("size.wasm"));
    }
}
