//! wasmtime as a program of the table: its settings, and the ones that have a name.

use serde::{Deserialize, Serialize};

use super::{Preset, Program, Start};

/// The row of the table.
pub const WASMTIME: Program = Program { name: "wasmtime", start: Start::Itself, presets: &PRESETS };

/// What turns wasm into machine code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compiler {
    /// wasmtime's optimising compiler.
    #[default]
    Cranelift,
    /// wasmtime's baseline compiler: one pass, quick to compile.
    Winch,
    /// Cranelift to a portable bytecode, which is interpreted.
    Pulley,
}

/// How an access past the end of linear memory is caught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoundsChecks {
    /// By unmapped pages behind the memory and the signal that touching them raises.
    #[default]
    Guard,
    /// By a comparison before every access; no signals.
    Explicit,
}

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptLevel {
    /// No optimisation.
    None,
    /// For speed: wasmtime's default.
    #[default]
    Speed,
    /// For speed, then for size.
    SpeedAndSize,
}

/// Where instances, memories and tables come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// Mapped when an instance is made, unmapped when it is dropped.
    #[default]
    OnDemand,
    /// From slots that were mapped with the engine.
    Pooling,
}

/// A configuration of wasmtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// The compiler.
    pub compiler: Compiler,
    /// How bounds are checked.
    pub bounds_checks: BoundsChecks,
    /// Optimisation level of the compiler; Winch has none.
    pub opt_level: OptLevel,
    /// Where instances come from.
    pub allocation: Allocation,
    /// Whether memories begin as copy-on-write images of the module's data, rather than being filled.
    pub copy_on_write: bool,
    /// Whether code checks at loops and calls if its epoch is over. The deadline is never reached here.
    pub epoch: bool,
    /// Whether code counts fuel. It never runs out here.
    pub fuel: bool,
    /// Whether the compiler uses a thread per processor, as wasmtime does by default. Not here: what one thread does can be
    /// compared.
    #[serde(default)]
    pub parallel_compilation: bool,
    /// Bytes of address space set aside for each memory; `None` for wasmtime's own choice.
    pub memory_reservation: Option<u64>,
    /// Bytes of unmapped address space behind each memory; `None` for wasmtime's own choice.
    pub memory_guard: Option<u64>,
}

impl EngineSettings {
    /// wasmtime's defaults, but for compilation on one thread.
    pub const WASMTIME: Self = Self {
        compiler: Compiler::Cranelift,
        bounds_checks: BoundsChecks::Guard,
        opt_level: OptLevel::Speed,
        allocation: Allocation::OnDemand,
        copy_on_write: true,
        epoch: false,
        fuel: false,
        parallel_compilation: false,
        memory_reservation: None,
        memory_guard: None,
    };
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self::WASMTIME
    }
}

const PRESETS: [Preset; 11] = {
    const DEFAULTS: EngineSettings = EngineSettings::WASMTIME;
    const fn preset(name: &'static str, settings: EngineSettings, summary: &'static str) -> Preset {
        Preset { name, settings: Some(settings), summary }
    }
    [
        preset("cranelift", DEFAULTS, "wasmtime's defaults: Cranelift for speed, guard pages"),
        preset(
            "cranelift-checked",
            EngineSettings { bounds_checks: BoundsChecks::Explicit, ..DEFAULTS },
            "Cranelift with a comparison before every memory access, no signals",
        ),
        preset(
            "cranelift-none",
            EngineSettings { opt_level: OptLevel::None, ..DEFAULTS },
            "Cranelift without optimisation: compiles sooner, runs slower",
        ),
        preset(
            "cranelift-size",
            EngineSettings { opt_level: OptLevel::SpeedAndSize, ..DEFAULTS },
            "Cranelift for speed, then for size",
        ),
        preset(
            "cranelift-pooling",
            EngineSettings { allocation: Allocation::Pooling, ..DEFAULTS },
            "Cranelift with memories and tables from a pool made with the engine",
        ),
        preset(
            "cranelift-no-cow",
            EngineSettings { copy_on_write: false, ..DEFAULTS },
            "Cranelift with memories filled when they are made, not mapped copy-on-write",
        ),
        preset(
            "cranelift-epoch",
            EngineSettings { epoch: true, ..DEFAULTS },
            "Cranelift with the checks that let a host stop a guest by time",
        ),
        preset(
            "cranelift-fuel",
            EngineSettings { fuel: true, ..DEFAULTS },
            "Cranelift with the counting that lets a host stop a guest by work done",
        ),
        preset(
            "cranelift-parallel",
            EngineSettings { parallel_compilation: true, ..DEFAULTS },
            "Cranelift with a compiling thread for each processor, and workers on all of them",
        ),
        preset(
            "winch",
            EngineSettings { compiler: Compiler::Winch, ..DEFAULTS },
            "wasmtime's baseline compiler: one pass, no optimisation",
        ),
        preset(
            "pulley",
            EngineSettings { compiler: Compiler::Pulley, ..DEFAULTS },
            "wasmtime's interpreter: Cranelift to portable bytecode",
        ),
    ]
};
