//! The files of snapshots: how they are called, and what is in them.
//!
//! ```text
//! snapshots/guests/hello-std@rustc-1.95.0.snap                       a guest of the catalogue: what its bytes say
//! snapshots/guests/hello-std-cranelift-n1@rustc-1.95.0.snap          what comes of running it, in an engine, at a size
//! snapshots/SCENARIO/greet-custom@rustc-1.95.0.snap                  the same of a guest that a scenario brings along
//! snapshots/SCENARIO/greet-custom-cranelift@rustc-1.95.0.snap
//! ```
//!
//! Two files, because insta cannot share one among tests that expect different things of it: a test that passes takes away what another
//! has left for review.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SnapshotError;
use wasiscope_guest::module;
use wasiscope_model::record::{self, Facts};
use wasiscope_model::report::CaseReport;
use wasiscope_scenario as scenario;

/// Facts that depend on more than the guest, and so are in reports but not in snapshots: native code is made for the processor at
/// hand, instructions are counted by whatever valgrind there is, and the last compares a guest with another of its scenario.
const OF_MORE_THAN_THE_GUEST: [&str; 3] = ["size.native_code", record::INSTRUCTIONS, "size.over_abort"];

/// The code of a trap that the end of the engine's stack is.
const STACK_OVERFLOW: &str = "StackOverflow";

/// The folder of the catalogue's guests, which scenarios share. A guest that a scenario brings along lies in a folder of the scenario's
/// name: another may call a different guest the same, or give it other arguments.
const CATALOGUE: &str = "guests";

/// The contents of a snapshot file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The compiler that made the guest; `None` for a file from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolchain: Option<String>,
    /// The engine that ran it: what it charges as fuel is its own affair. `None` for what the guest's bytes say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wasmtime: Option<String>,
    /// The facts.
    pub facts: Facts,
}

impl Kept {
    /// As YAML, always the same for the same facts.
    ///
    /// # Errors
    /// Never in practice: facts are JSON.
    pub fn to_yaml(&self) -> Result<String, SnapshotError> {
        serde_yaml::to_string(self).map_err(|reason| SnapshotError::NotKept { path: PathBuf::new(), reason })
    }

    /// Whether it holds what a guest's bytes say.
    pub(super) fn has_facts_of_bytes(&self) -> bool {
        self.facts.keys().any(|name| module::is_fact(name))
    }
}

/// What is to be kept of a case that this wasmtime ran: what its guest's bytes say, and what came of running it.
pub(super) fn kept_of(case: &CaseReport, wasmtime: &str) -> [Kept; 2] {
    // How deep a recursion gets before the engine's stack ends is a matter of the host's frames on it, and so of how the host was
    // compiled.
    let ran_out = case.facts.get("trap.code").is_some_and(|code| code == STACK_OVERFLOW);
    let is_kept = |(name, _): &(&String, &Value)| {
        !OF_MORE_THAN_THE_GUEST.contains(&name.as_str()) && (name.as_str() != "fuel" || !ran_out)
    };
    let facts = case.facts.iter().filter(is_kept).map(|(name, value)| (name.clone(), value.clone()));
    let (of_bytes, of_run) = facts_that_stay(facts).into_iter().partition(|(name, _)| module::is_fact(name));
    let toolchain = case.artifact.as_ref().and_then(|artifact| artifact.toolchain.clone());
    [
        Kept { toolchain: toolchain.clone(), wasmtime: None, facts: of_bytes },
        Kept { toolchain, wasmtime: Some(wasmtime.to_owned()), facts: of_run },
    ]
}

/// Facts without what says nothing: those that a guest does not have, and functions without a name, whose numbers change with every
/// function before them.
fn facts_that_stay(facts: impl IntoIterator<Item = (String, Value)>) -> Facts {
    let is_named = |function: &Value| function.get("name").and_then(Value::as_str).is_none_or(|name| !is_number(name));
    let stays = |(name, value): (String, Value)| match value {
        Value::Null => None,
        Value::Array(functions) if name == "functions.largest" => {
            let named: Vec<Value> = functions.into_iter().filter(is_named).collect();
            (!named.is_empty()).then_some((name, Value::Array(named)))
        }
        value => Some((name, value)),
    };
    facts.into_iter().filter_map(stays).collect()
}

