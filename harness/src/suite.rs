//! Every case of every scenario as a test of its own, for `cargo nextest` (and `cargo test`).
//!
//! A project has a test file of two lines, and `harness = false` for it in its manifest:
//!
//! ```ignore
//! //! Every case of every scenario under `scenarios/`.
//! wasiscope::scenarios!();
//! ```
//!
//! `SCENARIO::WORKLOAD/FLAVOUR/ENGINE` runs the case once and holds its facts against `snapshots/`, which says nothing of time and can
//! be done by many tests at once. `measured::…` is ignored unless asked for: it runs the case as its scenario says, with the
//! kernel watched where that can be had, and leaves a report in `target/wasiscope/suite/` that `wasiscope merge` joins with
//! the others. Such tests must run one at a time.

use std::cell::Cell;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use clap::Parser;
use libtest_mimic::{Failed, Trial};

use crate::capture::Coverage;
use crate::cli::{Cli, Exit};
use crate::interrupt::Interrupt;
use crate::kinds;
use crate::places::Places;
use crate::plan::{Case, GuestSource};
use crate::prepare::{self, prepare};
use crate::record::{Record, Status};
use crate::report;
use crate::report::document::CaseReport;
use crate::runner::{ChildWorkers, Event, Runner, Settings};
use crate::scenario::{self, Flavour, Scenario};
use crate::snapshot::{self, State};
use crate::{guest, machine, scratch, summary, worker};
use wasiscope_model::work::Work;

/// Says `on` where live capture is required of measured cases; else they do with what can be had.
pub const CAPTURE_VARIABLE: &str = "WASISCOPE_CAPTURE";

/// The whole of a test file: a `main` that makes every case of every scenario under `scenarios/` a test. With an argument, a folder
/// relative to the package, for a project whose root is not that of the package.
#[macro_export]
macro_rules! scenarios {
    () => {
        $crate::scenarios!(".");
    };
    ($root:literal) => {
        fn main() -> std::process::ExitCode {
            // Here, so that insta takes the project for this one.
            let keep = |folder: &std::path::Path, name: &str, facts: &str| {
                let mut settings = $crate::insta::Settings::clone_current();
                settings.set_snapshot_path(folder);
                settings.set_prepend_module_to_snapshot(false);
                settings.set_omit_expression(true);
                settings.bind(|| $crate::insta::assert_snapshot!(name, facts));
            };
            $crate::suite::main(std::path::Path::new(env!("CARGO_MANIFEST_DIR")), $root, keep)
        }
    };
}

/// Asserts by insta that in a folder the snapshot of a name has these contents: what differs is left there for
/// `cargo insta review`.
pub type Keep = fn(&Path, &str, &str);

/// What [`scenarios!`](crate::scenarios) makes `main` of.
#[must_use]
pub fn main(package: &Path, root: &str, keep: Keep) -> ExitCode {
    // Workers are this same executable.
    if let Some(exit) = worker::serve_if_asked(kinds::WORKERS) {
        return exit;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    quiet_panics();
    let root = package.join(root);
    let places = Places::find(Some(&root.canonicalize().unwrap_or(root)));
    libtest_mimic::run(&arguments, trials(&places, keep)).exit_code()
}

thread_local! {
    /// Whether a panic of this thread is expected, and told in other words.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn quiet_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            usual(panic);
        }
    }));
}

/// A scenario that is not valid is a test that fails: it takes none of the others with it.
fn trials(places: &Places, keep: Keep) -> Vec<Trial> {
    let files = match scenario::files(&places.scenarios()) {
        Ok(files) if !files.is_empty() => files,
        Ok(_) => return vec![failing("scenarios", format!("no scenario in {}", places.scenarios().display()))],
        Err(error) => return vec![failing("scenarios", error.to_string())],
    };
    let absent: Vec<Flavour> = Flavour::ALL.into_iter().filter(|flavour| !guest::has_tools(places, *flavour)).collect();
    let of_file = |path: &PathBuf| match kinds::read(path) {
        Ok(scenario) => of_scenario(places, path, &scenario, &absent, keep),
        Err(error) => {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            vec![failing(&name, error.to_string())]
        }
    };
    files.iter().flat_map(of_file).collect()
}

fn failing(name: &str, reason: String) -> Trial {
    Trial::test(name, || Err(Failed::from(reason)))
}

fn of_scenario(places: &Places, path: &Path, scenario: &Scenario, absent: &[Flavour], keep: Keep) -> Vec<Trial> {
    let mut trials = Vec::new();
    for case in scenario.cases() {
        let name = format!("{}::{}", scenario.name, case.id());
        let (is_absent, needs_kernel) = (is_absent(places, absent, &case), case.work == Work::Flow);
        let (there, file, only) = (places.clone(), path.to_owned(), case.id());
        let measured = format!("measured::{name}");
        let as_said = move || measure(&there, &file, &only).map_err(failed);
        trials.push(Trial::test(measured, as_said).with_ignored_flag(true));
        let (places, scenario) = (places.clone(), scenario.name.clone());
        let facts = move || hold(&places, &scenario, case, keep).map_err(failed);
        // A toolchain that is not there makes no facts, and a flow of events needs a kernel that is watched. Ignored tests are counted, by nextest
        // as skipped.
        trials.push(Trial::test(name, facts).with_ignored_flag(is_absent || needs_kernel));
    }
    trials
}

fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

/// Whether this machine lacks the toolchain of the guest, or the catalogue has no such guest.
fn is_absent(places: &Places, absent: &[Flavour], case: &Case) -> bool {
    match &case.guest {
        GuestSource::Built { flavour, workload } => {
            absent.contains(flavour) || !guest::flavours_of(places, workload).contains(flavour)
        }
        _ => false,
    }
}

/// Runs a case once, and holds its facts against the snapshot.
fn hold(places: &Places, scenario: &str, case: Case, keep: Keep) -> anyhow::Result<()> {
    let case = run_once(places, case)?;
    if !case.outcome.expected {
        anyhow::bail!("{}: {}", case.outcome.status.name(), case.outcome.detail.unwrap_or_default());
    }
    if case.outcome.status == Status::Skipped {
        // What an engine does not offer shows only when it is asked for it.
        println!("{}: {}", case.id, case.outcome.detail.as_deref().unwrap_or_default());
    }
    let checked = snapshot::check(&places.snapshots(), scenario, &case, worker::WASMTIME_VERSION)?;
    let file = checked.path.strip_prefix(&places.root).unwrap_or(&checked.path).display().to_string();
    let toolchain = case.artifact.as_ref().and_then(|artifact| artifact.toolchain.as_deref());
    let explained = report::snapshot::explain(&checked, &file, toolchain);
    let word = report::snapshot::word(&checked);
    if !snapshot::is_kept(&case) {
        return if checked.passes() {
            Ok(())
        } else {
            Err(anyhow::anyhow!("{} of {scenario}: {word}\n{explained}", case.id))
        };
    }
    let found = snapshot::Kept::of(&case, worker::WASMTIME_VERSION).to_yaml()?;
    let expected = match (&checked.state, &checked.present) {
        // Facts within their budgets may differ in the file, and are left as they are.
        (State::Same, Some(present)) => present.clone(),
        _ => found,
    };
    let folder = checked.path.parent().unwrap_or(Path::new("."));
    // insta writes what is to be reviewed, accepts it where INSTA_UPDATE says so, shows the lines, and panics; the facts by name
    // are the reason that counts.
    QUIET.set(true);
    let asserted = panic::catch_unwind(|| keep(folder, &snapshot::name(&case), &expected));
    QUIET.set(false);
    if asserted.is_ok() && checked.excesses.is_empty() {
        return Ok(());
    }
    let mend =
        if checked.can_be_accepted() { "to keep these facts: cargo insta review, or cargo insta accept" } else { "" };
    anyhow::bail!("{} of {scenario}: {}\n{explained}{mend}", case.id, word)
}

/// One worker for the facts, and one iteration to see that it can be timed.
fn run_once(places: &Places, case: Case) -> anyhow::Result<CaseReport> {
    prepare::check(&case)?;
    let case = Case { processes: case.processes.min(1), iterations: 1, ..case };
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guest")?;
    let prepared = prepare(places, vec![case], scratch.path(), &mut |line| eprintln!("{line}"))?;
    let mut records: Vec<Record> = Vec::new();
    let mut on_event = |event: Event<'_>| {
        if let Event::Recorded(record) = event {
            records.push(record.clone());
        }
    };
    let interrupt = Interrupt::default();
    let settings = Settings {
        seed: 0,
        budget: None,
        interrupt: interrupt.clone(),
        scratch: scratch.path().to_owned(),
        cpus: machine::processors(),
        instructions: false,
        planted: None,
    };
    let mut workers = ChildWorkers::new(PathBuf::from("/proc/self/exe"), interrupt);
    Runner::new(&mut workers, None, settings, &mut on_event).walk(&prepared);
    Ok(summary::case(0, &prepared[0], &records, Coverage { lossless: false, ..Coverage::of(&[]) }))
}

/// One measurement at a time, also in a process with many tests.
static MEASURING: Mutex<()> = Mutex::new(());

/// Runs a case as its scenario says, and leaves its report.
fn measure(places: &Places, scenario: &Path, case: &str) -> anyhow::Result<()> {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let stem = scenario.file_stem().unwrap_or_default();
    let name = format!("{}.json", case.replace('/', "-"));
    let out = places.state.join("suite").join(stem).join(name);
    let capture = std::env::var(CAPTURE_VARIABLE).unwrap_or_else(|_| "auto".to_owned());
    let path = |path: &Path| path.as_os_str().to_owned();
    let arguments = [
        ["wasiscope".into(), "--root".into()],
        [path(&places.root), "run".into()],
        [path(scenario), "--only".into()],
        [case.into(), "--out".into()],
        [path(&out), "--capture".into()],
    ];
    let cli = Cli::try_parse_from(arguments.into_iter().flatten().chain([capture.into()]))
        .with_context(|| format!("the environment's {CAPTURE_VARIABLE}"))?;
    match cli.run()? {
        Exit::Done => Ok(()),
        exit => anyhow::bail!("wasiscope run ended with {exit:?}; the report is {}", out.display()),
    }
}
