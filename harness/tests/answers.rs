//! What a guest answers is a fact, and a scenario can expect it: exit code, standard output and standard error.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, ended, file};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

/// A guest that writes `text` to a descriptor and exits with `code`.
fn writes(descriptor: u32, text: &str, code: u32) -> String {
    let length = text.len();
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "{escaped}")
            (func (export "_start")
                (i32.store (i32.const 0) (i32.const 64))
                (i32.store (i32.const 4) (i32.const {length}))
                (drop (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 16)))
                (call $exit (i32.const {code}))))"#
    )
}

fn digest(text: &str) -> Value {
    const_hex::encode(Sha256::digest(text)).into()
}

/// Runs a guest under `expect:` and gives the exit status and the case.
fn expecting(guest: String, expect: &str) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "g.wat", guest);
    file(&folder, "wanted.txt", "one\ntwo\n");
    let path = file(&folder, "s.yaml", format!("name: s\nwasm: g.wat\nexpect: {expect}\n"));
    let run = Run::in_folder(folder, &[&[path.as_str()], &FEW[..]].concat());
    (run.code(), run.case("g/custom/cranelift"))
}

#[test]
fn output_and_exit_code_are_facts() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "g.wat", writes(1, "sum 1\n", 0));
    let facts =
        Run::in_folder(folder, &[&[path.as_str()], &FEW[..]].concat()).case("g/custom/cranelift")["facts"].clone();
    assert_eq!(facts["stdout.sha256"], digest("sum 1\n"));
    assert_eq!(
        (&facts["stdout.bytes"], &facts["stderr.bytes"], &facts["exit.code"]),
        (&json!(6), &json!(0), &json!(0))
    );
    assert_eq!(facts.get("unsteady"), None);
}

#[test]
fn the_output_of_a_guest_that_fails_is_a_fact_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "g.wat", writes(2, "no such file\n", 3));
    let run = Run::in_folder(folder, &[&[path.as_str()], &FEW[..]].concat());
    let facts = run.case("g/custom/cranelift")["facts"].clone();
    assert_eq!((run.code(), &facts["exit.code"]), (1, &json!(3)));
    assert_eq!((&facts["stderr.sha256"], &facts["stderr.bytes"]), (&digest("no such file\n"), &json!(13)));
}

#[test]
fn output_that_differs_from_pass_to_pass_is_no_fact() {
    let folder = tempfile::tempdir().unwrap();
    // Eight random bytes.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\40\00\00\00\08\00\00\00")
        (func (export "_start")
            (drop (call $random (i32.const 64) (i32.const 8)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"#;
    let path = file(&folder, "g.wat", text);
    let run = Run::in_folder(folder, &[&[path.as_str()], &FEW[..]].concat());
    let facts = run.case("g/custom/cranelift")["facts"].clone();
    assert_eq!((run.code(), &facts["unsteady"]), (0, &json!(["stdout.sha256"])));
    assert_eq!((&facts["stdout.sha256"], &facts["stdout.bytes"]), (&Value::Null, &json!(8)));
}

#[test]
fn an_expected_exit_code_is_a_good_ending_and_is_timed() {
    let (code, case) = expecting(writes(1, "", 7), "{exit_code: 7}");
    assert_eq!((code, &case["outcome"]["status"]), (0, &json!("ok")));
    let metrics: Vec<&Value> =
        case["measurements"].as_array().unwrap().iter().map(|metric| &metric["metric"]).collect();
    assert!(metrics.contains(&&json!("phase.run")), "{metrics:?}");
    for (guest, expect) in
        [(writes(1, "", 7), "{exit_code: 8}"), (writes(1, "", 7), "{}"), (writes(1, "", 0), "{exit_code: 7}")]
    {
        let (code, case) = expecting(guest, expect);
        assert_eq!(code, 1, "{expect}");
        ended(&case, "failed", Code::WrongExitCode, &[]);
    }
}

#[test]
fn an_exit_code_is_expected_on_the_command_line_too() {
    for (code, status) in [("7", 0), ("8", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "g.wat", writes(1, "", 7));
        let run = Run::in_folder(folder, &[&[path.as_str(), "--expect-exit", code], &FEW[..]].concat());
        assert_eq!(run.code(), status, "{}", run.stderr());
    }
}

#[test]
fn output_is_expected_as_text_as_pattern_or_as_file() {
    let prints = || writes(1, "one\ntwo\n", 0);
    for good in
        [r#"{stdout: "one\ntwo\n"}"#, "{stdout: {pattern: '^two$'}}", "{stdout: {file: wanted.txt}, stderr: ''}"]
    {
        let (code, case) = expecting(prints(), good);
        assert_eq!((code, &case["outcome"]["status"]), (0, &json!("ok")), "{good}: {}", case["outcome"]);
    }
    for (bad, values) in [
        (r#"{stdout: "one\n2\n"}"#, &["stdout", "line 2", "\"two\"", "\"2\""][..]),
        (r#"{stdout: "one\ntwo\nthree\n"}"#, &["stdout", "line 3"]),
        ("{stdout: {pattern: '^three'}}", &["stdout", "`^three`"]),
        ("{stderr: {file: wanted.txt}}", &["stderr"]),
    ] {
        let (code, case) = expecting(prints(), bad);
        assert_eq!(code, 1, "{bad}");
        ended(&case, "failed", Code::WrongOutput, values);
    }
}

#[test]
fn mistakes_in_what_is_expected_point_into_the_file() {
    for (expect, code, values) in [
        ("{stdout: {patern: a}}", Code::UnknownKey, ["s.yaml:3:", "did you mean `pattern`?"]),
        ("{stdout: {pattern: '('}}", Code::InvalidScenario, ["s.yaml:3:", "`(`"]),
        ("{stdout: {file: nowhere.txt}}", Code::InvalidScenario, ["s.yaml:3:", "nowhere.txt"]),
        ("{stdout: {file: a, pattern: b}}", Code::InvalidScenario, ["s.yaml:3:", "`pattern` or `file`"]),
        ("{outcome: trapped, exit_code: 3}", Code::InvalidScenario, ["s.yaml:3:", "exit_code"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        file(&folder, "g.wat", writes(1, "", 0));
        let path = file(&folder, "s.yaml", format!("name: s\nwasm: g.wat\nexpect: {expect}\n"));
        Run::in_folder(folder, &[&path]).fails_with(code, &values);
    }
}
