//! Reading reports back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::document::{Report, SCHEMA_VERSION};

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The file is no report, or a damaged one.
    #[error("{} is not a wasiscope report: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What does not fit, and where.
        reason: serde_json::Error,
    },
    /// A report of another version.
    #[error("{} has schema_version {found}; this wasiscope reads version {SCHEMA_VERSION}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// Reads a report, whatever fields it has beyond those known here.
///
/// # Errors
/// When the file cannot be read, is no report, or is one of another version.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let bytes = fs::read(path).map_err(|reason| ReadError::Io { path: path.to_owned(), reason })?;
    let malformed = |reason| ReadError::Malformed { path: path.to_owned(), reason };
    // The version first: a report of another version need not fit in any other way.
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(malformed)?;
    match value.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(SCHEMA_VERSION) => {
            Err(ReadError::OtherVersion { path: path.to_owned(), found })
        }
        _ => serde_json::from_slice(&bytes).map_err(malformed),
    }
}
