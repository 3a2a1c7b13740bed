//! A run that is stopped keeps what it measured and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use common::{command, wait_until};
use serde_json::Value;

/// Stands for the report of an earlier run.
const GOOD: &str = "{\"schema_version\": 1}";

/// A run that would take minutes, once it has recorded its first samples.
fn long_run(folder: &tempfile::TempDir) -> Child {
    let child = command(folder)
        .args(["startup", "--capture", "off", "--only", "hello/tinygo-like/*", "--processes", "10000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let records = folder.path().join("report.records.partial.jsonl");
    wait_until("samples are recorded", || {
        fs::read_to_string(&records).is_ok_and(|text| text.contains("\"record\":\"process\",\"case\":0,"))
    });
    child
}

/// The children of `parent` that run the worker's verb.
fn workers_of(parent: u32) -> Vec<u32> {
    let is_worker = |path: &Path| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let parent_of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parent_of == Some(parent)
            && fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.contains("__worker"))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| is_worker(&entry.path()));
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[test]
fn ctrl_c_writes_what_was_measured_and_exits_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let child = long_run(&folder);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("interrupted"));
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true);
    let case = &report["scenarios"][0]["cases"][0];
    assert!(case["measurements"].as_array().is_some_and(|metrics| !metrics.is_empty()), "{case}");
}

#[test]
fn ctrl_c_in_the_middle_of_a_check_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: t\nkind: traps\nparts: [matrix]\nengines: [cranelift]\nshare: full\n";
    let path = common::file(&folder, "t.yaml", text);
    let child = command(&folder)
        .args([&path, "--capture", "off", "--only", "atomic-updates/*"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // First come the facts of the reference case.
    let records = folder.path().join("report.records.partial.jsonl");
    wait_until("the check has begun", || {
        fs::read_to_string(&records).is_ok_and(|text| text.ends_with('\n')) && !workers_of(child.id()).is_empty()
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["scenarios"][0]["cases"][0]["outcome"]["status"], "skipped");
}

#[test]
fn kill_9_takes_the_worker_along_and_leaves_whole_records() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("report.json"), GOOD).unwrap();
    let mut child = long_run(&folder);
    let mut workers = Vec::new();
    wait_until("a worker runs", || {
        workers = workers_of(child.id());
        !workers.is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    };
    wait_until("the worker is gone", || workers.iter().all(gone));
    assert_eq!(fs::read_to_string(folder.path().join("report.json")).unwrap(), GOOD);
    let records = fs::read_to_string(folder.path().join("report.records.partial.jsonl")).unwrap();
    let whole = records.lines().filter(|line| serde_json::from_str::<wasiscope::record::Record>(line).is_ok()).count();
    assert!(whole >= 2, "facts and at least one process");
}
