//! The facts of every case, kept under `snapshots/` and held against what a run found: exactly, or within a budget.
//!
//! A file is a snapshot of insta's, one for each case and toolchain: `snapshots/SCENARIO/CASE@TOOLCHAIN.snap`. Its contents are YAML
//! ([`Kept`]), so that `cargo insta review` shows a change line by line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use globset::Glob;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kinds::pipeline::GENERATED;
use crate::record::{self, Facts};
use crate::report::destination;
use crate::report::document::CaseReport;
use crate::scenario::{self, Budgets, Flavour};

/// Facts that depend on more than the guest, and so are in reports but not in snapshots: native code is made for the processor at
/// hand, instructions are counted by whatever valgrind there is, and the last compares a guest with another of its scenario.
const OF_MORE_THAN_THE_GUEST: [&str; 3] = ["size.native_code", record::INSTRUCTIONS, "size.over_abort"];

/// The code of a trap that the end of the engine's stack is.
const STACK_OVERFLOW: &str = "StackOverflow";

/// The contents of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The compiler that made the guest; `None` for a file from elsewhere.
    #[serde(default)]
    pub toolchain: Option<String>,
    /// The engine that ran it: what it charges as fuel is its own affair.
    pub wasmtime: String,
    /// The facts.
    pub facts: Facts,
}

impl Kept {
    /// What is to be kept of a case that this wasmtime ran.
    #[must_use]
    pub fn of(case: &CaseReport, wasmtime: &str) -> Self {
        // How deep a recursion gets before the engine's stack ends is a matter of the host's frames on it, and so of how the host was
        // compiled.
        let ran_out = case.facts.get("trap.code").is_some_and(|code| code == STACK_OVERFLOW);
        let is_kept = |(name, _): &(&String, &Value)| {
            !OF_MORE_THAN_THE_GUEST.contains(&name.as_str()) && (name.as_str() != "fuel" || !ran_out)
        };
        let facts = case.facts.iter().filter(is_kept).map(|(name, value)| (name.clone(), value.clone()));
        let toolchain = case.artifact.as_ref().and_then(|artifact| artifact.toolchain.clone());
        Self { toolchain, wasmtime: wasmtime.to_owned(), facts: facts.collect() }
    }

    /// As YAML, always the same for the same facts.
    ///
    /// # Errors
    /// Never in practice: facts are JSON.
    pub fn to_yaml(&self) -> Result<String, SnapshotError> {
        serde_yaml::to_string(self).map_err(|reason| SnapshotError::NotKept { path: PathBuf::new(), reason })
    }
}

/// Why a snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read or written.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// It is no snapshot of facts.
    #[error("{} is no snapshot of facts: {reason}; take it away and accept the facts anew", path.display())]
    NotKept {
        /// The file.
        path: PathBuf,
        /// What does not fit, and where.
        reason: serde_yaml::Error,
    },
}

/// Whether the tree and the toolchain decide the guests of this flavour and what becomes of them. Native code is the machine's, as
/// are Go's tools, which no project pins; what a check comes to is a matter of the engine.
#[must_use]
pub fn is_kept(case: &CaseReport) -> bool {
    let kept = [Flavour::TinygoLike.name(), Flavour::Std.name(), "custom"];
    // What a flow of events counts is not the same in every run.
    let flowed = case.facts.contains_key(GENERATED);
    kept.contains(&case.flavour.as_str()) && !case.facts.is_empty() && !flowed
}

/// The file of a case below `snapshots/`, without its ending.
#[must_use]
pub fn name(case: &CaseReport) -> String {
    let toolchain = case.artifact.as_ref().and_then(|artifact| artifact.toolchain.as_deref());
    let suffix = toolchain.map(|toolchain| format!("@{}", short(toolchain))).unwrap_or_default();
    format!("{}{suffix}", stem(&case.id))
}

fn stem(id: &str) -> String {
    component(&id.replace('/', "-"))
}

/// A name as one part of a path, whatever report it comes from.
fn component(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_control() || "/\\".contains(c) { '-' } else { c }).collect();
    if plain.starts_with('.') { format!("-{plain}") } else { plain }
}

/// A toolchain as part of a file's name: `rustc-1.95.0`, `rustc-1.97.0-nightly-2026-05-01`.
fn short(toolchain: &str) -> String {
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

/// What became of the facts of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// As they were.
    Same,
    /// No snapshot of this case, by any toolchain.
    New,
    /// Snapshots there are, but of guests that other toolchains made: nothing can be said.
    OtherToolchain(Vec<String>),
    /// Otherwise than they were.
    Differs(Vec<Difference>),
}

/// One fact that is not as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its name.
    pub fact: String,
    /// What was kept.
    pub old: Option<Value>,
    /// What was found.
    pub new: Option<Value>,
    /// Of a guest's size: the sections and crates that grew or shrank, the largest change first.
    pub parts: Vec<Part>,
}

