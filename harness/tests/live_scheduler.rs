//! What the kernel says of guests that share: a sleep is time blocked, noise is what preempts.
//!
//! These tests need root and live capture (see .config/nextest.toml); without them they fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, file};
use serde_json::Value;

fn live(parts: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("name: s\nkind: scheduler\nparts: [{parts}]\nengines: [cranelift]\nprocesses: 4\niterations: 1\n");
    let path = file(&folder, "s.yaml", text);
    let run = Run::in_folder(folder, &[&[path.as_str(), "--capture", "on"], arguments].concat());
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run
}

fn run_of(case: &Value) -> &Value {
    &case["kernel"]["phases"]["run"]
}

#[test]
fn live_a_sleepers_blocked_time_is_its_sleep() {
    let run = live("timers", &["--only", "{sleep-10ms,sleep-100ms}/*"]);
    for (workload, sleeps, each_ns) in [("sleep-10ms", 20, 10_000_000_u64), ("sleep-100ms", 2, 100_000_000)] {
        let case = run.case(&format!("{workload}/generated/cranelift"));
        let kernel = run_of(&case);
        let (iterations, wanted_ns) = (kernel["iterations"].as_u64().unwrap(), sleeps * each_ns);
        assert_eq!(kernel["syscalls"]["clock_nanosleep"]["count"], iterations * sleeps, "{kernel}");
        let blocked = kernel["off_cpu_ns"]["blocked"].as_u64().unwrap() as f64 / (iterations * wanted_ns) as f64;
        assert!((0.98..1.02).contains(&blocked), "{workload}: blocked for {blocked} of what was asked for");
    }
}

#[test]
fn live_noise_preempts_and_does_not_make_a_guest_give_way() {
    let switches = |noise: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "name: s\nworkloads: [{name: spin, n: 60000000}]\nflavours: [tinygo-like]\nprocesses: 2\niterations: 3\n";
        let path = file(&folder, "s.yaml", text);
        let run = Run::in_folder(folder, &[&[path.as_str(), "--capture", "on"], noise].concat());
        assert_eq!(run.code(), 0, "{}", run.stderr());
        let case = run.case("spin/tinygo-like/cranelift");
        let switches = &run_of(&case)["switches"];
        (switches["voluntary"].as_u64().unwrap(), switches["involuntary"].as_u64().unwrap())
    };
    let (calm, noisy) = (switches(&[]), switches(&["--noise", "2"]));
    assert!(noisy.1 > calm.1 + 6, "preempted {} times in peace and {} times in noise", calm.1, noisy.1);
    assert_eq!((calm.0, noisy.0), (0, 0), "it never gives way");
}

#[test]
fn live_busy_neighbours_are_gone_when_the_run_is() {
    live("timers", &["--only", "sleep-1ms-busy/*"]);
    let is_busy = |entry: &std::fs::DirEntry| {
        std::fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains("__busy"))
    };
    assert_eq!(std::fs::read_dir("/proc").unwrap().flatten().filter(is_busy).count(), 0);
}
