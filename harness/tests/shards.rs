//! A suite that ran in shards and was merged is the suite that ran at once, apart from the samples' values.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{Run, WASISCOPE};
use serde_json::{Value, json};
use wasiscope::code::Code;

/// Two scenarios, one of which has a fact that compares its cases with each other.
const SUITE: [&str; 12] = [
    "startup",
    "traps",
    "--only",
    "{hello,mistake-abort,mistake-index}/*",
    "--capture",
    "off",
    "--seed",
    "7",
    "--processes",
    "2",
    "--iterations",
    "3",
];

fn merge(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(folder).arg("merge").args(arguments).output().unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What of a report does not depend on when, where and how fast it ran.
fn without_samples(mut report: Value) -> Value {
    let fields = report.as_object_mut().unwrap();
    for field in ["started_at", "duration_s", "sources", "reference", "invocation"] {
        fields.remove(field);
    }
    report["machine"]["steal_ratio"] = Value::Null;
    for scenario in report["scenarios"].as_array_mut().unwrap() {
        for case in scenario["cases"].as_array_mut().unwrap() {
            let fields = case.as_object_mut().unwrap();
            // Where it ran, how long it took, and what follows from that.
            for field in ["source", "disturbance", "batch"] {
                fields.remove(field);
            }
            for measurement in fields["measurements"].as_array_mut().unwrap() {
                let samples = measurement["samples"].as_array().unwrap();
                let counts: Vec<usize> = samples.iter().map(|process| process.as_array().unwrap().len()).collect();
                *measurement = json!([measurement["metric"], measurement["unit"], measurement["direction"], counts]);
            }
        }
    }
    report
}

#[test]
fn three_shards_merged_are_the_whole() {
    let whole = Run::new(&SUITE);
    assert_eq!(whole.code(), 0, "{}", whole.stderr());
    let shards: Vec<Run> =
        ["1/3", "2/3", "3/3"].iter().map(|shard| Run::new(&[&SUITE[..], &["--shard", shard]].concat())).collect();
    let mut reports: Vec<String> = Vec::new();
    for shard in &shards {
        assert_eq!(shard.code(), 0, "{}", shard.stderr());
        reports.push(shard.folder.path().join("report.json").to_str().unwrap().to_owned());
    }
    let folder = whole.folder.path();
    // In the order in which they happen to arrive.
    let output = merge(folder, &[&reports[1], &reports[2], &reports[0], "--out", "merged.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let merged = read(&folder.join("merged.json"));
    assert_eq!(merged["sources"].as_array().map(Vec::len), Some(3));
    assert_eq!(without_samples(merged), without_samples(whole.report()));

    let output = merge(folder, &[&reports[0], &reports[2], "--out", "part.json"]);
    common::fails_with(&output, Code::ShardMissing, &["2/3"]);
    assert!(!folder.join("part.json").exists());
}
