//! Files of the specification's test suite, directive by directive, so that one that fails does not hide the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::{Config, Engine};
use wasmtime_wast::{Async, SpectestConfig, WastContext};

use super::{Checked, engine_with};
use crate::record::{Failure, Tally};
use crate::scenario::EngineSettings;
use crate::traps::specification::{Directive, File, Group, directives};
use crate::worker::engine;
use crate::worker::protocol::{Message, Subject};

/// Instances that live at the same time in one file: every module of it stays until its end.
const POOLED: u32 = 200;
/// Failures of a file that are told of one by one.
const FAILURES_SHOWN: usize = 3;

/// Runs the files of a group, and sends what each comes to.
pub(super) fn run(
    group: Group,
    subject: &Subject,
    send: &mut dyn FnMut(&Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let engine = engine_of(subject.engine, subject)?;
    for file in group.files() {
        send(&Message::Checked(one(&engine, subject.engine, &file)?))?;
    }
    Ok(())
}

/// An engine with the proposals that the files are about, as far as its compiler has them.
fn engine_of(settings: EngineSettings, subject: &Subject) -> wasmtime::Result<Engine> {
    let wanted: [fn(&mut Config); 5] = [
        |config| _ = config.shared_memory(true),
        |config| _ = config.wasm_threads(true),
        |config| _ = config.wasm_custom_page_sizes(true),
        |config| _ = config.wasm_function_references(true),
        |config| _ = config.wasm_gc(true),
    ];
    engine_with(settings, subject, POOLED, &wanted)
}

fn one(engine: &Engine, settings: EngineSettings, file: &File) -> anyhow::Result<Checked> {
    let mut context = WastContext::new(engine, Async::No, move |store| {
        // Only a store of an engine that counts no fuel refuses, and it is not asked.
        let _ = engine::unlimited(store, settings);
    });
    context.register_spectest(&SpectestConfig { use_shared_memory: true, suppress_prints: true })?;
    let mut checked = Checked::default();
    let mut tally = Tally::default();
    // What a directive says is about the module before it.
    let mut refused: Option<String> = None;
    for directive in directives(file.text) {
        if directive.is_of_validation() {
            continue;
        }
        let result = attempt(&mut context, file, &directive);
        if !directive.is_assertion() {
            if directive.defines_module() {
                refused = result.err();
            }
            continue;
        }
        match (&refused, result) {
            (Some(reason), _) => {
                tally.unsupported += 1;
                *checked.unsupported.entry(reason.clone()).or_default() += 1;
            }
            (None, Ok(())) => {
                tally.tried += 1;
                tally.passed += 1;
            }
            (None, Err(got)) => {
                tally.tried += 1;
                if checked.failures.len() < FAILURES_SHOWN {
                    let what = format!("{}.wast:{}", file.name, directive.line);
                    let expected = directive.text.chars().take(200).collect();
                    checked.failures.push(Failure { what, expected, got, wat: None });
                }
            }
        }
    }
    checked.tallies.insert(file.name.clone(), tally);
    Ok(checked)
}

/// Runs one directive. The script runner panics where a script is not what it knows.
fn attempt(context: &mut WastContext, file: &File, directive: &Directive<'_>) -> Result<(), String> {
    let name = format!("{}.wast", file.name);
    let run = AssertUnwindSafe(|| context.run_wast(&name, directive.text.as_bytes()));
    match catch_unwind(run) {
        Ok(result) => result.map_err(|error| super::short_reason(&error)),
        Err(_) => Err("the script runner gave up".to_owned()),
    }
}
