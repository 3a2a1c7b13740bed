//! `kind: workload`: the programs of the catalogue in their flavours, or a guest of the scenario's own, run through the phases.

mod answers;

use std::path::{Component, Path};
use std::sync::Arc;

use wasiscope_model::kind::{Named, OF_GUESTS};

use super::Kind;
use wasiscope_model::report::ScenarioReport;
use wasiscope_scenario::plan::{Case, Directory, Input, OWN_FOLDER, case_of, own_source, sized_case};
use wasiscope_scenario::{self as scenario, Common, Engine, Flavour, OwnGuest, Plan, Problem, Scenario, Section};

/// The kind.
#[derive(Debug)]
pub struct Workload;

impl Named for Workload {
    fn name(&self) -> &'static str {
        OF_GUESTS
    }
}

impl Kind for Workload {
    fn complete(&self, scenario: &mut ScenarioReport) {
        answers::hold_against_each_other(scenario);
    }
}

impl wasiscope_worker::Kind for Workload {}
impl wasiscope_render::View for Workload {}

/// A file has no section of its own for it.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl scenario::Kind for Workload {
    fn read(&self, common: &mut Common, section: &Section<'_>) -> Result<Arc<dyn Plan>, Problem> {
        let Nothing {} = section.read()?;
        let own = !common.own.is_empty();
        for (key, is_there) in [("workloads", common.workloads.is_some()), ("flavours", common.flavours.is_some())] {
            if own && is_there {
                let message =
                    "a scenario with guests of its own has no `workloads` and no `flavours`: the flavours stand in \
                               `wasm`, `cargo` or `command`, as in `wasm: {no-std: a.wasm, std: b.wasm}`"
                        .to_owned();
                return Err(Problem::of_key(key, message));
            }
            if !own && !is_there {
                let message =
                    format!("`{key}` is missing: name some, or bring guests with `wasm`, `cargo` or `command`");
                return Err(Problem::of_key("name", message));
            }
        }
        if let (false, Some(key)) = (own, common.given()) {
            let message = format!("`{key}` is for guests of the scenario's own; a workload has its size `n`");
            return Err(Problem::of_key(key, message));
        }
        check_native(common)?;
        check_expectation(common)?;
        Ok(Arc::new(Matrix))
    }
}

/// A native program finds its folders as paths in the folder in which it runs, and has no functions to call.
fn check_native(common: &Common) -> Result<(), Problem> {
    if !common.own.iter().any(OwnGuest::is_native) {
        return Ok(());
    }
    let Input { directories, invoke, stub_imports, .. } = &common.input;
    for (key, is_there) in [("invoke", invoke.is_some()), ("stub_imports", *stub_imports)] {
        if is_there {
            return Err(Problem::of_key(
                key,
                format!("`{key}` is not for native guests, of which this scenario has one"),
            ));
        }
    }
    for folder in directories {
        let guest = Path::new(&folder.guest);
        let is_inside = |other: &&Directory| guest != Path::new(&other.guest) && guest.starts_with(&other.guest);
        let is_plain = guest.components().all(|part| matches!(part, Component::Normal(_)));
        let message = match () {
            () if folder.guest == OWN_FOLDER && folder.shared && directories.len() > 1 => {
                "a native guest that works in a shared folder as `.` finds no others: they would be linked into it"
                    .to_owned()
            }
            () if folder.guest != OWN_FOLDER && !is_plain => {
                format!(
                    "a native guest cannot find `{}`: give it a name, HOST::GUEST, without `..` or a `/` at its start",
                    folder.guest
                )
            }
            () if directories.iter().any(|other| is_inside(&other)) => {
                format!("a native guest cannot find `{}`, which lies in another of its folders", folder.guest)
            }
            () => continue,
        };
        return Err(Problem::of_key("dir", message));
    }
    Ok(())
}

/// What cannot all be expected of one guest.
fn check_expectation(common: &Common) -> Result<(), Problem> {
    let expect = &common.expect;
    let several = common.workloads.as_ref().is_some_and(|workloads| workloads.len() > 1);
    let message = match () {
        () if expect.trap && expect.check.is_some() => {
            "a guest that traps prints no check: leave out `check` or `outcome`"
        }
        () if expect.trap && expect.exit_code != 0 => {
            "a guest that traps has no exit code: leave out `exit_code` or `outcome`"
        }
        () if expect.check.is_some() && several => "one `check` cannot fit several workloads: list one workload",
        () => return Ok(()),
    };
    Err(Problem::of_key("expect", message.to_owned()))
}

/// workloads × flavours × engines, or the scenario's own guest × engines.
#[derive(Debug)]
struct Matrix;

impl Plan for Matrix {
    fn cases(&self, scenario: &Scenario) -> Vec<Case> {
        let mut cases = Vec::new();
        // Outside wasm there are no engines to tell apart.
        let native = [Engine::native()];
        for own in &scenario.own {
            let (guest, is_native) = (own_source(own), own.is_native());
            // Several are flavours of one workload, which is the scenario's.
            let workload = if own.flavour.is_some() { scenario.name.clone() } else { own.name() };
            let engines = if is_native { &native[..] } else { &scenario.engines[..] };
            cases.extend(engines.iter().map(|engine| Case {
                input: scenario.input.clone(),
                ..case_of(scenario, &workload, own.flavour(), engine, guest.clone())
            }));
        }
        for workload in &scenario.workloads {
            for flavour in &scenario.flavours {
                let engines = if *flavour == Flavour::Native { &native[..] } else { &scenario.engines[..] };
                cases.extend(engines.iter().map(|engine| sized_case(scenario, workload, *flavour, engine)));
            }
        }
        cases
    }
}
