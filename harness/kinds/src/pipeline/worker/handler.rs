//! One instance of a handler, and what becomes of an event in it.

use wasmtime::error::Context as _;
use wasmtime::{Engine, InstancePre, Linker, Memory, Module, Store, StoreLimitsBuilder, Trap, TypedFunc};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

use super::EVENT_BYTES;
use super::imports::{self, Granted, Host};
use crate::pipeline::Reason;
use wasiscope_engines::engine;
use wasiscope_scenario::EngineSettings;
use wasiscope_worker::protocol::Subject;

/// Most elements of a table.
const TABLE_ELEMENTS: usize = 1 << 17;
/// Epochs for what a handler does before its first event.
const START_EPOCHS: u64 = 1_000;
/// Epochs that a handler may take for one event: it is cut off within the last of them.
pub(super) const EPOCHS: u64 = 2;

/// A handler that can be instantiated.
pub(super) struct Handler {
    pre: InstancePre<Host>,
    engine: Engine,
    settings: EngineSettings,
    memory_bytes: usize,
    maps: Granted,
}

/// An instance of it.
pub(super) struct Instance {
    store: Store<Host>,
    handle: TypedFunc<(i32, i32), i32>,
    memory: Memory,
    /// Where events are put.
    buffer: usize,
    /// How many the buffer holds.
    room: usize,
    /// What it was called with, and what it says of that.
    handled: u64,
    says: Option<TypedFunc<(), u64>>,
}

impl Handler {
    pub(super) fn new(engine: &Engine, subject: &Subject, maps: Granted) -> wasmtime::Result<Self> {
        let module = Module::from_file(engine, &subject.guest)?;
        let mut linker = Linker::new(engine);
        imports::add(&mut linker)?;
        let memory_bytes = usize::try_from(subject.limits.memory_bytes).unwrap_or(usize::MAX);
        Ok(Self {
            pre: linker.instantiate_pre(&module)?,
            engine: engine.clone(),
            settings: engine::settings(subject)?,
            memory_bytes,
            maps,
        })
    }

    /// A new instance with room for so many events at once. A program's `_start`, or a library's `_initialize`, is called first.
    pub(super) fn instantiate(&self, room: usize) -> wasmtime::Result<Instance> {
        // What it prints goes nowhere: there may be a line for each event.
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_blocking_current_thread(true);
        let limits = StoreLimitsBuilder::new()
            .memory_size(self.memory_bytes)
            .memories(1)
            .table_elements(TABLE_ELEMENTS)
            .instances(1)
            .build();
        let host = Host { wasi: wasi.build_p1(), limits, maps: self.maps.clone(), refused: 0 };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        engine::unlimited(&mut store, self.settings)?;
        // What comes before the first event may take its time, and no more than that.
        store.set_epoch_deadline(START_EPOCHS);
        let instance = self.pre.instantiate(&mut store)?;
        for name in ["_initialize", "_start"] {
            if let Ok(function) = instance.get_typed_func::<(), ()>(&mut store, name) {
                function.call(&mut store, ()).or_else(ended_well)?;
                break;
            }
        }
        let handle = instance
            .get_typed_func::<(i32, i32), i32>(&mut store, "handle_event")
            .context("a handler exports `handle_event(ptr: i32, len: i32) -> i32`")?;
        let memory = instance.get_memory(&mut store, "memory");
        let memory = memory.context("a handler exports its `memory`, which is not shared")?;
        let buffer = place(&mut store, &instance, memory, room * EVENT_BYTES)?;
        let says = instance.get_typed_func::<(), u64>(&mut store, "handled").ok();
        Ok(Instance { store, handle, memory, buffer, room, handled: 0, says })
    }
}

/// A program may end itself, as long as it says that all is well.
fn ended_well(error: wasmtime::Error) -> wasmtime::Result<()> {
    match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(0)) => Ok(()),
        _ => Err(error.context("what is called first, `_initialize` or `_start`, failed")),
    }
}

/// Where events are put: where the guest says, by `event_buffer(bytes) -> ptr`; else into new pages, behind all that is its own. An allocator that takes what is at the
/// end of memory for its own, as TinyGo's does, needs the former.
fn place(
    store: &mut Store<Host>,
    instance: &wasmtime::Instance,
    memory: Memory,
    bytes: usize,
) -> wasmtime::Result<usize> {
    if let Ok(reserve) = instance.get_typed_func::<i32, i32>(&mut *store, "event_buffer") {
        let at = reserve.call(&mut *store, i32::try_from(bytes)?)?.cast_unsigned();
        return Ok(usize::try_from(at)?);
    }
    let at = memory.data_size(&*store);
    let pages = (bytes as u64).div_ceil(memory.page_size(&*store));
    memory.grow(store, pages).context(
        "events need a place: let the memory grow beyond its first pages, or export `event_buffer(bytes: i32) -> i32`",
    )?;
    Ok(at)
}

impl Instance {
    /// Puts events into the guest's memory, one behind the other.
    pub(super) fn put(&mut self, events: &[u8]) -> Result<(), Reason> {
        if events.len() > self.room * EVENT_BYTES {
            return Err(Reason::Bounds);
        }
        self.memory.write(&mut self.store, self.buffer, events).map_err(|_| Reason::Bounds)
    }

    /// Lets the guest handle the event at this place of the buffer. After an error the instance is not to be used again if it trapped.
    pub(super) fn handle(&mut self, index: usize) -> Result<i32, Reason> {
        self.store.set_epoch_deadline(EPOCHS);
        // Addresses have 32 bits without a sign; in the upper half of memory they look negative here.
        let at = u32::try_from(self.buffer + index * EVENT_BYTES).map_err(|_| Reason::Bounds)?.cast_signed();
        let length = i32::try_from(EVENT_BYTES).map_err(|_| Reason::Bounds)?;
        self.handled += 1;
        match self.handle.call(&mut self.store, (at, length)) {
            Ok(answer) if answer < 0 => Err(Reason::Returned),
            Ok(answer) => Ok(answer),
            Err(error) => Err(match error.downcast_ref::<Trap>() {
                Some(Trap::Interrupt) => Reason::Timeout,
                _ => Reason::Trap,
            }),
        }
    }

    /// Requests of it that were refused since this was asked last.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.store.data_mut().refused)
    }

    /// Events that it was called with, and those that it says it handled; `None` when it does not say.
    pub(super) fn account(&mut self) -> (u64, Option<u64>) {
        self.store.set_epoch_deadline(EPOCHS);
        let says = self.says.as_ref().and_then(|says| says.call(&mut self.store, ()).ok());
        (self.handled, says)
    }
}
