//! Files of the specification's test suite, directive by directive, so that one that fails does not hide the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use wasiscope_ebpf_abi::Phase;
use wasmtime::{Config, Engine};
use wasmtime_wast::{Async, SpectestConfig, WastContext};

use super::signals::{Seen, Signals};
use super::{engine_with, is_known_lack, short_reason, signal_name};
use crate::traps::specification::{Directive, File, Group, directives};
use wasiscope_engines::engine;
use wasiscope_model::record::{Failure, Tally, Totals};
use wasiscope_scenario::EngineSettings;
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::{Message, Subject};

/// Instances that live at the same time in one file: every module of it stays until its end.
const POOLED: u32 = 200;
/// Failures of a file that are told of one by one.
const FAILURES_SHOWN: usize = 3;

/// Runs the files of a group, and sends what each comes to.
pub(super) fn run(
    group: Group,
    slowly: bool,
    subject: &Subject,
    cell: PhaseCell,
    send: &mut dyn FnMut(&Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let settings = engine::settings(subject)?;
    let engine = engine_of(settings, subject)?;
    for file in group.files() {
        if slowly {
            send(&Message::Trying { what: file.name.to_owned() })?;
        }
        send(&Message::Checked(Script::new(&engine, settings, cell)?.run(&file)))?;
    }
    Ok(())
}

/// An engine with the proposals that the files are about, as far as its compiler has them.
fn engine_of(settings: EngineSettings, subject: &Subject) -> wasmtime::Result<Engine> {
    let wanted: [fn(&mut Config); 4] = [
        |config| _ = config.shared_memory(true),
        |config| _ = config.wasm_threads(true),
        |config| _ = config.wasm_function_references(true),
        |config| _ = config.wasm_gc(true),
    ];
    engine_with(settings, subject, POOLED, &wanted)
}

/// One file on its way.
struct Script {
    context: WastContext,
    settings: EngineSettings,
    signals: Arc<OnceLock<Arc<Signals>>>,
    cell: PhaseCell,
    tally: Tally,
    checked: Totals,
    /// Why the engine does not offer the latest module. What a directive says is about the module before it.
    refused: Option<String>,
}

impl Script {
    fn new(engine: &Engine, settings: EngineSettings, cell: PhaseCell) -> wasmtime::Result<Self> {
        let signals = Arc::new(OnceLock::new());
        let of_store = Arc::clone(&signals);
        let mut context = WastContext::new(engine, Async::No, move |store| {
            // Only a store of an engine that counts no fuel refuses, and it is not asked.
            let _ = engine::unlimited(store, settings);
            of_store.get_or_init(|| Signals::of(store));
        });
        context.register_spectest(&SpectestConfig { use_shared_memory: true, suppress_prints: true })?;
        let (tally, checked) = (Tally::default(), Totals::default());
        Ok(Self { context, settings, signals, cell, tally, checked, refused: None })
    }

    fn run(mut self, file: &File) -> Totals {
        let mut left_out = 0_u64;
        for directive in directives(file.text) {
            if directive.is_of_validation() {
                left_out += 1;
            } else {
                self.directive(file, &directive);
            }
        }
        self.checked.tallies.insert(file.name.to_owned(), self.tally);
        if left_out > 0 {
            self.checked.facts.insert(format!("left_out.{}", file.name), left_out.into());
        }
        self.checked
    }

    fn directive(&mut self, file: &File, directive: &Directive<'_>) {
        self.cell.begin_pass(1);
        if directive.defines_module() {
            self.refused = None;
        }
        let result = match &self.refused {
            Some(reason) => Err(reason.clone()),
            None => self.watched(file, directive),
        };
        if directive.defines_module() {
            let lacks = result.as_ref().err().filter(|reason| is_known_lack(self.settings, reason));
            self.refused = lacks.cloned();
        }
        if let Some(reason) = &self.refused {
            self.tally.unsupported += 1;
            *self.checked.unsupported.entry(reason.clone()).or_default() += 1;
            return;
        }
        self.tally.tried += 1;
        match result {
            Ok(()) => self.tally.passed += 1,
            Err(got) if self.checked.failures.len() < FAILURES_SHOWN => self.checked.failures.push(Failure {
                what: format!("{}.wast:{}", file.name, directive.line),
                expected: directive.text.chars().take(200).collect(),
                got,
                wat: None,
            }),
            Err(_) => {}
        }
    }

    /// Runs a directive, in the phase that its signals belong to.
    fn watched(&mut self, file: &File, directive: &Directive<'_>) -> Result<(), String> {
        let phase = if directive.expects_trap() { Phase::Trap } else { Phase::Run };
        *self.checked.entered.entry(phase).or_default() += 1;
        self.cell.enter(phase);
        let result = self.attempt(file, directive);
        self.cell.enter(Phase::Outside);
        let none = Seen { count: 0, number: 0, address: 0 };
        let seen = self.signals.get().map_or(none, |signals| signals.take());
        let caught = &mut self.checked.caught;
        match (phase, seen.count, seen.number) {
            (Phase::Run, 0, _) => {}
            (Phase::Run, count, number) => return Err(format!("{count} {} without a trap", signal_name(number))),
            (_, 0, _) => caught.without_signal += 1,
            (_, 1, libc::SIGSEGV) => caught.by_unplaced += 1,
            (_, 1, _) => caught.by_instruction += 1,
            (_, count, number) => {
                return Err(format!("{count} signals for one trap, the last {}", signal_name(number)));
            }
        }
        caught.traps += u64::from(phase == Phase::Trap);
        result
    }

    /// Runs one directive. The script runner panics where a script is not what it knows.
    fn attempt(&mut self, file: &File, directive: &Directive<'_>) -> Result<(), String> {
        let name = format!("{}.wast", file.name);
        let run = AssertUnwindSafe(|| self.context.run_wast(&name, directive.text.as_bytes()));
        match catch_unwind(run) {
            Ok(result) => result.map_err(|error| short_reason(&error)),
            Err(_) => Err("the script runner gave up".to_owned()),
        }
    }
}
