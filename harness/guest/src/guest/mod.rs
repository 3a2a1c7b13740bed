//! Builds guests: the only caller of cargo, go and tinygo. What was built is kept under a hash of everything that goes
//! into it.

mod cargo;
mod environment;
mod go;
mod script;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::places::Places;
use wasiscope_model::code::{Code, Coded};
use wasiscope_model::names;
use wasiscope_model::record::{Outcome, Status};
use wasiscope_scenario::{CargoGuest, CommandGuest, Flavour};

/// A guest as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The file.
    #[serde(with = "names::path")]
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The compiler that made it; `None` for a file from elsewhere.
    pub toolchain: Option<String>,
    /// What the compiler was told; `None` for a file from elsewhere.
    pub flags: Option<String>,
}

impl Artifact {
    /// Describes a file that is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        Ok(Self::of_bytes(path, &std::fs::read(path)?))
    }

    /// Describes what a file holds, or is assembled to.
    #[must_use]
    pub fn of_bytes(path: &Path, bytes: &[u8]) -> Self {
        Self {
            path: path.to_owned(),
            sha256: const_hex::encode(Sha256::digest(bytes)),
            bytes: bytes.len() as u64,
            toolchain: None,
            flags: None,
        }
    }
}

/// Why there is no guest; the text ends with what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoGuest {
    /// [`Status::Skipped`] when this machine or this catalogue simply has no such guest, else [`Status::Failed`].
    pub status: Status,
    /// Why, for a script.
    pub code: Code,
    /// Why.
    pub reason: String,
}

impl NoGuest {
    /// The row that stands for the case.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        // What cannot be had here is a row that says so, and no failure.
        let expected = self.status == Status::Skipped;
        let (code, detail) = (Some(self.code), Some(self.reason.clone()));
        Outcome { status: self.status, detail, code, expected }
    }
}

/// Why a guest could not be built; the text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The toolchain of a flavour that is only built where it is at hand.
    #[error("{program} is not on PATH: {mend}")]
    Absent {
        /// The program.
        program: &'static str,
        /// How to get it.
        mend: &'static str,
    },
    /// A program that every flavour in Rust needs cannot be started.
    #[error("cannot run {program}: {reason}; install Rust with rustup, then run ci/setup")]
    NoTool {
        /// The program.
        program: &'static str,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The compiler has no standard library for the target.
    #[error("the target {target} is not installed: run `rustup target add {target}` in {}{because}", folder.display())]
    NoTarget {
        /// The target.
        target: String,
        /// The folder whose toolchain needs it.
        folder: PathBuf,
        /// What rustup said, if it was there to ask.
        because: String,
    },
    /// The crate has no such binary.
    #[error(
        "no binary `{bin}` in {}; there are: {}", folder.display(),
        if bins.is_empty() { "none".to_owned() } else { bins.join(", ") }
    )]
    NoBinary {
        /// The binary asked for.
        bin: String,
        /// The crate's folder.
        folder: PathBuf,
        /// Those that there are.
        bins: Vec<String>,
    },
    /// The compiler refused the sources.
    #[error("{what} failed:\n{said}")]
    Build {
        /// What was being done.
        what: String,
        /// The end of what the compiler said.
        said: String,
    },
    /// A file could not be read or written.
    #[error("{what}: {reason}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's reason.
        reason: std::io::Error,
    },
}

impl Coded for GuestError {
    fn code(&self) -> Code {
        match self {
            Self::Absent { .. } | Self::NoTool { .. } | Self::NoTarget { .. } => Code::NoToolchain,
            Self::NoBinary { .. } => Code::NoSuchBinary,
            Self::Build { .. } | Self::Io { .. } => Code::BuildFailed,
        }
    }
}

impl From<GuestError> for NoGuest {
    fn from(error: GuestError) -> Self {
        let status = if matches!(error, GuestError::Absent { .. }) { Status::Skipped } else { Status::Failed };
        Self { status, code: error.code(), reason: error.to_string() }
    }
}

