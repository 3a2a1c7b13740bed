//! A guest that answers otherwise is never an improvement: that comes first, and fails the comparison.

mod common;

use common::repository::{Compared, Repository, compare};
use serde_json::Value;

/// Sums so many turns and says `answer`.
fn sum(turns: u32, answer: u32) -> String {
    format!(
        r#"(module (func (export "sum") (result i32) (local $left i32)
            (local.set $left (i32.const {turns}))
            (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (i32.const {answer})))"#
    )
}

fn compared(base: (u32, u32), new: (u32, u32), more: &[&str]) -> Compared {
    let folder = tempfile::tempdir().expect("a folder");
    let guest = |name: &str, (turns, answer)| common::file(&folder, name, sum(turns, answer));
    let (base, new) = (guest("a.wat", base), guest("b.wat", new));
    compare(folder.path(), &[&[base.as_str(), &new, "--invoke", "sum"], more].concat())
}

/// Rows, the first of which must say that the results differ.
fn said_first(compared: &Compared) -> Vec<Value> {
    let rows = compared.rows();
    let first = &rows[0];
    assert_eq!(first["answers_differ"], serde_json::json!(["result"]), "{first}");
    assert_eq!(compared.json()["facts"][0]["fact"], "result");
    rows
}

#[test]
fn half_the_work_for_another_answer_is_no_improvement() {
    let compared = compared((4_000_000, 1), (2_000_000, 2), &[]);
    let rows = said_first(&compared);
    assert_eq!((rows[1]["metric"].as_str(), rows[1]["verdict"].as_str()), (Some("phase.run"), Some("inconclusive")));
    assert!(rows[1]["ratio"].as_f64().is_some_and(|ratio| ratio < 0.8), "{}", rows[1]);
    assert_eq!((compared.json()["verdict"].as_str(), compared.code()), (Some("inconclusive"), Some(1)));
}

/// Does so many turns and prints a letter.
fn print(turns: u32, letter: char) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\40\00\00\00\01\00\00\00")
            (data (i32.const 64) "{letter}")
            (func (export "_start") (local $left i32)
                (local.set $left (i32.const {turns}))
                (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"#
    )
}

#[test]
fn what_a_guest_prints_is_its_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, new) = (print(4_000_000, 'a'), print(2_000_000, 'b'));
    let (base, new) = (common::file(&folder, "a.wat", base), common::file(&folder, "b.wat", new));
    let compared = compare(folder.path(), &[&base, &new, "--metric", "phase.run"]);
    let rows = compared.rows();
    assert_eq!(rows[0]["answers_differ"], serde_json::json!(["stdout.sha256"]), "{}", rows[0]);
    assert_eq!((rows[1]["verdict"].as_str(), compared.code()), (Some("inconclusive"), Some(1)), "{}", rows[1]);
}

#[test]
fn more_work_for_another_answer_has_regressed() {
    let compared = compared((2_000_000, 1), (4_000_000, 2), &["--answers-may-differ"]);
    assert_eq!(said_first(&compared)[1]["verdict"], "regressed");
    assert_eq!(compared.code(), Some(1));
}

#[test]
fn answers_that_may_differ_do_not_fail_and_are_still_no_improvement() {
    let compared = compared((4_000_000, 1), (2_000_000, 2), &["--answers-may-differ"]);
    assert_eq!(said_first(&compared)[1]["verdict"], "inconclusive");
    assert_eq!(compared.code(), Some(0));
}

#[test]
fn the_same_answer_may_be_an_improvement() {
    let compared = compared((4_000_000, 1), (2_000_000, 1), &[]);
    let rows = compared.rows();
    assert_eq!((rows.len(), rows[0]["verdict"].as_str(), compared.code()), (1, Some("improved"), Some(0)), "{rows:?}");
}

#[test]
fn reports_and_revisions_are_held_to_the_same() {
    let repository = Repository::new();
    let guest = |turns: u32, answer: u32| {
        let line = format!("work n=1 check={answer:016x}\\n");
        format!(
            r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1) (data (i32.const 64) "{line}") (data (i32.const 0) "\40\00\00\00\{length:02x}\00\00\00")
                (func (export "_start") (local $left i32) (local.set $left (i32.const {turns}))
                    (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"#,
            length = line.len() - 1
        )
    };
    for (name, turns, answer) in [("old.json", 4_000_000, 1), ("new.json", 2_000_000, 2)] {
        repository.add_guest("work", &guest(turns, answer));
        repository.commit(name);
        let mut run = std::process::Command::new(common::WASISCOPE);
        run.current_dir(repository.path()).args([
            "run",
            "work",
            "--capture",
            "off",
            "--processes",
            "8",
            "--iterations",
            "3",
        ]);
        assert!(run.args(["--out", name]).status().expect("it starts").success());
    }
    for sides in [["HEAD~1", "HEAD"], ["old.json", "new.json"]] {
        let compared = repository.compare(&sides);
        let rows = compared.rows();
        let parts = rows[0]["answers_differ"].as_array().expect("what differs");
        assert!(parts.contains(&Value::from("check")), "{parts:?}");
        assert!(rows.iter().all(|row| row["verdict"] != "improved"), "{rows:#?}");
        assert_eq!(compared.code(), Some(1), "{sides:?}");
    }
}
