//! Experiments with sharing: every figure is there, with its unit and its spread, and no guest can keep the host from going on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, file};
use serde_json::Value;

fn schedule(parts: &str, arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("name: s\nkind: scheduler\nparts: [{parts}]\nengines: [cranelift]\nprocesses: 2\niterations: 1\n");
    let path = file(&folder, "s.yaml", text);
    let run = Run::in_folder(folder, &[&[path.as_str(), "--capture", "off"], arguments].concat());
    assert_eq!(run.code(), 0, "{}{}", run.stdout(), run.stderr());
    run
}

fn metric(case: &Value, name: &str) -> Value {
    let metrics = case["measurements"].as_array().unwrap();
    metrics
        .iter()
        .find(|found| found["metric"] == name)
        .unwrap_or_else(|| panic!("{} has no {name}", case["id"]))
        .clone()
}

/// A spread is ordered, and its buckets hold every sample.
fn assert_spread(metric: &Value) {
    let of = |name: &str| metric["spread"][name].as_f64().unwrap();
    assert!(of("p50") <= of("p90") && of("p90") <= of("p99") && of("p99") <= of("max"), "{metric}");
    let samples: usize =
        metric["samples"].as_array().unwrap().iter().map(|process| process.as_array().unwrap().len()).sum();
    let counted: u64 =
        metric["spread"]["buckets"].as_array().unwrap().iter().map(|pair| pair[1].as_u64().unwrap()).sum();
    assert_eq!(counted, samples as u64, "{metric}");
}

#[test]
fn a_sleeper_never_wakes_early_and_every_sleep_is_a_sample() {
    let run = schedule("timers", &["--only", "{clock,sleep-0,sleep-1ms,sleep-10ms}/*"]);
    for (workload, name, sleeps) in
        [("sleep-0", "oversleep.0", 100), ("sleep-1ms", "oversleep.1ms", 100), ("sleep-10ms", "oversleep.10ms", 20)]
    {
        let oversleep = metric(&run.case(&format!("{workload}/generated/cranelift")), name);
        assert_eq!((&oversleep["unit"], &oversleep["summary"]["n"]), (&"ns".into(), &Value::from(2 * sleeps)));
        assert!(oversleep["summary"]["min"].as_f64().unwrap() >= 0.0, "{oversleep}");
        assert_spread(&oversleep);
    }
    let clock = run.case("clock/generated/cranelift");
    let (read, step) = (metric(&clock, "clock.read"), metric(&clock, "clock.step"));
    assert!(step["summary"]["min"].as_f64().unwrap() <= read["summary"]["median"].as_f64().unwrap() * 1.5);
}

#[test]
fn a_guest_that_never_yields_is_stopped_by_epoch_and_by_fuel() {
    let run = schedule("preemption", &[]);
    for tick in ["100us", "1ms", "10ms"] {
        let case = run.case(&format!("stop-epoch-{tick}/generated/cranelift"));
        let (preempt, ran) =
            (metric(&case, &format!("preempt.{tick}")), metric(&case, &format!("stopped_after.{tick}")));
        assert_spread(&preempt);
        // It runs until its epoch is over, and that only then.
        for (ran, late) in
            [("min", "min"), ("max", "max")].map(|(a, b)| (ran["summary"][a].clone(), preempt["summary"][b].clone()))
        {
            assert!(ran.as_f64().unwrap() > late.as_f64().unwrap(), "{case:#}");
        }
    }
    assert_spread(&metric(&run.case("stop-fuel/generated/cranelift"), "preempt.fuel"));
}

#[test]
fn a_crowd_is_fair_and_works_as_much_as_one_alone() {
    let run = schedule("crowd", &["--only", "crowd-{1,8}-*"]);
    for yields in ["epoch", "fuel"] {
        let alone = run.case(&format!("crowd-1-{yields}-1t/generated/cranelift"));
        assert_eq!(metric(&alone, "fairness")["summary"]["median"], 1.0, "one is always fair to itself");
        let eight = run.case(&format!("crowd-8-{yields}-1t/generated/cranelift"));
        let fairness = metric(&eight, "fairness");
        assert_eq!(fairness["direction"], "higher_is_better");
        // On one thread of tokio's they take turns. Whoever else wants the processor takes it from one of them.
        assert!(fairness["summary"]["max"].as_f64().unwrap() > 0.9, "{fairness}");
        assert!(metric(&eight, "throughput")["summary"]["max"].as_f64().unwrap() > 0.2);
        assert!(metric(&eight, "memory.each")["summary"]["median"].as_f64().unwrap() > 0.0);
        assert_spread(&metric(&eight, "light_latency"));
    }
    assert!(run.stdout().contains("many guests on few threads"), "{}", run.stdout());
}

#[test]
fn threads_of_a_guest_wake_each_other_and_keep_a_lock() {
    let run = schedule("threads", &[]);
    let wake = metric(&run.case("threads-wake/generated/cranelift"), "wake");
    assert_eq!(wake["summary"]["n"], 600);
    assert_spread(&wake);
    // That all turns are counted is checked in the worker: a lock that does not hold is a failed row.
    let lock = run.case("threads-lock/generated/cranelift");
    assert!(metric(&lock, "lock.1t")["summary"]["median"].as_f64().unwrap() > 0.0);
    assert!(metric(&lock, "lock.2t")["summary"]["median"].as_f64().unwrap() > 0.0);
    let speed_up = metric(&run.case("threads-divide/generated/cranelift"), "speed_up");
    assert_eq!((&speed_up["unit"], &speed_up["direction"]), (&"ratio".into(), &Value::from("higher_is_better")));
}
