//! Flows of events where no kernel can be watched, and scenarios of them that say what cannot be.

mod common;

use common::{Run, ended, file};
use wasiscope::code::Code;

fn scenario(text: &str) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "flows.yaml", format!("name: flows\nkind: pipeline\nprocesses: 1\niterations: 1\n{text}"));
    Run::in_folder(folder, &[&path, "--capture", "off", "--seed", "1"])
}

#[test]
fn without_capture_flows_are_skipped() {
    let run = scenario("parts: [rates, misbehaving]\nflavours: [tinygo-like]\n");
    assert_eq!(run.code(), 0, "{}", run.stderr());
    for id in ["rate-10k/tinygo-like/cranelift", "handler-wild/generated/cranelift"] {
        let case = run.case(id);
        ended(&case, "skipped", Code::CaptureUnavailable, &[]);
    }
    assert!(run.stdout().contains("skipped: rate-10k/tinygo-like/cranelift"), "{}", run.stdout());
}

#[test]
fn mistakes_are_errors_that_point_into_the_file() {
    for (text, code, value) in [
        ("calls: [read, open]\n", Code::UnknownName, "open"),
        ("calls: []\n", Code::InvalidScenario, "flows.yaml:5"),
        ("parts: [rates, matrix]\n", Code::UnknownName, "`matrix`"),
        ("flavours: [go]\n", Code::InvalidScenario, "go"),
        ("parts: [misbehaving]\nflavours: [std]\n", Code::InvalidScenario, "rates, swaps, settings"),
        ("workloads: [sort]\n", Code::InvalidScenario, "workloads"),
        ("maps: [joint, events]\n", Code::UnknownName, "events"),
        ("wasm: none.wasm\n", Code::InvalidScenario, "none.wasm"),
    ] {
        scenario(text).fails_with(code, &[value]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    file(&folder, "command.wasm", common::guest(""));
    let path = file(&folder, "flows.yaml", "name: flows\nkind: pipeline\nwasm: command.wasm\n");
    let run = Run::in_folder(folder, &[&path]);
    run.fails_with(Code::NoSuchFunction, &["handle_event"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "flows.yaml", "name: flows\nworkloads: [sort]\nflavours: [std]\ncalls: [read]\n");
    let run = Run::in_folder(folder, &[&path]);
    run.fails_with(Code::InvalidScenario, &["flows.yaml:4:1", "`calls`", "`kind: pipeline`"]);
}
