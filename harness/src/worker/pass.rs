//! One pass through the phases.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use wasiscope_ebpf_abi::Phase;
use wasmtime::{
    Config, Engine, Func, FuncType, Instance, InstancePre, Linker, Module, Store, Trap, TypedFunc, Val, ValType,
};
use wasmtime_wasi::I32Exit;

use super::cell::PhaseCell;
use super::engine;
use super::host::{self, Host};
use super::memory;
use super::protocol::{Ending, Message, ProtocolLine, Request};
use crate::record::{self, Facts};

/// What every pass of a worker shares.
pub(super) struct Worker {
    request: Request,
    wasm: Vec<u8>,
    stdin: Option<Bytes>,
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

/// What is called in an instance, found and converted before any clock runs.
struct Entry {
    /// `_initialize` of a reactor: its runtime's start.
    initialize: Option<Func>,
    /// `_start`, or the function that the user named.
    main: Main,
    results: Vec<Val>,
}

enum Main {
    /// `_start`, without the detour over values of any type.
    Start(TypedFunc<(), ()>),
    /// What the user named, with its arguments.
    Named(Func, Vec<Val>),
}

impl Entry {
    fn find(request: &Request, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Self> {
        let Some(name) = &request.input.invoke else {
            let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
            return Ok(Self { initialize: None, main: Main::Start(start), results: Vec::new() });
        };
        let named = instance
            .get_func(&mut *store, name)
            .ok_or_else(|| wasmtime::format_err!("the guest exports no function `{name}`"))?;
        let ty = named.ty(&*store);
        let results = vec![Val::I32(0); ty.results().len()];
        let main = Main::Named(named, parameters(name, &ty, &request.input.args)?);
        Ok(Self { initialize: instance.get_func(&mut *store, "_initialize"), main, results })
    }

    fn call(&mut self, store: &mut Store<Host>) -> wasmtime::Result<()> {
        match &self.main {
            Main::Start(start) => start.call(store, ()),
            Main::Named(named, params) => named.call(store, params, &mut self.results),
        }
    }
}

/// The arguments of the command line as what the function takes.
fn parameters(name: &str, ty: &FuncType, args: &[String]) -> wasmtime::Result<Vec<Val>> {
    if ty.params().len() != args.len() {
        wasmtime::bail!("`{name}` takes {} arguments, {} were given with --arg", ty.params().len(), args.len());
    }
    let value = |(ty, text): (ValType, &String)| {
        let value = match ty {
            ValType::I32 => text.parse().ok().map(Val::I32),
            ValType::I64 => text.parse().ok().map(Val::I64),
            ValType::F32 => text.parse().ok().map(|value: f32| Val::F32(value.to_bits())),
            ValType::F64 => text.parse().ok().map(|value: f64| Val::F64(value.to_bits())),
            _ => None,
        };
        value.ok_or_else(|| wasmtime::format_err!("`{text}` is no value of type {ty}, which `{name}` takes"))
    };
    ty.params().zip(args).map(value).collect()
}

/// A result as text; references have none.
fn shown(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        other => format!("{other:?}"),
    }
}

/// What one run under fuel counting found out.
struct Counted {
    /// Between the marks, or in the whole call where there are none.
    fuel: Option<u64>,
    marked: bool,
    ending: Ending,
    line: Option<ProtocolLine>,
    results: Vec<String>,
    final_pages: Option<u64>,
}

impl Worker {
    pub(super) fn new(request: Request, cell: PhaseCell) -> anyhow::Result<Self> {
        let wasm = std::fs::read(&request.guest)?;
        let stdin = request.input.stdin.as_ref().map(std::fs::read).transpose()?.map(Bytes::from);
        Ok(Self { request, wasm, stdin, cell: Arc::new(cell) })
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
        // Not of the instance that is measured next: reading it takes system calls.
        let resident_instantiated = memory::resident_bytes();
        drop(first);
        let mut store = self.store(&engine)?;
        let instance = watch.time(Phase::Instantiate, || linked.instantiate(&mut store))?;
        let mut guest = Entry::find(&self.request, &mut store, &instance)?;

        let initialized = match guest.initialize {
            Some(initialize) => watch.time(Phase::Init, || initialize.call(&mut store, &[], &mut [])),
            None => Ok(()),
        };
        let first_phase = if marked && guest.initialize.is_none() { Phase::Init } else { Phase::Run };
        watch.entered.push(first_phase);
        self.cell.enter(first_phase);
        let entry = Instant::now();
        let result = initialized.and_then(|()| guest.call(&mut store));
        let back = Instant::now();
        self.cell.enter(Phase::Outside);

        let ending = ending(&result, store.data());
        charge(&mut watch, first_phase, store.data(), entry, back, &ending);
        let line = ProtocolLine::last_in(&store.data().stdout());
        let touched = linear_memory(&instance, &mut store).and_then(memory::resident_in);
        let memory = [
            (record::RSS_INSTANTIATE, resident_instantiated),
            (record::RSS_RUN, memory::resident_bytes()),
            (record::TOUCHED, touched),
        ];
        let memory = memory.into_iter().filter_map(|(metric, bytes)| Some((metric.to_owned(), bytes?))).collect();
        watch.time(Phase::Teardown, || drop(store));
        Ok(Message::Iteration { durations: watch.durations, entered: watch.entered, memory, line, ending })
    }

