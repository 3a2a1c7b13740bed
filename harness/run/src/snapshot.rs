//! The facts of every case, kept under `snapshots/` and compared with what a run found: exactly, or within a budget.
//!
//! A case has two snapshots of insta's: what its guest's bytes say, which all cases of that guest share, and what comes of running it.
//! Their contents are YAML ([`Kept`]), so that `cargo insta review` shows a change line by line.

mod difference;
mod files;

use std::path::{Path, PathBuf};
use std::{fs, io};

use wasiscope_kinds as kinds;
use wasiscope_model::code::{Code, Coded};
use wasiscope_model::record::Facts;
use wasiscope_model::report::CaseReport;
use wasiscope_scenario::{Budgets, Flavour};
use wasiscope_sys::destination;

pub use crate::budgets::Excess;
pub use difference::{Difference, Part, size_parts};
pub use files::{Kept, without_case};

use crate::budgets::excesses;
use difference::differences;

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

impl Coded for SnapshotError {
    fn code(&self) -> Code {
        match self {
            Self::Io { reason, .. } => Code::of_read(reason),
            Self::NotKept { .. } => Code::NotASnapshot,
        }
    }
}

/// Whether the tree and the toolchain decide the guests of this flavour and what becomes of them. Native code is the machine's, as
/// are Go's tools, which no project pins; what a check comes to is a matter of the engine.
#[must_use]
pub fn is_kept(case: &CaseReport) -> bool {
    let kept = [Flavour::TinygoLike.name(), Flavour::Std.name(), "custom"];
    // What a flow of events counts is not the same in every run.
    let flowed = case.facts.keys().any(|fact| kinds::varies(fact));
    kept.contains(&case.flavour.as_str()) && !case.facts.is_empty() && !flowed
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

/// One snapshot of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Where it lies, or would.
    pub path: PathBuf,
    /// What it should hold; `None` where it is left as it is, though it does not hold exactly what was found.
    pub contents: Option<String>,
    /// Whether it does not hold that.
    pub changes: bool,
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Its snapshots, that of the guest's bytes first; none of a case whose facts are not kept.
    pub files: Vec<File>,
    /// Its facts against the snapshots.
    pub state: State,
    /// Its facts against its budgets.
    pub excesses: Vec<Excess>,
    /// Of which wasmtime the snapshot is, where that differs from this one.
    pub other_wasmtime: Option<String>,
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

    /// The snapshots that accepting changes.
    pub fn changes(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.changes).map(|file| file.path.as_path())
    }
}

/// A snapshot as it is, beside what was found.
struct Compared {
    path: PathBuf,
    found: Kept,
    /// Its text and what it keeps, where there is one.
    present: Option<(String, Kept)>,
    /// The facts to compare with what was found; `None` when nobody has accepted any.
    known: Option<Facts>,
}

impl Compared {
    /// Whether it holds what comes of running the guest, and what the guest's bytes say besides: as all did at first.
    fn has_both(&self) -> bool {
        self.found.wasmtime.is_some() && self.present.as_ref().is_some_and(|(_, kept)| kept.has_facts_of_bytes())
    }

    /// What the file should hold.
    fn into_file(self, state: &State, budgets: &Budgets) -> Result<File, SnapshotError> {
        let is_same_toolchain = self.present.as_ref().is_some_and(|(_, kept)| kept.toolchain == self.found.toolchain);
        // One of former times is written anew with the first change, and until then left alone.
        let is_former = *state != State::Same && self.has_both();
        let is_exact = is_same_toolchain && !is_former && self.known.as_ref() == Some(&self.found.facts);
        // Facts within their budgets may differ in the file, which is left as it is then.
        let is_within = is_same_toolchain
            && !is_former
            && self.known.is_some_and(|known| differences(&known, &self.found.facts, budgets).is_empty());
        let (contents, changes) = match (self.present, state) {
            (Some((text, _)), _) if is_exact => (Some(text), false),
            (_, State::Same) => (None, false),
            (Some(_), State::Differs(_)) if is_within => (None, false),
            _ => (Some(self.found.to_yaml()?), true),
        };
        Ok(File { path: self.path, contents, changes })
    }
}

