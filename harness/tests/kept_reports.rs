//! `wasiscope history` finds what is kept without being told where, and says what is wrong where there is nothing to find.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::WASISCOPE;

fn wasiscope(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(folder).args(arguments).output().unwrap()
}

/// Status, and all that was printed.
fn said(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = wasiscope(folder, arguments);
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

/// A repository of one commit with one scenario, and a report of it.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir(here.join("scenarios")).unwrap();
    std::fs::write(here.join("scenarios/tiny.yaml"), "name: tiny\nwasm: ../tiny.wat\ndefault: true\n").unwrap();
    let guest = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    std::fs::write(here.join("tiny.wat"), guest).unwrap();
    std::fs::write(here.join(".gitignore"), "target\n").unwrap();
    for arguments in [&["init", "--quiet"][..], &["add", "."], &["commit", "--quiet", "-m", "one"]] {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let output = Command::new("git").current_dir(here).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let (status, text) = said(here, &["run", "--capture", "off", "--processes", "1", "--iterations", "1"]);
    assert_eq!(status, 0, "{text}");
    folder
}

const REPORT: &str = "target/wasiscope/report.json";

#[test]
fn notes_or_a_folder_are_found_where_they_are() {
    let folder = repository();
    let here = folder.path();
    let (status, text) = said(here, &["history"]);
    assert!(status == 2 && text.contains("say where"), "{text}");
    assert_eq!(said(here, &["history", "--dir", "history", "--add", REPORT]).0, 0);
    let (status, text) = said(here, &["history"]);
    assert!(status == 0 && text.starts_with("1 commit, 1 machine"), "{text}");
    assert_eq!(said(here, &["history", "--notes", "--add", REPORT]).0, 0);
    std::fs::remove_dir_all(here.join("history")).unwrap();
    let (status, text) = said(here, &["history", "--case", "tiny/*", "--metric", "size.*"]);
    assert!(status == 0 && text.contains("size.section.code"), "{text}");
}

#[test]
fn what_is_misspelt_is_told() {
    let folder = repository();
    let here = folder.path();
    assert_eq!(said(here, &["history", "--notes", "--add", REPORT]).0, 0);
    for (arguments, part) in [
        (&["history", "--metric", "phase.rum"][..], "did you mean `phase.run`?"),
        (&["history", "--case", "nosuch/*"], "there are: tiny/custom/cranelift"),
        (&["history", "--notes", "bad name"], "name notes so"),
        (&["history", "--branch", "nobranch"], "`nobranch`"),
        (&["history", "--dir", "nowhere"], "nowhere"),
        (&["bisect", "HEAD", "HEAD", "--case", "tiny/custom/cranelift", "--metric", "fuel"], "are one commit"),
        (&["bisect", "HEAD", "HEAD", "--case", "tiny/custom/cranelift", "--metric", "phase.link"], "not compared"),
        (&["merge", REPORT, "--out", REPORT], "is one of the reports"),
        (&["merge", REPORT, REPORT, "--out", "both.json"], "of one machine"),
        (&["run", "--shard", "4/3"], "no shard 4 of 3"),
    ] {
        let (status, text) = said(here, arguments);
        assert!(status == 2 && text.contains(part), "{arguments:?}: no {part:?} in:\n{text}");
    }
}

#[test]
fn a_report_from_elsewhere_writes_no_snapshot_outside_of_its_folder() {
    let folder = repository();
    let here = folder.path();
    let report = std::fs::read_to_string(here.join(REPORT)).unwrap();
    std::fs::write(here.join("hostile.json"), report.replace("\"name\": \"tiny\"", "\"name\": \"../../escape\""))
        .unwrap();
    let (status, text) = said(here, &["snapshot", "hostile.json", "--accept"]);
    assert_eq!(status, 0, "{text}");
    assert!(!here.join("../escape").exists() && !here.join("../../escape").exists());
    assert!(here.join("snapshots/-..-..-escape").is_dir(), "{text}");
    // Nor may a scenario be named so.
    std::fs::write(here.join("scenarios/tiny.yaml"), "name: ../../escape\nwasm: ../tiny.wat\n").unwrap();
    let (status, text) = said(here, &["run", "tiny"]);
    assert!(status == 2 && text.contains("cannot name a scenario"), "{text}");
}
