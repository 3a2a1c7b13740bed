//! Imports that the host does not provide are named at once, by family; or stubs take their place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, ended, file, guest};
use serde_json::Value;
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

/// A guest with these imports that runs `body`.
fn importing(imports: &str, body: &str) -> String {
    format!(r#"(module {imports} (memory (export "memory") 1) (func (export "_start") {body}))"#)
}

fn run(text: &str, more: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", text);
    Run::in_folder(folder, &[&[path.as_str()], &FEW[..], more].concat())
}

fn ok(text: &str, more: &[&str]) -> Value {
    let run = run(text, more);
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    run.case("guest/custom/cranelift")
}

const MANY: &str = r#"
    (import "wasi_snapshot_preview1" "fd_dance" (func (param i32) (result i32)))
    (import "wasi" "thread-spawn" (func (param i32) (result i32)))
    (import "env" "emscripten_resize_heap" (func (param i32) (result i32)))
    (import "env" "invoke_vi" (func $invoke (param i32 i32)))
    (import "wbg" "__wbg_now_1" (func (result f64)))
    (import "gojs" "runtime.wasmExit" (func (param i32)))
    (import "wasi:cli/stdout@0.2.0" "get-stdout" (func (result i32)))
    (import "game" "score" (global i32))"#;

#[test]
fn all_of_them_at_once_by_family_with_what_helps() {
    let run = run(&importing(MANY, ""), &[]);
    let values = [
        "8 ",
        "fd_dance",
        "wasi-threads",
        "thread-spawn",
        "Emscripten",
        "invoke_vi",
        "STANDALONE_WASM",
        "wasm-bindgen",
        "Go for JavaScript",
        "GOOS=wasip1",
        "WASI 0.2",
        "`game` `score` (a global)",
        "--stub-imports",
    ];
    run.fails_with(Code::UnknownImports, &values);
    assert!(!run.folder.path().join("report.json").exists(), "nothing was run");
}

#[test]
fn beside_others_it_is_a_failed_row() {
    let folder = tempfile::tempdir().unwrap();
    let (bad, good) = (file(&folder, "bad.wat", importing(MANY, "")), file(&folder, "good.wasm", guest("")));
    let run = Run::in_folder(folder, &[&[bad.as_str(), &good], &FEW[..]].concat());
    assert_eq!(run.code(), 1, "{}", run.stderr());
    ended(&run.case("bad/custom/cranelift"), "failed", Code::UnknownImports, &["8 ", "Emscripten"]);
    assert_eq!(run.case("good/custom/cranelift")["outcome"]["status"], "ok");
}

#[test]
fn the_type_of_what_is_offered_counts_and_no_stub_takes_its_place() {
    let other = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32) (result i32)))"#;
    for more in [&[][..], &["--stub-imports"]] {
        let run = run(&importing(other, ""), more);
        run.fails_with(Code::UnknownImports, &["(i32, i32, i32, i32) -> (i32)"]);
        assert!(!run.stderr().contains("--stub-imports"), "{}", run.stderr());
    }
}

#[test]
fn a_stub_traps_when_it_is_called_and_only_then() {
    let stubs = ["--stub-imports"];
    assert_eq!(ok(&importing(MANY, ""), &stubs)["outcome"]["status"], "ok");
    let run = run(&importing(MANY, "(call $invoke (i32.const 1) (i32.const 2))"), &stubs);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let case = run.case("guest/custom/cranelift");
    ended(&case, "trapped", Code::Trapped, &["`env` `invoke_vi`"]);
    assert_eq!(case["facts"]["trap.code"], "UnknownImport");
}

#[test]
fn memories_tables_globals_and_tags_are_empty_in_every_pass() {
    let imports = r#"
        (import "env" "memory" (memory 1 4 shared)) (import "env" "table" (table 2 funcref))
        (import "env" "base" (global $base i32)) (import "env" "count" (global $count (mut i64)))
        (import "env" "error" (tag (param i32)))"#;
    let text = format!(
        r#"(module {imports} (export "memory" (memory 0)) (func (export "_start")
            (if (i32.or (global.get $base) (i32.wrap_i64 (global.get $count))) (then unreachable))
            (if (i32.load (i32.const 8)) (then unreachable))
            (if (i32.eqz (ref.is_null (table.get 0 (i32.const 1)))) (then unreachable))
            (global.set $count (i64.const 1)) (i32.store (i32.const 8) (i32.const 1))))"#
    );
    ok(&text, &["--stub-imports"]);
}

#[test]
fn a_scenario_says_so_itself() {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "guest.wat", importing(MANY, ""));
    let text = "name: own\nwasm: guest.wat\nstub_imports: true\nprocesses: 1\niterations: 1\n";
    let scenario = file(&folder, "own.yaml", text);
    let run = Run::in_folder(folder, &[&scenario, "--capture", "off"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
}

#[test]
fn guests_of_preview_0_run_as_they_are() {
    // Writes one line to stdout, reads the clock, and exits with 0 when both went well.
    let imports = r#"
        (import "wasi_unstable" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_unstable" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
        (func $check (param i32) (if (local.get 0) (then (call $exit (i32.const 1)))))"#;
    let text = format!(
        r#"(module {imports} (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\0f\00\00\00") (data (i32.const 16) "own n=1 check=2\n")
            (func (export "_start")
                (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (call $check (call $clock (i32.const 1) (i64.const 0) (i32.const 64)))
                (call $check (i64.eqz (i64.load (i32.const 64))))
                (call $exit (i32.const 0))))"#
    );
    assert_eq!(ok(&text, &[])["facts"]["check"], "2");
}

#[test]
fn the_clock_answers_a_guest_without_memory_as_every_other_call_does() {
    let of = |name: &str, params: &str, arguments: &str, memory: &str| {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "{name}" (func $f (param {params}) (result i32)))
                {memory} (func (export "_start") (drop (call $f {arguments}))))"#
        );
        let run = run(&text, &[]);
        let outcome = &run.case("guest/custom/cranelift")["outcome"];
        let detail = outcome["detail"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        (outcome["status"].as_str().unwrap().to_owned(), detail)
    };
    let clock = |at: i32, memory| {
        of("clock_time_get", "i32 i64 i32", &format!("(i32.const 1) (i64.const 0) (i32.const {at})"), memory)
    };
    let resolution =
        |at: i32, memory| of("clock_res_get", "i32 i32", &format!("(i32.const 1) (i32.const {at})"), memory);
    for (at, memory) in [
        (8, "(memory 1)"),
        (8, ""),
        (-8, r#"(memory (export "memory") 1)"#),
        (9, r#"(memory (export "memory") 1)"#),
        (8, r#"(memory (export "memory") 1 2 shared)"#),
    ] {
        let (status, detail) = clock(at, memory);
        let alike = (status, detail.replace("clock_time_get", "clock_res_get"));
        assert_eq!(alike, resolution(at, memory), "{at} in {memory}");
    }
}
