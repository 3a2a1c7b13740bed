//! The untimed pass: what is exact about a guest in an engine.

use std::time::Instant;

use serde_json::Value;
use wasiscope_ebpf_abi::Phase;
use wasmtime::{Engine, InstancePre, Module, Trap};
use wasmtime_wasi::I32Exit;

use super::engine;
use super::entry::Entry;
use super::host::{self, Host};
use super::pass::{Linked, Worker, empty_folder, ending, link};
use super::protocol::{Ending, LastMark, Message, Pace, ProtocolLine};
use crate::record::Facts;

/// A guest whose pass under fuel counting takes less than this is passed a few more times to learn its pace.
const QUICK_NS: u64 = 2_000_000;

/// What one run under fuel counting found out.
struct Counted {
    /// Between the marks, or in the whole call where there are none.
    fuel: Option<u64>,
    marked: bool,
    last_mark: LastMark,
    ending: Ending,
    line: Option<ProtocolLine>,
    results: Vec<String>,
    /// How it died and what it left, if it did.
    died: Facts,
    final_pages: Option<u64>,
    took_ns: u64,
}

impl Worker {
    /// Two runs with fuel counting, which slows the guest: nothing of it is timed.
    pub(super) fn facts(&self) -> wasmtime::Result<Message> {
        empty_folder(&self.subject.directory)?;
        let (linked, compile_ns) = self.linked()?;
        // The functions themselves: the whole of the text section is padded to a page.
        let native_code: usize = linked.instance_pre.module().functions().map(|function| function.len).sum();

        let mut counting = engine::config(self.subject.engine, &self.subject.limits)?;
        counting.consume_fuel(true);
        let engine = Engine::new(&counting)?;
        let module = Module::from_binary(&engine, &self.wasm)?;
        let module = link(&engine, &module)?;
        let first = self.count_fuel(&engine, &module)?;
        // Fuel is a fact only where it is one: Go's scheduler, for one, follows the clock and random numbers.
        empty_folder(&self.subject.directory)?;
        let fuel =
            first.fuel.filter(|fuel| self.count_fuel(&engine, &module).is_ok_and(|again| again.fuel == Some(*fuel)));
        let pace = Pace { compile_ns: Some(compile_ns), pass_ns: self.pass_ns(&linked, &first)? };
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
        facts.extend(first.died);
        let traps_after = matches!(first.ending, Ending::Trapped { .. }).then_some(first.last_mark);
        Ok(Message::Facts { marked: first.marked, traps_after, facts, line, ending: first.ending, pace })
    }

    /// The fastest of a few warm passes; of a guest that takes long anyway, its time under fuel counting.
    fn pass_ns(&self, linked: &Linked, counted: &Counted) -> wasmtime::Result<Option<u64>> {
        const PASSES: u32 = 3;
        if !matches!(counted.ending, Ending::Returned | Ending::Trapped { .. }) {
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
        let mut watch = self.stopwatch();
        let linked = self.prepare(&mut watch)?;
        let compile =
            watch.timed().iter().find(|timed| timed.phase == Phase::Compile).map_or(0, |timed| timed.total_ns);
        Ok((linked, compile))
    }

    /// Of a guest that trapped or exited with a code: which, and what it had written by then.
    fn died(&self, result: &wasmtime::Result<()>, host: &Host) -> Facts {
        let Err(error) = result else { return Facts::new() };
        let how = match (error.downcast_ref::<Trap>(), error.downcast_ref::<I32Exit>()) {
            (_, Some(I32Exit(0))) | (None, None) => return Facts::new(),
            (Some(trap), _) => ("trap.code".to_owned(), Value::from(format!("{trap:?}"))),
            (None, Some(exit)) => ("exit.code".to_owned(), Value::from(exit.0)),
        };
        let left = std::fs::read_dir(&self.subject.directory).into_iter().flatten().flatten();
        let mut left: Vec<String> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        left.sort();
        let (stdout, stderr) = host.written_bytes();
        Facts::from([
            how,
            ("left.files".to_owned(), Value::from(left)),
            ("left.stdout_bytes".to_owned(), Value::from(stdout)),
            ("left.stderr_bytes".to_owned(), Value::from(stderr)),
        ])
    }

    /// One run of a module that counts fuel.
    fn count_fuel(&self, engine: &Engine, module: &InstancePre<Host>) -> wasmtime::Result<Counted> {
        let mut store = self.store(engine, &self.cell)?;
        store.set_fuel(u64::MAX)?;
        store.data_mut().counts_fuel = true;
        let instance = module.instantiate(&mut store)?;
        let mut guest = Entry::find(&self.subject, &mut store, &instance)?;
        let start = Instant::now();
        let initialized = match guest.initialize {
            Some(initialize) => initialize.call(&mut store, &[], &mut []),
            None => Ok(()),
        };
        let before = host::fuel_left(&store);
        let result = initialized.and_then(|()| guest.call(&mut store));
        let after = host::fuel_left(&store);
        let took_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
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
            last_mark: marks.last(),
            ending: ending(&result, store.data()),
            line: ProtocolLine::last_in(&store.data().stdout()),
            died: self.died(&result, store.data()),
            results: if result.is_ok() { guest.results() } else { Vec::new() },
            final_pages: instance.get_memory(&mut store, "memory").map(|memory| memory.size(&store)),
            took_ns,
        })
    }
}
