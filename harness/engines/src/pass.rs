//! One pass through the phases.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use wasiscope_ebpf_abi::Phase;
use wasmtime::{Engine, Export, Instance, Memory, Module, Store};

use super::callgrind;
use super::code;
use super::ending::{self, At, ending};
use super::engine;
use super::entry::Entry;
use super::host::Host;
use super::link::{Ready, link};
use super::memory;
use wasiscope_model::record::{self, Span};
use wasiscope_scenario::EngineSettings;
use wasiscope_sys::clock;
use wasiscope_sys::folder::Workspace;
use wasiscope_worker::cell::{MemoryRegion, PhaseCell};
use wasiscope_worker::protocol::{Ending, Iteration, LastMark, ProtocolLine, Subject, Timed};
use wasiscope_worker::thread;
use wasiscope_worker::written::Output;

/// What every pass of one guest shares.
pub struct Worker {
    pub(crate) subject: Subject,
    /// Of its engine.
    pub(crate) settings: EngineSettings,
    pub(crate) wasm: Vec<u8>,
    stdin: Option<Bytes>,
    /// The guest's folders, which every pass finds as the first one did.
    workspaces: RefCell<Vec<Workspace>>,
    pub(crate) cell: Arc<PhaseCell>,
    /// For all but the first of repeated passes: the kernel's counts are of one pass.
    unseen: Arc<PhaseCell>,
}

/// A guest ready to be instantiated.
pub struct Linked {
    pub(crate) engine: Engine,
    pub(crate) ready: Ready,
}

/// The phases of one pass as they happen.
pub struct Stopwatch {
    cell: Arc<PhaseCell>,
    timed: Vec<Timed>,
    spans: Vec<Span>,
    entered: Vec<Phase>,
}

impl Stopwatch {
    fn new(cell: &Arc<PhaseCell>) -> Self {
        // Room for every phase, so that no pass allocates between two of them.
        let room = Phase::REPORTED.len();
        Self {
            cell: Arc::clone(cell),
            timed: Vec::with_capacity(room),
            spans: Vec::with_capacity(room),
            entered: Vec::with_capacity(room),
        }
    }

    /// What was timed so far.
    pub fn timed(&self) -> &[Timed] {
        &self.timed
    }

    /// Runs `work` as `phase`. What `work` returns is dropped by the caller, outside the phase.
    fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        self.entered.push(phase);
        self.cell.enter(phase);
        let start_ns = clock::monotonic_ns();
        let result = work();
        let end_ns = clock::monotonic_ns();
        self.cell.enter(Phase::Outside);
        self.add(phase, start_ns, end_ns);
        result
    }

    fn add(&mut self, phase: Phase, start_ns: u64, end_ns: u64) {
        self.timed.push(Timed::once(phase, end_ns.saturating_sub(start_ns)));
        self.spans.push(Span { phase, start_ns, end_ns });
    }

    /// Adds what a repeated pass took to what the first one did.
    fn absorb(&mut self, repeated: &Self) {
        for again in &repeated.timed {
            match self.timed.iter_mut().find(|present| present.phase == again.phase) {
                Some(present) => {
                    present.total_ns += again.total_ns;
                    present.passes += again.passes;
                }
                None => self.timed.push(*again),
            }
        }
    }
}

/// How one warm pass went, besides its durations.
struct Warm {
    memory: Vec<(String, u64)>,
    line: Option<ProtocolLine>,
    ending: Ending,
    /// What it wrote, where that was asked for.
    output: Option<Output>,
}

/// Most different outputs of one iteration that are sent.
const OUTPUTS: usize = 4;

