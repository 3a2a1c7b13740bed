//! The cells of a family, tried one after the other.

use wasiscope_ebpf_abi::Phase;
use wasmtime::{Config, Engine, Module, Trap, Val};

use super::bench::Bench;
use super::signals::Seen;
use super::{NULL_PAGE, engine_with, is_known_lack, short_reason, signal_name};
use crate::traps::{
    self, Address, Block, Cell, Code, Expected, Family, Planted, Position, Reserved, Shape, Share, Split,
};
use wasiscope_engines::engine;
use wasiscope_model::record::{Failure, Totals};
use wasiscope_scenario::{BoundsChecks, Compiler, EngineSettings};
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::{Message, Subject};

/// Instances, memories and tables that a block needs at the same time.
const POOLED: u32 = 12;
/// Bytes that the largest memory of the matrix grows to, and more.
const MEMORY_NEEDED: u64 = 1 << 20;
/// Failures of a block that are told of one by one.
const FAILURES_SHOWN: usize = 3;

pub(super) struct Trial<'a> {
    engine: Engine,
    settings: EngineSettings,
    reserved: Reserved,
    memory_limit: usize,
    planted: Option<&'a Planted>,
    cell: PhaseCell,
    checked: Totals,
}

/// Tries a family, block by block. With `slowly` every cell is announced before it is tried, so that one that kills the
/// process is known.
pub(super) fn run(
    family: Family,
    share: Share,
    planted: Option<&Planted>,
    slowly: bool,
    subject: &Subject,
    cell: PhaseCell,
    send: &mut dyn FnMut(&Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let judged_as = engine::settings(subject)?;
    let mut settings = judged_as;
    let reserved = Reserved::of(settings);
    if planted == Some(&Planted::Engine) {
        settings.bounds_checks = match settings.bounds_checks {
            BoundsChecks::Guard => BoundsChecks::Explicit,
            BoundsChecks::Explicit => BoundsChecks::Guard,
        };
    }
    let engine = engine_of(settings, subject)?;
    // The limit is one on guests; what is tried here needs less than any sensible one, and must not fail by it.
    let memory_limit = usize::try_from(subject.limits.memory_bytes.max(MEMORY_NEEDED)).unwrap_or(usize::MAX);
    let mut trial =
        Trial { engine, settings: judged_as, reserved, memory_limit, planted, cell, checked: Totals::default() };
    for block in traps::blocks(family, share, reserved) {
        let mut announce = |what: String| if slowly { send(&Message::Trying { what }) } else { Ok(()) };
        cell.begin_pass(1);
        trial.block(&block, &mut announce)?;
        send(&Message::Checked(std::mem::take(&mut trial.checked)))?;
    }
    Ok(())
}

/// An engine with every proposal that the matrix is about, as far as its compiler has it.
pub(super) fn engine_of(settings: EngineSettings, subject: &Subject) -> wasmtime::Result<Engine> {
    let wanted: [fn(&mut Config); 2] =
        [|config| _ = config.shared_memory(true), |config| _ = config.wasm_threads(true)];
    engine_with(settings, subject, POOLED, &wanted)
}

impl Trial<'_> {
    fn block(&mut self, block: &Block, announce: &mut dyn FnMut(String) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match Module::from_binary(&self.engine, &traps::of_cells(block.layout, &block.cells)) {
            Ok(module) => self.cells(block, &module, announce),
            // One operation that the engine does not offer must not hide the others.
            Err(_) => {
                for group in block.cells.chunk_by(|(one, _), (other, _)| one.operation.name == other.operation.name) {
                    self.group(&Block { layout: block.layout, cells: group.to_vec() }, announce)?;
                }
                Ok(())
            }
        }
    }

    /// Cells of one operation.
    fn group(&mut self, block: &Block, announce: &mut dyn FnMut(String) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match Module::from_binary(&self.engine, &traps::of_cells(block.layout, &block.cells)) {
            Ok(module) => self.cells(block, &module, announce),
            Err(error) => {
                self.unsupported(block, &error);
                Ok(())
            }
        }
    }

    fn unsupported(&mut self, block: &Block, reason: &wasmtime::Error) {
        let Some((first, _)) = block.cells.first() else { return };
        let name = first.operation.name;
        let short = short_reason(reason);
        if !is_known_lack(self.settings, &short) {
            for _ in &block.cells {
                self.checked.tallies.entry(name.to_owned()).or_default().tried += 1;
            }
            self.failed(first, None, format!("the engine refuses the module: {reason:#}"));
            return;
        }
        self.checked.tallies.entry(name.to_owned()).or_default().unsupported += block.cells.len() as u64;
        *self.checked.unsupported.entry(short).or_default() += block.cells.len() as u64;
    }

    fn failed(&mut self, cell: &Cell, address: Option<&Address>, got: String) {
        if self.checked.failures.len() >= FAILURES_SHOWN {
            return;
        }
        let expected = address.map(|address| traps::shown(&self.expected(cell, address))).unwrap_or_default();
        let wat = address.and_then(|address| traps::reproduction(cell, address).ok());
        self.checked.failures.push(Failure { what: cell.to_string(), expected, got, wat });
    }

    fn cells(
        &mut self,
        block: &Block,
        module: &Module,
        announce: &mut dyn FnMut(String) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let new = |trial: &Self| Bench::new(&trial.engine, module, block.layout, trial.settings, trial.memory_limit);
        let mut bench = match new(self) {
            Ok(bench) => bench,
            Err(error) => {
                for (cell, _) in &block.cells {
                    self.checked.tallies.entry(cell.operation.name.to_owned()).or_default().tried += 1;
                }
                if let Some((cell, address)) = block.cells.first() {
                    self.failed(cell, Some(address), format!("no instance could be made: {error:#}"));
                }
                return Ok(());
            }
        };
        for (index, (cell, address)) in block.cells.iter().enumerate() {
            announce(cell.to_string())?;
            // What has grown stays grown.
            if cell.operation.effect == traps::Effect::Grow {
                bench = new(self)?;
            }
            self.cell.publish_memories(bench.region());
            let result = self.one(&mut bench, index, cell, address);
            let tally = self.checked.tallies.entry(cell.operation.name.to_owned()).or_default();
            tally.tried += 1;
            match result {
                Ok(()) => tally.passed += 1,
                Err(got) => {
                    self.failed(cell, Some(address), got);
                    bench.fill();
                }
            }
        }
        self.cell.publish_memories([]);
        Ok(())
    }

    /// What the specification says of a cell; the opposite where a fault is planted.
    fn expected(&self, cell: &Cell, address: &Address) -> Expected {
        let right = traps::expected(cell, address);
        match (self.planted, &right) {
            (Some(Planted::Oracle { operation }), Expected::Trap(_)) if operation == cell.operation.name => {
                Expected::Done { result: None, stored: None }
            }
            (Some(Planted::Oracle { operation }), _) if operation == cell.operation.name => {
                Expected::Trap(vec![Code::MemoryOutOfBounds])
            }
            _ => right,
        }
    }

    fn one(&mut self, bench: &mut Bench, index: usize, cell: &Cell, address: &Address) -> Result<(), String> {
        let expected = self.expected(cell, address);
        let function = bench.function(&index.to_string()).ok_or("the module has no such function")?;
        let parameters = parameters(cell, address);
        let mut results = vec![Val::I32(0); usize::from(traps::result_type(cell).is_some())];
        let phase = if matches!(expected, Expected::Trap(_)) { Phase::Trap } else { Phase::Run };
        *self.checked.entered.entry(phase).or_default() += 1;
        bench.signals.take();
        self.cell.enter(phase);
        let called = function.call(&mut bench.store, &parameters, &mut results);
        self.cell.enter(Phase::Outside);
        let seen = bench.signals.take();
        if self.planted.is_some_and(|planted| is_canary_of(planted, cell)) {
            bench.spoil_canary();
        }
        let trapped = self.ending(&expected, called, &results, cell)?;
        self.signals(bench, trapped, seen, cell, address)?;
        let stored = match &expected {
            Expected::Done { stored, .. } => stored.as_ref(),
            Expected::Trap(_) => None,
        };
        if let Some(traps::Stored::Size(size)) = stored
            && bench.size() != *size
        {
            return Err(format!("the size is {} afterwards, where {size} belongs", bench.size()));
        }
        bench.contents(cell, stored)?;
        bench.are_alive()?;
        if let Some(stored) = stored.filter(|stored| !matches!(stored, traps::Stored::Size(_))) {
            bench.restore(stored);
        }
        Ok(())
    }

    /// Whether it trapped, if that is as it must be.
    fn ending(
        &self,
        expected: &Expected,
        called: wasmtime::Result<()>,
        results: &[Val],
        cell: &Cell,
    ) -> Result<bool, String> {
        match (expected, called) {
            (Expected::Trap(codes), Err(error)) => match error.downcast_ref::<Trap>() {
                Some(trap) if codes.iter().any(|code| *trap == trap_of(*code)) => Ok(true),
                Some(trap) => Err(format!("the trap is {trap:?}")),
                None => Err(format!("an error that is no trap: {error:#}")),
            },
            (Expected::Trap(_), Ok(())) => Err(shown_result(results.first())),
            (Expected::Done { .. }, Err(error)) => match error.downcast_ref::<Trap>() {
                Some(trap) => Err(format!("the trap {trap:?}")),
                None => Err(format!("{error:#}")),
            },
            (Expected::Done { result, .. }, Ok(())) => {
                let bits = results.first().map(bits).transpose()?;
                match (result, bits) {
                    // An oracle that was turned round knows no result.
                    (None, Some(_)) if self.planted.is_none() => Err(format!("a result of {}", cell.operation.name)),
                    (Some(right), Some(bits)) if *right != bits => Err(format!("the result is {bits:#x}")),
                    _ => Ok(false),
                }
            }
        }
    }

    /// Holds the signals against how this engine must catch such a trap, and counts.
    fn signals(
        &mut self,
        bench: &Bench,
        trapped: bool,
        seen: Seen,
        cell: &Cell,
        address: &Address,
    ) -> Result<(), String> {
        let caught = &mut self.checked.caught;
        let signal = || format!("{} at {:#x}", signal_name(seen.number), seen.address);
        if !trapped {
            return if seen.count == 0 { Ok(()) } else { Err(format!("no trap, and yet {}", signal())) };
        }
        caught.traps += 1;
        let region = bench.region();
        let in_guard = region.as_ref().is_some_and(|region| region.is_behind(seen.address));
        match (seen.count, seen.number) {
            (0, _) => caught.without_signal += 1,
            (1, libc::SIGSEGV) if in_guard => caught.by_guard += 1,
            (1, libc::SIGSEGV) if seen.address < NULL_PAGE => caught.by_null_page += 1,
            (1, libc::SIGILL | libc::SIGTRAP | libc::SIGFPE) => caught.by_instruction += 1,
            (1, _) => return Err(format!("{} lies neither in the guard nor in the first page", signal())),
            (count, _) => return Err(format!("{count} signals for one trap, the last {}", signal())),
        }
        if self.settings.bounds_checks == BoundsChecks::Explicit && seen.count > 0 {
            return Err(format!("{} on an engine that is to check every access", signal()));
        }
        if self.must_use_guard(cell) {
            let base = region.map_or(0, |region| region.accessible.start);
            let place = base + address.parameters[0];
            let touched = place..place + u64::from(cell.operation.width);
            if !in_guard || !touched.contains(&seen.address) {
                return Err(format!(
                    "not caught by the guard at {:#x}, where the access is; signals: {}",
                    touched.start, seen.count
                ));
            }
        }
        Ok(())
    }

    /// Whether nothing but the guard can catch it: the address is not known before, and can reach no further.
    fn must_use_guard(&self, cell: &Cell) -> bool {
        self.settings.bounds_checks == BoundsChecks::Guard
            && self.settings.compiler != Compiler::Pulley
            && self.reserved.reservation >= Reserved::WASMTIME.reservation
            && cell.layout.address_bits() == 32
            && cell.layout.page_size_log2().is_none()
            && !cell.layout.is_shared()
            && cell.operation.encode.is_some()
            && !cell.operation.atomic
            && cell.split == Split::Index
            && cell.shape == Shape::Parameter
            && matches!(cell.position, Position::OnePast | Position::End | Position::FarPast)
    }
}

