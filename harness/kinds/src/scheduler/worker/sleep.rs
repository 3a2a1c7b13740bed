//! Guests that sleep, or only read the clock.

use std::sync::Arc;

use wasiscope_ebpf_abi::Phase;
use wasmtime::{Engine, Linker, Memory, Module, Store, TypedFunc};

use super::Measured;
use crate::scheduler::{CLOCK_READ, CLOCK_STEP, Experiment, OVERSLEEP, READINGS_AT};
use wasiscope_engines::engine;
use wasiscope_engines::host::{self, Host};
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::Subject;

/// Readings of the clock in a row.
const READINGS: u16 = 10_000;

/// A guest at hand.
pub(super) struct Sleeper {
    store: Store<Host>,
    memory: Memory,
    sleep: TypedFunc<(i32, i64), ()>,
    clock: TypedFunc<i32, ()>,
    cell: Arc<PhaseCell>,
}

impl Sleeper {
    pub(super) fn new(subject: &Subject, cell: &Arc<PhaseCell>) -> wasmtime::Result<Self> {
        let engine = Engine::new(&engine::config(engine::settings(subject)?, &subject.limits)?)?;
        let module = Module::from_file(&engine, &subject.guest)?;
        let mut linker = Linker::new(&engine);
        host::add_imports(&mut linker)?;
        let mut store = Store::new(&engine, Host::new(subject, None, cell)?);
        engine::unlimited(&mut store, engine::settings(subject)?)?;
        let instance = linker.instantiate(&mut store, &module)?;
        let memory = instance.get_memory(&mut store, "memory");
        let memory = memory.ok_or_else(|| wasmtime::format_err!("the sleeper has no memory"))?;
        let sleep = instance.get_typed_func(&mut store, "sleep")?;
        let clock = instance.get_typed_func(&mut store, "clock")?;
        Ok(Self { store, memory, sleep, clock, cell: Arc::clone(cell) })
    }

    /// Sleeps as often as takes about a fifth of a second, and at most a hundred times.
    pub(super) fn sleep(&mut self, experiment: Experiment, duration_ns: u64) -> wasmtime::Result<Measured> {
        const TOGETHER_NS: u64 = 200_000_000;
        let times = (TOGETHER_NS / duration_ns.max(1)).clamp(2, 100);
        let times = u16::try_from(times).unwrap_or(2);
        self.cell.enter(Phase::Run);
        let slept = self.sleep.call(&mut self.store, (times.into(), duration_ns.cast_signed()));
        self.cell.enter(Phase::Outside);
        slept?;
        let readings = self.readings(usize::from(times) * 2);
        let over = |pair: &[u64; 2]| pair[1].saturating_sub(pair[0]) as f64 - duration_ns as f64;
        Ok(vec![(experiment.metric(OVERSLEEP), readings.as_chunks().0.iter().map(over).collect())])
    }

    /// Reads the clock in a row: what one reading costs, and the smallest step that was seen.
    pub(super) fn read_clock(&mut self) -> wasmtime::Result<Measured> {
        self.cell.enter(Phase::Run);
        let read = self.clock.call(&mut self.store, READINGS.into());
        self.cell.enter(Phase::Outside);
        read?;
        let readings = self.readings(READINGS.into());
        let whole = readings.last().zip(readings.first()).map_or(0, |(last, first)| last.saturating_sub(*first));
        let steps = readings.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|step| *step > 0);
        let step = steps.min().map(|step| (CLOCK_STEP.to_owned(), vec![step as f64]));
        let each = whole as f64 / f64::from(READINGS - 1);
        Ok([(CLOCK_READ.to_owned(), vec![each])].into_iter().chain(step).collect())
    }

    fn readings(&self, count: usize) -> Vec<u64> {
        let bytes = self.memory.data(&self.store).get(READINGS_AT..).unwrap_or_default();
        bytes.as_chunks().0.iter().take(count).map(|bytes| u64::from_le_bytes(*bytes)).collect()
    }
}
