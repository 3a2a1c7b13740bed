//! Flows of events where no kernel can be watched, and scenarios of them that say what cannot be.

mod common;

use common::{Run, file};

fn scenario(text: &str) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "flows.yaml", format!("name: flows\nkind: pipeline\nprocesses: 1\niterations: 1\n{text}"));
    Run::in_folder(folder, &[&path, "--capture", "off", "--seed", "1"])
}

#[test]
fn without_a_kernel_to_watch_flows_are_skipped_and_say_why() {
    let run = scenario("parts: [rates, misbehaving]\nflavours: [tinygo-like]\n");
    assert_eq!(run.code(), 0, "{}", run.stderr());
    for id in ["rate-10k/tinygo-like/cranelift", "handler-wild/generated/cranelift"] {
        let case = run.case(id);
        assert_eq!(case["outcome"]["status"], "skipped");
        let detail = case["outcome"]["detail"].as_str().expect("a reason");
        assert!(detail.contains("needs a live kernel"), "{detail}");
    }
    assert!(run.stdout().contains("skipped: rate-10k/tinygo-like/cranelift"), "{}", run.stdout());
}

#[test]
fn what_cannot_be_is_an_error_that_points_into_the_file() {
    for (text, wanted) in [
        ("calls: [read, open]\n", "open"),
        ("calls: []\n", "flows.yaml:5"),
        ("parts: [rates, matrix]\n", "unknown variant `matrix`"),
        ("flavours: [go]\n", "go"),
        ("parts: [misbehaving]\nflavours: [std]\n", "`flavours` are for the parts rates, swaps, settings"),
        ("workloads: [sort]\n", "workloads"),
        ("maps: [joint, events]\n", "events"),
        ("wasm: none.wasm\n", "no file"),
    ] {
        let run = scenario(text);
        assert_eq!(run.code(), 2, "{text}: {}", run.stdout());
        assert!(run.stderr().contains(wanted), "{text}: {}", run.stderr());
    }
    let folder = tempfile::tempdir().expect("a folder");
    file(&folder, "command.wasm", common::guest(""));
    let path = file(&folder, "flows.yaml", "name: flows\nkind: pipeline\nwasm: command.wasm\n");
    let run = Run::in_folder(folder, &[&path]);
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("handle_event"), "{}", run.stderr());
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder, "flows.yaml", "name: flows\nworkloads: [sort]\nflavours: [std]\ncalls: [read]\n");
    let run = Run::in_folder(folder, &[&path]);
    assert_eq!(run.code(), 2);
    assert!(run.stderr().contains("`calls` is for scenarios of `kind: pipeline`"), "{}", run.stderr());
}
