//! A guest may end before the function that is measured: in its start function, or in `_initialize`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;

use common::{Run, WASISCOPE, ended, file};
use serde_json::Value;
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

fn in_start(body: &str) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (func $s {body}) (start $s) (func (export "_start")))"#
    )
}

fn in_initialize(body: &str) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (func (export "_initialize") {body}) (func (export "work")))"#
    )
}

fn run(text: &str, more: &[&str]) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", text);
    let trace = folder.path().join("trace.json");
    let trace = ["--trace", trace.to_str().unwrap()];
    let run = Run::in_folder(folder, &[&[path.as_str()], &FEW[..], &trace, more].concat());
    (run.code(), run.case("guest/custom/cranelift"))
}

/// The phases that were timed.
fn phases(case: &Value) -> Vec<String> {
    let metrics = case["measurements"].as_array().unwrap().iter().map(|one| one["metric"].as_str().unwrap());
    metrics.filter_map(|metric| metric.strip_prefix("phase.")).map(str::to_owned).collect()
}

#[test]
fn status_0_is_a_good_end_with_the_phases_that_were_reached() {
    let (code, case) = run(&in_start("(call $exit (i32.const 0))"), &[]);
    assert_eq!((code, &case["outcome"]["status"]), (0, &Value::from("ok")));
    let reached = phases(&case);
    for phase in ["compile", "instantiate.cold", "instantiate", "teardown"] {
        assert!(reached.iter().any(|name| name == phase), "no {phase} in {reached:?}");
    }
    assert!(!reached.iter().any(|name| name == "run" || name == "init"), "{reached:?}");

    let (code, case) = run(&in_initialize("(call $exit (i32.const 0))"), &["--invoke", "work"]);
    assert_eq!((code, &case["outcome"]["status"]), (0, &Value::from("ok")));
    let reached = phases(&case);
    assert!(reached.iter().any(|name| name == "init") && !reached.iter().any(|name| name == "run"), "{reached:?}");
}

#[test]
fn other_ends_are_what_they_are_and_say_where() {
    let invoke = ["--invoke", "work"];
    for (text, more, status, reason, values) in [
        (in_start("(call $exit (i32.const 3))"), &[][..], "failed", Code::WrongExitCode, ["code 3", "instantiate"]),
        (in_start("unreachable"), &[], "trapped", Code::Trapped, ["unreachable", "instantiate"]),
        (in_initialize("(call $exit (i32.const 3))"), &invoke, "failed", Code::WrongExitCode, ["code 3", "in init"]),
        (in_initialize("unreachable"), &invoke, "trapped", Code::Trapped, ["unreachable", "in init"]),
    ] {
        let (code, case) = run(&text, more);
        assert_eq!(code, 1);
        ended(&case, status, reason, &values);
    }
    let (code, case) = run(&in_start("unreachable"), &["--expect-trap"]);
    assert_eq!((code, &case["outcome"]["status"]), (0, &Value::from("trapped")));
    assert_eq!(case["facts"]["trap.code"], "UnreachableCodeReached");
    assert!(phases(&case).contains(&"instantiate".to_owned()));
}

#[test]
fn a_comparison_has_the_phases_that_both_reach() {
    let folder = tempfile::tempdir().unwrap();
    let ends = |work: &str| in_start(&format!("{work} (call $exit (i32.const 0))"));
    let (base, new) = (file(&folder, "base.wat", ends("")), file(&folder, "new.wat", ends("(drop (i32.const 1))")));
    let output = Command::new(WASISCOPE)
        .current_dir(folder.path())
        .args(["compare", &base, &new, "--capture", "off", "--processes", "8", "--format", "json"])
        .output()
        .unwrap();
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = comparison["rows"].as_array().unwrap();
    let of = |metric: &str| rows.iter().find(|row| row["metric"] == metric);
    assert!(of("phase.instantiate").is_some_and(|row| row["ratio"].is_f64()), "{rows:?}");
    assert!(rows.iter().all(|row| row["failed"] == false), "{rows:?}");
}
