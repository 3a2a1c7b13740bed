//! Where cells are tried: an instance under test, a second one beside it, and a memory of the host's, all with known
//! contents.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use wasmtime::{
    Engine, Extern, Func, Instance, Memory, MemoryType, Module, Ref, SharedMemory, Store, StoreLimits,
    StoreLimitsBuilder, Table, Val,
};

use super::signals::Signals;
use crate::scenario::EngineSettings;
use crate::traps::{self, Cell, Layout, Stored};
use crate::worker::cell::MemoryRegion;
use crate::worker::memory;

/// What an instance works on.
#[derive(Clone)]
enum Space {
    Memory(Memory),
    Shared(SharedMemory),
    Table(Table),
}

/// An instance with what it works on.
struct Subject {
    instance: Instance,
    space: Space,
}

pub(super) struct Bench {
    pub(super) store: Store<StoreLimits>,
    pub(super) signals: Arc<Signals>,
    layout: Layout,
    tested: Subject,
    /// Another instance of the same module. Nothing that the first one does may reach it.
    second: Subject,
    /// A memory of the host's in the same store.
    neighbour: Memory,
    /// Pointers to the functions that tables hold, by number: of the first instance and of the second.
    functions: [Vec<usize>; 2],
    settings: EngineSettings,
}

/// What the contents of other memories differ by from those of the one under test.
const PLAIN: u8 = 0;
const SECOND: u8 = 0x55;
const NEIGHBOUR: u8 = 0xAA;
/// More than any memory of the matrix grows to.
const PATTERN_BYTES: u64 = 4 << 16;

impl Bench {
    /// Two instances of a module of cells, filled.
    pub(super) fn new(
        engine: &Engine,
        module: &Module,
        layout: Layout,
        settings: EngineSettings,
        memory_limit: usize,
    ) -> wasmtime::Result<Self> {
        let limits = StoreLimitsBuilder::new().memory_size(memory_limit).trap_on_grow_failure(false).build();
        let mut store = Store::new(engine, limits);
        store.limiter(|limits| limits);
        super::super::engine::unlimited(&mut store, settings)?;
        let signals = Signals::of(&mut store);
        let tested = subject(engine, &mut store, module)?;
        let second = subject(engine, &mut store, module)?;
        let neighbour = Memory::new(&mut store, MemoryType::new(1, Some(1)))?;
        let functions = [&tested, &second].map(|subject| functions(&mut store, subject.instance));
        let mut bench = Self { store, signals, layout, tested, second, neighbour, functions, settings };
        bench.grow()?;
        bench.fill();
        Ok(bench)
    }

    fn grow(&mut self) -> wasmtime::Result<()> {
        for instance in [self.tested.instance, self.second.instance] {
            if let (true, Some(grow)) = (self.layout.grows_by() > 0, instance.get_func(&mut self.store, traps::GROW)) {
                grow.call(&mut self.store, &[], &mut [Val::I32(0)])?;
            }
        }
        Ok(())
    }

    /// Puts everything back to what it was.
    pub(super) fn fill(&mut self) {
        for (subject, mask) in [(&self.tested, PLAIN), (&self.second, SECOND)] {
            let bytes = bytes_mut(&subject.space, &mut self.store);
            bytes.copy_from_slice(&pattern(mask)[..bytes.len()]);
        }
        let neighbour = self.neighbour.data_mut(&mut self.store);
        neighbour.copy_from_slice(&pattern(NEIGHBOUR)[..neighbour.len()]);
        for subject in [&self.tested, &self.second] {
            let Space::Table(table) = subject.space else { continue };
            for index in 0..table.size(&self.store) {
                let function = traps::element_at(index).map(traps::function_name);
                let function = function.and_then(|name| subject.instance.get_func(&mut self.store, &name));
                // An index below the size.
                let _ = table.set(&mut self.store, index, Ref::Func(function));
            }
        }
    }

    pub(super) fn function(&mut self, name: &str) -> Option<Func> {
        self.tested.instance.get_func(&mut self.store, name)
    }

