//! The journal of a run: every record as one line of JSON, on disk before anything is computed from it, so that a run
//! that is killed leaves what it measured.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::record::Record;

/// A journal being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// The journal that goes with a report: `report.json` → `report.records.jsonl`.
    #[must_use]
    pub fn beside(report: &Path) -> PathBuf {
        report.with_extension("records.jsonl")
    }

    /// Begins anew.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { file: File::create(&path)?, path })
    }

    /// Adds one record.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
