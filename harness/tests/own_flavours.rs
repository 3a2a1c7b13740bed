//! Guests of one's own as flavours of one workload: all are given what the scenario says, must give the same answer, and keep within
//! its budgets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Run, WASISCOPE};
use serde_json::Value;
use wasiscope::code::Code;

/// A guest that writes what it reads from standard input, behind a word of its own.
fn echo(word: &str) -> Vec<u8> {
    let length = word.len();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            ;; A buffer of 64 bytes behind the word.
            (data (i32.const 100) "{word}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const {behind}))
                (i32.store (i32.const 4) (i32.const 64))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.store (i32.const 0) (i32.const 100))
                (i32.store (i32.const 4) (i32.add (i32.const {length}) (i32.load (i32.const 8))))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        behind = 100 + length,
    );
    wat::parse_str(text).unwrap()
}

/// A folder with a scenario `scenarios/mine.yaml`, and guests beside it.
fn project(scenario: &str, guests: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scenarios")).unwrap();
    let common = "name: mine\nprocesses: 1\niterations: 2\n";
    fs::write(folder.path().join("scenarios/mine.yaml"), format!("{common}{scenario}")).unwrap();
    fs::write(folder.path().join("input.txt"), "some text").unwrap();
    for (name, wasm) in guests {
        fs::write(folder.path().join(name), wasm).unwrap();
    }
    folder
}

fn run(folder: tempfile::TempDir) -> Run {
    let scenario = folder.path().join("scenarios/mine.yaml").display().to_string();
    Run::in_folder(folder, &[&scenario, "--capture", "off"])
}

fn status(case: &Value) -> (&str, Option<&str>) {
    (case["outcome"]["status"].as_str().unwrap(), case["outcome"]["code"].as_str())
}

#[test]
fn files_and_what_a_command_leaves_are_flavours_and_read_the_same_input() {
    let scenario = "wasm: {first: ../a.wasm}\n\
                    command: {second: {build: cp a.wasm b.wasm, dir: .., out: b.wasm}}\n\
                    stdin: ../input.txt\nexpect: {stdout: \">some text\"}\n";
    let run = run(project(scenario, &[("a.wasm", echo(">"))]));
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    for id in ["mine/first/cranelift", "mine/second/cranelift"] {
        assert_eq!(run.case(id)["facts"]["stdout.bytes"], 10, "{id}");
    }
}

