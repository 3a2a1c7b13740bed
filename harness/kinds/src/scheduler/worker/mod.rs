//! Experiments with sharing, as a worker does them: guests that sleep, that never yield, that are many.

mod cooperation;
mod crowd;
mod sleep;
mod stop;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasiscope_ebpf_abi::Phase;
use wasmtime::Engine;

use super::{Experiment, Scheduler};
use anyhow::bail;
use wasiscope_sys::clock;
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::{Ending, Iteration, Message, Subject, Task};
use wasiscope_worker::{self as worker, Job, Sender};

/// What an experiment measured, by metric.
type Measured = Vec<(String, Vec<f64>)>;

impl worker::Kind for Scheduler {
    fn work(&self, job: Job<'_>, send: Sender<'_>) -> anyhow::Result<()> {
        let Job { task, subject, cell } = job;
        let Task::Experiment { spec, iterations, .. } = task else {
            bail!("experiments of scheduling have no task like {task:?}")
        };
        run(spec.read()?, *iterations, subject, cell, send)
    }
}

/// Does an experiment so many times, and sends what each gave.
fn run(
    experiment: Experiment,
    iterations: u32,
    subject: &Subject,
    cell: PhaseCell,
    send: Sender<'_>,
) -> anyhow::Result<()> {
    cell.begin_pass(1);
    let cell = Arc::new(cell);
    let mut once: Box<dyn FnMut() -> wasmtime::Result<Measured>> = match experiment {
        Experiment::Sleep { duration_ns, .. } => {
            let mut sleeper = sleep::Sleeper::new(subject, &cell)?;
            Box::new(move || sleeper.sleep(experiment, duration_ns))
        }
        Experiment::Clock => {
            let mut sleeper = sleep::Sleeper::new(subject, &cell)?;
            Box::new(move || sleeper.read_clock())
        }
        Experiment::StopByEpoch { tick_ns } => {
            let stopper = stop::Stopper::by_epoch(subject, &cell)?;
            Box::new(move || stopper.stop_by_epoch(experiment, tick_ns))
        }
        Experiment::StopByFuel => {
            let stopper = stop::Stopper::by_fuel(subject, &cell)?;
            Box::new(move || stopper.stop_by_fuel(experiment))
        }
        Experiment::Pool { .. } => {
            let pool = cooperation::Pool::new(subject, &cell)?;
            Box::new(move || pool.run())
        }
        Experiment::Threads(together) => {
            let threaded = threads::Threaded::new(subject, &cell)?;
            Box::new(move || threaded.run(together))
        }
        Experiment::Crowd { guests, threads, yields } => {
            let crowd = crowd::Crowd::new(subject, &cell, guests, threads, yields)?;
            Box::new(move || crowd.run())
        }
    };
    for _ in 0..iterations {
        cell.begin_pass(1);
        let measured = once()?;
        send(&Message::Iteration(Iteration {
            timed: Vec::new(),
            entered: vec![Phase::Run],
            spans: Vec::new(),
            memory: Vec::new(),
            measured,
            counts: Vec::new(),
            spreads: Vec::new(),
            preemptions: None,
            line: None,
            ending: Ending::Returned,
            outputs: Vec::new(),
        }))?;
    }
    Ok(())
}

/// A thread that ends the engine's epochs until it is dropped, and tells when it ended the latest one.
pub(super) struct Ticker {
    ended_ns: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Epochs of this length, from now on.
    pub(super) fn start(engine: &Engine, tick: Duration) -> Self {
        let (ended_ns, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (engine, ended, stop) = (engine.clone(), Arc::clone(&ended_ns), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(tick);
                ended.store(clock::monotonic_ns(), Ordering::Release);
                engine.increment_epoch();
            }
        });
        Self { ended_ns, over, thread: Some(thread) }
    }

    /// When the latest epoch ended.
    fn ended_ns(&self) -> u64 {
        self.ended_ns.load(Ordering::Acquire)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It ends within a tick; a panic would have been reported.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
