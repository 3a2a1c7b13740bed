//! A guest with real threads: an instance for each, and one memory for all, as wasi-threads had it.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};

use wasiscope_ebpf_abi::Phase;
use wasmtime::{Caller, Engine, Instance, InstancePre, Linker, MemoryTypeBuilder, Module, SharedMemory, Store};

use super::Measured;
use crate::scheduler::{LOCK, READINGS_AT, SPEED_UP, Together, WAKE};
use wasiscope_engines::engine;
use wasiscope_sys::clock;
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::Subject;

/// Rounds of two threads that wake each other.
const ROUNDS: i32 = 300;
/// Turns of a thread with the lock.
const TURNS: i32 = 20_000;
/// Work that is divided, in steps of 1,024 multiplications: some 20 ms.
const WORK: i32 = 8_000;

/// What all threads of a guest share, and the host's part of starting one.
struct Shared {
    linked: OnceLock<InstancePre<Arc<Shared>>>,
    threads: Mutex<Vec<JoinHandle<wasmtime::Result<()>>>>,
    latest: AtomicI32,
}

pub(super) struct Threaded {
    engine: Engine,
    shared: Arc<Shared>,
    memory: SharedMemory,
    cell: Arc<PhaseCell>,
}

impl Threaded {
    pub(super) fn new(subject: &Subject, cell: &Arc<PhaseCell>) -> wasmtime::Result<Self> {
        let mut config = engine::config(engine::settings(subject)?, &subject.limits)?;
        config.shared_memory(true).wasm_threads(true);
        let engine = Engine::new(&config)?;
        let module = Module::from_file(&engine, &subject.guest)?;
        let memory = SharedMemory::new(&engine, MemoryTypeBuilder::new().min(4).max(Some(4)).shared(true).build()?)?;
        let shared =
            Arc::new(Shared { linked: OnceLock::new(), threads: Mutex::new(Vec::new()), latest: AtomicI32::new(0) });
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "now", || clock::monotonic_ns().cast_signed())?;
        linker.func_wrap("wasi", "thread-spawn", |caller: Caller<'_, Arc<Shared>>, what: i32| {
            spawn(caller.engine(), caller.data(), what)
        })?;
        linker.define(&mut Store::new(&engine, Arc::clone(&shared)), "host", "memory", memory.clone())?;
        let linked = linker.instantiate_pre(&module)?;
        shared.linked.get_or_init(|| linked);
        Ok(Self { engine, shared, memory, cell: Arc::clone(cell) })
    }

    pub(super) fn run(&self, together: Together) -> wasmtime::Result<Measured> {
        let mut store = Store::new(&self.engine, Arc::clone(&self.shared));
        let instance = instance(&self.shared, &mut store)?;
        match together {
            Together::Wake => {
                let wake = instance.get_typed_func::<i32, ()>(&mut store, "wake")?;
                self.timed(|| wake.call(&mut store, ROUNDS))?;
                // A round is there and back.
                let rounds = self.readings(ROUNDS).map(|ns| ns as f64 / 2.0);
                Ok(vec![(WAKE.to_owned(), rounds.collect())])
            }
            Together::Lock => {
                let lock = instance.get_typed_func::<(i32, i32), i64>(&mut store, "lock")?;
                let counted = instance.get_typed_func::<(), i32>(&mut store, "counted")?;
                let mut measured = Vec::new();
                for threads in [1, 2] {
                    let ns = self.timed(|| lock.call(&mut store, (TURNS, threads)))?;
                    let seen = counted.call(&mut store, ())?;
                    if seen != TURNS * threads {
                        wasmtime::bail!("the lock did not hold: {seen} of {} turns are counted", TURNS * threads);
                    }
                    let each = ns as f64 / f64::from(TURNS * threads);
                    measured.push((format!("{LOCK}.{threads}t"), vec![each]));
                }
                Ok(measured)
            }
            Together::Divide => {
                let divide = instance.get_typed_func::<(i32, i32), i64>(&mut store, "divide")?;
                let alone = self.timed(|| divide.call(&mut store, (WORK, 1)))?;
                let divided = self.timed(|| divide.call(&mut store, (WORK, 2)))?;
                Ok(vec![(SPEED_UP.to_owned(), vec![alone as f64 / divided.max(1) as f64])])
            }
        }
    }

    /// Runs something in the phase `run`, and waits for the threads that it has started.
    fn timed<T>(&self, work: impl FnOnce() -> wasmtime::Result<T>) -> wasmtime::Result<T> {
        self.cell.enter(Phase::Run);
        let result = work();
        self.cell.enter(Phase::Outside);
        let threads = self.shared.threads.lock().map(|mut threads| std::mem::take(&mut *threads)).unwrap_or_default();
        for thread in threads {
            match thread.join() {
                Ok(ended) => ended?,
                Err(_) => wasmtime::bail!("a thread of the guest panicked in the host"),
            }
        }
        result
    }

    /// What the guest has put behind the first page.
    fn readings(&self, count: i32) -> impl Iterator<Item = u64> {
        let cells = &self.memory.data()[READINGS_AT..];
        // SAFETY: the threads of the guest have ended, so nobody writes to the memory; it lives as long as `self`.
        let bytes = unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<u8>(), cells.len()) };
        let count = usize::try_from(count).unwrap_or(0);
        bytes.as_chunks().0.iter().take(count).map(|bytes| u64::from_le_bytes(*bytes))
    }
}

fn instance(shared: &Shared, store: &mut Store<Arc<Shared>>) -> wasmtime::Result<Instance> {
    let linked = shared.linked.get().ok_or_else(|| wasmtime::format_err!("the guest is not linked yet"))?;
    linked.instantiate(store)
}

/// Starts a thread of the guest: its number, or less than 0 when there can be none.
fn spawn(engine: &Engine, shared: &Arc<Shared>, what: i32) -> i32 {
    let number = shared.latest.fetch_add(1, Ordering::Relaxed) + 1;
    let (engine, of_thread) = (engine.clone(), Arc::clone(shared));
    let started = thread::Builder::new().name(format!("guest-{number}")).spawn(move || {
        let mut store = Store::new(&engine, Arc::clone(&of_thread));
        let instance = instance(&of_thread, &mut store)?;
        let start = instance.get_typed_func::<(i32, i32), ()>(&mut store, "wasi_thread_start")?;
        start.call(&mut store, (number, what))
    });
    match (started, shared.threads.lock()) {
        (Ok(thread), Ok(mut threads)) => {
            threads.push(thread);
            number
        }
        _ => -1,
    }
}