#[test]
fn a_command_without_a_folder_runs_in_that_of_the_file() {
    let folder = project("command: {build: cp a.wat b.wasm, out: b.wasm}\n", &[]);
    fs::copy(folder.path().join("scenarios/mine.yaml"), folder.path().join("mine.yml")).unwrap();
    fs::write(folder.path().join("a.wat"), echo(">")).unwrap();
    let mut command = Command::new(WASISCOPE);
    command.current_dir(folder.path()).args(["run", "mine.yml", "--capture", "off", "--format", "json"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["scenarios"][0]["cases"][0]["id"], "b/custom/cranelift");
}

#[test]
fn what_a_command_leaves_must_be_a_file() {
    let scenario =
        "command: {pipe: {build: mkfifo p.wasm || true, out: p.wasm}, folder: {build: mkdir -p f.wasm, out: f.wasm}}\n";
    let run = run(project(scenario, &[]));
    assert_eq!(run.code(), 1, "{}", run.stderr());
    for id in ["mine/pipe/cranelift", "mine/folder/cranelift"] {
        assert_eq!(status(&run.case(id)), ("failed", Some(Code::BuildFailed.name())), "{id}");
    }
}

#[test]
fn another_answer_than_the_first_flavours_is_a_failed_row() {
    let scenario = "wasm: {first: ../a.wasm, same: ../a.wasm, other: ../b.wasm}\nstdin: ../input.txt\n";
    let run = run(project(scenario, &[("a.wasm", echo(">")), ("b.wasm", echo("<"))]));
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert_eq!(status(&run.case("mine/first/cranelift")), ("ok", None));
    assert_eq!(status(&run.case("mine/same/cranelift")), ("ok", None));
    assert_eq!(status(&run.case("mine/other/cranelift")), ("failed", Some(Code::AnswersDiffer.name())));
}

#[test]
fn a_guest_that_a_command_does_not_build_is_a_failed_row_of_its_own() {
    let scenario = "wasm: {first: ../a.wasm}\ncommand: {broken: {build: exit 3, out: none.wasm}, absent: {build: 'true', out: none.wasm}}\n";
    let run = run(project(scenario, &[("a.wasm", echo(">"))]));
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert_eq!(status(&run.case("mine/first/cranelift")), ("ok", None));
    for id in ["mine/broken/cranelift", "mine/absent/cranelift"] {
        assert_eq!(status(&run.case(id)), ("failed", Some(Code::BuildFailed.name())), "{id}");
    }
}

#[test]
fn budgets_are_enforced_and_those_of_no_fact_are_mistakes() {
    let scenario = |budgets: &str| format!("wasm: ../a.wasm\nbudgets: {{{budgets}}}\n");
    for (budgets, code, wanted) in [
        ("size.wasm: 1MiB", 0, None),
        ("size.wasm: 10", 1, Some(Code::OverBudget.name())),
        ("size.wsam: 1MiB", 1, Some(Code::NoSuchFact.name())),
    ] {
        let run = run(project(&scenario(budgets), &[("a.wasm", echo(">"))]));
        assert_eq!(run.code(), code, "{budgets}: {}", run.stderr());
        assert_eq!(status(&run.case("a/custom/cranelift")).1, wanted, "{budgets}");
    }
}

#[test]
fn the_command_line_can_name_flavours_too() {
    let folder = project("wasm: ../a.wasm\n", &[("a.wasm", echo(">")), ("b.wasm", echo("<"))]);
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (one, other) = (format!("one={}", place("a.wasm")), format!("other={}", place("b.wasm")));
    let few = ["--capture", "off", "--processes", "1", "--iterations", "2"];
    let run = Run::new(&[&["--as", &one, "--as", &other], &few[..]].concat());
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert_eq!(status(&run.case("guests/one/cranelift")), ("ok", None));
    assert_eq!(status(&run.case("guests/other/cranelift")), ("failed", Some(Code::AnswersDiffer.name())));
}

fn compare(folder: &Path, tolerance: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(WASISCOPE);
    command.current_dir(folder).args(["compare", "a.wasm", "b.wasm", "--capture", "off", "--format", "json"]);
    command.args(["--processes", "8", "--metric", "phase.run", "--tolerance", "phase.run=900%"]).args(tolerance);
    let output = command.output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_guest_that_grows_by_more_than_its_tolerance_fails_a_comparison() {
    let larger = wat::parse_str(
        r#"(module (memory (export "memory") 1) (data "a few bytes that nobody reads") (func (export "_start")))"#,
    );
    let smaller = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
    let folder = project("wasm: ../a.wasm\n", &[("a.wasm", smaller.unwrap()), ("b.wasm", larger.unwrap())]);
    for (tolerance, code, above) in [
        (&[][..], 0, false),
        (&["--tolerance", "size.wasm=1KiB"][..], 0, false),
        (&["--tolerance", "size.wasm=10"][..], 1, true),
        (&["--tolerance", "size.wasm=5%"][..], 1, true),
    ] {
        let (status, comparison) = compare(folder.path(), tolerance);
        assert_eq!(status, Some(code), "{tolerance:?}: {comparison}");
        let facts = comparison["facts"].as_array().unwrap();
        let size = facts.iter().find(|row| row["fact"] == "size.wasm").unwrap();
        assert_eq!(size.get("above").is_some(), above, "{tolerance:?}");
    }
}