/// What came in place of a trap.
fn shown_result(result: Option<&Val>) -> String {
    match result.map(bits) {
        Some(Ok(bits)) => format!("no trap; the result is {bits:#x}"),
        _ => "no trap".to_owned(),
    }
}

fn is_canary_of(planted: &Planted, cell: &Cell) -> bool {
    matches!(planted, Planted::Canary { operation } if operation == cell.operation.name)
}

const fn trap_of(code: Code) -> Trap {
    match code {
        Code::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        Code::TableOutOfBounds => Trap::TableOutOfBounds,
        Code::Unaligned => Trap::HeapMisaligned,
        Code::NotShared => Trap::AtomicWaitNonSharedMemory,
        Code::Null => Trap::IndirectCallToNull,
    }
}

fn parameters(cell: &Cell, address: &Address) -> [Val; 3] {
    let [first, second] = address.parameters;
    let values = [first, second, address.other];
    let types = traps::parameter_types(cell);
    std::array::from_fn(|index| match types[index] {
        wasm_encoder::ValType::I64 => Val::I64(values[index].cast_signed()),
        _ => Val::I32(u32::try_from(values[index] & u64::from(u32::MAX)).unwrap_or(0).cast_signed()),
    })
}

/// A result as bits.
fn bits(value: &Val) -> Result<u128, String> {
    match value {
        Val::I32(value) => Ok(value.cast_unsigned().into()),
        Val::I64(value) => Ok(value.cast_unsigned().into()),
        Val::F32(bits) => Ok((*bits).into()),
        Val::F64(bits) => Ok((*bits).into()),
        Val::V128(vector) => Ok(vector.as_u128()),
        other => Err(format!("a result that is no number: {other:?}")),
    }
}
