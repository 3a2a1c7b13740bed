//! `wasiscope conformance`: every guest of a folder is held to the manifest beside it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::fails_with;
use quick_junit::{Report, TestCaseStatus};
use serde_json::Value;
use wasiscope::code::Code;

/// A guest that exits with the number of its arguments, its own name included.
const COUNTS_ARGUMENTS: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (call $exit (i32.load (i32.const 0)))))"#;

/// Traps unless descriptor 3 is the given folder, in which "made" can be made.
const MAKES_A_FOLDER: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_create_directory" (func $make (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 32) "made")
    (func (export "_start") (if (call $make (i32.const 3) (i32.const 32) (i32.const 4)) (then unreachable))))"#;

fn suite() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let guest = |name: &str, text: &str, manifest: &str| {
        std::fs::write(folder.path().join(format!("{name}.wasm")), wat::parse_str(text).unwrap()).unwrap();
        if !manifest.is_empty() {
            std::fs::write(folder.path().join(format!("{name}.json")), manifest).unwrap();
        }
    };
    std::fs::create_dir(folder.path().join("data.dir")).unwrap();
    std::fs::write(folder.path().join("manifest.json"), r#"{"name": "mine"}"#).unwrap();
    guest("counts", COUNTS_ARGUMENTS, r#"{"args": ["a", "b"], "exit_code": 3}"#);
    guest("makes", MAKES_A_FOLDER, r#"{"dirs": ["data.dir"]}"#);
    guest("plain", "(module (memory (export \"memory\") 1) (func (export \"_start\")))", "");
    guest("serves", COUNTS_ARGUMENTS, r#"{"operations": [{"type": "run"}, {"type": "connect"}, {"type": "wait"}]}"#);
    guest("wrong", COUNTS_ARGUMENTS, r#"{"exit_code": 2}"#);
    folder
}

fn conformance(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(common::WASISCOPE);
    command.current_dir(folder).args(["conformance", ".", "--format", "json"]).args(arguments).output().unwrap()
}

fn outcomes(output: &Output) -> Vec<(String, String, bool)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["scenarios"][0]["name"], "mine");
    let cases = report["scenarios"][0]["cases"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    cases
        .iter()
        .map(|case| {
            let outcome = &case["outcome"];
            (text(&case["workload"]), text(&outcome["status"]), outcome["expected"].as_bool().unwrap())
        })
        .collect()
}

fn row(name: &str, status: &str, expected: bool) -> (String, String, bool) {
    (name.to_owned(), status.to_owned(), expected)
}

#[test]
fn each_guest_is_held_to_its_manifest() {
    let folder = suite();
    let output = conformance(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = [
        row("counts", "ok", true),
        row("makes", "ok", true),
        row("plain", "ok", true),
        row("serves", "skipped", true),
        row("wrong", "failed", false),
    ];
    assert_eq!(outcomes(&output), rows);
    assert_eq!(std::fs::read_dir(folder.path().join("data.dir")).unwrap().count(), 0, "guests work in a copy");
}

#[test]
fn a_failure_that_is_known_fails_nothing() {
    let folder = suite();
    std::fs::write(folder.path().join("known"), r#"{"mine": {"wrong": "a reason"}}"#).unwrap();
    let output = conformance(folder.path(), &["--known-failures", "known"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(outcomes(&output)[4], row("wrong", "failed", true));
}

#[test]
fn every_engine_is_held_to_them() {
    let folder = suite();
    let output = conformance(folder.path(), &["--only", "counts/*", "--engine", "cranelift", "--engine", "winch"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(outcomes(&output), [row("counts", "ok", true), row("counts", "ok", true)]);
}

#[test]
fn a_manifest_that_cannot_be_read_is_named() {
    for (manifest, value) in [("{", "plain.json"), (r#"{"args": 5}"#, "`args`"), (r#"{"dirs": ["none"]}"#, "`none`")] {
        let folder = suite();
        std::fs::write(folder.path().join("plain.json"), manifest).unwrap();
        fails_with(&conformance(folder.path(), &[]), Code::InvalidManifest, &["plain.json", value]);
    }
    let empty = tempfile::tempdir().unwrap();
    fails_with(&conformance(empty.path(), &[]), Code::NothingMatches, &[]);
}

#[test]
fn every_guest_is_a_test_in_junit_xml() {
    let folder = suite();
    let output = conformance(folder.path(), &["--junit", "junit.xml"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report =
        Report::deserialize_from_str(&std::fs::read_to_string(folder.path().join("junit.xml")).unwrap()).unwrap();
    let [suite] = &report.test_suites[..] else { panic!("{report:?}") };
    assert_eq!(suite.name.as_str(), "mine");
    for test in &suite.test_cases {
        let is_as_expected = match test.name.as_str() {
            "serves/custom/cranelift" => matches!(test.status, TestCaseStatus::Skipped { .. }),
            "wrong/custom/cranelift" => matches!(test.status, TestCaseStatus::NonSuccess { .. }),
            _ => matches!(test.status, TestCaseStatus::Success { .. }),
        };
        assert!(is_as_expected, "{test:?}");
    }
    assert_eq!(suite.test_cases.len(), 5);
    let output = conformance(folder.path(), &["--junit", "one", "--out", "one"]);
    assert_eq!(output.status.code(), Some(2), "two documents in one file");
}