/// A section, or a crate, whose size changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `section data` or `crate serde`.
    pub name: String,
    /// Bytes before.
    pub old: u64,
    /// Bytes now.
    pub new: u64,
}

impl Part {
    fn change(&self) -> u64 {
        self.old.abs_diff(self.new)
    }
}

/// A fact above its budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Excess {
    /// The budget, a fact's name or a pattern.
    pub budget: String,
    /// The fact, with what was found; `None` when no fact has this name, which is a mistake in the scenario.
    pub found: Option<(String, Value)>,
    /// The fact whose name is most like it, where none has it.
    pub meant: Option<String>,
    /// The most that it may be.
    pub most: Option<u64>,
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Where its snapshot lies, or would.
    pub path: PathBuf,
    /// Its facts against the snapshot.
    pub state: State,
    /// Its facts against its budgets.
    pub excesses: Vec<Excess>,
    /// Of which wasmtime the snapshot is, where that differs from this one.
    pub other_wasmtime: Option<String>,
    /// The contents of the snapshot as they are, where there is one.
    pub present: Option<String>,
}

impl Checked {
    /// Whether all is as it must be.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.state == State::Same && self.excesses.is_empty()
    }

    /// Whether accepting what was found would mend it.
    #[must_use]
    pub fn can_be_accepted(&self) -> bool {
        self.state != State::Same
    }
}

/// Holds the facts of a case of `scenario` against its snapshot in `folder`, and against its budgets.
///
/// # Errors
/// When a snapshot is there and cannot be read.
pub fn check(folder: &Path, scenario: &str, case: &CaseReport, wasmtime: &str) -> Result<Checked, SnapshotError> {
    let path = folder.join(component(scenario)).join(format!("{}.snap", name(case)));
    let excesses = excesses(&case.facts, &case.budgets);
    let found = Kept::of(case, wasmtime);
    if !is_kept(case) {
        // Of such cases there are budgets only.
        return Ok(Checked { path, state: State::Same, excesses, other_wasmtime: None, present: None });
    }
    let Some(present) = read(&path)? else {
        let others = other_toolchains(&path, &stem(&case.id));
        let state = if others.is_empty() { State::New } else { State::OtherToolchain(others) };
        return Ok(Checked { path, state, excesses, other_wasmtime: None, present: None });
    };
    let kept = parse(&path, &present)?;
    let other_wasmtime = Some(kept.wasmtime.clone()).filter(|version| *version != found.wasmtime);
    let state = if kept.toolchain == found.toolchain {
        match differences(&kept.facts, &found.facts, &case.budgets) {
            differences if differences.is_empty() => State::Same,
            differences => State::Differs(differences),
        }
    } else {
        State::OtherToolchain(vec![kept.toolchain.unwrap_or_else(|| "none".to_owned())])
    };
    Ok(Checked { path, state, excesses, other_wasmtime, present: Some(present) })
}

/// Keeps what was found, in place of what was there.
///
/// # Errors
/// When the file cannot be written.
pub fn accept(checked: &Checked, case: &CaseReport, wasmtime: &str) -> Result<(), SnapshotError> {
    let io = |reason| SnapshotError::Io { path: checked.path.clone(), reason };
    let folder = checked.path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io)?;
    // The head names the test that made it, which a new version of it does not change.
    let text = fs::read_to_string(&checked.path).unwrap_or_default();
    let head = split(&text).map_or("source: wasiscope snapshot --accept\n", |(head, _)| head);
    let text = format!("---\n{head}---\n{}", Kept::of(case, wasmtime).to_yaml()?);
    destination::replace(&checked.path, |out| out.write_all(text.as_bytes())).map_err(io)?;
    // What a test left for review is answered by this.
    let _ = fs::remove_file(checked.path.with_extension("snap.new"));
    Ok(())
}

/// Snapshots of a scenario that belong to none of these cases.
#[must_use]
pub fn without_case<'a>(folder: &Path, scenario: &str, ids: impl IntoIterator<Item = &'a str>) -> Vec<PathBuf> {
    let stems: Vec<String> = ids.into_iter().map(stem).collect();
    let mut strays: Vec<PathBuf> = snapshots_in(&folder.join(component(scenario)))
        .into_iter()
        .filter(|(_, of)| !stems.contains(&of.split('@').next().unwrap_or_default().to_owned()))
        .map(|(path, _)| path)
        .collect();
    strays.sort();
    strays
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

/// The toolchains of the case's other snapshots.
fn other_toolchains(path: &Path, stem: &str) -> Vec<String> {
    let of_case = |name: &str| name.split('@').next() == Some(stem);
    let folder = path.parent().unwrap_or(Path::new("."));
    let snapshots = snapshots_in(folder).into_iter().filter(|(_, name)| of_case(name));
    let mut toolchains: Vec<String> = snapshots
        .map(|(path, name)| {
            let kept = read(&path).ok().flatten().and_then(|text| parse(&path, &text).ok());
            kept.and_then(|kept| kept.toolchain).unwrap_or(name)
        })
        .collect();
    toolchains.sort();
    toolchains
}

/// The contents of a snapshot without insta's head; `None` when there is none.
fn read(path: &Path) -> Result<Option<String>, SnapshotError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(split(&text).map_or(text.as_str(), |(_, contents)| contents).to_owned())),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(SnapshotError::Io { path: path.to_owned(), reason }),
    }
}