/// How one flavour is built.
trait Builder {
    /// Its name, for messages and folders.
    fn name(&self) -> &'static str;
    /// Folders and files below the checkout that decide what comes out.
    fn sources(&self) -> Vec<&'static str>;
    /// What the compiler is told, without paths: they differ between machines and are mapped away.
    fn flags(&self) -> String;
    /// What of the harness itself decides what comes out.
    fn recipe(&self) -> &'static str {
        ""
    }
    /// Whether the catalogue has this workload in this flavour.
    fn has(&self, root: &Path, workload: &str) -> bool;
    /// Which compiler it is; `None` when it cannot be run, as by a user without one.
    fn toolchain(&self, root: &Path) -> Option<String>;
    /// Compiles `workloads`; gives where each ended up.
    fn build(
        &self,
        root: &Path,
        workloads: &[&str],
        scratch: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<BTreeMap<String, PathBuf>, GuestError>;
}

fn builder(flavour: Flavour) -> Box<dyn Builder> {
    match flavour {
        Flavour::TinygoLike | Flavour::Std | Flavour::Native => Box::new(cargo::Cargo::of(flavour)),
        Flavour::Go => Box::new(go::Go::GO),
        Flavour::Tinygo => Box::new(go::Go::TINYGO),
    }
}

/// The flavours in which the checkout has a source of this workload.
#[must_use]
pub fn flavours_of(places: &Places, workload: &str) -> Vec<Flavour> {
    Flavour::ALL.into_iter().filter(|flavour| builder(*flavour).has(&places.root, workload)).collect()
}

/// Whether this machine has the tools of a flavour. Rust's are taken for granted: without them, building says what to do.
#[must_use]
pub fn has_tools(places: &Places, flavour: Flavour) -> bool {
    !matches!(flavour, Flavour::Go | Flavour::Tinygo) || builder(flavour).toolchain(&places.root).is_some()
}

/// Builds the guests of every flavour asked for, or takes them from the store. A flavour that cannot be built is an
/// error for its guests alone. `say` gets a line for whatever takes long or changes the machine.
pub fn build(
    places: &Places,
    wanted: &BTreeSet<(Flavour, String)>,
    say: &mut dyn FnMut(&str),
) -> BTreeMap<(Flavour, String), Result<Artifact, NoGuest>> {
    let mut built = BTreeMap::new();
    for flavour in Flavour::ALL {
        let of_flavour = wanted.iter().filter(|(of, _)| *of == flavour).map(|(_, workload)| workload.as_str());
        let builder = builder(flavour);
        let (there, absent): (Vec<&str>, Vec<&str>) =
            of_flavour.partition(|workload| builder.has(&places.root, workload));
        for workload in absent {
            let reason = format!("there is no {} source of {workload}", flavour.name());
            built.insert(
                (flavour, workload.to_owned()),
                Err(NoGuest { status: Status::Skipped, code: Code::NoSource, reason }),
            );
        }
        if there.is_empty() {
            continue;
        }
        let result = store::fetch_or_build(places, builder.as_ref(), &there, say).map_err(NoGuest::from);
        for workload in there {
            let guest = match &result {
                Ok(artifacts) => artifacts.get(workload).cloned().ok_or_else(|| NoGuest {
                    status: Status::Failed,
                    code: Code::BuildFailed,
                    reason: format!("the compiler left no guest for {workload}"),
                }),
                Err(no_guest) => Err(no_guest.clone()),
            };
            built.insert((flavour, workload.to_owned()), guest);
        }
    }
    built
}

/// Checks a crate that is not in the catalogue, before anything is built.
///
/// # Errors
/// When its manifest is not one, or has no such binary.
pub fn check_own(own: &CargoGuest) -> Result<(), GuestError> {
    cargo::check_own(own)
}

/// Builds a crate that is not in the catalogue, each time: cargo itself knows what is fresh.
///
/// # Errors
/// When it cannot be built.
pub fn build_own(places: &Places, own: &CargoGuest, say: &mut dyn FnMut(&str)) -> Result<Artifact, GuestError> {
    cargo::build_own(own, &places.state.join("guest-build").join("own"), say)
}

/// Runs the command that builds a guest, each time: whatever it calls knows what is fresh.
///
/// # Errors
/// When the command fails, or leaves no such file.
pub fn run_command(own: &CommandGuest, say: &mut dyn FnMut(&str)) -> Result<Artifact, GuestError> {
    script::run(own, say)
}
