//! Every case of every scenario as a test of its own: what the crate `wasiscope-test` asks for by `wasiscope suite`, so that a project's
//! tests need no engine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::code::{Code, CodedError, fail};
use crate::execute::{Note, Observer, Options, measure};
use crate::interrupt::Interrupt;
use crate::kinds;
use crate::places::Places;
use crate::plan::{Case, GuestSource};
use crate::prepare;
use crate::record::Status;
use crate::report::document::CaseReport;
use crate::scenario::{self, Flavour, Scenario};
use crate::snapshot;
use crate::{guest, scratch, worker};
use wasiscope_model::work::Work;

/// The version of the answers: raised when `wasiscope-test` of the last one could not read them any more.
pub const PROTOCOL: u32 = 1;

/// The cases of a project. Paths are absolute, or relative to the project's root.
#[derive(Debug, Serialize)]
pub struct List {
    /// Every case of every scenario.
    pub cases: Vec<Listed>,
    /// Scenarios that cannot be read. They take none of the others with them.
    pub broken: Vec<Broken>,
}

/// A case that is a test.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// `SCENARIO::WORKLOAD/FLAVOUR/ENGINE`.
    pub test: String,
    /// `WORKLOAD/FLAVOUR/ENGINE`.
    pub case: String,
    /// Its scenario's file.
    pub scenario: PathBuf,
    /// Where the report of a measurement goes.
    pub report: PathBuf,
    /// Whether its facts cannot be found out here: the guest's toolchain is missing, or events of a watched kernel are needed.
    pub ignored: bool,
}

/// A scenario that is not valid: a test that fails.
#[derive(Debug, Serialize)]
pub struct Broken {
    /// The test's name.
    pub test: String,
    /// What is wrong.
    pub reason: String,
}

/// The facts of a case, compared with its snapshot and its budgets.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// What to know of a case that passes: that it was skipped, say.
    pub note: Option<String>,
    /// Why the case fails with the snapshots as they are.
    pub problem: Option<String>,
    /// Whether some of it is mended by accepting these facts.
    pub can_be_accepted: bool,
    /// Whether it fails whatever is accepted.
    pub over_budget: bool,
    /// The snapshots as they should be; none of a case whose facts are not kept, nor those that differ within their budgets.
    pub snapshots: Vec<Snapshot>,
}

/// A snapshot of insta's.
#[derive(Debug, Serialize)]
pub struct Snapshot {
    /// Where it lies.
    pub folder: PathBuf,
    /// Its file, without `.snap`.
    pub name: String,
    /// What it holds, without insta's header.
    pub contents: String,
}

/// Every case of every scenario of a project.
#[must_use]
pub fn list(places: &Places) -> List {
    let absent: Vec<Flavour> = Flavour::ALL.into_iter().filter(|flavour| !guest::has_tools(places, *flavour)).collect();
    let mut list = List { cases: Vec::new(), broken: Vec::new() };
    for (file, read) in scenarios(places) {
        match read {
            Ok(scenario) => {
                let of_case = |case: Case| listed(places, &file, &scenario, &case, &absent);
                list.cases.extend(scenario.cases().into_iter().map(of_case));
            }
            Err(reason) => list.broken.push(Broken { test: test_of_file(&file), reason: reason.to_string() }),
        }
    }
    list
}

/// The scenarios of a project, each with its file, or with what is wrong with it.
fn scenarios(places: &Places) -> Vec<(PathBuf, Result<Scenario, CodedError>)> {
    let folder = places.scenarios();
    match scenario::files(&folder) {
        Ok(files) if files.is_empty() => {
            let reason = format!("no scenario in {}", folder.display());
            vec![(folder, Err(Code::NoScenarioFolder.error(reason)))]
        }
        Ok(files) => {
            let read = |file: PathBuf| {
                let scenario = kinds::read(&file).map_err(CodedError::from);
                (file, scenario)
            };
            files.into_iter().map(read).collect()
        }
        Err(error) => vec![(folder, Err(error.into()))],
    }
}