    /// Where the memory under test lies and what is reserved around it; `None` for a table.
    pub(super) fn region(&self) -> Option<MemoryRegion> {
        let Range { start, end } = match &self.tested.space {
            Space::Memory(memory) => memory.data(&self.store).as_ptr_range(),
            Space::Shared(memory) => {
                let Range { start, end } = memory.data().as_ptr_range();
                start.cast()..end.cast()
            }
            Space::Table(_) => return None,
        };
        Some(memory::region(self.settings, start as u64..end as u64))
    }

    /// The size in pages or elements.
    pub(super) fn size(&self) -> u64 {
        match &self.tested.space {
            Space::Memory(memory) => memory.size(&self.store),
            Space::Shared(memory) => memory.size(),
            Space::Table(table) => table.size(&self.store),
        }
    }

    /// Changes a byte, or element, of the second instance: a fault on purpose.
    pub(super) fn spoil_second(&mut self) {
        if let Space::Table(table) = self.second.space {
            let _ = table.set(&mut self.store, 0, Ref::Func(None));
        } else if let Some(byte) = bytes_mut(&self.second.space, &mut self.store).last_mut() {
            *byte ^= 1;
        } else if let Some(byte) = self.neighbour.data_mut(&mut self.store).last_mut() {
            *byte ^= 1;
        }
    }

    /// Whether everything is as it was, but for what was to be stored.
    ///
    /// # Errors
    /// What is not, and where.
    pub(super) fn contents(&mut self, cell: &Cell, stored: Option<&Stored>) -> Result<(), String> {
        self.tested_contents(cell, stored)?;
        self.canaries()
    }

    fn tested_contents(&mut self, cell: &Cell, stored: Option<&Stored>) -> Result<(), String> {
        if let Space::Table(table) = self.tested.space {
            let elements = elements(&mut self.store, table);
            let stored = match stored {
                Some(Stored::Elements(from, numbers)) => (*from, numbers.as_slice()),
                _ => (0, &[][..]),
            };
            return compare_elements("the table", &elements, self.layout, &self.functions[0], stored);
        }
        let (from, changed) = match stored {
            Some(Stored::Bytes(from, bytes)) => (index(*from), bytes.as_slice()),
            _ => (0, &[][..]),
        };
        // What has grown is zero.
        let old = match cell.operation.effect {
            traps::Effect::Grow => index(self.layout.bytes()),
            _ => usize::MAX,
        };
        let bytes = bytes_mut(&self.tested.space, &mut self.store);
        let (bytes, new) = bytes.split_at(old.min(bytes.len()));
        let behind = from + changed.len();
        compare("the memory", &bytes[..from], &pattern(PLAIN)[..from], 0)?;
        compare("the memory", &bytes[from..behind], changed, from)?;
        compare("the memory", &bytes[behind..], &pattern(PLAIN)[behind..bytes.len()], behind)?;
        let written = new.iter().position(|byte| *byte != 0);
        written.map_or(Ok(()), |at| Err(format!("the memory has grown by something else than zeros, {at:#x} behind")))
    }

    fn canaries(&mut self) -> Result<(), String> {
        if let Space::Table(table) = self.second.space {
            let elements = elements(&mut self.store, table);
            compare_elements("the second instance's table", &elements, self.layout, &self.functions[1], (0, &[]))?;
        }
        let second = bytes_mut(&self.second.space, &mut self.store);
        compare("the second instance's memory", second, &pattern(SECOND)[..second.len()], 0)?;
        let neighbour = self.neighbour.data(&self.store);
        compare("the host's memory beside it", neighbour, &pattern(NEIGHBOUR)[..neighbour.len()], 0)
    }

    /// Takes back what a cell has stored.
    pub(super) fn restore(&mut self, stored: &Stored) {
        match (stored, &self.tested.space) {
            (Stored::Bytes(from, changed), space) => {
                let range = index(*from)..index(*from) + changed.len();
                bytes_mut(space, &mut self.store)[range.clone()].copy_from_slice(&pattern(PLAIN)[range]);
            }
            _ => self.fill(),
        }
    }
}

fn index(address: u64) -> usize {
    usize::try_from(address).unwrap_or(usize::MAX)
}

