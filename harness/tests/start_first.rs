//! `--invoke` of a function in a command: a warning that `_start` was not called, and a way to have it called.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;

use common::{Run, WASISCOPE, ended, file};
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

/// `sum` gives 42 when `_start` was called; `end` is how that ends.
fn command(end: &str) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (global $ready (mut i32) (i32.const 0))
            (func (export "_start") (global.set $ready (i32.const 42)) {end})
            (func (export "sum") (result i32) (global.get $ready)))"#
    )
}

fn run(text: &str, more: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", text);
    Run::in_folder(folder, &[&[path.as_str()], &FEW[..], more].concat())
}

#[test]
fn a_command_that_is_not_started_is_warned_of() {
    let run = run(&command(""), &["--invoke", "sum"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let case = run.case("guest/custom/cranelift");
    assert_eq!(case["facts"]["result"], serde_json::json!(["0"]));
    assert!(run.stderr().contains("warning: ") && run.stderr().contains("--start-first"), "{}", run.stderr());
    ended(&case, "ok", Code::StartNotCalled, &["--start-first"]);
}

#[test]
fn started_first_it_is_initialised_however_that_ends() {
    for end in ["", "(call $exit (i32.const 0))"] {
        let run = run(&command(end), &["--invoke", "sum", "--start-first"]);
        assert_eq!(run.code(), 0, "{}", run.stderr());
        assert!(!run.stderr().contains("warning"), "{}", run.stderr());
        let case = run.case("guest/custom/cranelift");
        assert_eq!(case["facts"]["result"], serde_json::json!(["42"]));
        assert!(case["outcome"]["detail"].is_null());
        let metrics: Vec<_> = case["measurements"].as_array().unwrap().iter().map(|one| &one["metric"]).collect();
        assert!(metrics.contains(&&"phase.init".into()) && metrics.contains(&&"phase.run".into()), "{metrics:?}");
    }
    let run = run(&command("(call $exit (i32.const 4))"), &["--invoke", "sum", "--start-first"]);
    assert_eq!(run.code(), 1);
    ended(&run.case("guest/custom/cranelift"), "failed", Code::WrongExitCode, &["code 4", "in init"]);
}

#[test]
fn where_there_is_nothing_to_start_it_is_bad_usage() {
    let library = r#"(module (func (export "sum") (result i32) (i32.const 1)))"#;
    run(library, &["--invoke", "sum", "--start-first"]).fails_with(Code::NoSuchFunction, &["--start-first"]);
    assert_eq!(run(&command(""), &["--start-first"]).code(), 2, "without --invoke");
    let run = run(library, &["--invoke", "sum"]);
    assert!(run.code() == 0 && !run.stderr().contains("warning"), "{}", run.stderr());
}

#[test]
fn a_comparison_warns_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (base, new) =
        (file(&folder, "base.wat", command("")), file(&folder, "new.wat", command("(drop (i32.const 1))")));
    let output = Command::new(WASISCOPE)
        .current_dir(folder.path())
        .args(["compare", &base, &new, "--invoke", "sum", "--capture", "off", "--processes", "1", "--format", "json"])
        .output()
        .unwrap();
    let comparison: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(comparison["warnings"].to_string().contains("--start-first"), "{}", comparison["warnings"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--start-first"));
}
