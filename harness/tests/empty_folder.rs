//! In a folder that is no project, wasiscope says what there is, and makes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;

use serde_json::Value;

/// What a verb says in an empty folder, which must stay empty.
fn said(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(common::WASISCOPE).current_dir(folder.path()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?} made something");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn list_names_engines_flavours_and_workloads() {
    let list: Value = serde_json::from_str(&said(&["list", "--format", "json"])).unwrap();
    let names = |what: &str| -> Vec<String> {
        list[what].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("scenarios"), [] as [String; 0]);
    assert!(names("engines").contains(&"winch".to_owned()));
    assert!(names("flavours").contains(&"std".to_owned()));
    assert!(names("workloads").contains(&"sha256".to_owned()));
    assert!(said(&["list"]).contains("cranelift"));
}

#[test]
fn doctor_runs_a_guest() {
    let findings: Value = serde_json::from_str(&said(&["doctor", "--format", "json"])).unwrap();
    let guest = findings.as_array().unwrap().iter().find(|finding| finding["what"] == "a guest").unwrap();
    assert_eq!(guest["ok"], true, "{guest}");
}
