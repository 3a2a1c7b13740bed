//! What wasiscope itself costs: entering a phase, a worker's message, a summary.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
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
        memory: Vec::new(),
        preemptions: Some(0),
        line: None,
        ending: Ending::Returned,
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

criterion_group!(benches, phase_cell, message, summary);
criterion_main!(benches);
