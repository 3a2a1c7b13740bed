//! The kernel saw one SIGSEGV for each trap that a guard page caught, in the phase `trap`, and none where there are checks.
//!
//! These tests need root and live capture (see .config/nextest.toml); without them they fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, file};
use serde_json::Value;

fn live(parts: &str, engines: &str, more: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("name: t\nkind: traps\nparts: [{parts}]\nengines: [{engines}]\nprocesses: 2\niterations: 3\n{more}");
    let path = file(&folder, "t.yaml", text);
    let run = Run::in_folder(folder, &[&[path.as_str(), "--capture", "on"], arguments].concat());
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    assert_eq!(run.report()["capture"]["status"], "live");
    run
}

fn phase<'a>(case: &'a Value, phase: &str) -> &'a Value {
    &case["kernel"]["phases"][phase]
}

#[test]
fn live_the_kernel_delivers_one_signal_for_each_trap_of_the_matrix() {
    let run = live("matrix", "cranelift, cranelift-checked, winch, pulley", "", &["--only", "{loads,stores,tables}/*"]);
    let report = run.report();
    for case in report["scenarios"][0]["cases"].as_array().unwrap() {
        let caught = |by: &str| case["facts"][format!("caught.{by}")].as_u64().unwrap();
        let (id, trap) = (&case["id"], phase(case, "trap"));
        assert_eq!(trap["iterations"], caught("traps"), "{id}");
        assert_eq!(trap["signals"]["SIGSEGV"], caught("by_guard") + caught("by_null_page"), "{id}");
        let others: u64 =
            ["SIGILL", "SIGFPE", "SIGTRAP"].iter().map(|name| trap["signals"][name].as_u64().unwrap()).sum();
        assert_eq!(others, caught("by_instruction"), "{id}");
        // Each page fault in the guard is one of those traps: the address lies where it must.
        let in_guard = trap["faults"]["user_by_region"]["guard"].as_u64().unwrap_or(0);
        assert_eq!(in_guard, caught("by_guard"), "{id}");
        assert_eq!(phase(case, "run")["signals"]["SIGSEGV"], 0, "{id}");
        assert_eq!(case["kernel"]["outside"]["signals"]["SIGSEGV"], 0, "{id}");
    }
    let guarded = run.case("loads/generated/cranelift");
    assert!(guarded["facts"]["caught.by_guard"].as_u64().unwrap() > 100);
    assert_eq!(phase(&run.case("loads/generated/cranelift-checked"), "trap")["signals"]["SIGSEGV"], 0);
}

#[test]
fn live_a_timed_trap_is_one_signal_at_every_depth() {
    let run = live("latency", "cranelift, cranelift-pooling, cranelift-checked", "", &[]);
    for depth in [1, 10, 100] {
        for (engine, signals) in [("cranelift", 6), ("cranelift-pooling", 6), ("cranelift-checked", 0)] {
            let case = run.case(&format!("depth-{depth}/generated/{engine}"));
            let trap = phase(&case, "trap");
            assert_eq!(
                (&trap["iterations"], &trap["signals"]["SIGSEGV"]),
                (&6.into(), &Value::from(signals)),
                "{case:#}"
            );
            let measured = case["measurements"].as_array().unwrap();
            let latency = measured.iter().find(|measurement| measurement["metric"] == "trap.latency").unwrap();
            assert_eq!((&latency["unit"], &latency["direction"]), (&"ns".into(), &Value::from("lower_is_better")));
            assert!(latency["summary"]["median"].as_f64().unwrap() > 100.0);
        }
    }
}

#[test]
fn live_the_signals_of_the_specifications_tests_are_in_the_phase_trap() {
    let run = live("specification", "cranelift", "", &["--only", "spec-memory/*"]);
    let case = run.case("spec-memory/testsuite/cranelift");
    let signals = case["facts"]["caught.by_unplaced"].as_u64().unwrap();
    assert!(signals > 100, "{signals}");
    assert_eq!(phase(&case, "trap")["signals"]["SIGSEGV"], signals);
    assert_eq!(
        (&phase(&case, "run")["signals"]["SIGSEGV"], &case["kernel"]["outside"]["signals"]["SIGSEGV"]),
        (&0.into(), &Value::from(0))
    );
}

#[test]
fn live_what_checks_cost_is_said_beside_it() {
    let run =
        live("price", "cranelift, cranelift-checked", "workloads: [hello]\nflavours: [std]\n", &["--processes", "8"]);
    let report = run.report();
    let price = &report["scenarios"][0]["prices"][0];
    assert_eq!((&price["case"], &price["base"]), (&"hello/std/cranelift-checked".into(), &Value::from("cranelift")));
    assert_eq!(price["log_ratios"].as_array().unwrap().len(), 8);
    assert!(price["ci_low"].as_f64().unwrap() < price["ci_high"].as_f64().unwrap());
}
