//! A case that fails is a row with a reason, exit status 1, and the other cases are whole.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, ended, file, guest};
use wasiscope::code::Code;

/// Runs two guests by path, the bad one and one that does nothing, without capture.
fn run_beside_a_good_one(bad: &[u8], more: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let bad = file(&folder, "bad.wasm", bad);
    let good = file(&folder, "good.wasm", guest(""));
    let mut arguments = vec![bad.as_str(), good.as_str(), "--capture", "off", "--processes", "2", "--iterations", "2"];
    arguments.extend(more);
    Run::in_folder(folder, &arguments)
}

#[track_caller]
fn assert_failed(run: &Run, status: &str, code: Code, values: &[&str]) {
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let (bad, good) = (run.case("bad/custom/cranelift"), run.case("good/custom/cranelift"));
    ended(&bad, status, code, values);
    let detail = bad["outcome"]["detail"].as_str().unwrap().lines().next().unwrap().to_owned();
    assert!(run.stdout().contains(&detail), "the table says it too");
    assert_eq!(good["outcome"]["status"], "ok");
    assert_eq!(good["measurements"][0]["summary"]["processes"], 2);
}

#[test]
fn a_wrong_check() {
    // Prints "hello n=1 check=0000000000000bad".
    let liar = guest("(drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))");
    let run = run_beside_a_good_one(&liar, &[]);
    assert_failed(&run, "failed", Code::WrongCheck, &["0000000000000bad", "e60e7ee648829675"]);
    let bad = run.case("bad/custom/cranelift");
    assert_eq!(bad["measurements"].as_array().map(Vec::len), Some(0), "a wrong answer is never timed as right");
}

#[test]
fn a_trap() {
    assert_failed(&run_beside_a_good_one(&guest("unreachable"), &[]), "trapped", Code::Trapped, &["unreachable"]);
}

#[test]
fn an_exit_code() {
    let exits = guest("(call $proc_exit (i32.const 3))");
    assert_failed(&run_beside_a_good_one(&exits, &[]), "failed", Code::WrongExitCode, &["3"]);
}

#[test]
fn an_import_that_nobody_provides() {
    let wasm = wat::parse_str(r#"(module (import "env" "nothing" (func)) (func (export "_start")))"#).unwrap();
    assert_failed(&run_beside_a_good_one(&wasm, &[]), "failed", Code::UnknownImports, &["env"]);
}

#[test]
fn more_memory_than_the_limit() {
    let wasm = wat::parse_str(r#"(module (memory 20000) (func (export "_start")))"#).unwrap();
    assert_failed(&run_beside_a_good_one(&wasm, &[]), "failed", Code::LimitMet, &["memory", "--memory"]);
}

#[test]
fn a_stack_that_never_ends() {
    let wasm = wat::parse_str(r#"(module (func $f (export "_start") (call $f)))"#).unwrap();
    assert_failed(&run_beside_a_good_one(&wasm, &[]), "trapped", Code::LimitMet, &["stack", "--stack"]);
}

#[test]
fn a_guest_that_never_ends_is_killed_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "endless.wasm", guest("(loop (br 0))"));
    let run = Run::in_folder(folder, &[&path, "--capture", "off", "--wall", "300ms"]);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let case = run.case("endless/custom/cranelift");
    ended(&case, "timeout", Code::TimedOut, &["300ms"]);
}

/// A mark: `clock_time_get` with one of the tags.
fn mark(kind: &str) -> String {
    format!("(drop (call $clock (i32.const 1) (i64.const 0x5741534953434f{kind}) (i32.const 32)))")
}

#[test]
fn marks_that_do_not_belong_together() {
    let (start, end) = (mark("01"), mark("02"));
    for (body, value) in [
        (start.clone(), "never the end"),
        (end.clone(), "never the start"),
        (format!("{end} {start}"), "before the start"),
    ] {
        assert_failed(&run_beside_a_good_one(&guest(&body), &[]), "failed", Code::GuestFailed, &[value]);
    }
}

#[test]
fn more_output_than_a_worker_holds() {
    // Writes its line of 33 bytes 600,000 times, whatever the host says to it.
    let body =
        "(local $i i32) (loop $again (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 600000))))";
    assert_failed(&run_beside_a_good_one(&guest(body), &[]), "failed", Code::LimitMet, &["16.0 MiB", "--max-output"]);
}
