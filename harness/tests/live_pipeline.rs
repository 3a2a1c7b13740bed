//! Kernel events into handlers, in a live kernel: none is missing, none comes twice, whatever is swapped meanwhile and however handlers misbehave; and the
//! joint metrics are those that a guest reads. Needs root and a kernel with eBPF.

mod common;

use common::{Run, file};
use serde_json::Value;

/// A scenario of some flows, small enough for a test.
fn run(parts: &str, more: &str) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "name: flows\nkind: pipeline\nparts: {parts}\nengines: [cranelift]\nprocesses: 1\niterations: 1\nlimits: {{wall: 60s}}\n{more}"
    );
    let scenario = file(&folder, "flows.yaml", text);
    Run::in_folder(folder, &[&scenario, "--capture", "on", "--seed", "1"])
}

fn count(case: &Value, name: &str) -> u64 {
    case["facts"][name].as_u64().unwrap_or_else(|| panic!("{name}: {}", case["facts"]))
}

fn adds_up(case: &Value) {
    let (generated, handled, lost) =
        (count(case, "events.generated"), count(case, "events.handled"), count(case, "events.lost"));
    assert_eq!(generated, handled + lost, "{}", case["id"]);
    assert_eq!(count(case, "events.doubled"), 0, "{}", case["id"]);
    assert!(generated > 0);
}

fn measured<'a>(case: &'a Value, metric: &str) -> &'a Value {
    let mut found = case["measurements"].as_array().expect("measurements").iter();
    found.find(|found| found["metric"] == metric).unwrap_or_else(|| panic!("no {metric}"))
}

#[test]
fn live_every_event_is_handled_or_counted_as_lost_at_every_rate_in_both_flavours() {
    let run = run("[rates]", "calls: [read, getppid]\n");
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    for workload in ["rate-10k", "rate-50k", "rate-200k", "flood"] {
        for flavour in ["tinygo-like", "std"] {
            let case = run.case(&format!("{workload}/{flavour}/cranelift"));
            adds_up(&case);
            let latency = measured(&case, "probe_latency_us");
            assert_eq!(latency["unit"], "us");
            let buckets = latency["spread"]["buckets"].as_array().expect("buckets").iter();
            let in_buckets: u64 = buckets.map(|bucket| bucket[1].as_u64().expect("a count")).sum();
            assert_eq!(in_buckets, count(&case, "wasm_exec_count"), "{workload}");
            assert_eq!(count(&case, "bpf_to_wasm_err"), 0);
        }
    }
    let slow = run.case("rate-10k/std/cranelift");
    assert_eq!(count(&slow, "events.lost"), 0, "nothing is lost at ten thousand a second");
}

#[test]
fn live_a_hundred_swaps_of_handler_and_program_lose_and_double_nothing() {
    let run = run("[swaps]", "flavours: [tinygo-like]\n");
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    let case = run.case("swaps/tinygo-like/cranelift");
    adds_up(&case);
    assert_eq!(count(&case, "events.lost"), 0);
    assert_eq!(count(&case, "events.handled"), 300_000);
    // Those of the program are made beside the calls, by another process: on a machine that is busy a few come too late.
    assert_eq!(count(&case, "swaps.handler"), 100);
    assert!((50..=100).contains(&count(&case, "swaps.program")), "{}", case["facts"]);
}

#[test]
fn live_handlers_that_misbehave_stop_nothing_and_are_counted_by_what_they_did() {
    let run = run("[misbehaving]", "");
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    let case = |name: &str| run.case(&format!("handler-{name}/generated/cranelift"));
    for name in ["traps", "loops", "slow", "refuses", "wild"] {
        adds_up(&case(name));
    }
    assert_eq!(count(&case("traps"), "bpf_to_wasm_err.trap"), 20);
    assert_eq!(count(&case("traps"), "handler.replaced"), 20);
    assert_eq!(count(&case("loops"), "bpf_to_wasm_err.timeout"), 4);
    assert_eq!(count(&case("refuses"), "bpf_to_wasm_err.returned"), 20);
    assert_eq!(count(&case("refuses"), "handler.replaced"), 0);
    // 26 requests that must be refused, each time; that one is not would make the guest trap.
    assert_eq!(count(&case("wild"), "host.refused"), 20 * 26);
    assert_eq!(count(&case("wild"), "bpf_to_wasm_err"), 0);
    assert_eq!(count(&case("slow"), "bpf_to_wasm_err"), 0);
}
