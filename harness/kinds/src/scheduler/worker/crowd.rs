//! Many guests on few threads: each is a task of tokio's, and yields when the engine makes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasiscope_ebpf_abi::Phase;
use wasmtime::{Engine, InstancePre, Linker, MemoryTypeBuilder, Module, SharedMemory, Store};

use super::{Measured, Ticker};
use crate::scheduler::{COUNT_BYTES, FAIRNESS, LIGHT_LATENCY, MEMORY_EACH, THROUGHPUT, Yields, jain};
use wasiscope_engines::{engine, memory};
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::Subject;

/// How long an epoch is.
const TICK: Duration = Duration::from_micros(250);
/// Fuel between two yields: about as much work.
const YIELD_FUEL: u64 = 250_000;
/// How long one guest runs alone, for the rate of one.
const ALONE: Duration = Duration::from_millis(20);
/// How long the crowd runs, at least, and for each guest of it on a thread: a few turns for everybody.
const WINDOW: Duration = Duration::from_millis(40);
const WINDOW_EACH: Duration = Duration::from_micros(800);
/// How long it may take until all have begun.
const BEGIN: Duration = Duration::from_secs(5);
/// How long the guest that waits does so each time.
const WAIT: Duration = Duration::from_millis(1);

/// What the guest that waits has seen.
type Latencies = Arc<Mutex<Vec<f64>>>;

pub(super) struct Crowd {
    engine: Engine,
    linked: InstancePre<Latencies>,
    counts: SharedMemory,
    cell: Arc<PhaseCell>,
    guests: u32,
    threads: u32,
    yields: Yields,
}

