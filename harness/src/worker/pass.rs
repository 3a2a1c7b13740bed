//! One pass through the phases.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use wasiscope_ebpf_abi::Phase;
use wasmtime::{Config, Engine, InstancePre, Linker, Module, Store, Trap};
use wasmtime_wasi::I32Exit;

use super::cell::PhaseCell;
use super::engine;
use super::host::{self, Host};
use super::protocol::{Ending, Message, ProtocolLine, Request};
use crate::record::Facts;

/// What every pass of a worker shares.
pub(super) struct Worker {
    request: Request,
    wasm: Vec<u8>,
    cell: Arc<PhaseCell>,
}

/// The phases of one pass as they happen.
struct Stopwatch<'a> {
    cell: &'a PhaseCell,
    durations: Vec<(Phase, u64)>,
    entered: Vec<Phase>,
}

impl<'a> Stopwatch<'a> {
    fn new(cell: &'a PhaseCell) -> Self {
        // Room for every phase, so that no pass allocates between two of them.
        let room = Phase::REPORTED.len();
        Self { cell, durations: Vec::with_capacity(room), entered: Vec::with_capacity(room) }
    }

    /// Runs `work` as `phase`. What `work` returns is dropped by the caller, outside the phase.
    fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        self.entered.push(phase);
        self.cell.enter(phase);
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        self.cell.enter(Phase::Outside);
        self.durations.push((phase, nanoseconds(took)));
        result
    }
}

impl Worker {
    pub(super) fn new(request: Request, cell: PhaseCell) -> anyhow::Result<Self> {
        let wasm = std::fs::read(&request.wasm)?;
        Ok(Self { request, wasm, cell: Arc::new(cell) })
    }

    /// One timed pass through every phase, each with objects of its own: nothing is carried over from the pass before.
    pub(super) fn iterate(&self, marked: bool) -> wasmtime::Result<Message> {
        empty_folder(&self.request.directory)?;
        let mut watch = Stopwatch::new(&self.cell);
        let config = engine::config(self.request.engine, &self.request.limits);
        let engine = watch.time(Phase::Engine, || Engine::new(&config))?;
        let module = watch.time(Phase::Compile, || Module::from_binary(&engine, &self.wasm))?;
        let precompiled = module.serialize()?;
        // SAFETY: the bytes were made by `serialize` of this very engine, two lines above.
        let loaded = watch.time(Phase::Deserialize, || unsafe { Module::deserialize(&engine, &precompiled) })?;
        drop((loaded, precompiled));
        let linked = watch.time(Phase::Link, || link(&engine, &module))?;

        let mut first = self.store(&engine)?;
        watch.time(Phase::InstantiateCold, || linked.instantiate(&mut first))?;
        drop(first);
        // The guest of the second instance must find what the first would have found.
        let mut store = self.store(&engine)?;
        let instance = watch.time(Phase::Instantiate, || linked.instantiate(&mut store))?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;

        let first_phase = if marked { Phase::Init } else { Phase::Run };
        watch.entered.push(first_phase);
        self.cell.enter(first_phase);
        let entry = Instant::now();
        let result = start.call(&mut store, ());
        let back = Instant::now();
        self.cell.enter(Phase::Outside);

        let ending = ending(&result, store.data());
        charge(&mut watch, first_phase, store.data(), entry, back, &ending);
        let line = ProtocolLine::last_in(&store.data().stdout());
        watch.time(Phase::Teardown, || drop(store));
        Ok(Message::Iteration { durations: watch.durations, entered: watch.entered, line, ending })
    }

    /// One pass with fuel counting, which slows the guest: nothing of it is timed.
    pub(super) fn facts(&self) -> wasmtime::Result<Message> {
        empty_folder(&self.request.directory)?;
        let plain = engine::config(self.request.engine, &self.request.limits);
        let compiled = Module::from_binary(&Engine::new(&plain)?, &self.wasm)?;
        // The functions themselves: the whole of the text section is padded to a page.
        let native_code: usize = compiled.functions().map(|function| function.len).sum();

        let mut counting: Config = engine::config(self.request.engine, &self.request.limits);
        counting.consume_fuel(true);
        let engine = Engine::new(&counting)?;
        let module = Module::from_binary(&engine, &self.wasm)?;
        let mut store = self.store(&engine)?;
        store.set_fuel(u64::MAX)?;
        let instance = link(&engine, &module)?.instantiate(&mut store)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        let before = host::fuel_left(&store);
        let result = start.call(&mut store, ());
        let after = host::fuel_left(&store);

        let ending = ending(&result, store.data());
        let marks = &store.data().marks;
        let total = before.zip(after).map(|(before, after)| before.saturating_sub(after));
        let fuel = match (marks.start, marks.end) {
            (Some(start), Some(end)) => host::fuel_between(start, end),
            // Stopped inside its measured part: there is no such figure.
            (Some(_), None) => None,
            _ => total,
        };
        let line = ProtocolLine::last_in(&store.data().stdout());
        let facts = Facts::from([
            ("size.native_code".to_owned(), Value::from(native_code)),
            ("fuel".to_owned(), Value::from(fuel)),
            ("check".to_owned(), Value::from(line.as_ref().map(|line| line.check.clone()))),
        ]);
        let marked = marks.start.is_some();
        Ok(Message::Facts { marked, facts, line, ending })
    }

    fn store(&self, engine: &Engine) -> wasmtime::Result<Store<Host>> {
        let mut store = Store::new(engine, Host::new(&self.request, &self.cell)?);
        store.limiter(|host| &mut host.limits);
        Ok(store)
    }
}

fn link(engine: &Engine, module: &Module) -> wasmtime::Result<InstancePre<Host>> {
    let mut linker = Linker::new(engine);
    host::add_imports(&mut linker)?;
    linker.instantiate_pre(module)
}

/// Splits the time between entry of `_start` and control back in the host among the phases, by the guest's marks.
fn charge(watch: &mut Stopwatch<'_>, first_phase: Phase, host: &Host, entry: Instant, back: Instant, ending: &Ending) {
    let trapped = matches!(ending, Ending::Trapped { .. });
    let marks = &host.marks;
    let mut pass = |phase, from: Instant, to: Instant| watch.durations.push((phase, nanoseconds(to - from)));
    if let Some(start) = marks.start {
        pass(Phase::Init, entry, start.at);
        if let Some(end) = marks.end {
            pass(Phase::Run, start.at, end.at);
        }
        watch.entered.push(Phase::Run);
    } else if !trapped && first_phase == Phase::Run {
        pass(Phase::Run, entry, back);
    }
    if marks.fault.is_some() {
        watch.entered.push(Phase::Trap);
    }
    if trapped {
        let latest = [marks.start, marks.end, marks.fault].into_iter().flatten().map(|mark| mark.at).max();
        watch.durations.push((Phase::Trap, nanoseconds(back - latest.unwrap_or(entry))));
    }
}

fn ending(result: &wasmtime::Result<()>, host: &Host) -> Ending {
    let Err(error) = result else { return Ending::Returned };
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return match exit.0 {
            0 => Ending::Returned,
            code => Ending::Exited { code, stderr: host.stderr_end() },
        };
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Ending::Trapped { trap: trap.to_string(), stderr: host.stderr_end() };
    }
    Ending::Broken { reason: format!("{error:#}") }
}

/// Every iteration finds its preopened folder empty, as the first one did.
fn empty_folder(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn nanoseconds(duration: Duration) -> u64 {
    // 584 years; the wall-clock limit is shorter.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
