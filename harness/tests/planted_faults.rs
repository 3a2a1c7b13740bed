//! The grid can turn red, and in the right cell: a wrong oracle, a canary that is written to, an engine that is not what it
//! says it is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, ended, file, is_bad_usage};
use serde_json::Value;
use wasiscope::code::Code;

fn with_fault(fault: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let engines = "cranelift, cranelift-checked";
    let text = format!("name: t\nkind: traps\nparts: [matrix]\nengines: [{engines}]\n");
    let path = file(&folder, "t.yaml", text);
    let arguments = ["--capture", "off", "--only", "{loads,stores}/*", "--plant-fault", fault];
    Run::in_folder(folder, &[&[path.as_str()], &arguments[..]].concat())
}

/// The operations of a case that are not all as they must be.
fn red(case: &Value) -> Vec<&str> {
    let facts = case["facts"].as_object().unwrap().iter();
    let of_operations = facts.filter_map(|(name, text)| Some((name.strip_prefix("cells.of.")?, text.as_str()?)));
    of_operations.filter(|(_, text)| text.split_once('/').is_some_and(|(p, t)| p != t)).map(|(name, _)| name).collect()
}

#[test]
fn a_wrong_oracle_is_seen_at_its_operation_on_every_engine_and_nowhere_else() {
    let run = with_fault("oracle:i32.load8_u");
    assert_eq!(run.code(), 1, "{}", run.stderr());
    for engine in ["cranelift", "cranelift-checked"] {
        let loads = run.case(&format!("loads/generated/{engine}"));
        assert_eq!(red(&loads), ["i32.load8_u"]);
        ended(&loads, "failed", Code::CheckFailed, &["i32.load8_u"]);
        assert!(loads["facts"]["cells.of.i32.load8_u"].as_str().unwrap().starts_with("0/"), "all of them are wrong");
        assert!(red(&run.case(&format!("stores/generated/{engine}"))).is_empty());
    }
    assert!(run.stdout().contains("FAILED loads/generated/cranelift: "), "{}", run.stdout());
}

#[test]
fn a_canary_that_is_written_to_is_seen_at_the_operation_that_did_it() {
    let run = with_fault("canary:i64.store16");
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let stores = run.case("stores/generated/cranelift");
    assert_eq!(red(&stores), ["i64.store16"]);
    let got = stores["failures"][0]["got"].as_str().unwrap();
    assert!(got.contains("the instance after has"), "{got}");
    assert!(red(&run.case("loads/generated/cranelift")).is_empty());
}

#[test]
fn an_engine_that_checks_otherwise_than_it_says_is_seen_on_both_sides() {
    let run = with_fault("engine");
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let got = |id: &str| run.case(id)["failures"][0]["got"].as_str().unwrap().to_owned();
    let unguarded = got("loads/generated/cranelift");
    assert!(unguarded.contains("not caught by the guard"), "{unguarded}");
    let signalled = got("loads/generated/cranelift-checked");
    assert!(signalled.contains("on an engine that is to check every access"), "{signalled}");
}

#[test]
fn a_failure_brings_a_command_that_does_the_same() {
    for fault in ["oracle:i64.load32_s", "oracle:call_indirect", "oracle:f64.load", "oracle:v128.load16_lane"] {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "t.yaml", "name: t\nkind: traps\nparts: [matrix]\nengines: [cranelift]\n");
        let only = ["--only", "{loads,tables,vectors}/*", "--capture", "off", "--plant-fault", fault];
        let run = Run::in_folder(folder, &[&[path.as_str()], &only[..]].concat());
        let report = run.report();
        let cases = report["scenarios"][0]["cases"].as_array().unwrap();
        let failures = cases.iter().filter_map(|case| case["failures"].as_array()).flatten();
        for failure in failures.filter(|failure| !failure["what"].as_str().unwrap().contains("bytes")) {
            // What the command says of itself is the specification's word, not that of the oracle that was turned round.
            let wat = failure["wat"].as_str().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = file(&folder, "it.wat", wat);
            let by_hand = Run::in_folder(folder, &[&path, "--capture", "off", "--processes", "1", "--iterations", "1"]);
            let status = by_hand.case("it/custom/cranelift")["outcome"]["status"].clone();
            assert_eq!(status == "trapped", wat.contains(";; expected: a trap"), "{wat}");
        }
    }
}

#[test]
fn an_unknown_fault_is_refused() {
    let unknown = Run::new(&["traps", "--plant-fault", "oracle:i32.laod"]);
    is_bad_usage(&unknown.output, &["--plant-fault", "did you mean `i32.load`?"]);
    let shapeless = Run::new(&["traps", "--plant-fault", "oracle"]);
    is_bad_usage(&shapeless.output, &["--plant-fault"]);
}

#[test]
fn a_fault_in_what_is_not_tried_is_refused_and_one_that_is_not_found_is_an_error() {
    let elsewhere = Run::new(&["traps", "--only", "loads/*", "--plant-fault", "oracle:i32.store"]);
    elsewhere.fails_with(Code::OptionDoesNotApply, &["--plant-fault"]);
    // This engine has no threads, so nobody tries it.
    let only = ["--only", "atomics/*/pulley", "--capture", "off"];
    let unseen = Run::new(&[&["traps", "--plant-fault", "oracle:i32.atomic.load"], &only[..]].concat());
    unseen.fails_with(Code::FaultNotFound, &[]);
}
