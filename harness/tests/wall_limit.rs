//! `wall` is what one iteration may take, in every task; who takes longer is told in which phase it was.

mod common;

use std::process::Command;

use common::{Run, WASISCOPE, ended, file};
use serde_json::Value;
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "1"];

/// A guest that sleeps for a second, and computes `rounds` additions so that two of them differ.
fn sleeper(rounds: usize) -> String {
    let work = "(drop (i32.add (i32.const 1) (i32.const 2)))".repeat(rounds);
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                {work}
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (i64.const 1000000000))
                (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#
    )
}

#[test]
fn an_iteration_may_take_what_it_says_in_every_task_of_a_run() {
    // The facts pass runs the guest twice, a trace three times, without a message in between.
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "sleeper.wat", sleeper(0));
    let trace = folder.path().join("trace.json");
    let more = ["--wall", "1800ms", "--trace", trace.to_str().unwrap()];
    let run = Run::in_folder(folder, &[&[path.as_str()], &FEW[..], &more].concat());
    assert_eq!(run.code(), 0, "{}", run.stdout());
    assert_eq!(run.case("sleeper/custom/cranelift")["outcome"]["status"], "ok");
    assert!(run.folder.path().join("trace.json").exists(), "{}", run.stderr());
}

#[test]
fn a_comparison_has_the_same_limit_for_each_pass() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [0, 1].map(|rounds| file(&folder, &format!("sleeper-{rounds}.wat"), sleeper(rounds)));
    let compare = |wall: &str| {
        let output = Command::new(WASISCOPE)
            .current_dir(folder.path())
            .args(["compare", &paths[0], &paths[1], "--capture", "off", "--processes", "1", "--iterations", "2"])
            .args(["--format", "json", "--wall", wall])
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["rows"].to_string()
    };
    let notes = compare("1800ms");
    assert!(!notes.contains(Code::TimedOut.name()), "{notes}");
    let notes = compare("400ms");
    assert!(notes.contains(Code::TimedOut.name()), "{notes}");
}

#[test]
fn the_reason_names_the_phase_and_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = "(local.set 0 (i32.add (local.get 0) (i32.mul (local.get 0) (i32.const 3))))".repeat(400_000);
    let large = file(&folder, "large.wat", format!("(module (func (export \"_start\") (local i32) {rounds}))"));
    let endless = r#"(module (func (export "_start") (loop (br 0))))"#;
    let endless = file(&folder, "endless.wat", endless);
    let begins = r#"(module (func $s (loop (br 0))) (start $s) (func (export "_start")))"#;
    let begins = file(&folder, "begins.wat", begins);
    let run = Run::in_folder(folder, &[&[large.as_str(), &endless, &begins], &FEW[..], &["--wall", "300ms"]].concat());
    assert_eq!(run.code(), 1, "{}", run.stderr());
    for (id, phase) in [("large", "compile"), ("endless", "run"), ("begins", "instantiate")] {
        let case = run.case(&format!("{id}/custom/cranelift"));
        ended(&case, "timeout", Code::TimedOut, &[&format!("in {phase} "), "--wall", "300ms"]);
    }
}
