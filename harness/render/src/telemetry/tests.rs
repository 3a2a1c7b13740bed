//! What of a report becomes metrics, and that nothing does which it does not know.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::fixtures;
use wasiscope_model::capture::Ledger;
use wasiscope_model::events::Distribution;
use wasiscope_model::report::{
    CaptureStatus, CaseReport, CheckOverhead, Git, KernelPhase, KernelReport, Measurement, OffCpu, Spread,
};

fn case(workload: &str) -> CaseReport {
    CaseReport { workload: workload.to_owned(), ..fixtures::case(workload, "a", &[5, 7]) }
}

fn one(report: &Report) -> Telemetry {
    let [telemetry] = of(report).unwrap().try_into().unwrap();
    telemetry
}

/// The values of a metric by the text of its labels, without those that every case has.
fn values(telemetry: &Telemetry, name: &str) -> BTreeMap<String, Value> {
    let shown = |point: &Point| {
        let of_case = ["wasiscope.scenario", "wasiscope.workload", "wasiscope.flavour", "wasiscope.engine"];
        let labels = point.labels.iter().filter(|label| !of_case.contains(&label.name));
        labels.map(Label::to_string).collect::<Vec<_>>().join(", ")
    };
    let points = telemetry.metrics.get(name).map(|metric| metric.points.as_slice()).unwrap_or_default();
    points.iter().map(|point| (shown(point), point.value.clone())).collect()
}

fn with_spread(metric: &str, unit: &str, samples: Vec<Vec<f64>>, buckets: Vec<(u64, u64)>) -> CaseReport {
    let mut case = case("w");
    let spread = Spread { p50: 1.0, p90: 2.0, p99: 3.0, max: 9.5, sum: None, buckets, watched_mean: None };
    let summary = case.measurements[0].summary.clone();
    case.measurements = vec![Measurement {
        metric: metric.to_owned(),
        unit: unit.to_owned(),
        direction: "lower_is_better".to_owned(),
        samples,
        warm_up: 0,
        summary,
        spread: Some(spread),
    }];
    case
}

