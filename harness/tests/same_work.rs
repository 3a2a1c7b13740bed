//! Every flavour does the same work, under every runtime that is here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use common::{WASISCOPE, root};
use rand::RngExt;
use serde_json::Value;
use wasiscope_workloads::WORKLOADS;

/// Workload, flavour and path of every guest of the catalogue in wasm.
fn guests() -> Vec<(String, String, String)> {
    let mut wasiscope = Command::new(WASISCOPE);
    let output = wasiscope.args(["build", "catalogue", "--format", "json", "--root"]).arg(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let guests: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(guests.len(), WORKLOADS.len() * 2, "the scenario `catalogue` has every workload in both flavours");
    let text = |guest: &Value, key: &str| guest[key].as_str().unwrap().to_owned();
    let named = |guest: &Value| {
        let (workload, flavour) =
            text(guest, "name").split_once('/').map(|(w, f)| (w.to_owned(), f.to_owned())).unwrap();
        (workload, flavour, text(guest, "path"))
    };
    guests.iter().map(named).collect()
}

/// The size of each workload in the scenario `catalogue`, where all of them are quick.
fn quick_sizes() -> BTreeMap<String, u64> {
    let catalogue = wasiscope::kinds::read(&root().join("scenarios/catalogue.yaml")).unwrap();
    catalogue.workloads.into_iter().map(|workload| (workload.name, workload.n)).collect()
}

fn native_check(workload: &str, n: u64) -> String {
    let native = WORKLOADS.iter().find(|candidate| candidate.name == workload).unwrap();
    format!("{:016x}", native.expected_check(n).unwrap())
}

#[test]
fn guests_answer_as_native_code_does_under_node() {
    let script = root().join("ci/node-wasi.mjs");
    let sizes = quick_sizes();
    for (workload, flavour, path) in guests() {
        for n in [0, 1, sizes[&workload]] {
            let folder = tempfile::tempdir().unwrap();
            let mut node = Command::new("node");
            node.arg(&script).args([&path, folder.path().to_str().unwrap(), &n.to_string()]).stdin(Stdio::null());
            let output = node.output().unwrap();
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{workload}/{flavour} {n}: {stderr}");
            let line = format!("{workload} n={n} check={}", native_check(&workload, n));
            assert_eq!(stdout.lines().last(), Some(line.as_str()), "{workload}/{flavour} {n}");
        }
    }
}

/// Runs every workload at the given sizes in these flavours; `run` itself holds each check against the native answer and
/// fails the row when a guest prints another.
fn assert_equal_work(sizes: &BTreeMap<String, u64>, flavours: &str, engines: &str) {
    let folder = tempfile::tempdir().unwrap();
    let workloads: Vec<String> = sizes.iter().map(|(name, n)| format!("{{name: {name}, n: {n}}}")).collect();
    let text = format!(
        "name: all\nworkloads: [{}]\nflavours: [{flavours}]\nengines: [{engines}]\nlimits: {{wall: 60s, memory: 1GiB}}\n",
        workloads.join(", ")
    );
    let path = common::file(&folder, "all.yaml", &text);
    let arguments = [path.as_str(), "--capture", "off", "--processes", "1", "--iterations", "1"];
    let run = common::Run::in_folder(folder, &arguments);
    assert_eq!(run.code(), 0, "{text}\n{}\n{}", run.stdout(), run.stderr());
    let report = run.report();
    for case in report["scenarios"][0]["cases"].as_array().unwrap() {
        if case["outcome"]["status"] != "skipped" {
            let (workload, n) = (case["workload"].as_str().unwrap(), case["n"].as_u64().unwrap());
            assert_eq!(case["facts"]["check"], native_check(workload, n), "{}", case["id"]);
        }
    }
}

#[test]
fn every_workload_is_the_same_work_in_both_flavours_on_every_engine() {
    // The engine `cranelift` with these sizes is what the suite's tests are of, and native code has the next test.
    assert_equal_work(&quick_sizes(), "tinygo-like, std", "cranelift-checked, winch, pulley");
}

#[test]
fn every_workload_is_the_same_work_at_sizes_nobody_chose() {
    // A fresh seed each time; the failing scenario is printed whole, with its sizes.
    let mut random = rand::rng();
    let sizes = quick_sizes().into_iter().map(|(name, n)| (name, random.random_range(0..=n))).collect();
    assert_equal_work(&sizes, "tinygo-like, std, native", "cranelift");
}

#[test]
fn go_does_the_same_work_where_it_has_the_workload() {
    let go = Command::new("go").arg("version").output();
    assert!(go.is_ok_and(|output| output.status.success()), "go is not on PATH: run `ci/setup --go`, then `. ci/path`");
    let mut sizes = quick_sizes();
    sizes.retain(|workload, _| root().join("guest-std/go/cmd").join(workload).is_dir());
    assert!(sizes.len() >= 7, "{sizes:?}");
    // Go's guests are large, and Winch is the quickest compiler.
    assert_equal_work(&sizes, "go", "winch");
}

/// The smallest guest is the point of the flavour: what it costs to be a program at all.
#[test]
fn the_small_hello_stays_under_two_kib() {
    let (.., path) =
        guests().into_iter().find(|(workload, flavour, _)| workload == "hello" && flavour == "tinygo-like").unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    assert!(bytes < 2048, "{bytes}");
}
