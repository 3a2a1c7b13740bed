//! The command on a page does the same run: pasted into a shell, whatever way the guest was named.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use common::WASISCOPE;
use serde_json::Value;

const GUEST: &str = "(module (func (export \"_start\")))";

fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a page says that begins with the heading of the environment, as a browser shows it.
fn command_on(page: &Path) -> String {
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("how to see this again").unwrap();
    let (_, rest) = rest.split_once("<pre").and_then(|(_, rest)| rest.split_once('>')).unwrap();
    let text = rest.split_once("</pre>").unwrap().0;
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What decides a run, as its report has it.
fn essence(report: &Value) -> Vec<Value> {
    let cases = report["scenarios"].as_array().unwrap().iter().flat_map(|of| of["cases"].as_array().unwrap());
    let of_case = |case: &Value| {
        let samples = case["measurements"][0]["summary"]["n"].clone();
        serde_json::json!([case["id"], case["args"], case["artifact"]["sha256"], case["outcome"]["status"], samples])
    };
    cases.map(of_case).chain([report["seed"].clone(), report["noise"].clone()]).collect()
}

/// Runs `arguments` in `folder`, then what its page says, in another folder.
fn assert_same_run(folder: &Path, arguments: &[OsString]) {
    let elsewhere = tempfile::tempdir().unwrap();
    let (out, page) = (elsewhere.path().join("first.json"), elsewhere.path().join("page.html"));
    let mut first = Command::new(WASISCOPE);
    first.current_dir(folder).arg("run").arg("--out").arg(&out).arg("--html").arg(&page);
    let output =
        first.args(["--capture", "off", "--iterations", "2", "--processes=1"]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let command = command_on(&page);
    let programs = Path::new(WASISCOPE).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    // Where the report goes is no part of the command.
    let script = format!("{command}\n").replacen("wasiscope run ", "wasiscope run --out \"$AGAIN\" ", 1);
    let again = elsewhere.path().join("again.json");
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(elsewhere.path())
        .env("PATH", path)
        .env("AGAIN", &again)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(essence(&report(&again)), essence(&report(&out)), "{command}");
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[test]
fn by_paths_with_arguments_folders_and_engines() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::create_dir_all(place.join("some where/it's")).unwrap();
    let odd = OsStr::from_bytes(b"some where/it's/$x`\xff.wat");
    fs::write(place.join(odd), GUEST).unwrap();
    fs::write(place.join("some where/plain.wat"), GUEST).unwrap();
    fs::write(place.join("input"), "text").unwrap();
    assert_same_run(place, &words(&["some where/plain.wat"]));
    assert_same_run(place, &[odd.to_owned()]);
    let given =
        ["--arg", "-x", "--arg=two words", "--arg", "", "--arg", "line\nbreak", "--arg", "<&\">", "--env", "A=it's"];
    let more =
        ["--dir", "some where::.", "--stdin", "input", "--engine", "cranelift", "--engine", "winch", "--wall", "20s"];
    let guest = ["some where/plain.wat", "--", "--more", "é"];
    assert_same_run(place, &words(&[&given[..], &more, &guest].concat()));
}

#[test]
fn by_scenarios_patterns_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::create_dir(place.join("scenarios")).unwrap();
    let scenario = "name: mine\ndefault: true\nwasm: ../g.wat\nargs: [a]\nengines: [cranelift, winch]\n";
    fs::write(place.join("scenarios/mine.yaml"), scenario).unwrap();
    fs::write(place.join("g.wat"), GUEST).unwrap();
    let library = "(module (func (export \"f\") (param i32) (result i32) local.get 0))";
    fs::write(place.join("lib.wat"), library).unwrap();
    assert_same_run(place, &[]);
    assert_same_run(place, &words(&["mine", "--only", "*/winch"]));
    assert_same_run(place, &words(&["scenarios/mine.yaml", "--shard", "1/2", "--seed", "7"]));
    assert_same_run(place, &words(&["lib.wat", "--invoke", "f", "--arg", "-1", "--no-dir"]));
    let elsewhere = tempfile::tempdir().unwrap();
    let mut root = words(&["mine", "--root"]);
    root.push(place.into());
    assert_same_run(elsewhere.path(), &root);
}
