//! The untimed pass: what is exact about a guest in an engine.

use std::time::Instant;

use serde_json::Value;
use wasiscope_ebpf_abi::Phase;
use wasmtime::{Engine, Instance, Module, Store};
use wasmtime_wasi::I32Exit;

use super::code;
use super::ending::{self, At, ending};
use super::engine;
use super::entry::Entry;
use super::host::{self, Host};
use super::link::link;
use super::pass::{Linked, Worker};
use wasiscope_model::record::Facts;
use wasiscope_worker::answer;
use wasiscope_worker::heartbeat::COUNTING_FUEL;
use wasiscope_worker::protocol::{Ending, LastMark, Message, Pace, ProtocolLine};
use wasiscope_worker::written::Output;

/// A guest whose pass under fuel counting takes less than this is passed a few more times to learn its pace.
const QUICK_NS: u64 = 2_000_000;

/// What one run under fuel counting found out.
struct Counted {
    /// Everything that must come out the same in every run.
    facts: Facts,
    marked: bool,
    last_mark: LastMark,
    ending: Ending,
    line: Option<ProtocolLine>,
    output: Output,
    took_ns: u64,
}

impl Worker {
    /// Two runs with fuel counting, which slows the guest: nothing of it is timed.
    pub fn facts(&self) -> wasmtime::Result<Message> {
        self.restore_folders()?;
        let (linked, compile_ns) = self.linked()?;
        // The functions themselves: the whole of the text section is padded to a page.
        let native_code: usize = linked.ready.module().functions().map(|function| function.len).sum();
        if self.subject.code.is_some() {
            code::leave(&self.subject, &linked.ready.module().serialize()?)?;
        }

        let mut counting = engine::config(self.settings, &self.subject.limits)?;
        counting.consume_fuel(true);
        let engine = Engine::new(&counting)?;
        self.cell.begin_pass(COUNTING_FUEL);
        let module = self.within(Phase::Compile, || Module::from_binary(&engine, &self.wasm))?;
        let linked_to_count = Linked { ready: link(&engine, &module, self.subject.input.stub_imports)?, engine };
        let first = self.count_fuel(&linked_to_count)?;
        // A fact is what comes out the same twice: Go's scheduler, for one, follows the clock and random numbers.
        self.restore_folders()?;
        let again = self.count_fuel(&linked_to_count)?;
        let pace = Pace { compile_ns: Some(compile_ns), pass_ns: self.pass_ns(&linked, &first)? };
        let mut facts = answer::steady(first.facts, &again.facts);
        facts.insert("size.native_code".to_owned(), Value::from(native_code));
        let traps_after = matches!(first.ending, Ending::Trapped { .. }).then_some(first.last_mark);
        Ok(Message::Facts {
            marked: first.marked,
            traps_after,
            facts,
            line: first.line,
            ending: answer::worse(first.ending, again.ending),
            outputs: answer::outputs(&self.subject, [first.output, again.output]),
            pace,
        })
    }

    /// The fastest of a few warm passes; of a guest that takes long anyway, its time under fuel counting.
    fn pass_ns(&self, linked: &Linked, counted: &Counted) -> wasmtime::Result<Option<u64>> {
        const PASSES: u32 = 3;
        if matches!(counted.ending, Ending::Broken { .. }) {
            return Ok(None);
        }
        if counted.took_ns > QUICK_NS {
            return Ok(Some(counted.took_ns));
        }
        let mut fastest = u64::MAX;
        for _ in 0..PASSES {
            let pass = self.warm(linked, 1)?;
            let total = pass.timed.iter().map(|timed| timed.total_ns).sum();
            fastest = fastest.min(total);
        }
        Ok(Some(fastest))
    }

    /// The guest ready to be instantiated, and the nanoseconds that it took to compile.
    ///
    /// # Errors
    /// When the engine refuses it.
    pub fn linked(&self) -> wasmtime::Result<(Linked, u64)> {
        self.cell.begin_pass(1);
        let mut watch = self.stopwatch();
        let linked = self.prepare(&mut watch)?;
        let compile =
            watch.timed().iter().find(|timed| timed.phase == Phase::Compile).map_or(0, |timed| timed.total_ns);
        Ok((linked, compile))
    }

