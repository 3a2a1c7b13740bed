//! Traps that have nothing to do with the edge of memory: code, message, backtrace, signal.

use serde_json::json;
use wasiscope_ebpf_abi::Phase;
use wasmtime::{Engine, Instance, Module, Store, StoreLimits, StoreLimitsBuilder, Trap, WasmBacktrace};

use super::signals::Signals;
use super::{NULL_PAGE, is_known_lack, matrix, short_reason, signal_name};
use crate::traps::{Needs, OTHER_TRAPS, OtherTrap};
use wasiscope_engines::{engine, memory};
use wasiscope_model::record::{Failure, Tally, Totals};
use wasiscope_scenario::{BoundsChecks, EngineSettings};
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::{Message, Subject};

/// Fuel of a store in which it runs out.
const LITTLE_FUEL: u64 = 1_000;
/// One page: what a guest has that may have no more.
const LITTLE_MEMORY: usize = 1 << 16;

/// Tries every other trap, and sends what each comes to.
pub(super) fn run(
    slowly: bool,
    subject: &Subject,
    cell: PhaseCell,
    send: &mut dyn FnMut(&Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for tried in OTHER_TRAPS {
        if slowly {
            send(&Message::Trying { what: tried.name.to_owned() })?;
        }
        cell.begin_pass(1);
        send(&Message::Checked(attempt(tried, subject, cell)?))?;
    }
    Ok(())
}

fn attempt(tried: &OtherTrap, subject: &Subject, cell: PhaseCell) -> anyhow::Result<Totals> {
    let mut checked = Totals::default();
    let mut tally = Tally::default();
    let mut settings = engine::settings(subject)?;
    let plain = settings;
    settings.fuel |= tried.needs == Needs::Fuel;
    settings.epoch |= tried.needs == Needs::Epoch;
    let engine = matrix::engine_of(settings, subject)?;
    let result = match Module::new(&engine, tried.wat) {
        Err(error) if is_known_lack(settings, &short_reason(&error)) => {
            tally.unsupported += 1;
            checked.unsupported.insert(short_reason(&error), 1);
            None
        }
        Err(error) => Some(Err(format!("the engine refuses the module: {error:#}"))),
        Ok(module) => Some(one(tried, &engine, &module, plain, cell, &mut checked)),
    };
    if let Some(result) = result {
        tally.tried += 1;
        tally.passed += u64::from(result.is_ok());
        checked.failures.extend(result.err().map(|got| Failure {
            what: tried.name.to_owned(),
            expected: format!("{} ({}), in {}", tried.code.unwrap_or("an error"), tried.message, names(tried)),
            got,
            wat: Some(tried.wat.to_owned()),
        }));
    }
    checked.tallies.insert(tried.name.to_owned(), tally);
    Ok(checked)
}

fn names(tried: &OtherTrap) -> String {
    tried.backtrace.join(" ← ")
}

fn one(
    tried: &OtherTrap,
    engine: &Engine,
    module: &Module,
    settings: EngineSettings,
    cell: PhaseCell,
    checked: &mut Totals,
) -> Result<(), String> {
    let limits = match tried.needs {
        Needs::MemoryLimit => StoreLimitsBuilder::new().memory_size(LITTLE_MEMORY).trap_on_grow_failure(true),
        _ => StoreLimitsBuilder::new(),
    };
    let mut store: Store<StoreLimits> = Store::new(engine, limits.build());
    store.limiter(|limits| limits);
    let prepared = engine::unlimited(&mut store, settings).and_then(|()| {
        match tried.needs {
            Needs::Fuel => store.set_fuel(LITTLE_FUEL)?,
            Needs::Epoch => {
                store.set_epoch_deadline(1);
                engine.increment_epoch();
            }
            Needs::Nothing | Needs::MemoryLimit => {}
        }
        let instance = Instance::new(&mut store, module, &[])?;
        let memory = instance.get_memory(&mut store, "memory").map(|memory| memory.data(&store).as_ptr_range());
        Ok((instance.get_typed_func::<(), ()>(&mut store, "run")?, memory))
    });
    let (run, memory) = prepared.map_err(|error| format!("it cannot be run: {error:#}"))?;
    let region = memory.map(|bytes| memory::region(settings, bytes.start as u64..bytes.end as u64));
    cell.publish_memories(region.clone());
    let signals = Signals::of(&mut store);
    *checked.entered.entry(Phase::Trap).or_default() += 1;
    cell.enter(Phase::Trap);
    let called = run.call(&mut store, ());
    cell.enter(Phase::Outside);
    cell.publish_memories([]);
    let seen = signals.take();
    let Err(error) = called else { return Err("no trap".to_owned()) };
    let caught = &mut checked.caught;
    caught.traps += 1;
    match (seen.count, seen.number) {
        (0, _) => caught.without_signal += 1,
        (1, libc::SIGSEGV) if region.is_some_and(|region| region.is_behind(seen.address)) => caught.by_guard += 1,
        (1, libc::SIGSEGV) if seen.address < NULL_PAGE => caught.by_null_page += 1,
        (1, libc::SIGSEGV) => return Err(format!("SIGSEGV at {:#x}, where nothing is expected", seen.address)),
        (1, _) => caught.by_instruction += 1,
        (count, _) => return Err(format!("{count} signals for one trap")),
    }
    let trap = error.downcast_ref::<Trap>();
    let code = trap.map(|trap| format!("{trap:?}"));
    let message = trap.map_or_else(|| format!("{:#}", error.root_cause()), ToString::to_string);
    let backtrace: Vec<String> = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    let signal = (seen.count > 0).then(|| signal_name(seen.number));
    checked.facts.insert(
        format!("trap.{}", tried.name),
        json!({"code": code, "message": message, "frames": backtrace.len(), "signal": signal}),
    );
    if code.as_deref() != tried.code {
        return Err(format!("{} ({message})", code.as_deref().unwrap_or("no trap code")));
    }
    if !message.contains(tried.message) {
        return Err(format!("the message `{message}`"));
    }
    if !backtrace.iter().map(String::as_str).take(tried.backtrace.len()).eq(tried.backtrace.iter().copied()) {
        return Err(format!("the backtrace {}", backtrace.join(" ← ")));
    }
    if settings.bounds_checks == BoundsChecks::Explicit && signal.is_some() {
        return Err(format!("{} on an engine that is to use no signals", signal.unwrap_or_default()));
    }
    Ok(())
}

/// The names of the functions that were active, the innermost first.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    backtrace.frames().iter().map(|frame| frame.func_name().unwrap_or("?").to_owned()).collect()
}
