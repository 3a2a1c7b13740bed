//! From a named configuration to wasmtime's.

use wasmtime::{Config, OptLevel as WasmtimeOptLevel, Strategy};

use crate::scenario::{BoundsChecks, Compiler, EngineSettings, Limits, OptLevel};

/// The version of wasmtime that guests run under; a test holds it against the lock file.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// The configuration that `settings` stand for.
#[must_use]
pub fn config(settings: EngineSettings, limits: &Limits) -> Config {
    let mut config = Config::new();
    match settings.compiler {
        Compiler::Cranelift => config.strategy(Strategy::Cranelift),
    };
    config.cranelift_opt_level(match settings.opt_level {
        OptLevel::None => WasmtimeOptLevel::None,
        OptLevel::Speed => WasmtimeOptLevel::Speed,
        OptLevel::SpeedAndSize => WasmtimeOptLevel::SpeedAndSize,
    });
    if settings.bounds_checks == BoundsChecks::Explicit {
        // Without this the check itself is a load from address 0 whenever an access is out of bounds (wasmtime's
        // Spectre mitigation), which is a signal again.
        config.signals_based_traps(false);
        config.memory_guard_size(0);
    }
    // A limit past the address space is the same as none.
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX);
    config.max_wasm_stack(stack);
    // wasmtime refuses a stack limit above the size of its fibers' stacks, although no fiber is used here.
    config.async_stack_size(stack.saturating_add(1 << 20));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let locked = lock.lines().skip_while(|line| *line != "name = \"wasmtime\"").nth(1);
        assert_eq!(locked, Some(format!("version = \"{WASMTIME_VERSION}\"").as_str()));
    }
}
