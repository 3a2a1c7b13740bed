//! What a file is, is decided by what it holds and not by what it is called; and it may come through a pipe.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{WASISCOPE, guest};
use serde_json::Value;
use wasiscope::code::Code;

const TEXT: &str = "(module (func (export \"_start\")))";
const MARK: &str = "\u{feff}";
const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

fn wasiscope(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs it, which must work, and gives the report.
fn run(folder: &Path, arguments: &[&str]) -> Value {
    let output = wasiscope(folder, &[&["run", "--out", "report.json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap()
}

/// It ends with an error of this code, which says where.
#[track_caller]
fn assert_fails(folder: &Path, arguments: &[&str], code: Code, place: &str) {
    common::fails_with(&wasiscope(folder, arguments), code, &[place]);
}

#[test]
fn guests_are_called_anything() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    for (name, bytes) in [
        ("X.WASM", guest("")),
        ("bare", guest("")),
        ("text.txt", TEXT.into()),
        ("binary.wat", guest("")),
        ("text.wasm", format!("{MARK};; a comment\r\n{TEXT}\r\n").into_bytes()),
        ("Y.WAT", TEXT.into()),
    ] {
        fs::write(place.join(name), bytes).unwrap();
        let report = run(place, &[&[name], &FEW[..]].concat());
        assert_eq!(report["scenarios"][0]["cases"][0]["outcome"]["status"], "ok", "{name}");
        assert_eq!(wasiscope(place, &["build", "--size", name]).status.code(), Some(0), "{name}");
        let compared = wasiscope(place, &["compare", name, name, "--capture", "off"]);
        assert_eq!(compared.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&compared.stderr));
        assert!(String::from_utf8_lossy(&compared.stdout).contains("identical code"), "{name}");
    }
}

#[test]
fn a_scenario_of_the_project_comes_before_a_guest_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::create_dir(place.join("scenarios")).unwrap();
    fs::write(place.join("scenarios/small.yml"), "name: small\nwasm: g.wat\n").unwrap();
    fs::write(place.join("scenarios/g.wat"), TEXT).unwrap();
    fs::write(place.join("small"), guest("")).unwrap();
    let id = |name: &str| run(place, &[&[name], &FEW[..]].concat())["scenarios"][0]["cases"][0]["id"].clone();
    assert_eq!(id("small"), "g/custom/cranelift");
    assert_eq!(id("./small"), "small/custom/cranelift");
}

#[test]
fn scenarios_have_any_name_line_ending_and_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::write(place.join("g.wat"), TEXT).unwrap();
    let text = format!("{MARK}name: s\r\nwasm: g.wat\r\nprocesses: 1\r\niterations: 1\r\n");
    for name in ["s.yml", "s.YAML", "s.txt", "s"] {
        fs::write(place.join(name), &text).unwrap();
        let report = run(place, &[name, "--capture", "off"]);
        assert_eq!(report["scenarios"][0]["name"], "s", "{name}");
    }
    fs::write(place.join("bad.yml"), format!("{MARK}name: s\r\nwasm: g.wat\r\nprocesess: 1\r\n")).unwrap();
    assert_fails(place, &["run", "bad.yml"], Code::UnknownKey, "bad.yml:3:1");
    fs::write(place.join("first.yml"), format!("{MARK}nmae: s\r\nwasm: g.wat\r\n")).unwrap();
    assert_fails(place, &["run", "first.yml"], Code::UnknownKey, "first.yml:1:1");
    fs::write(place.join("bad.wat"), format!("{MARK}(module\r\n  (func i32.addd))\r\n")).unwrap();
    assert_fails(place, &["run", "bad.wat"], Code::InvalidText, "bad.wat:2:9");
}

