//! Where cells are tried: an instance under test between two others of the same module, and a memory of the host's, all with
//! known contents. Made one after the other, so that they lie side by side where the engine puts them so.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use wasmtime::{
    Engine, Extern, Func, Instance, Memory, MemoryType, Module, Ref, SharedMemory, Store, StoreLimits,
    StoreLimitsBuilder, Table, Val,
};

use super::signals::Signals;
use crate::traps::{self, Cell, Layout, Stored};
use wasiscope_engines::memory;
use wasiscope_scenario::EngineSettings;
use wasiscope_worker::cell::MemoryRegion;

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
    /// The other memory of its module, where there are two.
    other: Option<Memory>,
    /// What lies in its memory, as a difference from the pattern.
    mask: u8,
    /// Pointers to the functions that its table holds, by number.
    functions: Vec<usize>,
}

pub(super) struct Bench {
    pub(super) store: Store<StoreLimits>,
    pub(super) signals: Arc<Signals>,
    layout: Layout,
    tested: Subject,
    /// Other instances of the same module, made before it and after it. Nothing that it does may reach them.
    others: [Subject; 2],
    /// A memory of the host's in the same store.
    neighbour: Memory,
    settings: EngineSettings,
}

/// What the contents of other memories differ by from those of the one under test.
const PLAIN: u8 = 0;
const BEFORE: u8 = 0x55;
const AFTER: u8 = 0x5A;
const NEIGHBOUR: u8 = 0xAA;
const MASKS: [u8; 5] = [PLAIN, BEFORE, AFTER, NEIGHBOUR, traps::OTHER_MASK];
/// More than any memory of the matrix grows to.
const PATTERN_BYTES: u64 = 8 << 16;

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
        wasiscope_engines::engine::unlimited(&mut store, settings)?;
        let signals = Signals::of(&mut store);
        let before = subject(engine, &mut store, module, BEFORE)?;
        let tested = subject(engine, &mut store, module, PLAIN)?;
        let after = subject(engine, &mut store, module, AFTER)?;
        let neighbour = Memory::new(&mut store, MemoryType::new(1, Some(1)))?;
        let mut bench = Self { store, signals, layout, tested, others: [before, after], neighbour, settings };
        bench.grow()?;
        bench.fill();
        Ok(bench)
    }

    fn grow(&mut self) -> wasmtime::Result<()> {
        for subject in self.others.iter().chain([&self.tested]) {
            if let (true, Some(grow)) =
                (self.layout.grows_by() > 0, subject.instance.get_func(&mut self.store, traps::GROW))
            {
                grow.call(&mut self.store, &[], &mut [Val::I32(0)])?;
            }
        }
        Ok(())
    }

    /// Puts everything back to what it was.
    pub(super) fn fill(&mut self) {
        for subject in self.others.iter().chain([&self.tested]) {
            let bytes = bytes_mut(&subject.space, &mut self.store);
            bytes.copy_from_slice(&pattern(subject.mask)[..bytes.len()]);
            if let Some(other) = subject.other {
                let bytes = other.data_mut(&mut self.store);
                bytes.copy_from_slice(&pattern(traps::OTHER_MASK)[..bytes.len()]);
            }
            let Space::Table(table) = subject.space else { continue };
            for index in 0..table.size(&self.store) {
                let function = traps::element_at(index).map(traps::function_name);
                let function = function.and_then(|name| subject.instance.get_func(&mut self.store, &name));
                // An index below the size.
                let _ = table.set(&mut self.store, index, Ref::Func(function));
            }
        }
        let neighbour = self.neighbour.data_mut(&mut self.store);
        neighbour.copy_from_slice(&pattern(NEIGHBOUR)[..neighbour.len()]);
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
        size(&self.tested.space, &self.store)
    }

    /// Changes a byte, or element, of another instance: a fault on purpose.
    pub(super) fn spoil_canary(&mut self) {
        let [_, after] = &self.others;
        if let Space::Table(table) = after.space {
            let _ = table.set(&mut self.store, 0, Ref::Func(None));
        }
        if let Some(byte) = bytes_mut(&after.space, &mut self.store).last_mut() {
            *byte ^= 1;
        } else if let Some(byte) = self.neighbour.data_mut(&mut self.store).last_mut() {
            *byte ^= 1;
        }
    }

    /// Whether every instance still answers: its size, and the first and last byte of its memory, read by itself.
    ///
    /// # Errors
    /// What is wrong with which.
    pub(super) fn are_alive(&mut self) -> Result<(), String> {
        for (which, subject) in [("it", &self.tested), ("the next instance", &self.others[1])] {
            let failed = |error: wasmtime::Error| format!("{which} cannot be used any more: {error:#}");
            let gone = || format!("{which} is gone");
            let size = size(&subject.space, &self.store);
            let alive = subject.instance.get_func(&mut self.store, traps::ALIVE).ok_or_else(gone)?;
            let mut result = [Val::I32(0)];
            alive.call(&mut self.store, &[], &mut result).map_err(failed)?;
            if number(&result[0]) != size {
                return Err(format!("{which} says its size is {}, and it is {size}", number(&result[0])));
            }
            let Some(peek) = subject.instance.get_func(&mut self.store, traps::PEEK) else { continue };
            let length = bytes_mut(&subject.space, &mut self.store).len();
            for at in [0, length.wrapping_sub(1)].into_iter().take_while(|at| *at < length) {
                let address = match self.layout.address_bits() {
                    64 => Val::I64(i64::try_from(at).unwrap_or(0)),
                    _ => Val::I32(i32::try_from(at).unwrap_or(0)),
                };
                peek.call(&mut self.store, &[address], &mut result).map_err(failed)?;
                let byte = bytes_mut(&subject.space, &mut self.store)[at];
                if number(&result[0]) != u64::from(byte) {
                    return Err(format!("{which} reads {} at {at:#x}, where {byte} is", number(&result[0])));
                }
            }
        }
        Ok(())
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
            return compare_elements("the table", &elements, self.layout, &self.tested.functions, stored);
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
        for (which, subject) in ["the instance before", "the instance after"].iter().zip(&self.others) {
            if let Space::Table(table) = subject.space {
                let elements = elements(&mut self.store, table);
                compare_elements(which, &elements, self.layout, &subject.functions, (0, &[]))?;
            }
            let bytes = bytes_mut(&subject.space, &mut self.store);
            compare(which, bytes, &pattern(subject.mask)[..bytes.len()], 0)?;
        }
        for subject in self.others.iter().chain([&self.tested]) {
            let Some(other) = subject.other else { continue };
            let bytes = other.data(&self.store);
            compare("the other memory of a module", bytes, &pattern(traps::OTHER_MASK)[..bytes.len()], 0)?;
        }
        let neighbour = self.neighbour.data(&self.store);
        compare("the host's memory", neighbour, &pattern(NEIGHBOUR)[..neighbour.len()], 0)?;
        self.slack()
    }

    /// Behind a memory of small pages lies what is left of the machine's page: mapped, and not the guest's.
    fn slack(&self) -> Result<(), String> {
        let Space::Memory(memory) = self.tested.space else { return Ok(()) };
        let page = rustix::param::page_size();
        let length = memory.data_size(&self.store);
        // Without a reservation and without a guard, wasmtime takes memories from its heap, and nothing is known of what is behind.
        if length.is_multiple_of(page) || self.settings.memory_reservation == Some(0) {
            return Ok(());
        }
        let behind = length.next_multiple_of(page) - length;
        // SAFETY: the memory is mapped by the page, as `MmapMemory::accessible` of wasmtime says, and no guest runs now.
        let slack = unsafe { std::slice::from_raw_parts(memory.data_ptr(&self.store).add(length), behind) };
        let written = slack.iter().position(|byte| *byte != 0);
        written.map_or(Ok(()), |at| Err(format!("{:#04x} was written {at:#x} bytes behind the memory", slack[at])))
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

fn size(space: &Space, store: &Store<StoreLimits>) -> u64 {
    match space {
        Space::Memory(memory) => memory.size(store),
        Space::Shared(memory) => memory.size(),
        Space::Table(table) => table.size(store),
    }
}

/// A result that is a size or a byte.
fn number(value: &Val) -> u64 {
    match value {
        Val::I32(value) => value.cast_unsigned().into(),
        Val::I64(value) => value.cast_unsigned(),
        _ => 0,
    }
}

/// What lies in a memory before anything is tried.
fn pattern(mask: u8) -> &'static [u8] {
    static PATTERNS: [OnceLock<Vec<u8>>; MASKS.len()] = [const { OnceLock::new() }; MASKS.len()];
    let which = MASKS.iter().position(|known| *known == mask).unwrap_or(0);
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
fn subject(engine: &Engine, store: &mut Store<StoreLimits>, module: &Module, mask: u8) -> wasmtime::Result<Subject> {
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
    let other = instance.get_memory(&mut *store, traps::OTHER);
    let functions = functions(store, instance);
    Ok(Subject { instance, space, other, mask, functions })
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
