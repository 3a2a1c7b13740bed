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
    // What the cases have lost is in the ledger, too.
    let report = run.report();
    let cases = report["scenarios"][0]["cases"].as_array().expect("cases").iter();
    let lost: u64 = cases.map(|case| count(case, "events.lost")).sum();
    assert_eq!(report["capture"]["ledger"]["events_lost"], lost);
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

/// A handler that reads the joint metrics, and every entry of the map behind them, at each thousandth event: what it sees must be its own work.
const READER: &str = r#"(module
  (import "wasiscope" "joint_metrics" (func $joint (param i32 i32) (result i32)))
  (import "wasiscope" "map_open" (func $open (param i32 i32) (result i32)))
  (import "wasiscope" "map_next_key" (func $next (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasiscope" "map_lookup" (func $lookup (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasm_bpf" "wasm_bpf_map_fd_by_name" (func $fd (param i64 i32) (result i32)))
  (import "wasm_bpf" "wasm_bpf_map_operate" (func $operate (param i32 i32 i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "joint\00pending\00")
  (global $calls (mut i64) (i64.const 0))
  (global $seen (mut i64) (i64.const 0))
  (func (export "handled") (result i64) (global.get $calls))
  (func $must (param $holds i32) (if (i32.eqz (local.get $holds)) (then unreachable)))
  (func (export "handle_event") (param $ptr i32) (param $len i32) (result i32)
    (local $map i32)
    (call $must (i32.eq (local.get $len) (i32.const 48)))
    (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
    (if (i64.ne (i64.rem_u (global.get $calls) (i64.const 1000)) (i64.const 0)) (then (return (i32.const 0))))
    (call $must (i32.eqz (call $joint (i32.const 64) (i32.const 64))))
    ;; The host writes its side after each batch: never more than this guest was called, and it only grows.
    (call $must (i64.le_u (i64.load (i32.const 80)) (global.get $calls)))
    (call $must (i64.gt_u (i64.load (i32.const 80)) (global.get $seen)))
    (global.set $seen (i64.load (i32.const 80)))
    ;; The kernel has generated what this guest has got, at least.
    (call $must (i64.ge_u (i64.load (i32.const 64)) (global.get $calls)))
    (local.set $map (call $open (i32.const 0) (i32.const 5)))
    (call $must (i32.ge_s (local.get $map) (i32.const 0)))
    ;; Two keys, 0 and 1.
    (call $must (i32.eq (call $next (local.get $map) (i32.const 0) (i32.const 0) (i32.const 256) (i32.const 4)) (i32.const 1)))
    (call $must (i32.eqz (i32.load (i32.const 256))))
    (call $must (i32.eq (call $next (local.get $map) (i32.const 256) (i32.const 4) (i32.const 260) (i32.const 4)) (i32.const 1)))
    (call $must (i32.eqz (call $next (local.get $map) (i32.const 260) (i32.const 4) (i32.const 264) (i32.const 4))))
    (call $must (i32.ge_s (call $lookup (local.get $map) (i32.const 256) (i32.const 4) (i32.const 1024) (i32.const 65536)) (i32.const 64)))
    ;; The same by the names of wasm-bpf.
    (local.set $map (call $fd (i64.const 1) (i32.const 0)))
    (call $must (i32.eqz (call $operate (local.get $map) (i32.const 1) (i32.const 256) (i32.const 1024) (i32.const 0) (i64.const 0))))
    (call $must (i32.eqz (call $operate (local.get $map) (i32.const 4) (i32.const 256) (i32.const 0) (i32.const 268) (i64.const 0))))
    (call $must (i32.eq (i32.load (i32.const 268)) (i32.const 1)))
    ;; Not granted here.
    (call $must (i32.lt_s (call $open (i32.const 6) (i32.const 7)) (i32.const 0)))
    (i32.const 0)))"#;

#[test]
fn live_a_handler_of_ones_own_reads_the_joint_metrics_and_what_it_is_granted() {
    let folder = tempfile::tempdir().expect("a folder");
    file(&folder, "reader.wasm", wat::parse_str(READER).expect("a module"));
    let text = "name: own\nkind: pipeline\nwasm: reader.wasm\nparts: [rates]\nengines: [cranelift]\nprocesses: 1\niterations: 1\n";
    let scenario = file(&folder, "own.yaml", text);
    let run = Run::in_folder(folder, &[&scenario, "--capture", "on", "--only", "rate-50k/*"]);
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    let case = run.case("rate-50k/custom/cranelift");
    adds_up(&case);
    assert_eq!(count(&case, "bpf_to_wasm_err"), 0, "what it saw was as it must be: {}", case["facts"]);
    // The map that was not granted, each time.
    assert_eq!(count(&case, "host.refused"), 50);
}

#[test]
fn live_what_a_handler_of_ones_own_does_wrong_is_counted_and_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = "(module (memory (export \"memory\") 1) (func (export \"handle_event\") (param i32 i32) (result i32) unreachable))";
    file(&folder, "bad.wasm", wat::parse_str(module).expect("a module"));
    let text = "name: own\nkind: pipeline\nwasm: bad.wasm\nparts: [rates]\nengines: [cranelift]\nprocesses: 1\niterations: 1\nlimits: {wall: 60s}\n";
    let scenario = file(&folder, "own.yaml", text);
    let run = Run::in_folder(folder, &[&scenario, "--capture", "on", "--only", "rate-10k/*"]);
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    let case = run.case("rate-10k/custom/cranelift");
    adds_up(&case);
    let trapped = count(&case, "bpf_to_wasm_err.trap");
    assert_eq!((trapped, count(&case, "handler.replaced")), (count(&case, "wasm_exec_count"), trapped));
    assert!(trapped > 0);
}