/// `function 140`.
fn is_number(name: &str) -> bool {
    name.strip_prefix("function ").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The folder of a case below `snapshots/`.
pub(super) fn folder(scenario: &str, case: &CaseReport) -> String {
    if is_of_catalogue(case) { CATALOGUE.to_owned() } else { component(scenario) }
}

fn is_of_catalogue(case: &CaseReport) -> bool {
    scenario::Flavour::ALL.iter().any(|flavour| flavour.name() == case.flavour)
}

/// How the names of a case's two files begin, the guest's first.
pub(super) fn stems(case: &CaseReport) -> [String; 2] {
    let size = case.n.filter(|_| is_of_catalogue(case)).map(|n| format!("-n{n}")).unwrap_or_default();
    [component(&format!("{}-{}", case.workload, case.flavour)), stem_of_run(&case.id) + &size]
}

fn stem_of_run(id: &str) -> String {
    component(&id.replace('/', "-"))
}

/// The name of a file without `.snap`.
pub(super) fn name(stem: &str, toolchain: Option<&str>) -> String {
    let suffix = toolchain.map(|toolchain| format!("@{}", short(toolchain))).unwrap_or_default();
    format!("{stem}{suffix}")
}

/// A name as one part of a path, whatever report it comes from.
fn component(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() || "/\\".contains(c) { '-' } else { c }).collect();
    if plain.starts_with('.') { format!("-{plain}") } else { plain }
}

/// A toolchain as part of a file's name: `rustc-1.95.0`, `rustc-1.97.0-nightly-2026-05-01`.
pub(super) fn short(toolchain: &str) -> String {
    let words: Vec<&str> = toolchain.split_whitespace().collect();
    let wanted = match words[..] {
        ["rustc", version, _, date] if version.contains('-') => {
            format!("rustc-{version}-{}", date.trim_end_matches(')'))
        }
        [program, version, ..] => format!("{program}-{version}"),
        _ => words.join("-"),
    };
    wanted.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' }).collect()
}

/// The text of a snapshot without insta's header, and what it keeps; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<(String, Kept)>, SnapshotError> {
    const ATTEMPTS: u32 = 3;
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 1..ATTEMPTS {
        match read_once(path) {
            // Another test may be writing it just now: insta renames nothing into its place.
            Err(SnapshotError::NotKept { .. }) => thread::sleep(PAUSE),
            done => return done,
        }
    }
    read_once(path)
}

fn read_once(path: &Path) -> Result<Option<(String, Kept)>, SnapshotError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(SnapshotError::Io { path: path.to_owned(), reason }),
    };
    let contents = split(&text).map_or(text.as_str(), |(_, contents)| contents).to_owned();
    let kept: Kept =
        serde_yaml::from_str(&contents).map_err(|reason| SnapshotError::NotKept { path: path.to_owned(), reason })?;
    let kept = Kept { facts: facts_that_stay(kept.facts), ..kept };
    Ok(Some((contents, kept)))
}

/// Header and contents of a file of insta's.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("---\n")?.split_once("---\n")
}

/// Snapshots of a scenario's own guests that belong to none of its cases.
#[must_use]
pub fn without_case<'a>(
    snapshots: &Path,
    scenario: &str,
    cases: impl IntoIterator<Item = &'a CaseReport>,
) -> Vec<PathBuf> {
    let folder = component(scenario);
    // A report has some of the scenarios that share these.
    if folder == CATALOGUE {
        return Vec::new();
    }
    let own = cases.into_iter().filter(|case| !is_of_catalogue(case));
    let stems: Vec<String> = own.flat_map(stems).collect();
    let mut strays: Vec<PathBuf> = snapshots_in(&snapshots.join(folder))
        .into_iter()
        .filter(|(_, name)| !stems.iter().any(|stem| is_of(name, stem)))
        .map(|(path, _)| path)
        .collect();
    strays.sort();
    strays
}

/// Whether a file of this name is of this stem, by any toolchain.
fn is_of(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

/// The snapshots in a folder, each with its name.
fn snapshots_in(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".snap")?.to_owned();
            Some((path, name))
        })
        .collect()
}

/// The toolchains of the snapshots of these stems.
pub(super) fn toolchains(folder: &Path, stems: &[String]) -> Vec<String> {
    let is_of_case = |name: &str| stems.iter().any(|stem| is_of(name, stem));
    let snapshots = snapshots_in(folder).into_iter().filter(|(_, name)| is_of_case(name));
    let mut toolchains: Vec<String> = snapshots
        .map(|(path, name)| {
            let kept = read(&path).ok().flatten();
            kept.and_then(|(_, kept)| kept.toolchain).unwrap_or(name)
        })
        .collect();
    toolchains.sort();
    toolchains.dedup();
    toolchains
}