    /// Of a guest that trapped or exited with a code: the trap, and the files that it left in its folder.
    fn died(&self, result: &wasmtime::Result<()>) -> Facts {
        let Err(error) = result else { return Facts::new() };
        let mut facts = Facts::new();
        match (ending::trap_code(error), error.downcast_ref::<I32Exit>()) {
            (_, Some(I32Exit(0))) | (None, None) => return facts,
            (Some(code), _) => _ = facts.insert("trap.code".to_owned(), Value::from(code)),
            (None, Some(_)) => {}
        }
        let left = std::fs::read_dir(&self.subject.directory).into_iter().flatten().flatten();
        let mut left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        left.sort();
        facts.insert("left.files".to_owned(), Value::from(left));
        facts
    }

    /// Sets the phase while `work` runs, without timing it.
    fn within<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        self.cell.enter(phase);
        let result = work();
        self.cell.enter(Phase::Outside);
        result
    }

    /// One run of a module that counts fuel.
    fn count_fuel(&self, linked: &Linked) -> wasmtime::Result<Counted> {
        let mut store = self.store(&linked.engine, &self.cell)?;
        store.set_fuel(u64::MAX)?;
        store.data_mut().counts_fuel = true;
        self.cell.begin_pass(COUNTING_FUEL);
        let start = Instant::now();
        let ready = linked.ready.in_store(&mut store)?;
        let instance = match self.within(Phase::Instantiate, || ready.instantiate(&mut store)) {
            Ok(instance) => instance,
            Err(error) => return Ok(self.counted_early(error, store, None, At::early(Phase::Instantiate), start)),
        };
        let mut guest = Entry::find(&self.subject, &mut store, &instance)?;
        if guest.initializes()
            && let Err(error) = self.within(Phase::Init, || guest.initialize(&mut store))
        {
            return Ok(self.counted_early(error, store, Some(instance), At::early(Phase::Init), start));
        }
        let before = host::fuel_left(&store);
        let result = self.within(Phase::Run, || guest.call(&mut store));
        let after = host::fuel_left(&store);
        let took_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let marks = &store.data().marks;
        let fuel = match (marks.start, marks.end) {
            (Some(start), Some(end)) => host::fuel_between(start, end),
            // Stopped inside its measured part: there is no such figure.
            (Some(_), None) => None,
            _ => before.zip(after).map(|(before, after)| before.saturating_sub(after)),
        };
        let (marked, last_mark) = (marks.start.is_some(), marks.last());
        let ending = ending(&result, &mut store, Some(&instance), At::measured(Phase::Run));
        let mut counted = self.counted(&result, ending, &mut store, Some(&instance), took_ns);
        counted.facts.insert("fuel".to_owned(), Value::from(fuel));
        let results = if result.is_ok() { guest.results() } else { Vec::new() };
        if !results.is_empty() {
            counted.facts.insert("result".to_owned(), Value::from(results));
        }
        Ok(Counted { marked, last_mark, ..counted })
    }

    /// What a run found out that ended before the function that is measured: it has no fuel of its own.
    fn counted_early(
        &self,
        error: wasmtime::Error,
        mut store: Store<Host>,
        instance: Option<Instance>,
        at: At,
        start: Instant,
    ) -> Counted {
        let result = Err(error);
        let ending = ending(&result, &mut store, instance.as_ref(), at);
        let took_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counted(&result, ending, &mut store, instance.as_ref(), took_ns)
    }

    /// What any run found out, whether it got to the function that is measured or not.
    fn counted(
        &self,
        result: &wasmtime::Result<()>,
        ending: Ending,
        store: &mut Store<Host>,
        instance: Option<&Instance>,
        took_ns: u64,
    ) -> Counted {
        let output = store.data().output();
        let line = ProtocolLine::last_in(&store.data().stdout());
        let mut facts = answer::facts(&output, &ending, line.as_ref());
        facts.extend(self.died(result));
        facts.insert("fuel".to_owned(), Value::Null);
        let memory = instance.and_then(|instance| instance.get_memory(&mut *store, "memory"));
        facts.insert("memory.final_pages".to_owned(), Value::from(memory.map(|memory| memory.size(&*store))));
        Counted { facts, marked: false, last_mark: LastMark::None, ending, line, output, took_ns }
    }
}