/// What lies in a memory before anything is tried.
fn pattern(mask: u8) -> &'static [u8] {
    static PATTERNS: [OnceLock<Vec<u8>>; 3] = [const { OnceLock::new() }; 3];
    let which = match mask {
        SECOND => 1,
        NEIGHBOUR => 2,
        _ => 0,
    };
    PATTERNS[which].get_or_init(|| (0..PATTERN_BYTES).map(|address| traps::byte_at(address) ^ mask).collect())
}

fn compare(what: &str, bytes: &[u8], right: &[u8], from: usize) -> Result<(), String> {
    if bytes == right {
        return Ok(());
    }
    let at = bytes.iter().zip(right).position(|(byte, right)| byte != right).unwrap_or(0);
    Err(format!("{what} has {:#04x} at {:#x}, where {:#04x} belongs", bytes[at], from + at, right[at]))
}

/// An instance of the module, with a memory or table of the host's where it imports one.
fn subject(engine: &Engine, store: &mut Store<StoreLimits>, module: &Module) -> wasmtime::Result<Subject> {
    let mut imports = Vec::new();
    for import in module.imports() {
        let ty = import.ty();
        if let Some(ty) = ty.memory() {
            imports.push(if ty.is_shared() {
                Extern::SharedMemory(SharedMemory::new(engine, ty.clone())?)
            } else {
                Extern::Memory(Memory::new(&mut *store, ty.clone())?)
            });
        } else if let Some(ty) = ty.table() {
            imports.push(Extern::Table(Table::new(&mut *store, ty.clone(), Ref::Func(None))?));
        }
    }
    let instance = Instance::new(&mut *store, module, &imports)?;
    let space = [traps::MEMORY, traps::TABLE].into_iter().find_map(|name| {
        Some(match instance.get_export(&mut *store, name)? {
            Extern::Memory(memory) => Space::Memory(memory),
            Extern::SharedMemory(memory) => Space::Shared(memory),
            Extern::Table(table) => Space::Table(table),
            _ => return None,
        })
    });
    let space = space.ok_or_else(|| wasmtime::format_err!("the module exports nothing to be tested"))?;
    Ok(Subject { instance, space })
}

fn functions(store: &mut Store<StoreLimits>, instance: Instance) -> Vec<usize> {
    let named = (0..).map_while(|number| instance.get_func(&mut *store, &traps::function_name(number)));
    let found: Vec<Func> = named.collect();
    found.into_iter().map(|function| function.to_raw(&mut *store) as usize).collect()
}

/// The bytes of a memory; none of a table.
fn bytes_mut<'a>(space: &'a Space, store: &'a mut Store<StoreLimits>) -> &'a mut [u8] {
    match space {
        Space::Memory(memory) => memory.data_mut(store),
        Space::Shared(memory) => {
            let cells = memory.data();
            // SAFETY: the memory could be shared, but no other thread has it, and `store` is borrowed for as long as the
            // bytes, so no guest runs meanwhile.
            unsafe { std::slice::from_raw_parts_mut(cells.as_ptr().cast::<u8>().cast_mut(), cells.len()) }
        }
        Space::Table(_) => &mut [],
    }
}

/// Pointers to what a table holds; 0 for nothing.
fn elements(store: &mut Store<StoreLimits>, table: Table) -> Vec<usize> {
    (0..table.size(&*store))
        .map(|index| match table.get(&mut *store, index) {
            Some(Ref::Func(Some(function))) => function.to_raw(&mut *store) as usize,
            _ => 0,
        })
        .collect()
}

fn compare_elements(
    what: &str,
    elements: &[usize],
    layout: Layout,
    functions: &[usize],
    (from, stored): (u64, &[Option<u32>]),
) -> Result<(), String> {
    for (at, element) in (0..).zip(elements) {
        let replaced = u64::checked_sub(at, from).and_then(|behind| stored.get(index(behind)).copied());
        // What it has grown by is null.
        let before = if at < layout.elements() { traps::element_at(at) } else { None };
        let number = replaced.unwrap_or(before);
        let right = number.map_or(0, |number| functions.get(number as usize).copied().unwrap_or(0));
        if *element != right {
            return Err(format!("{what} holds another function at {at} than it must"));
        }
    }
    Ok(())
}
