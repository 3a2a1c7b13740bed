//! `wasiscope history` finds what is kept without being told where, and says what is wrong where there is nothing to find.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{WASISCOPE, fails_with, is_bad_usage};
use wasiscope::code::Code;

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
    fails_with(&wasiscope(here, &["history"]), Code::NoReports, &["--add"]);
    assert_eq!(said(here, &["history", "--dir", "history", "--add", REPORT]).0, 0);
    let (status, text) = said(here, &["history"]);
    assert!(status == 0 && text.starts_with("1 commit, 1 machine"), "{text}");
    assert_eq!(said(here, &["history", "--notes", "--add", REPORT]).0, 0);
    std::fs::remove_dir_all(here.join("history")).unwrap();
    let (status, text) = said(here, &["history", "--case", "tiny/*", "--metric", "size.*"]);
    assert!(status == 0 && text.contains("size.section.code"), "{text}");
}

#[test]
fn misspelt_names_and_places_are_errors() {
    let folder = repository();
    let here = folder.path();
    assert_eq!(said(here, &["history", "--notes", "--add", REPORT]).0, 0);
    let bisect = ["bisect", "HEAD", "HEAD", "--case", "tiny/custom/cranelift", "--metric"];
    for (arguments, code, value) in [
        (&["history", "--metric", "phase.rum"][..], Code::NothingMatches, "did you mean `phase.run`?"),
        (&["history", "--case", "nosuch/*"], Code::NothingMatches, "tiny/custom/cranelift"),
        (&["history", "--notes", "bad name"], Code::GitFailed, "`bad name`"),
        (&["history", "--branch", "nobranch"], Code::NoSuchRevision, "`nobranch`"),
        (&["history", "--dir", "nowhere"], Code::NoSuchFile, "nowhere"),
        (&[&bisect[..], &["fuel"]].concat(), Code::SameCommit, "HEAD"),
        (&[&bisect[..], &["phase.link"]].concat(), Code::UnknownName, "phase.link"),
        (&["merge", REPORT, "--out", REPORT], Code::SameFile, REPORT),
        (&["merge", REPORT, REPORT, "--out", "both.json"], Code::CaseTwice, "tiny/custom/cranelift"),
    ] {
        fails_with(&wasiscope(here, arguments), code, &[value]);
    }
    is_bad_usage(&wasiscope(here, &["run", "--shard", "4/3"]), &["--shard", "4"]);
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
    fails_with(&wasiscope(here, &["run", "tiny"]), Code::InvalidScenario, &["tiny.yaml:1:", "../../escape"]);
}
