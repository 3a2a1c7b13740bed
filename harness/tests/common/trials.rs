//! Running `wasiscope selftest`.

use std::process::Command;

use serde_json::Value;

use super::WASISCOPE;

/// Names that must not fall out of the suite: one for each kind of harm and of fault that users are promised protection from.
pub fn guests_and_faults() -> &'static [&'static str] {
    &[
        "endless-loop",
        "endless-recursion",
        "slow-compilation",
        "memory-bomb",
        "table-bomb",
        "output-bomb",
        "file-bomb",
        "closed-stdout",
        "exit-code",
        "no-marks",
        "marks-in-disorder",
        "a-million-marks",
        "start-traps",
        "many-imports",
        "not-wasm",
        "truncated",
        "path-up",
        "symlink",
        "absolute-path",
        "worker-killed",
        "worker-stopped",
        "run-killed",
        "disk-full",
        "read-only-output",
        "output-is-a-folder",
        "clock-step",
        "no-proc",
        "no-tracefs",
        "no-btf",
        "little-memory",
        "two-at-once",
        "read-while-written",
    ]
}

/// What became of each trial; all that was tried must have held.
pub fn trials(arguments: &[&str]) -> Vec<Value> {
    let output =
        Command::new(WASISCOPE).args(["selftest", "--format", "json"]).args(arguments).output().expect("it starts");
    let tried: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let broken: Vec<_> = tried.iter().filter(|trial| trial["held"] == "no").collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    tried
}

pub fn not_tried(tried: &[Value]) -> Vec<&str> {
    let not_tried = tried.iter().filter(|trial| trial["held"] == "not_tried");
    not_tried.filter_map(|trial| trial["name"].as_str()).collect()
}