#[test]
fn what_is_something_else_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::write(place.join("report.json"), "{\"schema_version\": 1}").unwrap();
    assert_fails(place, &["run", "report.json"], Code::NotAScenario, "report.json");
    fs::write(place.join("utf16.yaml"), b"\xff\xfen\0a\0m\0e\0").unwrap();
    assert_fails(place, &["run", "utf16.yaml"], Code::NotAScenario, "UTF-16");
    fs::write(place.join("picture.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    assert_fails(place, &["run", "picture.png"], Code::NotAScenario, "picture.png");
}

/// The document that a page would save, as its reader's browser does.
fn saved_from(page: &str) -> Vec<u8> {
    let (_, rest) = page.split_once("data:application/zstd;base64,").unwrap();
    STANDARD.decode(rest.split_once('"').unwrap().0).unwrap()
}

#[test]
fn reports_are_read_as_pages_save_them_and_compressed_or_edited() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::write(place.join("g.wat"), TEXT).unwrap();
    run(place, &[&["g.wat", "--html", "page.html"], &FEW[..]].concat());
    let json = fs::read(place.join("report.json")).unwrap();
    let saved = saved_from(&fs::read_to_string(place.join("page.html")).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&json).unwrap();
    let edited = MARK.to_owned() + &String::from_utf8(json).unwrap().replace('\n', "\r\n");
    for (name, bytes) in [
        ("saved.json.zst", saved.clone()),
        ("saved", saved),
        ("packed.gz", gzip.finish().unwrap()),
        ("edited.json", edited.into_bytes()),
    ] {
        fs::write(place.join(name), bytes).unwrap();
        for arguments in [
            &["compare", name, "report.json"][..],
            &["merge", name, "--out", "merged.json"],
            &["html", name, "--out", "pages"],
            &["export", name, "--parquet", "table.parquet"],
            &["export", name, "--prometheus", "metrics.prom"],
        ] {
            let output = wasiscope(place, arguments);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        // Nobody has accepted the facts, and that is what it says.
        let output = wasiscope(place, &["snapshot", name]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // In a folder, too.
    fs::create_dir(place.join("kept")).unwrap();
    fs::rename(place.join("saved.json.zst"), place.join("kept/saved.json.zst")).unwrap();
    assert_eq!(wasiscope(place, &["html", "kept", "--out", "more"]).status.code(), Some(0));
    fs::write(place.join("cut.json.zst"), b"\x28\xb5\x2f\xfd\x04").unwrap();
    assert_fails(place, &["compare", "cut.json.zst", "report.json"], Code::CannotRead, "cut.json.zst");
}

/// Runs it with what `text` says on standard input.
fn fed(folder: &Path, arguments: &[&str], text: &[u8]) -> Output {
    let mut command = Command::new(WASISCOPE);
    command.current_dir(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn guests_scenarios_and_reports_come_through_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::write(place.join("g.wat"), TEXT).unwrap();
    let run = |text: &[u8]| {
        let output = fed(place, &[&["run", "/dev/stdin", "--out", "report.json"], &FEW[..]].concat(), text);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&fs::read(place.join("report.json")).unwrap()).unwrap();
        report["scenarios"][0]["cases"][0]["id"].clone()
    };
    assert_eq!(run(TEXT.as_bytes()), "stdin/custom/cranelift");
    assert_eq!(run(&guest("")), "stdin/custom/cranelift");
    // Paths in it begin at the current folder.
    assert_eq!(run(b"name: s\nwasm: g.wat\n"), "g/custom/cranelift");
    let report = fs::read(place.join("report.json")).unwrap();
    let output = fed(place, &["compare", "report.json", "/dev/stdin"], &report);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_pipe_that_nobody_writes_to_and_a_device_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_fails(folder.path(), &["run", "pipe"], Code::CannotRead, "pipe");
    assert_fails(folder.path(), &["run", "/dev/zero"], Code::CannotRead, "256 MiB");
    assert_fails(folder.path(), &["compare", "/dev/zero", "/dev/zero"], Code::CannotRead, "256 MiB");
}
