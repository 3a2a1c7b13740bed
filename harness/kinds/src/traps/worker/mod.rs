//! Checks: what a worker tries without a guest of its own. Cells of the matrix, traps of every other kind, files of the
//! specification's test suite.

mod bench;
mod matrix;
mod other_traps;
mod signals;
#[cfg_attr(not(feature = "spec-tests"), path = "no_specification.rs")]
mod specification;

use anyhow::bail;
use wasmtime::{Config, Engine, InstanceAllocationStrategy};

use super::{Check, Traps};
use wasiscope_engines::engine;
use wasiscope_scenario::{Allocation, Compiler, EngineSettings, Limits};
use wasiscope_worker::protocol::{Subject, Task};
use wasiscope_worker::{self as worker, Job, Sender};

/// An engine with as many of the extras as its compiler has, and a pool of so many instances where it has one.
fn engine_with(
    settings: EngineSettings,
    subject: &Subject,
    pooled: u32,
    extras: &[fn(&mut Config)],
) -> wasmtime::Result<Engine> {
    let make = |extras: &[fn(&mut Config)]| {
        let mut config = engine::config(settings, &subject.limits)?;
        if settings.allocation == Allocation::Pooling {
            let limits = Limits { memory_bytes: subject.limits.memory_bytes.max(POOLED_MEMORY), ..subject.limits };
            let mut pool = engine::pool(settings, &limits, pooled);
            pool.max_memories_per_module(MEMORIES_OF_A_MODULE).max_tables_per_module(MEMORIES_OF_A_MODULE);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        extras.iter().for_each(|extra| extra(&mut config));
        Engine::new(&config)
    };
    engine::with_supported(extras, make)
}

/// A reason that is shorter says nothing by itself.
const SHORT: usize = 10;
/// Addresses below this are those of no process.
const NULL_PAGE: u64 = 4096;
/// Bytes that a pooled memory can have, at least: what is checked must not fail by a limit that is one on guests.
const POOLED_MEMORY: u64 = 1 << 30;
/// Most memories, and most tables, of one module that is checked.
const MEMORIES_OF_A_MODULE: u32 = 8;

impl worker::Kind for Traps {
    /// Does a check, and sends what it comes to, part by part.
    fn work(&self, job: Job<'_>, send: Sender<'_>) -> anyhow::Result<()> {
        let Job { task, subject, cell } = job;
        let Task::Check { spec, planted, slowly, .. } = task else { bail!("traps have no task like {task:?}") };
        match spec.read()? {
            Check::Matrix { family, share } => {
                matrix::run(family, share, planted.as_ref(), *slowly, subject, cell, send)
            }
            Check::OtherTraps => other_traps::run(*slowly, subject, cell, send),
            Check::Specification { group } => specification::run(group, *slowly, subject, cell, send),
        }
    }
}

/// The number that a signal has, as its name.
fn signal_name(number: i32) -> String {
    signal_hook::low_level::signal_name(number).map_or_else(|| format!("signal {number}"), str::to_owned)
}

/// Whether `reason` is a known gap of this engine. Anything else that it refuses is a finding: a proposal that went missing
/// must not pass as one that was never there.
fn is_known_lack(settings: EngineSettings, reason: &str) -> bool {
    let says = |texts: &[&str]| texts.iter().any(|text| reason.contains(text));
    match settings.compiler {
        // A pool has slots of a size, and no shared memories; the specification asks for memories of all there is.
        Compiler::Cranelift => {
            settings.allocation == Allocation::Pooling
                && says(&[
                    "not supported in the pooling allocator",
                    "exceeds the limit of",
                    "size overflow calculating",
                ])
        }
        Compiler::Pulley => says(&["threads"]),
        // It is complete on x86-64 only.
        Compiler::Winch if cfg!(not(target_arch = "x86_64")) => true,
        // Constant expressions of other globals are part of garbage collection.
        Compiler::Winch => says(&["gc", "function references", "function-references", "global.get of locally defined"]),
    }
}

/// Why an engine does not offer something: the end of its message, without the place in the module.
fn short_reason(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    let text = text.split(" (at offset").next().unwrap_or_default();
    text.rsplit(": ").find(|part| part.len() > SHORT).unwrap_or(text).to_owned()
}
