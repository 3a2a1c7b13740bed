//! A guest that shares its one thread among workers of its own, and says itself how that went.

use std::sync::Arc;

use wasiscope_ebpf_abi::Phase;
use wasmtime::{Engine, InstancePre, Linker, Module, Store};
use wasmtime_wasi::I32Exit;

use super::Measured;
use crate::scheduler::{HAND_OVER, ITEMS, ROUND_TRIP, STARVATION};
use wasiscope_engines::engine;
use wasiscope_engines::host::{self, Host};
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::Subject;

pub(super) struct Pool {
    engine: Engine,
    linked: InstancePre<Host>,
    subject: Subject,
    cell: Arc<PhaseCell>,
}

impl Pool {
    pub(super) fn new(subject: &Subject, cell: &Arc<PhaseCell>) -> wasmtime::Result<Self> {
        let engine = Engine::new(&engine::config(engine::settings(subject)?, &subject.limits)?)?;
        let module = Module::from_file(&engine, &subject.guest)?;
        let mut linker = Linker::new(&engine);
        host::add_imports(&mut linker)?;
        let linked = linker.instantiate_pre(&module)?;
        Ok(Self { engine, linked, subject: subject.clone(), cell: Arc::clone(cell) })
    }

    /// Runs the guest, whose marks tell the phases, and reads what it prints: `measured NAME VALUE`, then `done`.
    pub(super) fn run(&self) -> wasmtime::Result<Measured> {
        let mut store = Store::new(&self.engine, Host::new(&self.subject, None, &self.cell)?);
        engine::unlimited(&mut store, engine::settings(&self.subject)?)?;
        let instance = self.linked.instantiate(&mut store)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        self.cell.enter(Phase::Init);
        let result = start.call(&mut store, ());
        self.cell.enter(Phase::Outside);
        if let Err(error) = result {
            let code = error.downcast_ref::<I32Exit>().map(|exit| exit.0);
            if code != Some(0) {
                wasmtime::bail!("{error:#}; stderr: {}", store.data().stderr_end());
            }
        }
        read(&store.data().stdout()).map_err(|line| wasmtime::format_err!("the guest printed `{line}`"))
    }
}

/// What a guest has measured, by the names that reports use.
fn read(stdout: &str) -> Result<Measured, String> {
    let mut measured: Measured = Vec::new();
    for line in stdout.lines() {
        if line == "done" {
            return Ok(measured);
        }
        let words: Vec<&str> = line.split(' ').collect();
        let ["measured", name, value] = words[..] else { return Err(line.to_owned()) };
        let value: f64 = value.parse().map_err(|_| line.to_owned())?;
        let name = match name {
            "throughput" => ITEMS,
            HAND_OVER | ROUND_TRIP | STARVATION | crate::scheduler::FAIRNESS => name,
            _ => return Err(line.to_owned()),
        };
        match measured.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => measured.push((name.to_owned(), vec![value])),
        }
    }
    Err("nothing that says it is done".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_prints_is_read_by_name() {
        let read = read("measured hand_over 12\nmeasured hand_over 14\nmeasured throughput 5\ndone\n").expect("valid");
        assert_eq!(read, [("hand_over".to_owned(), vec![12.0, 14.0]), (ITEMS.to_owned(), vec![5.0])]);
    }

    #[test]
    fn a_guest_that_ends_early_or_says_something_else_is_not_believed() {
        for output in
            ["measured hand_over 12\n", "hello\ndone\n", "measured speed 3\ndone\n", "measured fairness x\ndone\n"]
        {
            assert!(read(output).is_err(), "{output}");
        }
    }
}
