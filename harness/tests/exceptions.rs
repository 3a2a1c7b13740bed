//! A WebAssembly exception that nobody catches is an ending like a trap.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, ended, file};
use serde_json::Value;
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

fn run(text: &str, more: &[&str]) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", text);
    let run = Run::in_folder(folder, &[&[path.as_str()], &FEW[..], more].concat());
    let engine = more.last().filter(|_| more.contains(&"--engine")).unwrap_or(&"cranelift");
    (run.code(), run.case(&format!("guest/custom/{engine}")))
}

const UNCAUGHT: &str = r#"(module (tag $t (export "error") (param i32 i64)) (memory (export "memory") 1)
    (func (export "_start") (throw $t (i32.const 7) (i64.const -8))))"#;

#[test]
fn an_uncaught_exception_is_an_ending_like_a_trap_with_its_tag() {
    let (code, case) = run(UNCAUGHT, &["--expect-trap"]);
    assert_eq!(code, 0);
    assert_eq!(case["facts"]["trap.code"], "UncaughtException");
    ended(&case, "trapped", Code::Trapped, &["`error`", "i32 7", "i64 -8"]);
    assert!(case["measurements"].as_array().unwrap().iter().any(|one| one["metric"] == "phase.trap"));
    let (code, case) = run(UNCAUGHT, &[]);
    assert_eq!((code, &case["outcome"]["status"], &case["outcome"]["expected"]), (1, &"trapped".into(), &false.into()));
}

#[test]
fn one_without_a_name_or_in_a_start_function_is_too() {
    let unnamed = r#"(module (tag $t) (func (export "_start") (throw $t)))"#;
    let (code, case) = run(unnamed, &["--expect-trap", "--engine", "pulley"]);
    assert_eq!((code, &case["facts"]["trap.code"]), (0, &"UncaughtException".into()));
    let at_start = r#"(module (tag $t) (func $s (throw $t)) (start $s) (func (export "_start")))"#;
    let (code, case) = run(at_start, &["--expect-trap"]);
    assert_eq!((code, &case["facts"]["trap.code"]), (0, &"UncaughtException".into()));
    assert!(case["outcome"]["detail"].as_str().unwrap().contains("instantiate"));
}

#[test]
fn one_that_is_caught_is_none() {
    let caught = r#"(module (tag $t) (func (export "_start") (block $done (try_table (catch $t $done) (throw $t)))))"#;
    let (code, case) = run(caught, &[]);
    assert_eq!((code, &case["outcome"]["status"]), (0, &Value::from("ok")));
}

#[test]
fn an_engine_without_exceptions_says_so() {
    let (code, case) = run(UNCAUGHT, &["--expect-trap", "--engine", "winch"]);
    assert_eq!(code, 1);
    ended(&case, "failed", Code::NotRun, &["exceptions"]);
}
