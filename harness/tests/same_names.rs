//! Guests of one name are told apart by their folders.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::process::Command;

use common::WASISCOPE;
use serde_json::Value;

/// A folder with `A/benchmark.wat` and `B/benchmark.wat`, and a scenario for each.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scenarios")).unwrap();
    for (name, pages) in [("A", 1), ("B", 2)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        let text = format!("(module (memory {pages}) (func (export \"_start\")))");
        fs::write(folder.path().join(name).join("benchmark.wat"), text).unwrap();
        let scenario = format!("name: {name}\nwasm: ../{name}/benchmark.wat\n");
        fs::write(folder.path().join(format!("scenarios/{name}.yaml")), scenario).unwrap();
    }
    folder
}

fn wasiscope(folder: &tempfile::TempDir, arguments: &[&str]) -> std::process::Output {
    let output = Command::new(WASISCOPE).current_dir(folder.path()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn in_one_run() {
    let folder = folder();
    let few = ["--capture", "off", "--processes", "1", "--iterations", "1", "--out", "report.json", "--dir", "A"];
    wasiscope(&folder, &[&["run", "A/benchmark.wat", "B/benchmark.wat"], &few[..]].concat());
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let case = |index: usize| &report["scenarios"][index]["cases"][0];
    assert_eq!([&case(0)["id"], &case(1)["id"]], ["A-benchmark/custom/cranelift", "B-benchmark/custom/cranelift"]);
    let pages = |index: usize| &case(index)["facts"]["memory.initial_pages"];
    assert_eq!([pages(0), pages(1)], [1, 2]);
}

#[test]
fn in_a_build_of_scenarios() {
    let output = wasiscope(&folder(), &["build", "--format", "json"]);
    let built: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&built[0]["name"], &built[1]["name"]], ["A-benchmark/custom", "B-benchmark/custom"]);
}

#[test]
fn in_a_comparison_of_revisions() {
    let folder = folder();
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    for message in ["one", "two"] {
        fs::write(folder.path().join("text"), message).unwrap();
        git(&["add", "A", "B", "scenarios", "text"]);
        git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", message]);
    }
    let output = wasiscope(&folder, &["compare", "HEAD~1", "HEAD", "--capture", "off", "--format", "json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for id in ["A-benchmark/custom/cranelift", "B-benchmark/custom/cranelift"] {
        assert!(text.contains(id), "{id} is not in {text}");
    }
}
