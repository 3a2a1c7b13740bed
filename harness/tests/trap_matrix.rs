//! The edge of memory holds: every cell of the default share, every other trap, and the specification's own tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, file};
use serde_json::Value;

/// Runs a scenario of traps of these parts and engines, without capture.
fn traps(parts: &str, engines: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("name: t\nkind: traps\nparts: [{parts}]\nengines: [{engines}]\n");
    let path = file(&folder, "t.yaml", text);
    Run::in_folder(folder, &[&[path.as_str(), "--capture", "off"], arguments].concat())
}

fn cases(run: &Run) -> Vec<Value> {
    run.report()["scenarios"][0]["cases"].as_array().unwrap().clone()
}

fn count(case: &Value, fact: &str) -> u64 {
    case["facts"][fact].as_u64().unwrap_or_else(|| panic!("{} has no {fact}", case["id"]))
}

#[test]
fn an_engine_with_explicit_checks_raises_no_signal_and_one_with_a_guard_uses_it() {
    let run = traps("matrix", "cranelift, cranelift-checked, pulley", &["--only", "stores/*"]);
    for case in cases(&run) {
        let caught = ["traps", "by_guard", "by_null_page", "by_instruction", "without_signal"];
        let [traps, guard, null, instruction, none] = caught.map(|by| count(&case, &format!("caught.{by}")));
        assert_eq!(guard + null + instruction + none, traps, "{}", case["id"]);
        if case["engine"] == "cranelift" {
            assert!(guard > 100 && none == 0, "{case:#}");
        } else {
            assert_eq!(none, traps, "{}", case["id"]);
        }
    }
}

#[test]
fn the_specification_agrees() {
    let run = traps("specification", "cranelift, cranelift-checked, cranelift-pooling, winch, pulley", &[]);
    assert_eq!(run.code(), 0, "{}", run.stdout());
    for case in cases(&run) {
        assert_eq!(count(&case, "assertions.passed"), count(&case, "assertions.tried"), "{}", case["id"]);
        assert!(count(&case, "assertions.tried") > 500, "{}", case["id"]);
    }
    let memory = run.case("spec-memory/testsuite/cranelift");
    assert_eq!(count(&memory, "assertions.unsupported"), 0);
    assert!(count(&memory, "left_out.memory") > 10, "what is said of invalid modules is counted as left out");
    assert_eq!(memory["facts"]["assertions.of.memory_trap"], "182/182");
}

#[test]
fn the_full_matrix_has_more_than_ten_thousand_cells_and_the_default_share_is_said_to_be_one() {
    let run = traps("matrix", "cranelift", &["--full", "--only", "{loads,tables}/*"]);
    assert_eq!(run.code(), 0, "{}", run.stdout());
    let tried: u64 = cases(&run).iter().map(|case| count(case, "cells.tried")).sum();
    assert!(tried > 10_000, "{tried}");
    assert!(run.stdout().contains(&format!("{tried} cells tried (all there are), {tried} passed")), "{}", run.stdout());
}

/// On one engine: on all the others of the scenario `traps`, every case is a test of the suite (`snapshots/scenarios.rs`).
#[test]
fn every_cell_of_the_default_share_is_as_the_specification_has_it_and_every_run_has_the_same() {
    let run = || {
        let run = traps("matrix, other-traps", "cranelift", &[]);
        assert_eq!(run.code(), 0, "{}", run.stdout());
        assert_eq!(run.report()["scenarios"][0]["kind"], "traps");
        cases(&run)
    };
    let first = run();
    let mut tried = 0;
    for case in &first {
        let of_case = count(case, "cells.tried");
        assert_eq!(count(case, "cells.passed"), of_case, "{}", case["id"]);
        assert!(of_case > 0 && count(case, "cells.unsupported") == 0, "{}", case["id"]);
        tried += of_case;
    }
    assert!(tried > 25_000, "{tried}");
    let stays = |case: &Value| (case["id"].clone(), case["artifact"].clone(), case["facts"].clone());
    assert_eq!(first.iter().map(stays).collect::<Vec<_>>(), run().iter().map(stays).collect::<Vec<_>>());
}

#[test]
fn a_limit_on_guests_is_none_on_what_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "name: t\nkind: traps\nparts: [matrix]\nengines: [cranelift, cranelift-pooling]\nlimits: {memory: 64KiB}\n";
    let path = file(&folder, "t.yaml", text);
    let run = Run::in_folder(folder, &[&path, "--capture", "off", "--only", "{loads,grow}/*"]);
    assert_eq!(run.code(), 0, "{}", run.stdout());
}
