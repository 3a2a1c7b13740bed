//! Files and folders may have names of any bytes; what guests are given must be UTF-8.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use common::WASISCOPE;
use serde_json::Value;

const GUEST: &str = "(module (func (export \"_start\")))";

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

/// Opens `note.txt` in the folder at descriptor 4, or exits with 1.
const OPENS_NOTE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 40) "note.txt")
    (func (export "_start")
        (if (call $open (i32.const 4) (i32.const 0) (i32.const 40) (i32.const 8) (i32.const 0)
                (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 20))
            (then (call $exit (i32.const 1))))))"#;

fn name(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

fn wasiscope(folder: &Path, arguments: &[OsString]) -> Output {
    Command::new(WASISCOPE).current_dir(folder).args(arguments).output().unwrap()
}

fn with_few(arguments: &[OsString]) -> Vec<OsString> {
    arguments.iter().cloned().chain(FEW.map(OsString::from)).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn guests_folders_inputs_and_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    for guest in [&b"g\xff.wat"[..], b"g\xfe.wat", b"two\nlines.wat"] {
        fs::write(place.join(name(guest)), OPENS_NOTE).unwrap();
    }
    fs::create_dir(place.join(name(b"d\xff"))).unwrap();
    fs::write(place.join(name(b"d\xff/note.txt")), "").unwrap();
    let arguments = [
        name(b"run"),
        name(b"g\xff.wat"),
        name(b"g\xfe.wat"),
        name(b"two\nlines.wat"),
        name(b"--dir"),
        name(b"d\xff"),
        name(b"--stdin"),
        name(b"g\xff.wat"),
        name(b"--out"),
        name(b"r\xff.json"),
        name(b"--html"),
        name(b"p\xff.html"),
    ];
    let output = wasiscope(place, &with_few(&arguments));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report = read(&place.join(name(b"r\xff.json")));
    let ids: Vec<&Value> = report["scenarios"].as_array().unwrap().iter().map(|of| &of["cases"][0]["id"]).collect();
    assert_eq!(ids, ["g\\xff/custom/cranelift", "g\\xfe/custom/cranelift", "two\\nlines/custom/cranelift"]);
    assert!(place.join(name(b"p\xff.html")).is_file());

    // And back again.
    let report = name(b"r\xff.json");
    for arguments in [
        vec![name(b"compare"), report.clone(), report.clone(), name(b"--out"), name(b"c\xff.json")],
        vec![name(b"merge"), report.clone(), name(b"--out"), name(b"m\xff.json")],
        vec![name(b"html"), report.clone(), name(b"--out"), name(b"pages\xff")],
        vec![name(b"export"), report.clone(), name(b"--parquet"), name(b"t\xff.parquet")],
        vec![name(b"export"), report, name(b"--prometheus"), name(b"t\xff.prom")],
    ] {
        let output = wasiscope(place, &arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn scenarios_and_the_project_itself() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(name(b"project\xff"));
    fs::create_dir_all(root.join("scenarios")).unwrap();
    fs::write(root.join("scenarios/guest.wat"), GUEST).unwrap();
    let scenario = "name: mine\ndefault: true\nwasm: guest.wat\nprocesses: 1\niterations: 1\n";
    fs::write(root.join(name(b"scenarios/s\xff.yaml")), scenario).unwrap();
    let capture = || [name(b"--capture"), name(b"off"), name(b"--out"), name(b"report.json")];
    let by_name = [name(b"run"), name(b"--root"), root.clone().into(), name(b"s\xff")];
    let by_path = [name(b"run"), root.join(name(b"scenarios/s\xff.yaml")).into()];
    let by_default = [name(b"run"), name(b"--root"), root.into()];
    for arguments in [&by_name[..], &by_path, &by_default] {
        let output = wasiscope(folder.path(), &[arguments, &capture()].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            read(&folder.path().join("report.json"))["scenarios"][0]["cases"][0]["id"],
            "guest/custom/cranelift"
        );
    }
}

#[test]
fn comparisons_and_builds() {
    let folder = tempfile::tempdir().unwrap();
    for guest in [&b"g\xff.wat"[..], b"g\xfe.wat"] {
        fs::write(folder.path().join(name(guest)), GUEST).unwrap();
    }
    let compare = [name(b"compare"), name(b"g\xff.wat"), name(b"g\xfe.wat"), name(b"--capture"), name(b"off")];
    let output = wasiscope(folder.path(), &compare);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let build = [name(b"build"), name(b"g\xff.wat"), name(b"g\xfe.wat"), name(b"--format"), name(b"json")];
    let output = wasiscope(folder.path(), &build);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let built: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!([&built[0]["path"], &built[1]["path"]], ["g\\xff.wat", "g\\xfe.wat"]);
}

#[test]
fn what_guests_are_given_must_be_utf8_and_the_argument_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("g.wat"), GUEST).unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    for (arguments, named) in [
        (vec![name(b"--arg"), name(b"a\xff")], "`a\\xff` after `--arg`"),
        (vec![name(b"--arg=a\xff")], "`--arg=a\\xff`"),
        (vec![name(b"--env"), name(b"A=\xff")], "`A=\\xff` after `--env`"),
        (vec![name(b"--dir"), name(b"d::\xff")], "`d::\\xff`"),
        (vec![name(b"--invoke"), name(b"\xff")], "`\\xff` after `--invoke`"),
        (vec![name(b"--only"), name(b"\xff")], "`\\xff` after `--only`"),
        (vec![name(b"--"), name(b"\xff")], "`\\xff` after `--`"),
    ] {
        let output = wasiscope(folder.path(), &[&[name(b"run"), name(b"g.wat")], &arguments[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{named} is not in {said}");
    }
}
