//! `run --instructions`: counts by callgrind that follow from the guest alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, file};

/// The instructions of a guest that goes round a loop `n` times.
fn instructions(n: u32) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"(module (func (export "_start") (local $left i32)
            (local.set $left (i32.const {n}))
            (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#
    );
    let path = file(&folder, "loop.wat", text);
    let few = ["--instructions", "--capture", "off", "--processes", "1", "--iterations", "1"];
    let run = Run::in_folder(folder, &[&[path.as_str()], &few[..]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let count = run.case("loop/custom/cranelift")["facts"]["instructions.run"].as_u64();
    count.unwrap_or_else(|| panic!("no count: {}", run.stderr()))
}

#[test]
fn each_round_of_a_loop_is_the_same_few_instructions() {
    let (some, more, most) = (instructions(1_000), instructions(101_000), instructions(201_000));
    assert_eq!(more - some, most - more, "the count is linear in the rounds");
    let each_round = (more - some) / 100_000;
    assert!((2..=8).contains(&each_round), "{each_round} instructions to subtract, compare and jump");
}
