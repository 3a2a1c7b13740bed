//! Builds guests: the only caller of cargo. What was built is kept under a hash of everything that goes into it.

mod cargo;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::places::Places;
use crate::scenario::Flavour;

/// A guest as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The file.
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
        let wasm = std::fs::read(path)?;
        Ok(Self {
            path: path.to_owned(),
            sha256: hex(&Sha256::digest(&wasm)),
            bytes: wasm.len() as u64,
            toolchain: None,
            flags: None,
        })
    }
}

/// Why a guest could not be built; the text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// cargo or rustc cannot be started.
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
        target: &'static str,
        /// The folder whose toolchain needs it.
        folder: PathBuf,
        /// What rustup said, if it was there to ask.
        because: String,
    },
    /// The compiler refused the sources.
    #[error("building {what} failed:\n{said}")]
    Build {
        /// What was being built.
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

/// Builds the guests of every flavour asked for, or takes them from the store. A flavour that cannot be built is an
/// error for its guests alone. `say` gets a line for whatever takes long or changes the machine.
pub fn build(
    places: &Places,
    wanted: &BTreeSet<(Flavour, String)>,
    say: &mut dyn FnMut(&str),
) -> BTreeMap<(Flavour, String), Result<Artifact, String>> {
    let mut built = BTreeMap::new();
    for flavour in Flavour::ALL {
        let workloads: Vec<&str> =
            wanted.iter().filter(|(of, _)| *of == flavour).map(|(_, workload)| workload.as_str()).collect();
        if workloads.is_empty() {
            continue;
        }
        let result = store::fetch_or_build(places, flavour, &workloads, say);
        for workload in workloads {
            let guest = match &result {
                Ok(artifacts) => {
                    artifacts.get(workload).cloned().ok_or_else(|| format!("cargo built no {workload}.wasm"))
                }
                Err(error) => Err(error.to_string()),
            };
            built.insert((flavour, workload.to_owned()), guest);
        }
    }
    built
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
