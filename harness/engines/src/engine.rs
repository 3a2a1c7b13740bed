//! From a named configuration to wasmtime's.

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel as WasmtimeOptLevel, PoolingAllocationConfig, Store, Strategy,
};

use super::memory;
use wasiscope_scenario::{Allocation, BoundsChecks, Compiler, EngineSettings, Limits, OptLevel};
use wasiscope_worker::Subject;

/// The version of wasmtime that guests run under; a test holds it against the lock file.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Pulley's bytecode for machines with 64-bit addresses.
const PULLEY_TARGET: &str = "pulley64";

/// Instances that live at the same time in one worker, with one to spare.
const POOLED_INSTANCES: u32 = 3;
/// Most elements of a pooled table: Go's programs have about 10,000 functions in theirs.
const POOLED_TABLE_ELEMENTS: usize = 1 << 17;
/// Most bytes of what wasmtime keeps beside a pooled instance, which grows with the module's functions and globals.
const POOLED_INSTANCE_BYTES: usize = 8 << 20;

/// The settings that a worker was given.
///
/// # Errors
/// When they are none of wasmtime's.
pub fn settings(subject: &Subject) -> wasmtime::Result<EngineSettings> {
    subject.engine.read().map_err(|error| wasmtime::format_err!("these are no settings of wasmtime's: {error}"))
}

/// Says why this machine's wasmtime cannot make such an engine.
///
/// # Errors
/// With wasmtime's own reason.
pub fn check(settings: EngineSettings, limits: &Limits) -> Result<(), String> {
    let made = config(settings, limits).and_then(|config| Engine::new(&config));
    made.map(drop).map_err(|error| format!("{error:#}"))
}

/// The configuration that `settings` stand for.
///
/// # Errors
/// When this build of wasmtime has no such compiler.
pub fn config(settings: EngineSettings, limits: &Limits) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    match settings.compiler {
        Compiler::Cranelift => config.strategy(Strategy::Cranelift),
        Compiler::Winch => config.strategy(Strategy::Winch),
        Compiler::Pulley => config.strategy(Strategy::Cranelift).target(PULLEY_TARGET)?,
    };
    // Off by default. It changes nothing for modules without it, and lets those run that the matrix of traps is made of.
    config.wasm_custom_page_sizes(true);
    // Off by default as well. Pulley has no threads at all.
    config.shared_memory(settings.compiler != Compiler::Pulley);
    config.cranelift_opt_level(match settings.opt_level {
        OptLevel::None => WasmtimeOptLevel::None,
        OptLevel::Speed => WasmtimeOptLevel::Speed,
        OptLevel::SpeedAndSize => WasmtimeOptLevel::SpeedAndSize,
    });
    config.memory_init_cow(settings.copy_on_write);
    config.epoch_interruption(settings.epoch);
    config.consume_fuel(settings.fuel);
    config.parallel_compilation(settings.parallel_compilation);
    if settings.bounds_checks == BoundsChecks::Explicit {
        // Without this the check itself is a load from address 0 whenever an access is out of bounds (wasmtime's
        // Spectre mitigation), which is a signal again.
        config.signals_based_traps(false);
        config.memory_guard_size(0);
    }
    if let Some(bytes) = settings.memory_reservation {
        config.memory_reservation(bytes);
    }
    if let Some(bytes) = settings.memory_guard {
        config.memory_guard_size(bytes);
    }
    if settings.allocation == Allocation::Pooling {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings, limits, POOLED_INSTANCES)));
    }
    // A limit past the address space is the same as none.
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX);
    config.max_wasm_stack(stack);
    // wasmtime refuses a stack limit above the size of its fibers' stacks, although no fiber is used here.
    config.async_stack_size(stack.saturating_add(1 << 20));
    Ok(config)
}

/// An engine with as many of the extras as it takes: a compiler that lacks a proposal refuses to be asked for it.
///
/// # Errors
/// When there is no such engine even without any.
pub fn with_supported(
    wanted: &[fn(&mut Config)],
    make: impl Fn(&[fn(&mut Config)]) -> wasmtime::Result<Engine>,
) -> wasmtime::Result<Engine> {
    let mut accepted = Vec::with_capacity(wanted.len());
    for extra in wanted {
        accepted.push(*extra);
        if make(&accepted).is_err() {
            accepted.pop();
        }
    }
    make(&accepted)
}

/// A pool of just what a worker needs, so that making the engine does not pay for a thousand slots.
pub fn pool(settings: EngineSettings, limits: &Limits, instances: u32) -> PoolingAllocationConfig {
    let reservation = settings.memory_reservation.unwrap_or(memory::RESERVATION);
    let memory = usize::try_from(limits.memory_bytes.min(reservation)).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances)
        .total_memories(instances)
        .total_tables(instances)
        .total_component_instances(0)
        .max_core_instance_size(POOLED_INSTANCE_BYTES)
        .table_elements(POOLED_TABLE_ELEMENTS)
        .max_memory_size(memory);
    pool
}

/// Makes a new store's checks pass for good: neither fuel nor an epoch ends a guest here.
pub fn unlimited<T>(store: &mut Store<T>, settings: EngineSettings) -> wasmtime::Result<()> {
    if settings.fuel {
        store.set_fuel(u64::MAX)?;
    }
    if settings.epoch {
        store.set_epoch_deadline(u64::MAX >> 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasiscope_scenario::engine::wasmtime::WASMTIME;

    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let locked = lock.lines().skip_while(|line| *line != "name = \"wasmtime\"").nth(1);
        assert_eq!(locked, Some(format!("version = \"{WASMTIME_VERSION}\"").as_str()));
    }

    #[test]
    fn every_preset_is_an_engine() {
        for preset in WASMTIME.presets {
            let settings = preset.settings.expect("wasmtime has settings");
            assert_eq!(check(settings, &Limits::default()), Ok(()), "{}", preset.name);
        }
    }

    #[test]
    fn what_wasmtime_refuses_is_refused_with_its_reason() {
        // A pool whose slots are smaller than what a memory may grow to.
        let pooled = EngineSettings { allocation: Allocation::Pooling, ..EngineSettings::WASMTIME };
        let limits = Limits { memory_bytes: 1 << 60, ..Limits::default() };
        let huge = EngineSettings { memory_reservation: Some(1 << 60), ..pooled };
        assert!(check(huge, &limits).is_err_and(|reason| !reason.is_empty()));
    }
}