    /// Two runs with fuel counting, which slows the guest: nothing of it is timed.
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
        let module = link(&engine, &module)?;
        let first = self.count_fuel(&engine, &module)?;
        // Fuel is a fact only where it is one: Go's scheduler, for one, follows the clock and random numbers.
        empty_folder(&self.request.directory)?;
        let fuel =
            first.fuel.filter(|fuel| self.count_fuel(&engine, &module).is_ok_and(|again| again.fuel == Some(*fuel)));
        let line = first.line;
        let mut facts = Facts::from([
            ("size.native_code".to_owned(), Value::from(native_code)),
            ("memory.final_pages".to_owned(), Value::from(first.final_pages)),
            ("fuel".to_owned(), Value::from(fuel)),
            ("check".to_owned(), Value::from(line.as_ref().map(|line| line.check.clone()))),
        ]);
        if !first.results.is_empty() {
            facts.insert("result".to_owned(), Value::from(first.results));
        }
        Ok(Message::Facts { marked: first.marked, facts, line, ending: first.ending })
    }

    /// One run of a module that counts fuel.
    fn count_fuel(&self, engine: &Engine, module: &InstancePre<Host>) -> wasmtime::Result<Counted> {
        let mut store = self.store(engine)?;
        store.set_fuel(u64::MAX)?;
        let instance = module.instantiate(&mut store)?;
        let mut guest = Entry::find(&self.request, &mut store, &instance)?;
        let initialized = match guest.initialize {
            Some(initialize) => initialize.call(&mut store, &[], &mut []),
            None => Ok(()),
        };
        let before = host::fuel_left(&store);
        let result = initialized.and_then(|()| guest.call(&mut store));
        let after = host::fuel_left(&store);
        let marks = &store.data().marks;
        let fuel = match (marks.start, marks.end) {
            (Some(start), Some(end)) => host::fuel_between(start, end),
            // Stopped inside its measured part: there is no such figure.
            (Some(_), None) => None,
            _ => before.zip(after).map(|(before, after)| before.saturating_sub(after)),
        };
        Ok(Counted {
            fuel,
            marked: marks.start.is_some(),
            ending: ending(&result, store.data()),
            line: ProtocolLine::last_in(&store.data().stdout()),
            results: if result.is_ok() { guest.results.iter().map(shown).collect() } else { Vec::new() },
            final_pages: instance.get_memory(&mut store, "memory").map(|memory| memory.size(&store)),
        })
    }

    fn store(&self, engine: &Engine) -> wasmtime::Result<Store<Host>> {
        let mut store = Store::new(engine, Host::new(&self.request, self.stdin.as_ref(), &self.cell)?);
        store.limiter(|host| &mut host.limits);
        Ok(store)
    }
}

/// Where the guest's linear memory lies in this process, up to its present size.
fn linear_memory(instance: &Instance, store: &mut Store<Host>) -> Option<std::ops::Range<usize>> {
    let memory = instance.get_memory(&mut *store, "memory")?;
    let start = memory.data_ptr(&*store) as usize;
    Some(start..start + memory.data_size(&*store))
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
        if first_phase == Phase::Init {
            pass(Phase::Init, entry, start.at);
        }
        if let Some(end) = marks.end {
            pass(Phase::Run, start.at, end.at);
        }
        if first_phase == Phase::Init {
            watch.entered.push(Phase::Run);
        }
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
    let returned = || host.complaint().map_or(Ending::Returned, |reason| Ending::Broken { reason });
    let Err(error) = result else { return returned() };
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return match exit.0 {
            0 => returned(),
            code => Ending::Exited { code, stderr: host.stderr_end() },
        };
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Ending::Trapped { trap: trap.to_string(), stderr: host.stderr_end() };
    }
    Ending::Broken { reason: format!("{error:#}") }
}

/// Every iteration finds its preopened folder empty, as the first one did.
pub(super) fn empty_folder(folder: &Path) -> std::io::Result<()> {
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
