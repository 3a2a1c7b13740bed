//! Reading reports back.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::Error;

use crate::files;

use wasiscope_model::code::{Code, Coded};
use wasiscope_model::report::{Report, SCHEMA_VERSION, Shard};

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

impl Coded for ReadError {
    fn code(&self) -> Code {
        match self {
            Self::Io { reason, .. } => Code::of_read(reason),
            Self::Malformed { .. } => Code::NotAReport,
            Self::OtherVersion { .. } => Code::OtherVersion,
        }
    }
}

/// Reads a report, whatever fields it has beyond those known here. It may be compressed, as a page saves it.
///
/// # Errors
/// When the file cannot be read, is no report, or is one of another version.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let bytes = files::read_document(path).map_err(|reason| ReadError::Io { path: path.to_owned(), reason })?;
    parse(path, &bytes)
}

/// Reads the bytes of a report; `path` is only for messages.
///
/// # Errors
/// When they are no report, or one of another version.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Report, ReadError> {
    let malformed = |reason| ReadError::Malformed { path: path.to_owned(), reason };
    // The version first: a report of another version need not fit in any other way.
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
    match value.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(SCHEMA_VERSION) => {
            Err(ReadError::OtherVersion { path: path.to_owned(), found })
        }
        _ => serde_json::from_slice(bytes).and_then(checked).map_err(malformed),
    }
}

/// Most shards of a suite.
const SHARDS_MAX: u32 = 10_000;

/// What the parts of a report say of each other must hold.
fn checked(report: Report) -> Result<Report, serde_json::Error> {
    let shards = report.sources.iter().filter_map(|source| source.shard.as_ref()).chain(&report.shard);
    for Shard { index, count, .. } in shards {
        if !(1..=SHARDS_MAX).contains(count) || !(1..=*count).contains(index) {
            return Err(serde_json::Error::custom(format!("there is no shard {index} of {count}")));
        }
    }
    let runs = report.sources.len();
    let prices = report.scenarios.iter().flat_map(|scenario| &scenario.prices).map(|price| price.source);
    let strays = report.cases().map(|case| case.source).chain(prices).flatten().filter(|source| *source >= runs);
    if let Some(place) = strays.min() {
        return Err(serde_json::Error::custom(format!("a case is of the run {place}, and there are {runs} (sources)")));
    }
    Ok(report)
}
