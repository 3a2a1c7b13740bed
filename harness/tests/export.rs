//! `wasiscope export`: another reader finds in the table the samples that the report has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{Run, WASISCOPE, fails_with, file, guest, is_bad_usage, root};
use serde_json::Value;
use wasiscope::code::Code;

/// Scenario, case and metric.
type Key = (Option<String>, String, String);

/// What is compared: processes, samples, their sum, and samples that the summary is of.
type Tally = (u64, u64, f64, u64);

fn export(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(folder).arg("export").args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rows that DuckDB answers a query with.
fn duckdb(folder: &Path, query: &str) -> Vec<Vec<Value>> {
    let tools = root().join("target/tools/duckdb");
    assert!(tools.join("duckdb").is_dir(), "DuckDB is missing: run `ci/setup --duckdb`");
    let program = "import duckdb, json, sys\nprint(json.dumps(duckdb.sql(sys.argv[1]).fetchall(), default=str))";
    let mut python = Command::new("python3");
    let output = python.current_dir(folder).env("PYTHONPATH", tools).args(["-c", program, query]).output();
    let output = output.expect("python3 is there, or run `ci/setup --duckdb`");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A report of two cases, with more processes than samples are recognised as warm-up by.
fn run() -> Run {
    let folder = tempfile::tempdir().unwrap();
    let guests = [file(&folder, "one.wasm", guest("")), file(&folder, "two.wasm", guest("(drop (i32.const 1))"))];
    let options = ["--capture", "off", "--processes", "8", "--iterations", "6"];
    let run = Run::in_folder(folder, &[&[&*guests[0], &guests[1]], &options[..]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    run
}

fn tallies_of_report(report: &Value) -> BTreeMap<Key, Tally> {
    let mut tallies = BTreeMap::new();
    let mut add = |scenario: Option<&str>, case: &Value| {
        for measurement in case["measurements"].as_array().unwrap() {
            let samples: Vec<Vec<f64>> = serde_json::from_value(measurement["samples"].clone()).unwrap();
            let all: Vec<f64> = samples.iter().flatten().copied().collect();
            let name = |value: &Value| value.as_str().unwrap().to_owned();
            let key = (scenario.map(str::to_owned), name(&case["id"]), name(&measurement["metric"]));
            let tally = (
                samples.len() as u64,
                all.len() as u64,
                all.iter().sum(),
                measurement["summary"]["n"].as_u64().unwrap(),
            );
            assert!(tallies.insert(key, tally).is_none(), "one measurement of each metric");
        }
    };
    for scenario in report["scenarios"].as_array().unwrap() {
        scenario["cases"].as_array().unwrap().iter().for_each(|case| add(scenario["name"].as_str(), case));
    }
    add(None, &report["reference"]);
    tallies
}

fn tallies_of_table(folder: &Path, table: &str) -> BTreeMap<Key, Tally> {
    let query = format!(
        "SELECT scenario, \"case\", metric, count(DISTINCT process), count(*), sum(value), count(*) FILTER (NOT warm_up)
         FROM '{table}' GROUP BY ALL"
    );
    let entry = |row: Vec<Value>| {
        let text = |index: usize| row[index].as_str().map(str::to_owned);
        let count = |index: usize| row[index].as_u64().unwrap();
        ((text(0), text(1).unwrap(), text(2).unwrap()), (count(3), count(4), row[5].as_f64().unwrap(), count(6)))
    };
    duckdb(folder, &query).into_iter().map(entry).collect()
}

#[test]
fn every_sample_is_in_the_table_and_nothing_else() {
    let run = run();
    let folder = run.folder.path();
    let output = export(folder, &["report.json", "--parquet", "samples.parquet"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "stdout is for results");
    let (report, expected) = (run.report(), tallies_of_report(&run.report()));
    assert!(expected.len() > 20, "two cases and the reference, each with its phases");
    // Sums of whole nanoseconds are exact, in whatever order they are added up.
    assert_eq!(tallies_of_table(folder, "samples.parquet"), expected);

    let constants = "SELECT DISTINCT report, epoch_us(started_at), typeof(started_at), \"commit\", os, arch, cpus, wasmtime, noise, outcome
                     FROM 'samples.parquet'";
    let started_at: jiff::Timestamp = report["started_at"].as_str().unwrap().parse().unwrap();
    let expected: Vec<Value> = vec![
        "report.json".into(),
        started_at.as_microsecond().into(),
        "TIMESTAMP WITH TIME ZONE".into(),
        report["git"]["commit"].clone(),
        report["machine"]["os"].clone(),
        report["machine"]["arch"].clone(),
        report["machine"]["cpus"].clone(),
        report["tools"]["wasmtime"].clone(),
        0.into(),
        "ok".into(),
    ];
    assert_eq!(duckdb(folder, constants), [expected]);

    // In its place among the others.
    let samples =
        "SELECT value FROM 'samples.parquet' WHERE \"case\" = 'one/custom/cranelift' AND metric = 'phase.compile'
                   AND process = 3 ORDER BY iteration";
    let third = &run.case("one/custom/cranelift")["measurements"].as_array().unwrap().clone();
    let third = &third.iter().find(|measurement| measurement["metric"] == "phase.compile").unwrap()["samples"][3];
    let floats = |values: Vec<&Value>| values.iter().map(|value| value.as_f64().unwrap()).collect::<Vec<f64>>();
    let table = duckdb(folder, samples);
    assert_eq!(floats(table.iter().map(|row| &row[0]).collect()), floats(third.as_array().unwrap().iter().collect()));
}

#[test]
fn reports_become_one_table_which_is_replaced_and_goes_through_a_pipe() {
    let run = run();
    let folder = run.folder.path();
    fs::copy(folder.join("report.json"), folder.join("again.json")).unwrap();
    for _ in ["made", "replaced"] {
        let output = export(folder, &["report.json", "again.json", "--parquet", "both.parquet"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let halves = duckdb(folder, "SELECT report, count(*), sum(value) FROM 'both.parquet' GROUP BY ALL ORDER BY report");
    assert_eq!((halves.len(), &halves[0][1..]), (2, &halves[1][1..]));
    assert_eq!((&halves[0][0], &halves[1][0]), (&"again.json".into(), &"report.json".into()));
    // What /dev/stdout leads to; the name itself, root could replace by mistake.
    let piped = export(folder, &["report.json", "again.json", "--parquet", "/proc/self/fd/1"]);
    assert_eq!(piped.status.code(), Some(0), "{}", stderr(&piped));
    assert!(piped.stdout == fs::read(folder.join("both.parquet")).unwrap(), "the same bytes");
}

#[test]
fn mistakes_are_errors_and_leave_other_files_alone() {
    let run = run();
    let folder = run.folder.path();
    let report = fs::read_to_string(folder.join("report.json")).unwrap();
    file(&run.folder, "other.json", report.replacen("\"schema_version\": 1", "\"schema_version\": 2", 1));
    file(&run.folder, "cut.json", &report[..report.len() / 2]);
    file(&run.folder, "mine.parquet", "PAR1 somebody else's");
    std::os::unix::fs::symlink("report.json", folder.join("link.json")).unwrap();
    for (arguments, code, value) in [
        (&["nothing.json", "--parquet", "a.parquet"][..], Code::NoSuchFile, "nothing.json"),
        (&["report.json", "other.json", "--parquet", "a.parquet"], Code::OtherVersion, "other.json"),
        (&["cut.json", "--parquet", "a.parquet"], Code::NotAReport, "cut.json"),
        (&["report.json", "--parquet", "report.json"], Code::SameFile, "--parquet report.json"),
        (&["report.json", "--parquet", "link.json"], Code::SameFile, "--parquet link.json"),
        (&["report.json", "link.json", "--parquet", "a.parquet"], Code::SameFile, "link.json"),
        (&["report.json", "--parquet", "mine.parquet"], Code::WouldOverwrite, "--parquet FILE"),
    ] {
        fails_with(&export(folder, arguments), code, &[value]);
    }
    for (arguments, missing) in [(&["report.json"][..], "--parquet <FILE>"), (&["--parquet", "a.parquet"], "<REPORT>")]
    {
        is_bad_usage(&export(folder, arguments), &[missing]);
    }
    assert!(!folder.join("a.parquet").exists(), "nothing is left of a table that was begun");
    assert_eq!(fs::read_to_string(folder.join("report.json")).unwrap(), report);
}
