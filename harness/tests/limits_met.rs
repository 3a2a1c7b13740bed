//! The limit that a guest met is the reason of its bad end, wherever it then goes; one that it copes with is none.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;

use common::{Run, WASISCOPE, ended, file};
use serde_json::Value;
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "1"];

const WASI: &str = r#"
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;

/// A command with WASI at hand: 64 KiB to write at 0, the name `f` at 64, room for results at 128.
fn command(fields: &str, body: &str) -> String {
    format!(
        r#"(module {WASI} {fields} (memory (export "memory") 2)
            (data (i32.const 0) "\00\00\00\00\00\00\01\00") (data (i32.const 64) "f")
            (func (export "_start") {body}))"#
    )
}

fn open(flags: u32) -> String {
    format!(
        "(call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 1) (i32.const {flags}) (i64.const 66)
            (i64.const 66) (i32.const 0) (i32.const 128))"
    )
}

/// Writes 17 MiB and goes on to `otherwise` when it cannot.
fn writes(otherwise: &str) -> String {
    command(
        "",
        &format!(
            "(local $i i32) (loop $again
                (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 128)) (then {otherwise}))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 272))))"
        ),
    )
}

fn grows(otherwise: &str) -> String {
    command("", &format!("(if (i32.eq (memory.grow (i32.const 30000)) (i32.const -1)) (then {otherwise}))"))
}

/// Runs a guest under limits; the row of how it ended.
fn run(text: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", text);
    let run = Run::in_folder(folder, &[&[path.as_str()], &FEW[..], more].concat());
    let case = run.case("guest/custom/cranelift");
    assert_eq!(run.code() == 0, case["outcome"]["expected"] == true, "{}", run.stderr());
    case
}

/// The guest meets a limit, which the detail names with its phase, its size and the option for it.
#[track_caller]
fn assert_met(text: &str, more: &[&str], status: &str, values: &[&str]) {
    ended(&run(text, more), status, Code::LimitMet, values);
}

/// The guest copes.
#[track_caller]
fn assert_ok(text: &str, more: &[&str]) {
    let outcome = run(text, more)["outcome"].clone();
    assert_eq!((&outcome["status"], &outcome["detail"]), (&Value::from("ok"), &Value::Null));
}

#[test]
fn output_wherever_the_guest_then_goes() {
    let parts = ["output", "in run", "16.0 MiB", "--max-output", "limits: output"];
    assert_met(&writes("(call $exit (i32.const 9))"), &[], "failed", &[&parts[..], &["code 9"]].concat());
    assert_met(&writes("unreachable"), &[], "trapped", &parts);
    assert_met(&writes("(return)"), &[], "failed", &parts);
    assert_met(&writes("(call $exit (i32.const 0))"), &[], "failed", &parts);
    assert_met(&writes("(loop (br 0))"), &["--wall", "1s"], "timeout", &parts);
    // Exactly as much as it may.
    assert_ok(&writes("unreachable"), &["--max-output", "17MiB"]);
}

#[test]
fn memory_and_tables_where_the_guest_does_not_cope() {
    let parts = ["memory", "in run", "1.00 GiB", "--memory", "limits: memory"];
    assert_met(&grows("unreachable"), &[], "trapped", &parts);
    assert_met(&grows("(call $exit (i32.const 1))"), &[], "failed", &parts);
    assert_ok(&grows("(return)"), &[]);
    assert_ok(&grows("unreachable"), &["--memory", "4GiB"]);
    let table = "(if (i32.eq (table.grow $t (ref.null func) (i32.const 400000000)) (i32.const -1)) (then unreachable))";
    assert_met(&command("(table $t 1 funcref)", table), &[], "trapped", &["in run", "table", "--memory"]);
    // It meets its own maximum.
    let own = run(
        r#"(module (memory 1 2) (func (export "_start")
            (if (i32.eq (memory.grow (i32.const 30000)) (i32.const -1)) (then unreachable))))"#,
        &[],
    );
    ended(&own, "trapped", Code::Trapped, &[]);
}

#[test]
fn a_memory_that_is_too_large_from_the_start() {
    let large = r#"(module (memory (export "memory") 32768) (func (export "_start")))"#;
    assert_met(large, &[], "failed", &["memory", "in instantiate", "1.00 GiB", "--memory"]);
    assert_ok(large, &["--memory", "4GiB"]);
}

#[test]
fn the_call_stack() {
    let deep = |depth: u32| {
        format!(
            r#"(module
                (func $f (param i32) (result i32)
                    (if (result i32) (local.get 0)
                        (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
                        (else (i32.const 0))))
                (func (export "_start") (drop (call $f (i32.const {depth})))))"#
        )
    };
    let parts = ["stack", "in run", "512 KiB", "--stack", "limits: stack"];
    assert_met(&deep(500_000), &[], "trapped", &parts);
    // More than the 8 MiB that a process usually has.
    assert_ok(&deep(500_000), &["--stack", "64MiB"]);
    let meant = run(&deep(500_000), &["--expect-trap"]);
    ended(&meant, "trapped", Code::Trapped, &[]);
    assert!(
        !meant["outcome"]["detail"].to_string().contains("--stack"),
        "a limit that is met on purpose needs no advice"
    );
}

#[test]
fn files_and_descriptors() {
    let large = format!(
        "(drop {}) (i32.store (i32.const 4) (i32.const 1))
         (call $exit (call $pwrite (i32.load (i32.const 128)) (i32.const 0) (i32.const 1) (i64.const 3000000000)
             (i32.const 132)))",
        open(1)
    );
    assert_met(&command("", &large), &[], "failed", &["file size", "in run", "1.00 GiB"]);
    let many = format!("(loop $again (if {} (then (call $exit (i32.const 5)))) (br $again))", open(1));
    assert_met(&command("", &many), &[], "failed", &["descriptor", "in run", "ulimit -Hn"]);
}

#[test]
fn address_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
    let out = folder.path().join("report.json");
    let mut shell = Command::new("sh");
    shell.current_dir(folder.path()).args(["-c", "ulimit -v 3000000 && exec \"$@\"", "sh", WASISCOPE, "run", &path]);
    let output = shell.arg("--out").arg(&out).args(FEW).output().unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let values = ["address space", "in instantiate", "ulimit -v", "2.86 GiB", "memory_reservation"];
    ended(&report["scenarios"][0]["cases"][0], "failed", Code::LimitMet, &values);
}
