//! The journal of a run: every record as one line of JSON, on disk before anything is computed from it, so that a run
//! that is killed leaves what it measured.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wasiscope_model::record::Record;

/// A journal being written. It lies under another name until the run has ended, so that the journal and the report of an
/// earlier run stay a pair until both are replaced.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    finished: PathBuf,
}

impl Journal {
    /// Begins the journal that goes with a report: `report.json` → `report.records.partial.jsonl`.
    ///
    /// # Errors
    /// When the file cannot be made, or another run is writing it.
    pub fn beside(report: &Path) -> io::Result<Self> {
        let path = report.with_extension("records.partial.jsonl");
        // Not truncated yet: it may be another run's.
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let reason = format!("another run is writing {}", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        file.set_len(0)?;
        Ok(Self { file, path, finished: report.with_extension("records.jsonl") })
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

    /// Where it is while the run goes on.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its final name, beside the report that was made of it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(self) -> io::Result<PathBuf> {
        fs::rename(&self.path, &self.finished)?;
        Ok(self.finished)
    }

    /// Takes it away: the run ended before it measured anything.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_cannot_write_one_journal() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        let first = Journal::beside(&report).unwrap();
        assert_eq!(Journal::beside(&report).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        assert!(Journal::beside(&report).is_ok());
    }

    #[test]
    fn an_earlier_journal_stays_until_the_run_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.json");
        let earlier = folder.path().join("report.records.jsonl");
        fs::write(&earlier, "earlier").unwrap();
        Journal::beside(&report).unwrap().discard().unwrap();
        assert_eq!(fs::read_to_string(&earlier).unwrap(), "earlier");
        assert_eq!(Journal::beside(&report).unwrap().finish().unwrap(), earlier);
        assert_eq!(fs::read_to_string(&earlier).unwrap(), "");
    }
}