/// The name of the test that fails for a file; of the folder where that is what is wrong.
fn test_of_file(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn test_of(scenario: &Scenario, case: &Case) -> String {
    format!("{}::{}", scenario.name, case.id())
}

fn listed(places: &Places, file: &Path, scenario: &Scenario, case: &Case, absent: &[Flavour]) -> Listed {
    let report = Path::new("suite").join(file.file_stem().unwrap_or_default());
    let report = places.state.join(report).join(format!("{}.json", case.id().replace('/', "-")));
    Listed {
        test: test_of(scenario, case),
        case: case.id(),
        scenario: in_project(places, file),
        report: in_project(places, &report),
        // A toolchain that is not there makes no facts, and a flow of events needs a kernel that is watched.
        ignored: is_absent(places, absent, case) || case.work == Work::Flow,
    }
}

fn in_project(places: &Places, path: &Path) -> PathBuf {
    path.strip_prefix(&places.root).unwrap_or(path).to_owned()
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

/// Runs the case of a test once, and compares its facts with the snapshot.
///
/// # Errors
/// When there is no such test, its scenario is not valid, or the case cannot be run.
pub fn facts(places: &Places, test: &str) -> anyhow::Result<Facts> {
    let (scenario, case) = find(places, test)?;
    let case = run_once(places, case)?;
    // Of budgets more is said below.
    if !case.outcome.expected && !case.outcome.is_of_budgets() {
        let code = case.outcome.code.unwrap_or(Code::NotRun);
        let message = format!("{}: {}", case.outcome.status.name(), case.outcome.detail.unwrap_or_default());
        return Err(code.error(message).into());
    }
    // What an engine does not offer shows only when it is asked for it.
    let note = (case.outcome.status == Status::Skipped)
        .then(|| format!("{}: {}", case.id, case.outcome.detail.as_deref().unwrap_or_default()));
    let checked = snapshot::check(&places.snapshots(), &scenario, &case, worker::WASMTIME_VERSION)?;
    let toolchain = case.artifact.as_ref().and_then(|artifact| artifact.toolchain.as_deref());
    let shown = |path: &Path| in_project(places, path).display().to_string();
    let explained = crate::cli::tables::snapshot::explain(&checked, shown, toolchain);
    let problem = format!("{} of {scenario}: {}\n{explained}", case.id, crate::cli::tables::snapshot::word(&checked));
    Ok(Facts {
        note,
        problem: (!checked.passes()).then_some(problem),
        can_be_accepted: checked.can_be_accepted(),
        over_budget: !checked.excesses.is_empty(),
        snapshots: checked.files.into_iter().filter_map(|file| snapshot_of(places, file)).collect(),
    })
}

/// A snapshot to compare with; `None` of one that is left as it is.
fn snapshot_of(places: &Places, file: snapshot::File) -> Option<Snapshot> {
    let folder = in_project(places, file.path.parent()?);
    let name = file.path.file_stem()?.to_string_lossy().into_owned();
    Some(Snapshot { folder, name, contents: file.contents? })
}

/// The case of a test, and the name of its scenario.
fn find(places: &Places, test: &str) -> anyhow::Result<(String, Case)> {
    for (file, read) in scenarios(places) {
        match read {
            Ok(scenario) => {
                if let Some(case) = scenario.cases().into_iter().find(|case| test_of(&scenario, case) == test) {
                    return Ok((scenario.name, case));
                }
            }
            Err(reason) if test_of_file(&file) == test => return Err(reason.into()),
            Err(_) => {}
        }
    }
    fail!(NothingMatches, "there is no test `{test}`: `wasiscope suite list` has them")
}

/// One worker for the facts, and one iteration to see that it can be timed.
fn run_once(places: &Places, case: Case) -> anyhow::Result<CaseReport> {
    prepare::check(&case)?;
    let case = Case { processes: case.processes.min(1), iterations: 1, ..case };
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guest")?;
    let options = Options { reference: false, ..Options::new(places, scratch.path(), vec![case]) };
    let scenarios = measure(options, &mut Builds, &Interrupt::default())?.scenarios();
    scenarios.into_iter().flat_map(|scenario| scenario.cases).next().context("the case has no row")
}

/// Tells of guests that are being built, which may take a while.
struct Builds;

impl Observer for Builds {
    fn on_note(&mut self, note: &Note) {
        eprintln!("{note}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn project(files: &[(&str, &str)]) -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("scenarios")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join("scenarios").join(name), text).unwrap();
        }
        let places = Places::find(Some(folder.path()));
        (folder, places)
    }

    #[test]
    fn a_scenario_that_is_not_valid_takes_no_other_with_it() {
        let good = "name: other\nwasm: g.wat\nengines: [cranelift]\n";
        let (folder, places) = project(&[("bad.yaml", "name: bad\nkind: unheard-of\n"), ("good.yaml", good)]);
        fs::write(folder.path().join("scenarios/g.wat"), "(module)").unwrap();
        let list = list(&places);
        let broken: Vec<&str> = list.broken.iter().map(|broken| broken.test.as_str()).collect();
        assert_eq!(broken, ["bad"]);
        let [case] = &list.cases[..] else { panic!("{:?}", list.cases) };
        assert_eq!((case.test.as_str(), case.case.as_str()), ("other::g/custom/cranelift", "g/custom/cranelift"));
        assert_eq!(case.scenario, Path::new("scenarios/good.yaml"));
        assert_eq!(case.report, Path::new("target/wasiscope/suite/good/g-custom-cranelift.json"));
        assert_eq!(find(&places, &case.test).unwrap().0, "other");
        assert_eq!(find(&places, "bad").unwrap_err().to_string(), list.broken[0].reason);
        assert!(find(&places, "good").is_err());
    }

    #[test]
    fn a_project_without_scenarios_is_a_test_that_fails() {
        let (_folder, places) = project(&[]);
        let list = list(&places);
        assert_eq!((list.cases.len(), list.broken[0].test.as_str()), (0, "scenarios"));
    }
}
