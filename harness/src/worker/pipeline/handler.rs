//! One instance of a handler, and what becomes of an event in it.

use wasmtime::{Engine, InstancePre, Linker, Memory, Module, Store, StoreLimitsBuilder, Trap, TypedFunc};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use super::EVENT_BYTES;
use super::imports::{self, Granted, Host};
use crate::pipeline::Reason;
use crate::worker::protocol::Subject;

/// Bytes of a page of linear memory.
const PAGE_BYTES: usize = 65_536;
/// What a handler may write to stdout and stderr.
const OUTPUT_BYTES: usize = 64 << 10;
/// Epochs that a handler may take for one event: it is cut off within the last of them.
pub(super) const EPOCHS: u64 = 2;

/// A handler that can be instantiated.
pub(super) struct Handler {
    pre: InstancePre<Host>,
    engine: Engine,
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
        Ok(Self { pre: linker.instantiate_pre(&module)?, engine: engine.clone(), memory_bytes, maps })
    }

    /// A new instance with room for so many events at once. A program's `_start`, or a library's `_initialize`, is called first.
    pub(super) fn instantiate(&self, room: usize) -> wasmtime::Result<Instance> {
        let output = || MemoryOutputPipe::new(OUTPUT_BYTES);
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_blocking_current_thread(true).stdout(output()).stderr(output());
        let limits = StoreLimitsBuilder::new().memory_size(self.memory_bytes).build();
        let host = Host { wasi: wasi.build_p1(), limits, maps: self.maps.clone(), refused: 0 };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        // What comes before the first event may take its time, and no more than that.
        store.set_epoch_deadline(1_000);
        let instance = self.pre.instantiate(&mut store)?;
        for name in ["_initialize", "_start"] {
            if let Ok(function) = instance.get_typed_func::<(), ()>(&mut store, name) {
                function.call(&mut store, ())?;
                break;
            }
        }
        let handle = instance.get_typed_func::<(i32, i32), i32>(&mut store, "handle_event")?;
        let Some(memory) = instance.get_memory(&mut store, "memory") else {
            wasmtime::bail!("the handler exports no memory");
        };
        // Behind all that is the guest's, where its allocator will not look: it grows from what is there now.
        let buffer = memory.data_size(&store);
        memory.grow(&mut store, (room * EVENT_BYTES).div_ceil(PAGE_BYTES) as u64)?;
        let says = instance.get_typed_func::<(), u64>(&mut store, "handled").ok();
        Ok(Instance { store, handle, memory, buffer, room, handled: 0, says })
    }
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
        let at = i32::try_from(self.buffer + index * EVENT_BYTES).map_err(|_| Reason::Bounds)?;
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
