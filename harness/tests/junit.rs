//! JUnit files say what a run and a comparison came to, and whatever a guest prints, they are XML.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{Run, WASISCOPE, file};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};
use serde_json::{Value, json};

/// What the failing guest prints: an escape sequence, characters that XML cannot hold, and some that it must escape.
const PRINTED: &str = "\u{1b}[31mbad\u{1} <&\"'> ]]> \u{fffe}\u{ffff}\u{7f}";

fn read(path: &Path) -> Report {
    let text = fs::read_to_string(path).unwrap();
    let parsed = Report::deserialize_from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let is_allowed =
        |char: char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(is_allowed), "{text}");
    parsed
}

fn tests(report: &Report) -> Vec<(&str, &TestCase)> {
    let suites = report.test_suites.iter();
    suites.flat_map(|suite| suite.test_cases.iter().map(|test| (suite.name.as_str(), test))).collect()
}

/// `ok`, or what else it is, with its message.
fn said(test: &TestCase) -> (&'static str, String) {
    let text = |message: &Option<quick_junit::XmlString>| {
        message.as_ref().map_or(String::new(), |text| text.as_str().to_owned())
    };
    match &test.status {
        TestCaseStatus::Success { .. } => ("ok", String::new()),
        TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, message, .. } => ("failure", text(message)),
        TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, message, .. } => ("error", text(message)),
        TestCaseStatus::Skipped { message, .. } => ("skipped", text(message)),
    }
}

/// A guest that prints [`PRINTED`] on standard error and exits with 3.
fn failing() -> Vec<u8> {
    let bytes: String = PRINTED.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\40\00\00\00\{:02x}\00\00\00")
            (data (i32.const 64) "{bytes}")
            (func (export "_start")
                (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 32)))
                (call $proc_exit (i32.const 3))))"#,
        PRINTED.len()
    );
    wat::parse_str(text).unwrap()
}

/// One case that passes, one that fails, one that is skipped because there is no such guest, and one that is to trap.
fn run() -> Run {
    let folder = tempfile::tempdir().unwrap();
    let passing = file(&folder, "passing.wat", r#"(module (func (export "_start")))"#);
    let failing = file(&folder, "failing.wasm", failing());
    file(&folder, "trap.wasm", wat::parse_str(r#"(module (func (export "_start") unreachable))"#).unwrap());
    let trapping =
        "name: trapping\nkind: workload\nwasm: trap.wasm\nexpect: {outcome: trapped}\nprocesses: 1\niterations: 2\n";
    let trapping = file(&folder, "trapping.yaml", trapping);
    let absent = "name: absent\nkind: workload\nworkloads: [mandelbrot]\nflavours: [go]\nprocesses: 1\niterations: 2\n";
    let absent = file(&folder, "absent.yaml", absent);
    let fixed = ["--capture", "off", "--processes", "1", "--iterations", "2", "--junit", "junit.xml"];
    let named = [passing, failing, trapping, absent];
    Run::in_folder(folder, &[&named.each_ref().map(String::as_str)[..], &fixed].concat())
}

fn command(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(folder).args(arguments).output().unwrap()
}

#[test]
fn every_case_of_a_run_is_a_test() {
    let run = run();
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let folder = run.folder.path();
    let report = read(&folder.join("junit.xml"));
    assert_eq!((report.name.as_deref(), report.tests, report.failures, report.errors), (Some("wasiscope"), 4, 1, 0));
    let found: Vec<(&str, String, &str)> =
        tests(&report).iter().map(|(suite, test)| (*suite, test.name.as_str().to_owned(), said(test).0)).collect();
    let expected = [
        ("trapping", "trap/custom/cranelift", "ok"),
        ("absent", "mandelbrot/go/cranelift", "skipped"),
        ("passing", "passing/custom/cranelift", "ok"),
        ("failing", "failing/custom/cranelift", "failure"),
    ];
    assert_eq!(found, expected.map(|(suite, id, status)| (suite, id.to_owned(), status)));
    let of = |id: &str| tests(&report).into_iter().find(|(_, test)| test.name.as_str() == id).unwrap().1.clone();
    let median = |id: &str, metric: &str| {
        let case = run.case(id);
        let run = case["measurements"].as_array().unwrap().iter().find(|one| one["metric"] == metric).cloned();
        run.unwrap()["summary"]["median"].as_f64().unwrap()
    };
    // Files have milliseconds.
    for (id, metric) in [("passing/custom/cranelift", "phase.run"), ("trap/custom/cranelift", "phase.trap")] {
        let (told, measured) = (of(id).time.unwrap().as_secs_f64(), median(id, metric) / 1e9);
        assert!((told - measured).abs() < 0.001, "{id}: {told} s in the file, {measured} s in the report");
    }
    assert!(of("mandelbrot/go/cranelift").time.is_none());
    let detail = run.case("failing/custom/cranelift")["outcome"]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("bad"), "{detail:?}");
    let (_, message) = said(&of("failing/custom/cranelift"));
    assert!(message.contains("bad\\u0001 <&\"'> ]]> ") && message.contains("\\u001b[31m"), "{message:?}");
    let reason = run.case("mandelbrot/go/cranelift")["outcome"]["detail"].clone();
    assert_eq!(said(&of("mandelbrot/go/cranelift")).1, reason);
}

#[test]
fn a_report_is_exported_as_it_would_have_been_written() {
    let run = run();
    let folder = run.folder.path();
    // The second replaces the first: it is known as one of these.
    for _ in 0..2 {
        let output = command(folder, &["export", "report.json", "--junit", "exported.xml"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(fs::read(folder.join("exported.xml")).unwrap(), fs::read(folder.join("junit.xml")).unwrap());
    fs::write(folder.join("mine.xml"), "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mine\"/>")
        .unwrap();
    assert_eq!(command(folder, &["export", "report.json", "--junit", "mine.xml"]).status.code(), Some(2));
    fs::copy(folder.join("report.json"), folder.join("again.json")).unwrap();
    let both = command(folder, &["export", "report.json", "again.json", "--junit", "both.xml"]);
    assert_eq!((both.status.code(), folder.join("both.xml").exists()), (Some(2), false));
}

#[test]
fn every_row_of_a_comparison_is_a_test() {
    let run = run();
    let folder = run.folder.path();
    let mut report = run.report();
    // Another guest with another answer.
    for scenario in report["scenarios"].as_array_mut().unwrap() {
        for case in
            scenario["cases"].as_array_mut().unwrap().iter_mut().filter(|case| case["id"] == "passing/custom/cranelift")
        {
            case["artifact"]["sha256"] = json!("0".repeat(64));
            case["facts"]["exit.code"] = json!(1);
        }
    }
    file(&run.folder, "other.json", report.to_string());
    let output =
        command(folder, &["compare", "report.json", "other.json", "--format", "json", "--junit", "compared.xml"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = comparison["rows"].as_array().unwrap();
    let junit = read(&folder.join("compared.xml"));
    assert_eq!(junit.tests, rows.len());
    let failed = rows.iter().filter(|row| row["failed"] == true || row["verdict"] == "regressed").count();
    assert_eq!((junit.failures, junit.failures > 0), (failed, true));
    let test =
        tests(&junit).into_iter().find(|(_, test)| test.name.as_str() == "passing/custom/cranelift").unwrap().1.clone();
    assert_eq!(said(&test).0, "failure");
}
