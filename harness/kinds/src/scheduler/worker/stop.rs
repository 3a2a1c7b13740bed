//! A guest that never yields, stopped by the host.

use std::sync::Arc;
use std::time::Duration;

use wasiscope_ebpf_abi::Phase;
use wasmtime::{Caller, Engine, Linker, Module, Store, Trap, TypedFunc};

use super::{Measured, Ticker};
use crate::scheduler::{Experiment, PREEMPT, STOPPED_AFTER};
use wasiscope_engines::engine;
use wasiscope_sys::clock;
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::Subject;

/// How often a guest is stopped in one iteration.
const TIMES: usize = 10;
/// Fuel that is left from the guest's mark on: a few dozen instructions.
const LAST_FUEL: u64 = 50;

/// A guest ready to be started.
pub(super) struct Stopper {
    engine: Engine,
    module: Module,
    cell: Arc<PhaseCell>,
}

/// When the guest said that it begins.
#[derive(Default)]
struct Marked {
    at_ns: u64,
}

impl Stopper {
    pub(super) fn by_epoch(subject: &Subject, cell: &Arc<PhaseCell>) -> wasmtime::Result<Self> {
        let mut config = engine::config(engine::settings(subject)?, &subject.limits)?;
        config.epoch_interruption(true);
        Self::new(&Engine::new(&config)?, subject, cell)
    }

    pub(super) fn by_fuel(subject: &Subject, cell: &Arc<PhaseCell>) -> wasmtime::Result<Self> {
        let mut config = engine::config(engine::settings(subject)?, &subject.limits)?;
        config.consume_fuel(true);
        Self::new(&Engine::new(&config)?, subject, cell)
    }

    fn new(engine: &Engine, subject: &Subject, cell: &Arc<PhaseCell>) -> wasmtime::Result<Self> {
        let module = Module::from_file(engine, &subject.guest)?;
        Ok(Self { engine: engine.clone(), module, cell: Arc::clone(cell) })
    }

    /// A new instance of it, and one of its functions.
    fn instance(&self, function: &str) -> wasmtime::Result<(Store<Marked>, TypedFunc<(), ()>)> {
        let mut linker = Linker::new(&self.engine);
        linker.func_wrap("host", "mark", |mut caller: Caller<'_, Marked>| -> wasmtime::Result<()> {
            caller.set_fuel(LAST_FUEL)?;
            caller.data_mut().at_ns = clock::monotonic_ns();
            Ok(())
        })?;
        let mut store = Store::new(&self.engine, Marked::default());
        let instance = linker.instantiate(&mut store, &self.module)?;
        let function = instance.get_typed_func(&mut store, function)?;
        Ok((store, function))
    }

    /// Runs it until it is stopped: when that was asked for, and when control was back.
    fn stopped(
        &self,
        store: &mut Store<Marked>,
        function: &TypedFunc<(), ()>,
        why: Trap,
    ) -> wasmtime::Result<(u64, u64)> {
        self.cell.enter(Phase::Run);
        let started_ns = clock::monotonic_ns();
        let called = function.call(store, ());
        let back_ns = clock::monotonic_ns();
        self.cell.enter(Phase::Outside);
        match called.err().and_then(|error| error.downcast_ref::<Trap>().copied()) {
            Some(trap) if trap == why => Ok((started_ns, back_ns)),
            other => wasmtime::bail!("the guest was to end by {why:?} and ended by {other:?}"),
        }
    }

    pub(super) fn stop_by_epoch(&self, experiment: Experiment, tick_ns: u64) -> wasmtime::Result<Measured> {
        let (mut preempted, mut ran) = (Vec::with_capacity(TIMES), Vec::with_capacity(TIMES));
        for _ in 0..TIMES {
            let (mut store, spin) = self.instance("spin")?;
            // The first epoch that ends is its last.
            store.set_epoch_deadline(1);
            let ticker = Ticker::start(&self.engine, Duration::from_nanos(tick_ns));
            let (started_ns, back_ns) = self.stopped(&mut store, &spin, Trap::Interrupt)?;
            preempted.push(back_ns.saturating_sub(ticker.ended_ns()) as f64);
            ran.push((back_ns - started_ns) as f64);
        }
        Ok(vec![(experiment.metric(PREEMPT), preempted), (experiment.metric(STOPPED_AFTER), ran)])
    }

    pub(super) fn stop_by_fuel(&self, experiment: Experiment) -> wasmtime::Result<Measured> {
        let mut preempted = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let (mut store, spin) = self.instance("mark_and_spin")?;
            store.set_fuel(u64::MAX)?;
            let (_, back_ns) = self.stopped(&mut store, &spin, Trap::OutOfFuel)?;
            preempted.push(back_ns.saturating_sub(store.data().at_ns) as f64);
        }
        Ok(vec![(experiment.metric(PREEMPT), preempted)])
    }
}
