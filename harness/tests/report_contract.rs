//! The report: every field that scripts rely on, with figures that belong together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, file, guest};
use serde_json::Value;

fn run() -> Run {
    Run::new(&["startup", "--capture", "off", "--processes", "8", "--iterations", "3", "--seed", "7"])
}

#[test]
fn a_run_without_capture_fills_the_report() {
    let run = run();
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.report();
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["wasiscope"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["seed"], 7);
    assert_eq!(report["interrupted"], false);
    assert_eq!(report["confidence"], 0.99);
    assert_eq!(report["capture"]["status"], "off");
    assert_eq!(report["capture"]["ledger"]["map_full"], 0);
    assert!(report["started_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.contains('T')));
    assert!(report["duration_s"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!(report["machine"]["os"], "linux");
    assert!(report["machine"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0));
    assert!(report["machine"]["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20));
    assert!(report["tools"]["wasmtime"].as_str().is_some_and(|version| version.starts_with("48.")));
    assert_eq!(report["scenarios"][0]["name"], "startup");
    assert_eq!(report["scenarios"][0]["kind"], "workload");
    let cases = report["scenarios"][0]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        assert_case(case);
    }
}

fn assert_case(case: &Value) {
    let id = case["id"].as_str().unwrap();
    let parts: Vec<&str> = ["workload", "flavour", "engine"].iter().map(|key| case[key].as_str().unwrap()).collect();
    assert_eq!(id, parts.join("/"));
    assert_eq!(case["outcome"]["status"], "ok", "{id}");
    assert_eq!(case["observer_ratio"], Value::Null, "nothing was watched");
    assert_eq!(case["kernel"], Value::Null, "nothing was watched");
    assert_eq!(case["artifact"]["bytes"], case["facts"]["size.wasm"]);
    assert_eq!(case["artifact"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(case["facts"]["check"].as_str().map(str::len), Some(16));
    for fact in ["size.stripped", "size.gzip", "size.native_code", "size.section.code", "fuel"] {
        assert!(case["facts"][fact].as_u64().is_some_and(|value| value > 0), "{id} {fact}");
    }
    let metrics: Vec<&str> =
        case["measurements"].as_array().unwrap().iter().map(|metric| metric["metric"].as_str().unwrap()).collect();
    let phases = "spawn engine compile deserialize link instantiate.cold instantiate init run teardown";
    let memory = ["memory.rss.instantiate", "memory.rss.run", "memory.touched"].map(str::to_owned);
    let expected: Vec<String> = phases.split(' ').map(|phase| format!("phase.{phase}")).chain(memory).collect();
    assert_eq!(metrics, expected, "{id}");
    for measurement in case["measurements"].as_array().unwrap() {
        assert_measurement(id, measurement);
    }
}

fn assert_measurement(id: &str, measurement: &Value) {
    let is_duration = measurement["metric"].as_str().is_some_and(|metric| metric.starts_with("phase."));
    assert_eq!(measurement["unit"], if is_duration { "ns" } else { "bytes" });
    assert_eq!(measurement["direction"], "lower_is_better");
    let samples: Vec<Vec<u64>> = serde_json::from_value(measurement["samples"].clone()).unwrap();
    assert_eq!(samples.len(), 8, "one list per process");
    let per_process = if measurement["metric"] == "phase.spawn" { 1 } else { 3 };
    assert!(samples.iter().all(|process| process.len() == per_process), "{id} {}", measurement["metric"]);
    let summary = &measurement["summary"];
    let value = |name: &str| summary[name].as_f64().unwrap_or_else(|| panic!("{id}: no {name}"));
    assert_eq!(summary["n"], 8 * per_process);
    assert_eq!(summary["processes"], 8);
    assert!(value("min") <= value("ci_low") && value("ci_low") <= value("median"));
    assert!(value("median") <= value("ci_high") && value("ci_high") <= value("max"));
    assert!(value("mad") >= 0.0);
    assert_eq!(value("min"), *samples.iter().flatten().min().unwrap() as f64);
}

#[test]
fn the_size_in_the_report_is_the_size_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = guest("");
    let path = file(&folder, "mine.wasm", &wasm);
    let run = Run::in_folder(folder, &[&path, "--capture", "off", "--processes", "1", "--iterations", "1"]);
    let case = run.case("mine/custom/cranelift");
    assert_eq!(case["artifact"]["bytes"], wasm.len());
    assert_eq!(case["facts"]["size.wasm"], wasm.len());
    assert_eq!(case["facts"]["check"], Value::Null, "it printed none");
    assert!(case["measurements"].as_array().unwrap().iter().any(|metric| metric["metric"] == "phase.run"));
    assert!(case["measurements"].as_array().unwrap().iter().all(|metric| metric["metric"] != "phase.init"));
    // One process carries no interval, and that is null, not 0.
    assert_eq!(case["measurements"][0]["summary"]["ci_low"], Value::Null);
}

#[test]
fn every_format_says_the_same_cases() {
    let arguments = ["startup", "--only", "hello/*/cranelift", "--capture", "off", "--processes", "1"];
    for format in ["table", "json", "markdown"] {
        let run = Run::new(&[&arguments[..], &["--iterations", "1", "--format", format]].concat());
        assert_eq!(run.code(), 0, "{}", run.stderr());
        assert!(run.stdout().contains("hello/std/cranelift") && run.stdout().contains("hello/tinygo-like/cranelift"));
        assert!(!run.stdout().contains("cranelift-checked"));
        if format == "json" {
            assert_eq!(serde_json::from_str::<Value>(&run.stdout()).unwrap(), run.report());
        }
    }
}
