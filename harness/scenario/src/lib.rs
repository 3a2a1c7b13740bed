//! Scenario files: YAML in, a validated [`Scenario`] out, or an error that points into the file.
//!
//! Whatever names something that exists (a workload, a flavour, an engine) is checked while it is read, so that the
//! error knows its line and column.
//!
//! It builds and runs nothing, and knows no kind of scenario: what one adds to files and cases, it learns through the trait
//! [`Kind`]. Engines are names and settings here.

pub mod plan;

mod diagnostic;
pub mod engine;
mod expect;
mod kind;
mod own;
mod wire;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{Case, Input};
use wasiscope_model::names;
use wasiscope_sys::files::{self, Content};

pub use diagnostic::Problem;
pub use diagnostic::ScenarioError;
pub use diagnostic::nearest;
pub use engine::{Allocation, BoundsChecks, Compiler, Engine, EngineSettings, OptLevel};
pub use expect::{Expectation, ExpectedText, Pattern};
pub use kind::{Common, Kind, Kinds, Plan, Section};
pub use own::{CUSTOM, CargoGuest, CommandGuest, OwnGuest, OwnSource};
pub use wire::{size, wall};

/// How a workload becomes wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flavour {
    /// `no_std`, its own allocator, WASI imports called directly.
    TinygoLike,
    /// Plain Rust on the standard library.
    Std,
    /// The program of `std`, compiled for the machine itself: the baseline outside wasm.
    Native,
    /// Go with its whole standard library, where `go` is on PATH.
    Go,
    /// The same Go sources by TinyGo, where `tinygo` is on PATH.
    Tinygo,
}

impl Flavour {
    /// Every flavour, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::TinygoLike, Self::Std, Self::Native, Self::Go, Self::Tinygo];

    /// The name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TinygoLike => "tinygo-like",
            Self::Std => "std",
            Self::Native => "native",
            Self::Go => "go",
            Self::Tinygo => "tinygo",
        }
    }

    /// One line for `wasiscope list`.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::TinygoLike => "no_std Rust for wasm32-unknown-unknown, own allocator, built for size",
            Self::Std => "plain Rust on std for wasm32-wasip1",
            Self::Native => "the program of std as a native executable: the floor to compare with, outside any engine",
            Self::Go => "Go with its standard library for wasip1; skipped where `go` is not on PATH",
            Self::Tinygo => "the same Go sources by TinyGo; skipped where `tinygo` is not on PATH",
        }
    }
}

/// A workload of the catalogue at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizedWorkload {
    /// Its name in the catalogue.
    pub name: String,
    /// Its size.
    pub n: u64,
}

/// Bounds on one guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest wall-clock time of one iteration, and of a worker's start.
    pub wall: Duration,
    /// Most bytes of linear memory.
    pub memory_bytes: u64,
    /// Most bytes of the guest's call stack in the engine.
    pub stack_bytes: u64,
    /// Most bytes that the guest may write to stdout, and as many to stderr, in one pass.
    #[serde(default = "output_bytes")]
    pub output_bytes: u64,
}

const fn output_bytes() -> u64 {
    16 << 20
}

/// Longest wall-clock limit. Clocks end, and a deadline behind their end cannot be waited for.
const WALL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(10),
            memory_bytes: 1 << 30,
            stack_bytes: 512 << 10,
            output_bytes: output_bytes(),
        }
    }
}

/// One validated scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether `wasiscope run` without arguments includes it.
    pub default: bool,
    /// What it is about.
    pub kind: &'static dyn Kind,
    /// Which cases its kind makes of it.
    pub plan: Arc<dyn Plan>,
    /// The guests that it brings; then there are no workloads and no flavours of the catalogue.
    pub own: Vec<OwnGuest>,
    /// What they are given.
    pub input: Input,
    /// The file with their standard input.
    pub stdin: Option<PathBuf>,
    /// The workloads.
    pub workloads: Vec<SizedWorkload>,
    /// The flavours.
    pub flavours: Vec<Flavour>,
    /// The engines.
    pub engines: Vec<Engine>,
    /// Workers per case, for watched and for unwatched ones alike.
    pub processes: u32,
    /// Iterations per worker.
    pub iterations: u32,
    /// Bounds on every guest.
    pub limits: Limits,
    /// How every case is expected to end.
    pub expect: Expectation,
    /// Metric → relative tolerance of a comparison (0.03 is 3 %).
    pub tolerance: BTreeMap<String, f64>,
    /// What facts may come to, where they need not be exactly as they were.
    pub budgets: Budgets,
    /// What its file should say otherwise, though it can be read.
    pub warnings: Vec<String>,
}

impl Scenario {
    /// Its cases, in the order of the report.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        self.plan.cases(self)
    }

    /// Pairs of cases that differ only in a check that the engine of the second makes.
    #[must_use]
    pub fn prices(&self) -> Vec<(Case, Case)> {
        self.plan.prices(self)
    }
}

pub use wasiscope_model::report::Budgets;

/// Workers per case where nothing else is said.
pub const DEFAULT_PROCESSES: u32 = 10;
/// Iterations per worker where nothing else is said.
pub const DEFAULT_ITERATIONS: u32 = 20;

