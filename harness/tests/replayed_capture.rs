//! A stored capture can be replayed, so that everything behind the kernel's side works, and is tested, without privileges.
//!
//! The fixture was made as root by
//! `wasiscope run harness/tests/data/writes.wat --arg 7 --capture on --processes 2 --iterations 3 --trace … --capture-save …`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, root, syscalls};
use serde_json::Value;
use wasiscope::code::Code;

fn fixture() -> String {
    root().join("harness/tests/data/capture.json").to_str().unwrap().to_owned()
}

fn guest() -> String {
    root().join("harness/tests/data/writes.wat").to_str().unwrap().to_owned()
}

/// A run of the guest that the fixture is of, with the fixture or another in place of the kernel.
fn replayed(capture: &str, more: &[&str]) -> Run {
    let (guest, fixed) = (guest(), ["--arg", "7", "--processes", "2", "--iterations", "3"]);
    Run::new(&[&[guest.as_str(), "--capture-replay", capture], &fixed[..], more].concat())
}

#[test]
fn the_kernels_side_is_that_of_the_recording() {
    let run = replayed(&fixture(), &[]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.report();
    assert_eq!(report["capture"]["status"], "replayed", "and never live");
    assert!(run.case("writes/custom/cranelift")["observer_ratio"].is_null(), "nobody was watched");
    assert!(report["capture"]["reason"].as_str().unwrap().contains("capture.json"));
    assert_eq!(report["capture"]["programs"].as_array().unwrap().len(), 12);
    let case = run.case("writes/custom/cranelift");
    assert_eq!(syscalls(&case, "run", "pwrite64"), 7 * 2 * 3);
    let write = &case["kernel"]["phases"]["run"]["syscalls"]["pwrite64"];
    let buckets = write["latency_ns"]["buckets"].as_array().unwrap();
    assert_eq!(buckets.iter().map(|bucket| bucket[1].as_u64().unwrap()).sum::<u64>(), 42);
    assert_eq!(write["total_ns"], write["latency_ns"]["sum"]);
}

#[test]
fn its_tables_are_always_the_same() {
    let run = replayed(&fixture(), &[]);
    // The three tables of the kernel's side, without the times of the run at hand.
    let lines: Vec<String> = run
        .stdout()
        .lines()
        .skip_while(|line| !line.contains("system calls"))
        .take_while(|line| !line.starts_with("summary"))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn lost_events_make_lower_bounds_of_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording: Value = serde_json::from_slice(&std::fs::read(fixture()).unwrap()).unwrap();
    recording["ledger"]["map_full"] = 3.into();
    let path = common::file(&folder, "capture.json", recording.to_string());
    let stdout = replayed(&path, &[]).stdout();
    assert!(stdout.contains("3 to full maps") && stdout.contains("pwrite64 ≥ 7"), "{stdout}");
}

#[test]
fn reports_of_it_can_be_compared() {
    let (one, other) = (replayed(&fixture(), &[]), replayed(&fixture(), &[]));
    let path = |run: &Run| run.folder.path().join("report.json");
    let compared =
        std::process::Command::new(common::WASISCOPE).arg("compare").arg(path(&one)).arg(path(&other)).output();
    let compared = compared.unwrap();
    let stdout = String::from_utf8_lossy(&compared.stdout);
    assert_eq!(compared.status.code(), Some(0), "{stdout}{}", String::from_utf8_lossy(&compared.stderr));
    assert!(stdout.contains("writes/custom/cranelift"), "{stdout}");
}

#[test]
fn its_timeline_is_that_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.json").to_str().unwrap().to_owned();
    let run = replayed(&fixture(), &["--trace", &trace]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let document: Value = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    let of_run = |event: &&Value| event["name"] == "pwrite64" && event["args"]["phase"] == "run";
    assert_eq!(events.iter().filter(of_run).count(), 7);
}

#[test]
fn a_recording_of_something_else_is_named() {
    let hello =
        Run::new(&["startup", "--only", "hello/std/cranelift", "--processes", "1", "--capture-replay", &fixture()]);
    // What it lacks, and what it holds.
    hello.fails_with(Code::OtherCapture, &["startup:hello/std/cranelift", "writes:writes/custom/cranelift"]);
    // Another number of iterations would make other figures per iteration of the same counts.
    let more =
        Run::new(&[&guest(), "--arg", "7", "--processes", "2", "--iterations", "4", "--capture-replay", &fixture()]);
    more.fails_with(Code::OtherCapture, &[]);

    let broken = replayed(&guest(), &[]);
    broken.fails_with(Code::NotACapture, &["writes.wat"]);
    let both = replayed(&fixture(), &["--capture", "on"]);
    assert_eq!(both.code(), 2, "{}", both.stderr());
}
