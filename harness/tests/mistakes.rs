//! How guests die that make the same mistake in both flavours, and what they leave.

mod common;

use common::Run;
use serde_json::{Value, json};

#[test]
fn the_same_mistakes_kill_both_flavours_each_in_its_way() {
    let run = Run::new(&["traps", "--only", "mistake-*", "--capture", "off"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let code = |mistake: &str, flavour: &str| {
        let case = run.case(&format!("mistake-{mistake}/{flavour}/cranelift"));
        assert_eq!(case["outcome"]["status"], "trapped", "{case:#}");
        // Nothing was buffered, so nothing is lost: a line, and a file that was not closed.
        assert_eq!(case["facts"]["stdout.bytes"], 14, "{case:#}");
        assert_eq!(case["facts"]["left.files"], json!(["left.txt"]), "{case:#}");
        assert!(case["facts"]["size.over_abort"].is_i64(), "{case:#}");
        case["facts"]["trap.code"].as_str().unwrap().to_owned()
    };
    for flavour in ["tinygo-like", "std"] {
        for mistake in ["abort", "index", "allocation", "double-panic"] {
            assert_eq!(code(mistake, flavour), "UnreachableCodeReached", "{mistake} in {flavour}");
        }
        assert_eq!(code("pointer", flavour), "MemoryOutOfBounds", "{flavour}");
    }
    // One has 32 KiB of its own stack in memory and falls out of it; the other has a megabyte, and the engine's ends first.
    assert_eq!(code("stack", "tinygo-like"), "MemoryOutOfBounds");
    assert_eq!(code("stack", "std"), "StackOverflow");
}

#[test]
fn std_says_what_happened_and_tinygo_like_hardly() {
    let run = Run::new(&["traps", "--only", "mistake-index/*", "--capture", "off"]);
    let said = |flavour: &str| -> Value {
        run.case(&format!("mistake-index/{flavour}/cranelift"))["outcome"]["detail"].clone()
    };
    assert!(said("std").as_str().unwrap().contains("index out of bounds: the len is 14 but the index is 14"));
    assert!(said("tinygo-like").as_str().unwrap().contains("panic: no plain message"));
}