/// Reads and validates one scenario file.
///
/// # Errors
/// When the file cannot be read, is not YAML, or says something that does not exist or cannot be.
pub fn read(path: &Path, kinds: Kinds) -> Result<Scenario, ScenarioError> {
    let (scenario, text) = read_file(path, kinds)?;
    wire::check_files(&scenario).map_err(|problem| problem.in_file(path, &text))?;
    Ok(scenario)
}

/// As [`read`], of a scenario whose guest need not be there.
///
/// # Errors
/// As [`read`].
pub fn read_without_guest(path: &Path, kinds: Kinds) -> Result<Scenario, ScenarioError> {
    read_file(path, kinds).map(|(scenario, _)| scenario)
}

fn read_file(path: &Path, kinds: Kinds) -> Result<(Scenario, String), ScenarioError> {
    let unreadable = |reason| ScenarioError::Unreadable { path: path.to_owned(), reason };
    let other = |reason| ScenarioError::NotAScenario { path: path.to_owned(), reason };
    let text = text_of(files::read(path).map_err(unreadable)?).map_err(other)?;
    let mut scenario = parse(path, &text, kinds)?;
    wire::read_files(&mut scenario).map_err(|problem| problem.in_file(path, &text))?;
    Ok((scenario, text))
}

/// The text of a scenario file, which must not be something else.
fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    let reason = match files::content_of(&bytes) {
        Content::Document => "it is a report, or another document of wasiscope, and no scenario",
        Content::Wasm | Content::Wat => "it is WebAssembly and no scenario",
        Content::Other if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") => {
            "it is UTF-16 text: save it as UTF-8"
        }
        Content::Other => {
            let text = files::without_byte_order_mark(&bytes).to_vec();
            return String::from_utf8(text).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                format!("it is neither WebAssembly nor a scenario: not UTF-8 at byte {at}")
            });
        }
    };
    Err(reason.to_owned())
}

/// Validates the text of a scenario file; `path` is only for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: &str, kinds: Kinds) -> Result<Scenario, ScenarioError> {
    // What comes through a pipe has no folder but the current one.
    let folder = if is_stream(path) { None } else { path.parent() }.unwrap_or(Path::new(""));
    wire::parse(text, folder, kinds).map_err(|problem| problem.in_file(path, text))
}

/// Every scenario of a folder, by file name. A file that is not valid is an error: a suite with a hole is no suite.
///
/// # Errors
/// When the folder cannot be read, any file in it is not valid, or two have one name.
pub fn read_folder(folder: &Path, kinds: Kinds) -> Result<Vec<Scenario>, ScenarioError> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let files = files(folder)?;
    for path in &files {
        let scenario = read(path, kinds)?;
        if let Some(at) = scenarios.iter().position(|known| known.name == scenario.name) {
            let (one, other) = (files[at].clone(), path.clone());
            return Err(ScenarioError::SameName { name: scenario.name, one, other });
        }
        scenarios.push(scenario);
    }
    Ok(scenarios)
}

/// Finds what the user named: a path to a file, or the stem of one in `folder`.
///
/// # Errors
/// When there is no such file; the message lists what there is.
pub fn find(folder: &Path, name: &OsStr) -> Result<PathBuf, ScenarioError> {
    let path = PathBuf::from(name);
    let is_there = std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir());
    if is_path(name) {
        return if is_there { Ok(path) } else { Err(ScenarioError::NoFile(path)) };
    }
    let present = match files(folder) {
        Ok(present) => present,
        Err(_) if is_there => return Ok(path),
        Err(ScenarioError::NoFolder { path, reason, .. }) => {
            return Err(ScenarioError::NoFolder { name: Some(names::escaped(name)), path, reason });
        }
        Err(error) => return Err(error),
    };
    if let Some(path) = present.iter().find(|path| path.file_stem() == Some(name)) {
        return Ok(path.clone());
    }
    if is_there {
        return Ok(path);
    }
    let stems: Vec<String> = present.iter().filter_map(|path| path.file_stem()).map(names::escaped).collect();
    let name = names::escaped(name);
    Err(ScenarioError::NoScenario {
        nearest: nearest(&name, stems.iter().map(String::as_str)).map(str::to_owned),
        name,
        present: stems,
    })
}

/// Whether this is the plain name of a scenario in `folder`.
#[must_use]
pub fn is_name(folder: &Path, name: &OsStr) -> bool {
    !is_path(name) && files(folder).is_ok_and(|present| present.iter().any(|path| path.file_stem() == Some(name)))
}

/// Whether a user who writes this means a path, and no plain name.
/// Whether a scenario is named by the path of its file.
#[must_use]
pub fn is_path(name: &OsStr) -> bool {
    name.as_bytes().contains(&b'/') || is_scenario_name(Path::new(name))
}

/// Whether a file is called a scenario.
#[must_use]
pub fn is_scenario_name(path: &Path) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case("yaml") || own.eq_ignore_ascii_case("yml"))
}

fn is_stream(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// The scenario files of a folder, by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    let unreadable = |reason| ScenarioError::NoFolder { name: None, path: folder.to_owned(), reason };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if is_scenario_name(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