fn histogram(telemetry: &Telemetry, name: &str) -> Histogram {
    match values(telemetry, name).into_values().next() {
        Some(Value::Histogram(histogram)) => histogram,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn what_is_not_known_is_not_there() {
    let telemetry = one(&fixtures::report(vec![case("w")], None));
    let statistics = values(&telemetry, "wasiscope.measurement.duration");
    let names: Vec<&str> = statistics.keys().filter_map(|labels| labels.rsplit(' ').next()).collect();
    assert_eq!(names, ["mad", "max", "median", "min", "p95"], "two processes have no interval");
    for name in ["case.observer_ratio", "case.steal_ratio", "capture.lost", "machine.memory", "kernel.iterations"] {
        assert_eq!(values(&telemetry, &format!("wasiscope.{name}")), BTreeMap::new(), "{name}");
    }
    let names: Vec<&str> = telemetry.resource.iter().map(|label| label.name).collect();
    assert!(!names.contains(&"host.name") && !names.contains(&"vcs.ref.head.revision"), "{names:?}");
}

#[test]
fn the_resource_is_named_as_the_conventions_do() {
    let mut report = fixtures::report(Vec::new(), None);
    report.machine.name = Some("builder".to_owned());
    report.machine.arch = "x86_64".to_owned();
    report.machine.kernel = Some("6.8.0".to_owned());
    report.git = Some(Git { commit: "abc".to_owned(), dirty: true });
    let resource: Vec<String> = one(&report).resource.iter().map(Label::to_string).collect();
    for label in [
        "service.name = wasiscope",
        "service.version = 0",
        "host.arch = amd64",
        "host.name = builder",
        "os.type = linux",
        "os.version = 6.8.0",
        "vcs.ref.head.revision = abc",
        "wasiscope.dirty = true",
        "wasiscope.machine = builder",
        "wasiscope.tool.wasmtime = 48",
    ] {
        assert!(resource.iter().any(|other| other == label), "no {label} in {resource:?}");
    }
}

#[test]
fn facts_that_are_numbers_are_metrics_and_others_are_not() {
    let mut case = case("w");
    case.facts = BTreeMap::from([
        ("size.wasm".to_owned(), json!(40_099)),
        ("size.over_abort".to_owned(), json!(-3)),
        ("left.stdout_bytes".to_owned(), json!(14)),
        ("fuel".to_owned(), json!(u64::MAX)),
        ("cells.share".to_owned(), json!(0.25)),
        ("check".to_owned(), json!("12")),
        ("imports".to_owned(), json!([1])),
        ("memory.maximum_pages".to_owned(), json!(null)),
    ]);
    let telemetry = one(&fixtures::report(vec![case], None));
    let sizes = values(&telemetry, "wasiscope.fact.size");
    let expected = [
        ("left.stdout_bytes", Value::Count(14)),
        ("size.over_abort", Value::Whole(-3)),
        ("size.wasm", Value::Count(40_099)),
    ];
    assert_eq!(sizes, expected.map(|(fact, value)| (format!("wasiscope.fact = {fact}"), value)).into());
    let others = values(&telemetry, "wasiscope.fact.value");
    let expected = [("cells.share", Value::Real(0.25)), ("fuel", Value::Count(u64::MAX))];
    assert_eq!(others, expected.map(|(fact, value)| (format!("wasiscope.fact = {fact}"), value)).into());
}

#[test]
fn a_pipelines_figures_keep_their_names() {
    let mut case = with_spread("probe_latency_us", "us", vec![vec![1.5, 2.0], vec![2.5]], vec![(1, 1), (2, 2)]);
    case.facts = BTreeMap::from([
        ("wasm_exec_count".to_owned(), json!(3)),
        ("wasm_exec_count_of_another".to_owned(), json!(4)),
        ("bpf_to_wasm_err.ring_full".to_owned(), json!(5)),
        ("bpf_to_wasm_err".to_owned(), json!({"decode": 6, "note": "none"})),
    ]);
    let telemetry = one(&fixtures::report(vec![case], None));
    assert_eq!(values(&telemetry, "wasm_exec_count"), [(String::new(), Value::Count(3))].into());
    let errors =
        [("decode", 6), ("ring_full", 5)].map(|(reason, count)| (format!("reason = {reason}"), Value::Count(count)));
    assert_eq!(values(&telemetry, "bpf_to_wasm_err"), errors.into());
    assert_eq!(values(&telemetry, "wasiscope.fact.value").len(), 1, "what only begins so is a fact like others");
    let latency = histogram(&telemetry, "probe_latency_us");
    assert_eq!((latency.count, latency.sum, latency.max), (3, Some(6.0), Some(9.5)));
    // Fractions were cut off before they were put into buckets.
    assert_eq!(latency.buckets, [(1.0, 0), (2.0, 1), (3.0, 2)]);
    let metric = |name: &str| telemetry.metrics[name].definition;
    assert_eq!((metric("probe_latency_us").unit, metric("wasm_exec_count").kind), ("us", Kind::Sum));
    let statistics = values(&telemetry, "wasiscope.measurement.value");
    assert!(statistics.keys().all(|labels| labels.contains("wasiscope.unit = us")), "{statistics:?}");
}

#[test]
fn a_flows_errors_are_exported_by_reason_and_its_histogram_with_its_sum() {
    let mut case = with_spread("probe_latency_us", "us", vec![vec![1.5]], vec![(1, 1), (2, 2)]);
    case.facts = BTreeMap::from([
        ("bpf_to_wasm_err".to_owned(), json!(5)),
        ("bpf_to_wasm_err.trap".to_owned(), json!(5)),
        ("bpf_to_wasm_err.decode".to_owned(), json!(0)),
    ]);
    case.measurements[0].spread.as_mut().unwrap().sum = Some(4.5);
    let telemetry = one(&fixtures::report(vec![case], None));
    let errors =
        [("decode", 0), ("trap", 5)].map(|(reason, count)| (format!("reason = {reason}"), Value::Count(count)));
    assert_eq!(values(&telemetry, "bpf_to_wasm_err"), errors.into());
    let latency = histogram(&telemetry, "probe_latency_us");
    assert_eq!((latency.count, latency.sum), (3, Some(4.5)), "of all events, not of the samples that are kept");
    assert_eq!(latency.buckets, [(0.0, 0), (1.0, 1), (2.0, 2)], "rounded up, they are at most the bound");
}

#[test]
fn buckets_are_as_exact_as_the_reports_and_sums_only_of_what_is_there() {
    let stored = vec![(7, 1), (1_023, 2), (1_151, 4)];
    let whole = with_spread("oversleep", "ns", vec![vec![7.0, 1_000.0, 961.0], vec![1_100.0; 4]], stored.clone());
    let found = histogram(&one(&fixtures::report(vec![whole], None)), "wasiscope.measurement.spread.duration");
    // From 959 on is the bucket of 1023; the one of 1151 follows on it.
    assert_eq!(found.buckets, [(6.0, 0), (7.0, 1), (959.0, 0), (1_023.0, 2), (1_151.0, 4)]);
    assert_eq!((found.count, found.sum, found.beyond()), (7, Some(6_368.0), 0));
    let fewer = with_spread("oversleep", "ns", vec![vec![7.0]], stored);
    let found = histogram(&one(&fixtures::report(vec![fewer], None)), "wasiscope.measurement.spread.duration");
    assert_eq!((found.count, found.sum), (7, None));
}

#[test]
fn buckets_that_are_out_of_order_still_make_a_histogram() {
    let damaged =
        with_spread("oversleep", "ns", Vec::new(), vec![(1_023, 2), (7, 1), (7, 1), (u64::MAX, 1), (u64::MAX, 1)]);
    let found = histogram(&one(&fixtures::report(vec![damaged], None)), "wasiscope.measurement.spread.duration");
    assert!(found.buckets.is_sorted_by(|(one, _), (other, _)| one < other), "{found:?}");
    assert_eq!(found.buckets.iter().map(|(_, count)| count).sum::<u64>(), 6);
}

#[test]
fn the_kernels_side_by_phase() {
    let mut watched = case("w");
    let waits = Distribution { count: 2, sum: 20, min: Some(8), max: Some(12), buckets: vec![(8, 1), (12, 1)] };
    let run = KernelPhase {
        iterations: 4,
        migrations: Some(0),
        run_queue_ns: Some(waits),
        off_cpu_ns: Some(OffCpu { blocked: 9, ..OffCpu::default() }),
        ..KernelPhase::default()
    };
    let phases = BTreeMap::from([("run".to_owned(), run.clone())]);
    watched.kernel =
        Some(KernelReport { phases, outside: Some(KernelPhase { iterations: 1, ..KernelPhase::default() }) });
    let mut report = fixtures::report(vec![watched], None);
    report.capture.status = CaptureStatus::Live;
    report.capture.ledger = Ledger { map_full: 3, ..Ledger::default() };
    let telemetry = one(&report);
    let phases =
        [("outside", 1), ("run", 4)].map(|(phase, count)| (format!("wasiscope.phase = {phase}"), Value::Count(count)));
    assert_eq!(values(&telemetry, "wasiscope.kernel.iterations"), phases.into());
    assert_eq!(values(&telemetry, "wasiscope.kernel.migrations").len(), 1, "0 is known of one, nothing of the other");
    let spans = values(&telemetry, "wasiscope.kernel.off_cpu.span");
    assert_eq!(spans.len(), 1, "a total without its parts is no proof that there are none: {spans:?}");
    let queue = histogram(&telemetry, "wasiscope.kernel.run_queue");
    assert_eq!((queue.count, queue.sum, queue.min, queue.max), (2, Some(20.0), Some(8.0), Some(12.0)));
    let lost = values(&telemetry, "wasiscope.capture.lost");
    assert_eq!((lost.len(), &lost["wasiscope.loss = map_full"]), (5, &Value::Count(3)));
}

#[test]
fn machines_are_resources_and_runs_have_their_own_times() {
    let part = |name: &str, at: u32, workload: &str| {
        let mut report = fixtures::report(vec![case(workload)], Some(case("reference")));
        report.machine.name = Some(name.to_owned());
        report.started_at = format!("2026-11-24T00:00:0{at}Z");
        (format!("{at}.json"), report)
    };
    let parts = vec![part("a", 1, "one"), part("a", 2, "two"), part("b", 3, "one")];
    let merged = wasiscope_model::fixtures::joined(parts);
    let told = of(&merged).unwrap();
    let names: Vec<String> = told.iter().map(|of| of.resource.iter().map(Label::to_string).collect()).collect();
    assert!(names.len() == 2 && names[0].contains("host.name = a") && names[1].contains("host.name = b"), "{names:?}");
    let times = |telemetry: &Telemetry| -> Vec<u64> {
        let points = &telemetry.metrics["wasiscope.case.expected"].points;
        points.iter().map(|point| point.time.start_ns / 1_000_000_000 % 60).collect()
    };
    // The references of both runs, then the cases.
    assert_eq!((times(&told[0]), times(&told[1])), (vec![1, 2, 1, 2], vec![3, 3]));
}

#[test]
fn two_values_of_one_thing_are_an_error_that_names_it() {
    let Err(TelemetryError::Twice { metric, labels }) = of(&fixtures::report(vec![case("w"), case("w")], None)) else {
        panic!("a contradiction");
    };
    assert!(metric == "wasiscope.case.expected" && labels.contains("wasiscope.workload = w"), "{metric}: {labels}");
}

#[test]
fn prices_have_their_sides_and_their_interval() {
    let mut report = fixtures::report(Vec::new(), None);
    report.scenarios[0].prices = vec![CheckOverhead {
        case: "w/f/checked".to_owned(),
        base: "plain".to_owned(),
        metric: "phase.run".to_owned(),
        base_ns: Some(2.0),
        checked_ns: Some(3.0),
        ratio: Some(1.5),
        ci_low: None,
        ci_high: Some(1.75),
        log_ratios: Vec::new(),
        note: None,
        failed: true,
        source: None,
    }];
    let telemetry = one(&report);
    let told: Vec<Value> = ["time", "ratio", "expected"]
        .iter()
        .flat_map(|name| values(&telemetry, &format!("wasiscope.price.{name}")).into_values())
        .collect();
    assert_eq!(told, [Value::Real(2.0), Value::Real(3.0), Value::Real(1.75), Value::Real(1.5), Value::Count(0)]);
}
