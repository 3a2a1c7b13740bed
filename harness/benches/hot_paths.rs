//! What wasiscope itself costs: entering a phase, a worker's message, a summary.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wasiscope::compare::{Tolerances, reports};
use wasiscope::report::Report;
use wasiscope::stats;
use wasiscope::worker::cell::PhaseCell;
use wasiscope::worker::{Ending, Iteration, Message, Timed};
use wasiscope_ebpf_abi::Phase;

fn phase_cell(criterion: &mut Criterion) {
    let cell = PhaseCell::private(1);
    criterion.bench_function("phase cell: enter", |bencher| bencher.iter(|| cell.enter(black_box(Phase::Run))));
}

fn message(criterion: &mut Criterion) {
    let message = Message::Iteration(Iteration {
        timed: Phase::REPORTED.map(|phase| Timed::once(phase, 12_345)).to_vec(),
        entered: Phase::REPORTED.to_vec(),
        spans: Vec::new(),
        memory: Vec::new(),
        measured: Vec::new(),
        counts: Vec::new(),
        spreads: Vec::new(),
        preemptions: Some(0),
        line: None,
        ending: Ending::Returned,
        outputs: Vec::new(),
    });
    criterion.bench_function("worker: one iteration's message", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&message)));
    });
}

fn summary(criterion: &mut Criterion) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let samples: Vec<Vec<f64>> = (0..100).map(|_| (0..10_000).map(|_| random.random::<f64>()).collect()).collect();
    let mut group = criterion.benchmark_group("stats");
    group.throughput(Throughput::Elements(1_000_000)).sample_size(10);
    group.bench_function("summary of 1,000,000 samples of 100 processes", |bencher| {
        bencher.iter(|| stats::summarise(black_box(&samples)));
    });
    group.finish();
}

/// Estimates and verdicts of 100 rows of 80 processes each, and a report of a million samples written and read back.
fn verdicts_and_reports(criterion: &mut Criterion) {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let rows: Vec<Vec<f64>> = (0..100).map(|_| (0..80).map(|_| random.random::<f64>() - 0.5).collect()).collect();
    criterion.bench_function("stats: verdicts of 100 rows of 80 log-ratios", |bencher| {
        bencher.iter(|| {
            let members: Vec<_> = rows.iter().map(|row| stats::Estimate::of(row).map(|found| (found, 0.01))).collect();
            stats::family(black_box(&members), 4)
        });
    });
    let report = report(&mut random);
    let text = serde_json::to_vec(&report).unwrap_or_default();
    let mut group = criterion.benchmark_group("report of 1,000,000 samples");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
    group.bench_function("write", |bencher| bencher.iter(|| serde_json::to_vec(black_box(&report))));
    group.bench_function("read", |bencher| bencher.iter(|| serde_json::from_slice::<Report>(black_box(&text))));
    group.bench_function("compare with itself", |bencher| {
        let tolerances = Tolerances::default();
        bencher.iter(|| reports::compare(black_box(&report), black_box(&report), &tolerances, &|_| true));
    });
    group.finish();
}

/// A hundred cases of one metric, of a hundred processes of a hundred iterations each.
fn report(random: &mut ChaCha8Rng) -> Report {
    let mut case = |index: usize| {
        let samples: Vec<Vec<u64>> =
            (0..100).map(|_| (0..100).map(|_| random.random_range(1_000_000..1_100_000)).collect()).collect();
        serde_json::json!({
            "id": format!("case{index}/std/cranelift"), "workload": format!("case{index}"), "flavour": "std",
            "engine": "cranelift", "n": null, "outcome": {"status": "ok", "detail": null}, "facts": {"check": "0"},
            "artifact": null, "observer_ratio": null, "kernel": null,
            "measurements": [{"metric": "phase.run", "unit": "ns", "direction": "lower_is_better",
                "summary": stats::summarise(&samples.iter().map(|p| p.iter().map(|ns| *ns as f64).collect()).collect::<Vec<_>>()),
                "samples": samples}]
        })
    };
    let cases: Vec<_> = (0..100).map(&mut case).collect();
    let reference = cases[0].clone();
    let document = serde_json::json!({
        "schema_version": 1, "wasiscope": "0", "started_at": "", "duration_s": 1.0, "seed": 1, "interrupted": false,
        "git": null, "tools": {}, "capture": {"status": "off", "reason": null, "programs": [],
            "ledger": {"ring_dropped": 0, "map_full": 0, "recursion_missed": 0}},
        "machine": {"os": "linux", "kernel": null, "arch": "", "cpu": null, "cpus": 1, "memory_bytes": null,
            "virtualized": null, "steal_ratio": null},
        "scenarios": [{"name": "s", "kind": "workload", "cases": cases}], "reference": reference
    });
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{error}"))
}

criterion_group!(benches, phase_cell, message, summary, verdicts_and_reports);
criterion_main!(benches);