impl Crowd {
    pub(super) fn new(
        subject: &Subject,
        cell: &Arc<PhaseCell>,
        guests: u32,
        threads: u32,
        yields: Yields,
    ) -> wasmtime::Result<Self> {
        let mut config = engine::config(engine::settings(subject)?, &subject.limits)?;
        config.shared_memory(true).wasm_threads(true);
        match yields {
            Yields::Epoch => config.epoch_interruption(true),
            Yields::Fuel => config.consume_fuel(true),
        };
        let engine = Engine::new(&config)?;
        let module = Module::from_file(&engine, &subject.guest)?;
        let ty = MemoryTypeBuilder::new().min(2).max(Some(2)).shared(true).build()?;
        let counts = SharedMemory::new(&engine, ty)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap_async("host", "wait", |caller: wasmtime::Caller<'_, Latencies>, (): ()| {
            let latencies = Arc::clone(caller.data());
            Box::new(async move {
                let due = Instant::now() + WAIT;
                tokio::time::sleep(WAIT).await;
                let late = Instant::now().saturating_duration_since(due);
                // Nobody panics while holding it.
                if let Ok(mut latencies) = latencies.lock() {
                    latencies.push(late.as_nanos() as f64);
                }
            })
        })?;
        let mut probe = Store::new(&engine, Latencies::default());
        linker.define(&mut probe, "host", "counts", counts.clone())?;
        let linked = linker.instantiate_pre(&module)?;
        Ok(Self { engine, linked, counts, cell: Arc::clone(cell), guests, threads, yields })
    }

    /// Lets one guest run alone, then all of them, with one that mostly waits among them.
    pub(super) fn run(&self) -> wasmtime::Result<Measured> {
        let alone = self.together(1, 1, false, ALONE)?;
        let window = WINDOW.max(WINDOW_EACH * self.guests / self.threads);
        let crowd = self.together(self.guests, self.threads, true, window)?;
        let rate = |run: &Run| run.counts.iter().sum::<f64>() / run.took.as_secs_f64();
        let mut measured: Measured = Vec::new();
        measured.extend(jain(&crowd.counts).map(|index| (FAIRNESS.to_owned(), vec![index])));
        // On a busy machine one guest alone may get nowhere in its time, and then there is nothing to compare with.
        let ratio = Some(rate(&crowd) / rate(&alone)).filter(|ratio| ratio.is_finite());
        measured.extend(ratio.map(|ratio| (THROUGHPUT.to_owned(), vec![ratio])));
        measured.push((LIGHT_LATENCY.to_owned(), crowd.latencies));
        measured.extend(crowd.memory_each.map(|bytes| (MEMORY_EACH.to_owned(), vec![bytes])));
        Ok(measured)
    }

    fn together(&self, guests: u32, threads: u32, with_light: bool, window: Duration) -> wasmtime::Result<Run> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads as usize)
            .enable_time()
            .build()
            .map_err(|error| wasmtime::format_err!("no runtime: {error}"))?;
        let _ticker = (self.yields == Yields::Epoch).then(|| Ticker::start(&self.engine, TICK));
        let latencies = Latencies::default();
        for slot in 0..guests {
            self.count_of(slot).store(0, Ordering::Relaxed);
        }
        let resident = memory::resident_bytes();
        let mut stores = Vec::new();
        for _ in 0..guests {
            stores.push(self.store(&latencies)?);
        }
        self.cell.enter(Phase::Run);
        let mut tasks = Vec::new();
        for (slot, mut store) in stores.into_iter().enumerate() {
            let linked = self.linked.clone();
            tasks.push(runtime.spawn(async move {
                let instance = linked.instantiate_async(&mut store).await?;
                let work = instance.get_typed_func::<i32, ()>(&mut store, "work")?;
                work.call_async(&mut store, i32::try_from(slot).unwrap_or(0)).await
            }));
        }
        if with_light {
            let (linked, mut store) = (self.linked.clone(), self.store(&latencies)?);
            tasks.push(runtime.spawn(async move {
                let instance = linked.instantiate_async(&mut store).await?;
                instance.get_typed_func::<(), ()>(&mut store, "wait")?.call_async(&mut store, ()).await
            }));
        }
        let before = self.all_have_begun(guests)?;
        let waited = latencies.lock().map_or(0, |seen| seen.len());
        let began = Instant::now();
        std::thread::sleep(window);
        let took = began.elapsed();
        let after = (0..guests).map(|slot| self.count_of(slot).load(Ordering::Relaxed));
        let counts = after.zip(before).map(|(after, before)| (after - before) as f64).collect();
        self.cell.enter(Phase::Outside);
        let memory_each = resident.zip(memory::resident_bytes()).map(|(before, now)| now.saturating_sub(before));
        for task in &tasks {
            // It ends where it yields next.
            task.abort();
        }
        for task in tasks {
            match runtime.block_on(task) {
                Err(error) if error.is_cancelled() => {}
                Ok(Err(error)) => return Err(error),
                Ok(Ok(())) => wasmtime::bail!("a guest that was to run for ever has ended"),
                Err(error) => wasmtime::bail!("a guest's task: {error}"),
            }
        }
        // What it saw while the crowd gathered is not of the crowd.
        let latencies = latencies.lock().map(|mut seen| seen.split_off(waited)).unwrap_or_default();
        Ok(Run { counts, took, latencies, memory_each: memory_each.map(|bytes| bytes as f64 / f64::from(guests)) })
    }

    /// Waits until every guest has counted, and gives how far each is.
    fn all_have_begun(&self, guests: u32) -> wasmtime::Result<Vec<u64>> {
        let began = Instant::now();
        loop {
            let counts: Vec<u64> = (0..guests).map(|slot| self.count_of(slot).load(Ordering::Relaxed)).collect();
            let waiting = counts.iter().filter(|count| **count == 0).count();
            if waiting == 0 {
                return Ok(counts);
            }
            if began.elapsed() > BEGIN {
                wasmtime::bail!("{waiting} of {guests} guests did not get a turn within {BEGIN:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn store(&self, latencies: &Latencies) -> wasmtime::Result<Store<Latencies>> {
        let mut store = Store::new(&self.engine, Arc::clone(latencies));
        match self.yields {
            Yields::Epoch => {
                store.set_epoch_deadline(1);
                store.epoch_deadline_async_yield_and_update(1);
            }
            Yields::Fuel => {
                store.set_fuel(u64::MAX)?;
                store.fuel_async_yield_interval(Some(YIELD_FUEL))?;
            }
        }
        Ok(store)
    }

    fn count_of(&self, slot: u32) -> &AtomicU64 {
        let cell = &self.counts.data()[slot as usize * COUNT_BYTES];
        // SAFETY: the memory is shared, aligned to a page, and has a line of 64 bytes for each slot below 2,048; guests
        // write to it by whole aligned words, which is how it is read here.
        unsafe { AtomicU64::from_ptr(cell.get().cast::<u64>()) }
    }
}

/// What came of guests that ran together.
struct Run {
    counts: Vec<f64>,
    took: Duration,
    latencies: Vec<f64>,
    memory_each: Option<f64>,
}
