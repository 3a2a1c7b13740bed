//! `ci/publish` fills its folder with what belongs to one report, keeps the history, and leaves all as it was when it fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{WASISCOPE, root};

fn publish(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(root().join("ci/publish"));
    command.current_dir(folder).env("WASISCOPE", WASISCOPE).args(arguments).output().unwrap()
}

/// Names and contents of the files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_folder_is_filled_and_stays_as_it_was_when_something_fails() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("guest.wat"), r#"(module (memory (export "memory") 1) (func (export "_start")))"#).unwrap();
    let run = ["public", "--", "guest.wat", "--processes", "1", "--iterations", "1", "--capture", "off"];
    let output = publish(here, &run);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let public = here.join("public");
    let first = files(&public);
    for (name, start) in
        [("report.json", "{"), ("report.md", "## scenario guest"), ("index.html", "<!DOCTYPE html><!-- wasiscope -->")]
    {
        assert!(first[name].starts_with(start.as_bytes()), "{name}: {}", String::from_utf8_lossy(&first[name]));
    }
    fs::write(public.join("history/kept"), "").unwrap();
    fs::write(public.join("CNAME"), "example.org").unwrap();
    let first = files(&public);

    fs::write(here.join("cut.json"), &first["report.json"][..100]).unwrap();
    for arguments in [&["public", "--", "no-such-scenario"][..], &["public", "--report", "cut.json"]] {
        let output = publish(here, arguments);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(files(&public), first, "{arguments:?}");
        assert!(public.join("history/kept").exists());
    }

    fs::copy(public.join("report.json"), here.join("other.json")).unwrap();
    let output = publish(here, &["public", "--report", "other.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let second = files(&public);
    assert_eq!(second["report.json"], first["report.json"]);
    assert!(!second.contains_key("report.md"), "it was another report's");
    assert!(second.contains_key("CNAME") && public.join("history/kept").exists());
    let made = fs::read_dir(here).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(made.filter(|name| name.starts_with("public")).collect::<Vec<_>>(), ["public"]);
}

#[test]
fn reports_of_commits_are_kept_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let output = Command::new("git").current_dir(here).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let guest = |n: u32| {
        let text = format!("(module (memory (export \"memory\") {n}) (func (export \"_start\")))");
        fs::write(here.join("guest.wat"), text).unwrap();
    };
    let run = ["public", "--", "guest.wat", "--processes", "1", "--iterations", "1", "--capture", "off"];
    let kept = |is_kept: bool| {
        let output = publish(here, &run);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert_eq!(!stderr.contains("not kept in the history"), is_kept, "{stderr}");
        files(&here.join("public")).get("history.md").map(|text| String::from_utf8_lossy(text).into_owned())
    };
    guest(1);
    assert_eq!(kept(false), None, "of no commit");
    fs::write(here.join(".gitignore"), "public\ntarget\n").unwrap();
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "one page"]);
    assert!(kept(true).unwrap().starts_with("1 commit,"));
    guest(2);
    assert!(kept(false).unwrap().starts_with("1 commit,"), "of changes on top of one");
    git(&["commit", "--quiet", "-am", "two pages"]);
    let history = kept(true).unwrap();
    assert!(
        history.starts_with("2 commits") && history.contains("| two pages | guest/custom/cranelift | memory."),
        "{history}"
    );
}

#[test]
fn a_folder_of_other_things_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "mine").unwrap();
    let output = publish(folder.path(), &["."]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(files(folder.path())["index.html"], b"mine");
}
