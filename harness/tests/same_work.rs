//! Every flavour does the same work, under every runtime that is here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{WASISCOPE, root};
use wasiscope_workloads::WORKLOADS;

/// Workload, flavour and path of every guest.
fn guests() -> Vec<(String, String, String)> {
    let output = Command::new(WASISCOPE).args(["build", "--root"]).arg(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let guest = |line: &str| {
        let mut words = line.split("  ");
        let (workload, flavour) = words.next()?.split_once('/')?;
        Some((workload.to_owned(), flavour.to_owned(), words.next()?.to_owned()))
    };
    let guests: Vec<_> = text.lines().filter_map(guest).collect();
    assert_eq!(guests.len(), WORKLOADS.len() * 2, "{text}");
    guests
}

/// Runs each guest by `runtime(guest, n, folder)` at a few sizes and holds its line against the native answer.
fn assert_native_answers(runtime: impl Fn(&str, &str, &Path) -> Command) {
    for (workload, flavour, path) in guests() {
        let native = WORKLOADS.iter().find(|candidate| candidate.name == workload).unwrap();
        for n in [0, 1, native.default_n, 5_000] {
            let folder = tempfile::tempdir().unwrap();
            let output = runtime(&path, &n.to_string(), folder.path()).output().unwrap();
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{workload}/{flavour} {n}: {stderr}");
            let line = format!("{workload} n={n} check={:016x}", native.expected_check(n).unwrap());
            assert_eq!(stdout.lines().last(), Some(line.as_str()), "{workload}/{flavour} {n}");
        }
    }
}

#[test]
fn guests_answer_as_native_code_does_under_node() {
    let script = root().join("ci/node-wasi.mjs");
    assert_native_answers(|guest, n, folder| {
        let mut node = Command::new("node");
        node.arg(&script).args([guest, folder.to_str().unwrap(), n]);
        node
    });
}

#[test]
fn guests_answer_as_native_code_does_under_the_worker() {
    // `run` computes the native answer itself and fails the row when a guest prints another.
    let folder = tempfile::tempdir().unwrap();
    let text = "name: all\nworkloads: [hello, sha256, writes]\nflavours: [tinygo-like, std]\n\
                engines: [cranelift, cranelift-checked]\n";
    let path = common::file(&folder, "all.yaml", text);
    let arguments = [path.as_str(), "--capture", "off", "--processes", "1", "--iterations", "1"];
    let run = common::Run::in_folder(folder, &arguments);
    assert_eq!(run.code(), 0, "{}\n{}", run.stdout(), run.stderr());
    let report = run.report();
    let cases = report["scenarios"][0]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let native = WORKLOADS.iter().find(|workload| case["workload"] == workload.name).unwrap();
        let check = format!("{:016x}", native.expected_check(native.default_n).unwrap());
        assert_eq!(case["facts"]["check"], check, "{}", case["id"]);
    }
}

/// The smallest guest is the point of the flavour: what it costs to be a program at all.
#[test]
fn the_small_hello_stays_under_two_kib() {
    let (.., path) =
        guests().into_iter().find(|(workload, flavour, _)| workload == "hello" && flavour == "tinygo-like").unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    assert!(bytes < 2048, "{bytes}");
}