/// Head and contents of a file of insta's.
fn split(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("---\n")?.split_once("---\n")
}

fn parse(path: &Path, contents: &str) -> Result<Kept, SnapshotError> {
    serde_yaml::from_str(contents).map_err(|reason| SnapshotError::NotKept { path: path.to_owned(), reason })
}

/// Whether a budget's name, which may be a pattern, means this fact.
fn means(budget: &str, fact: &str) -> bool {
    budget == fact || Glob::new(budget).is_ok_and(|glob| glob.compile_matcher().is_match(fact))
}

/// Facts that differ and are under no budget. Sizes come first, with what changed inside; the parts are not told twice.
fn differences(old: &Facts, new: &Facts, budgets: &Budgets) -> Vec<Difference> {
    let is_budgeted = |fact: &str| budgets.keys().any(|budget| means(budget, fact));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let mut differing: Vec<&String> =
        names.filter(|name| old.get(*name) != new.get(*name) && !is_budgeted(name)).collect();
    differing.sort_by_key(|name| (!is_whole_size(name), is_detail_of_size(name), *name));
    let parts = size_parts(old, new);
    let explained = differing.iter().any(|name| is_whole_size(name));
    differing.retain(|name| !(explained && is_part_of_size(name)));
    differing
        .into_iter()
        .map(|name| Difference {
            fact: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
            parts: if is_whole_size(name) { parts.clone() } else { Vec::new() },
        })
        .collect()
}

fn is_whole_size(fact: &str) -> bool {
    matches!(fact, "size.wasm" | "size.native")
}

fn is_part_of_size(fact: &str) -> bool {
    fact.starts_with("size.section.") || matches!(fact, "size.framing" | "size.by_crate")
}

fn is_detail_of_size(fact: &str) -> bool {
    fact.starts_with("size.") || fact.starts_with("functions.") || fact.starts_with("data.")
}

/// The sections and crates whose size differs, the largest change first.
#[must_use]
pub fn size_parts(old: &Facts, new: &Facts) -> Vec<Part> {
    let of = |facts: &Facts| {
        let sections = facts.iter().filter_map(|(fact, value)| {
            Some((format!("section {}", fact.strip_prefix("size.section.")?), value.as_u64()?))
        });
        let crates = facts.get("size.by_crate").and_then(Value::as_object).into_iter().flatten();
        let crates = crates.filter_map(|(name, bytes)| Some((format!("crate {name}"), bytes.as_u64()?)));
        sections.chain(crates).collect::<BTreeMap<String, u64>>()
    };
    let (old, new) = (of(old), of(new));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let bytes = |parts: &BTreeMap<String, u64>, name: &String| parts.get(name).copied().unwrap_or(0);
    let mut parts: Vec<Part> = names
        .map(|name| Part { name: name.clone(), old: bytes(&old, name), new: bytes(&new, name) })
        .filter(|part| part.change() > 0)
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.change()));
    parts
}

/// Facts above their budgets, and budgets of facts that there are none of. The exact name counts before a pattern.
fn excesses(facts: &Facts, budgets: &Budgets) -> Vec<Excess> {
    let mut excesses = Vec::new();
    for (budget, most) in budgets {
        let meant: Vec<(&String, &Value)> = facts
            .iter()
            .filter(|(fact, _)| means(budget, fact) && (*fact == budget || !budgets.contains_key(*fact)))
            .collect();
        if meant.is_empty() && !facts.keys().any(|fact| means(budget, fact)) {
            let meant = scenario::nearest(budget, facts.keys().map(String::as_str)).map(str::to_owned);
            excesses.push(Excess { budget: budget.clone(), found: None, meant, most: *most });
        }
        let Some(most) = most else { continue };
        let above = meant.into_iter().filter(|(_, value)| value.as_u64().is_none_or(|value| value > *most));
        excesses.extend(above.map(|(fact, value)| Excess {
            budget: budget.clone(),
            found: Some((fact.clone(), value.clone())),
            meant: None,
            most: Some(*most),
        }));
    }
    excesses
}

#[cfg(test)]
mod tests;