/// Compares the facts of a case of `scenario` with its snapshots in `folder`, and with its budgets.
///
/// # Errors
/// When a snapshot is there and cannot be read.
pub fn check(folder: &Path, scenario: &str, case: &CaseReport, wasmtime: &str) -> Result<Checked, SnapshotError> {
    let excesses = excesses(&case.facts, &case.budgets);
    if !is_kept(case) {
        // Of such cases there are budgets only.
        return Ok(Checked { files: Vec::new(), state: State::Same, excesses, other_wasmtime: None });
    }
    let folder = folder.join(files::folder(scenario, case));
    let compared = compare(&folder, case, wasmtime)?;
    let of_run = compared[1].present.as_ref().and_then(|(_, kept)| kept.wasmtime.clone());
    let other_wasmtime = of_run.filter(|version| version != wasmtime);
    let state = state(&folder, case, &compared);
    let files = compared.into_iter().map(|compared| compared.into_file(&state, &case.budgets));
    Ok(Checked { files: files.collect::<Result<_, _>>()?, state, excesses, other_wasmtime })
}

fn compare(folder: &Path, case: &CaseReport, wasmtime: &str) -> Result<[Compared; 2], SnapshotError> {
    let toolchain = case.artifact.as_ref().and_then(|artifact| artifact.toolchain.as_deref());
    let path = |stem: &String| folder.join(format!("{}.snap", files::name(stem, toolchain)));
    let [bytes, run] = files::stems(case);
    let (bytes, run) = (path(&bytes), path(&run));
    let [found_of_bytes, found_of_run] = files::kept_of(case, wasmtime);
    let (present_bytes, present_run) = (files::read(&bytes)?, files::read(&run)?);
    let known = |present: &Option<(String, Kept)>| present.as_ref().map(|(_, kept)| kept.facts.clone());
    let (mut known_of_bytes, mut known_of_run) = (known(&present_bytes), known(&present_run));
    // A snapshot of former times has it all.
    if let Some((_, kept)) = present_run.as_ref().filter(|(_, kept)| kept.has_facts_of_bytes()) {
        let facts = kept.facts.clone().into_iter();
        let (of_bytes, of_run) = facts.partition(|(name, _)| wasiscope_guest::module::is_fact(name));
        known_of_bytes = known_of_bytes.or(Some(of_bytes));
        known_of_run = Some(of_run);
    }
    Ok([
        Compared { path: bytes, found: found_of_bytes, present: present_bytes, known: known_of_bytes },
        Compared { path: run, found: found_of_run, present: present_run, known: known_of_run },
    ])
}

fn state(folder: &Path, case: &CaseReport, compared: &[Compared; 2]) -> State {
    let present = || compared.iter().filter_map(|compared| compared.present.as_ref());
    let others = present().filter(|(_, kept)| kept.toolchain != compared[0].found.toolchain);
    let others: Vec<String> =
        others.map(|(_, kept)| kept.toolchain.clone().unwrap_or_else(|| "none".to_owned())).take(1).collect();
    if !others.is_empty() {
        return State::OtherToolchain(others);
    }
    let [Some(of_bytes), Some(of_run)] = compared.each_ref().map(|compared| compared.known.as_ref()) else {
        // One may be there already: that of the bytes, when the engine is new.
        let others =
            if present().next().is_none() { files::toolchains(folder, &files::stems(case)) } else { Vec::new() };
        return if others.is_empty() { State::New } else { State::OtherToolchain(others) };
    };
    let all = |of_bytes: &Facts, of_run: &Facts| of_bytes.clone().into_iter().chain(of_run.clone()).collect::<Facts>();
    let found = all(&compared[0].found.facts, &compared[1].found.facts);
    match differences(&all(of_bytes, of_run), &found, &case.budgets) {
        differences if differences.is_empty() => State::Same,
        differences => State::Differs(differences),
    }
}

/// Keeps what was found, in place of what was there.
///
/// # Errors
/// When a file cannot be written.
pub fn accept(checked: &Checked) -> Result<(), SnapshotError> {
    for file in checked.files.iter().filter(|file| file.changes) {
        let io = |reason| SnapshotError::Io { path: file.path.clone(), reason };
        let folder = file.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(io)?;
        // The header names the test that made it, which a new version of it does not change.
        let text = fs::read_to_string(&file.path).unwrap_or_default();
        let header = files::split(&text).map_or("description: accepted by wasiscope snapshot\n", |(header, _)| header);
        let text = format!("---\n{header}---\n{}", file.contents.as_deref().unwrap_or_default());
        destination::replace(&file.path, |out| out.write_all(text.as_bytes())).map_err(io)?;
        // What a test left for review is answered by this.
        let _ = fs::remove_file(file.path.with_extension("snap.new"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