impl Worker {
    /// Reads the guest, and what it will find on standard input.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn new(subject: Subject, cell: PhaseCell) -> anyhow::Result<Self> {
        let wasm = std::fs::read(&subject.guest)?;
        let stdin = subject.input.stdin.as_ref().map(std::fs::read).transpose()?.map(Bytes::from);
        let workspaces = subject.workspaces()?;
        let unseen = Arc::new(cell.unseen());
        let settings = engine::settings(&subject)?;
        Ok(Self { subject, settings, wasm, stdin, workspaces: RefCell::new(workspaces), cell: Arc::new(cell), unseen })
    }

    /// Gives every folder back what a pass may have changed.
    pub fn restore_folders(&self) -> std::io::Result<()> {
        self.workspaces.borrow_mut().iter_mut().try_for_each(Workspace::restore)
    }

    pub(crate) fn stopwatch(&self) -> Stopwatch {
        Stopwatch::new(&self.cell)
    }

    /// One timed pass through every phase, each with objects of its own: nothing is carried over from the pass before.
    /// The phases from `instantiate` on are passed `repeats` times.
    pub fn iterate(&self, repeats: u32) -> wasmtime::Result<Iteration> {
        self.iterate_with(repeats, true, &mut self.stopwatch())
    }

    /// As [`iterate`](Self::iterate), without the phase `compile`: the code is that of the worker that found out the facts.
    pub fn iterate_precompiled(&self, repeats: u32) -> wasmtime::Result<Iteration> {
        self.iterate_with(repeats, false, &mut self.stopwatch())
    }

    fn iterate_with(&self, repeats: u32, compiles: bool, watch: &mut Stopwatch) -> wasmtime::Result<Iteration> {
        self.restore_folders()?;
        self.cell.begin_pass(1);
        // What the iteration before had is gone, and something else may lie there soon.
        self.cell.publish_code(0..0);
        let preemptions_before = thread::preemptions();
        let linked = if compiles { self.prepare(watch) } else { self.load(watch) }?;
        let mut first = self.store(&linked.engine, &self.cell)?;
        let ready = linked.ready.in_store(&mut first)?;
        let cold = watch.time(Phase::InstantiateCold, || ready.instantiate(&mut first));
        // A guest that ends in its start function does so in the pass below as well, which says how.
        cold.map(drop).or_else(|error| if ending::is_of_guest(&error) { Ok(()) } else { Err(error) })?;
        // Not of the instance that is measured next: reading it takes system calls.
        let resident = memory::resident_bytes();
        drop(first);
        let mut iteration = self.repeat(&linked, repeats, watch)?;
        iteration.memory.extend(resident.map(|bytes| (record::RSS_INSTANTIATE.to_owned(), bytes)));
        iteration.preemptions = thread::preemptions().zip(preemptions_before).map(|(now, before)| now - before);
        Ok(iteration)
    }

    /// One iteration of which the kernel programs tell every event, after `warm_ups` that they only count.
    pub fn trace(&self, warm_ups: u32) -> wasmtime::Result<Iteration> {
        for _ in 0..warm_ups {
            self.iterate(1)?;
        }
        self.cell.trace(true);
        let mut watch = self.stopwatch();
        let iteration = self.iterate_with(1, true, &mut watch);
        self.cell.trace(false);
        Ok(Iteration { spans: watch.spans, ..iteration? })
    }

    /// Warm passes alone, of a guest that is compiled and linked.
    ///
    /// # Errors
    /// When the guest's folder cannot be emptied, or the engine refuses an instance.
    pub fn warm(&self, linked: &Linked, repeats: u32) -> wasmtime::Result<Iteration> {
        self.restore_folders()?;
        self.repeat(linked, repeats, &mut self.stopwatch())
    }

    /// Instances that are made and dropped without being run, added to what was timed already: making one takes
    /// microseconds, and a long guest has few passes.
    pub fn instantiate_more(&self, linked: &Linked, instances: u32, pass: &mut Iteration) -> wasmtime::Result<()> {
        let mut watch = Stopwatch { timed: std::mem::take(&mut pass.timed), ..Stopwatch::new(&self.unseen) };
        for _ in 0..instances {
            let mut again = Stopwatch::new(&self.unseen);
            let mut store = self.store(&linked.engine, &self.unseen)?;
            let ready = linked.ready.in_store(&mut store)?;
            let made = again.time(Phase::Instantiate, || ready.instantiate(&mut store));
            made.map(drop).or_else(|error| if ending::is_of_guest(&error) { Ok(()) } else { Err(error) })?;
            watch.absorb(&again);
        }
        pass.timed = watch.timed;
        Ok(())
    }

    /// From bytes to something that can be instantiated.
    pub fn prepare(&self, watch: &mut Stopwatch) -> wasmtime::Result<Linked> {
        let config = engine::config(self.settings, &self.subject.limits)?;
        let engine = watch.time(Phase::Engine, || Engine::new(&config))?;
        let module = watch.time(Phase::Compile, || Module::from_binary(&engine, &self.wasm))?;
        let precompiled = module.serialize()?;
        // SAFETY: the bytes were made by `serialize` of this very engine, two lines above.
        let loaded = watch.time(Phase::Deserialize, || unsafe { Module::deserialize(&engine, &precompiled) })?;
        drop((loaded, precompiled));
        self.link(engine, &module, watch)
    }

    /// From compiled code to something that can be instantiated.
    fn load(&self, watch: &mut Stopwatch) -> wasmtime::Result<Linked> {
        let config = engine::config(self.settings, &self.subject.limits)?;
        let engine = watch.time(Phase::Engine, || Engine::new(&config))?;
        // Read anew each time, so that it is not in the figures of memory.
        let code = code::read(&self.subject)?;
        // SAFETY: the bytes were made by `serialize` of an engine that was set the same, by another worker of the same executable, in
        // memory that no guest reaches.
        let module = watch.time(Phase::Deserialize, || unsafe { Module::deserialize(&engine, &code) })?;
        drop(code);
        self.link(engine, &module, watch)
    }

    fn link(&self, engine: Engine, module: &Module, watch: &mut Stopwatch) -> wasmtime::Result<Linked> {
        let code = module.image_range();
        self.cell.publish_code(code.start as u64..code.end as u64);
        let ready = watch.time(Phase::Link, || link(&engine, module, self.subject.input.stub_imports))?;
        Ok(Linked { engine, ready })
    }

    fn repeat(&self, linked: &Linked, repeats: u32, watch: &mut Stopwatch) -> wasmtime::Result<Iteration> {
        // However often a short guest is repeated, the limit holds for all of it.
        self.cell.begin_pass(1);
        let mut first = self.pass(linked, watch)?;
        let mut outputs: Vec<Output> = first.output.take().into_iter().collect();
        let mut passed = 1;
        while passed < repeats && !matches!(first.ending, Ending::Broken { .. }) {
            self.restore_folders()?;
            let mut again = Stopwatch::new(&self.unseen);
            let mut pass = self.pass(linked, &mut again)?;
            watch.absorb(&again);
            passed += 1;
            outputs.extend(pass.output.take().filter(|output| outputs.len() < OUTPUTS && !outputs.contains(output)));
            // A pass that ends or answers otherwise is the one to judge.
            if pass.ending != first.ending || pass.line != first.line {
                first = pass;
                break;
            }
        }
        Ok(Iteration {
            timed: watch.timed.clone(),
            entered: watch.entered.clone(),
            spans: Vec::new(),
            memory: first.memory,
            measured: Vec::new(),
            counts: Vec::new(),
            spreads: Vec::new(),
            preemptions: None,
            line: first.line,
            ending: first.ending,
            outputs,
        })
    }

    /// One instance, from `instantiate` to `teardown`.
    fn pass(&self, linked: &Linked, watch: &mut Stopwatch) -> wasmtime::Result<Warm> {
        let mut store = self.store(&linked.engine, &watch.cell)?;
        let ready = linked.ready.in_store(&mut store)?;
        let instance = watch.time(Phase::Instantiate, || ready.instantiate(&mut store));
        let instance = match instance {
            Ok(instance) => instance,
            Err(error) => return Ok(ended_early(watch, store, (error, None), Phase::Instantiate)),
        };
        let mut guest = Entry::find(&self.subject, &mut store, &instance)?;
        watch.cell.publish_memories(memories(self.settings, &instance, &mut store));

        if guest.initializes() {
            let initialized = watch.time(Phase::Init, || guest.initialize(&mut store));
            if let Err(error) = initialized {
                return Ok(ended_early(watch, store, (error, Some(instance)), Phase::Init));
            }
        }
        let first_phase = match self.subject {
            Subject { marked: true, .. } if !guest.initializes() => Phase::Init,
            Subject { traps_after: Some(LastMark::None), .. } => Phase::Trap,
            _ => Phase::Run,
        };
        watch.entered.push(first_phase);
        watch.cell.enter(first_phase);
        if !self.subject.marked {
            callgrind::toggle();
        }
        let entry_ns = clock::monotonic_ns();
        let result = guest.call(&mut store);
        let back_ns = clock::monotonic_ns();
        if !self.subject.marked {
            callgrind::toggle();
        }
        let at = At::measured(watch.cell.phase());
        watch.cell.enter(Phase::Outside);

        let ending = ending(&result, &mut store, Some(&instance), at);
        charge(watch, first_phase, store.data(), (entry_ns, back_ns), &ending);
        let line = ProtocolLine::last_in(&store.data().stdout());
        let output = store.data().output_if_wanted();
        let touched = linear_memory(&instance, &mut store).and_then(memory::resident_in);
        let memory = [(record::RSS_RUN, memory::resident_bytes()), (record::TOUCHED, touched)];
        let memory = memory.into_iter().filter_map(|(metric, bytes)| Some((metric.to_owned(), bytes?))).collect();
        watch.time(Phase::Teardown, || drop(store));
        watch.cell.publish_memories([]);
        Ok(Warm { memory, line, ending, output })
    }

    pub(crate) fn store(&self, engine: &Engine, cell: &Arc<PhaseCell>) -> wasmtime::Result<Store<Host>> {
        let mut store = Store::new(engine, Host::new(&self.subject, self.stdin.as_ref(), cell)?);
        engine::unlimited(&mut store, self.settings)?;
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

/// Where the memories lie that the guest exports, as those of a WASI command must be.
fn memories(settings: EngineSettings, instance: &Instance, store: &mut Store<Host>) -> Vec<MemoryRegion> {
    let exported: Vec<_> = instance.exports(&mut *store).filter_map(Export::into_memory).collect();
    let place = |memory: &Memory| {
        let start = memory.data_ptr(&*store) as u64;
        memory::region(settings, start..start + memory.data_size(&*store) as u64)
    };
    exported.iter().map(place).collect()
}

/// Splits the time between entry of `_start` and control back in the host among the phases, by the guest's marks.
fn charge(watch: &mut Stopwatch, first_phase: Phase, host: &Host, (entry_ns, back_ns): (u64, u64), ending: &Ending) {
    let trapped = matches!(ending, Ending::Trapped { .. });
    let marks = &host.marks;
    let mut pass = |phase, from_ns, to_ns| watch.add(phase, from_ns, to_ns);
    if let Some(start) = marks.start {
        if first_phase == Phase::Init {
            pass(Phase::Init, entry_ns, start.at_ns);
        }
        if let Some(end) = marks.end {
            pass(Phase::Run, start.at_ns, end.at_ns);
        }
        if first_phase == Phase::Init && !(trapped && marks.end.is_none()) {
            watch.entered.push(Phase::Run);
        }
    } else if !trapped && first_phase == Phase::Run {
        pass(Phase::Run, entry_ns, back_ns);
    }
    if (trapped || marks.fault.is_some()) && first_phase != Phase::Trap {
        watch.entered.push(Phase::Trap);
    }
    if trapped {
        let latest_ns = [marks.start, marks.end, marks.fault].into_iter().flatten().map(|mark| mark.at_ns).max();
        watch.add(Phase::Trap, latest_ns.unwrap_or(entry_ns), back_ns);
    }
}

/// What is left of a pass that ended before the function that is measured: good or bad, the phases behind were not reached.
fn ended_early(
    watch: &mut Stopwatch,
    mut store: Store<Host>,
    (error, instance): (wasmtime::Error, Option<Instance>),
    phase: Phase,
) -> Warm {
    let ending = ending(&Err(error), &mut store, instance.as_ref(), At::early(phase));
    let line = ProtocolLine::last_in(&store.data().stdout());
    let output = store.data().output_if_wanted();
    let memory = memory::resident_bytes().map(|bytes| (record::RSS_RUN.to_owned(), bytes));
    watch.time(Phase::Teardown, || drop(store));
    watch.cell.publish_memories([]);
    Warm { memory: memory.into_iter().collect(), line, ending, output }
}
