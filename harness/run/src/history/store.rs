//! Where reports are kept by commit: as files of a folder, or as git notes. Either way they are the reports as JSON, to be read by anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

use wasiscope_model::code::{Code, Coded};
use wasiscope_model::report::Report;
use wasiscope_model::report::SCHEMA_VERSION;
use wasiscope_sys::git::{self, GitError};
use wasiscope_sys::{destination, report_file as json};

/// The notes' ref below `refs/notes/`, where nothing else is said.
pub const NOTES: &str = "wasiscope";

/// Why a report cannot be kept, or what was kept cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A report that belongs to no commit.
    #[error(
        "the report is of no commit: where it was made was no git repository, none with a commit, or one that git refused to read (`git status` \
         there says why)"
    )]
    NoCommit,
    /// A report of files that differ from their commit.
    #[error(
        "the report is of changes on top of {0:.12}: commit them and run again, or its figures would be taken for that commit's"
    )]
    Dirty(String),
    /// A report that is not as usual.
    #[error("the report is of a run {0}: its figures would be taken for the commit's")]
    Unusual(&'static str),
    /// A file or folder.
    #[error("{}: {reason}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// JSON that cannot be written; never in practice.
    #[error("the report cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Coded for HistoryError {
    fn code(&self) -> Code {
        match self {
            Self::NoCommit => Code::NoCommit,
            Self::Dirty(_) => Code::UncommittedChanges,
            Self::Unusual(_) => Code::UnusualRun,
            Self::Io { reason, .. } => Code::of_read(reason),
            Self::Git(error) => error.code(),
            Self::Json(_) => Code::InvalidReport,
        }
    }
}

/// Where reports are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// `FOLDER/COMMIT/START-HASH.json`.
    Folder(PathBuf),
    /// Notes of commits, one line of JSON for each report.
    Notes {
        /// The repository, or a folder in it.
        repository: PathBuf,
        /// Below `refs/notes/`.
        name: String,
    },
}

/// What became of a report that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    New,
    /// It was already.
    Already,
}

impl Store {
    /// Keeps a report.
    ///
    /// # Errors
    /// When it is of no commit, or of none alone; when it cannot be written.
    pub fn add(&self, report: &Report) -> Result<Added, HistoryError> {
        let commit = belongs_to(report)?;
        match self {
            Self::Folder(folder) => add_file(&folder.join(commit), report),
            Self::Notes { repository, name } => add_note(repository, name, commit, report),
        }
    }

    /// Hands every report to `each`, with its commit. What cannot be read is told and left out: one damaged file is not the end of a
    /// history.
    ///
    /// # Errors
    /// When there is no such store at all.
    pub fn read(&self, each: &mut dyn FnMut(&str, &Report)) -> Result<Vec<String>, HistoryError> {
        match self {
            Self::Folder(folder) => read_folder(folder, each),
            Self::Notes { repository, name } => read_notes(repository, name, each),
        }
    }
}

/// The commit of a report that may be kept.
///
/// # Errors
/// When its figures would not be that commit's.
pub fn belongs_to(report: &Report) -> Result<&str, HistoryError> {
    let git = report.git.as_ref().ok_or(HistoryError::NoCommit)?;
    // Also what becomes the name of a folder.
    if git.commit.is_empty() || !git.commit.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(HistoryError::NoCommit);
    }
    match report {
        _ if git.dirty => Err(HistoryError::Dirty(git.commit.clone())),
        _ if report.noise > 0 => Err(HistoryError::Unusual("beside noise (--noise)")),
        _ if report.planted.is_some() => Err(HistoryError::Unusual("with a planted fault (--plant-fault)")),
        _ => Ok(&git.commit),
    }
}

fn add_file(folder: &Path, report: &Report) -> Result<Added, HistoryError> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    let hash = const_hex::encode(Sha256::digest(&text));
    // Sorted by time; the hash, because two machines can start at once.
    let start: String = report.started_at.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = folder.join(format!("{start}-{}.json", &hash[..8]));
    if path.exists() {
        return Ok(Added::Already);
    }
    let io = |reason| HistoryError::Io { path: path.clone(), reason };
    fs::create_dir_all(folder).map_err(io)?;
    destination::replace(&path, |out| out.write_all(text.as_bytes())).map_err(io)?;
    Ok(Added::New)
}

fn read_folder(folder: &Path, each: &mut dyn FnMut(&str, &Report)) -> Result<Vec<String>, HistoryError> {
    let entries = |folder: &Path| -> Result<Vec<PathBuf>, HistoryError> {
        let io = |reason| HistoryError::Io { path: folder.to_owned(), reason };
        let entries: io::Result<Vec<_>> = fs::read_dir(folder).map_err(io)?.collect();
        let mut paths: Vec<PathBuf> = entries.map_err(io)?.into_iter().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths)
    };
    let mut unreadable = Vec::new();
    for of_commit in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        for path in entries(&of_commit)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
            match json::read(&path) {
                Ok(report) => match belongs_to(&report) {
                    Ok(commit) => each(commit, &report),
                    Err(error) => unreadable.push(format!("{}: {error}", path.display())),
                },
                Err(error) => unreadable.push(error.to_string()),
            }
        }
    }
    Ok(unreadable)
}

fn add_note(repository: &Path, name: &str, commit: &str, report: &Report) -> Result<Added, HistoryError> {
    git::commit_of(repository, commit)?;
    let line = serde_json::to_string(report)?;
    // One at a time: what is added is added to what is there.
    let folder = git::printed(repository, "find its folder", &["rev-parse", "--git-common-dir"])?;
    let path = repository.join(folder.trim()).join("wasiscope-notes.lock");
    let io = |reason| HistoryError::Io { path: path.clone(), reason };
    let lock = fs::File::create(&path).map_err(io)?;
    lock.lock().map_err(io)?;
    let present = note(repository, name, commit)?.unwrap_or_default();
    if present.lines().any(|present| present == line) {
        return Ok(Added::Already);
    }
    let separator = if present.is_empty() || present.ends_with('\n') { "" } else { "\n" };
    let text = format!("{present}{separator}{line}\n");
    let arguments = ["notes", "--ref", name, "add", "--force", "--file", "-", commit];
    git::feed(repository, "keep the report as a note", &arguments, text.as_bytes())?;
    drop(lock);
    Ok(Added::New)
}

/// The note of a commit; `None` when it has none.
fn note(repository: &Path, name: &str, commit: &str) -> Result<Option<String>, HistoryError> {
    let list = git::printed(repository, "list the notes", &["notes", "--ref", name, "list"])?;
    if !list.lines().any(|line| line.ends_with(commit)) {
        return Ok(None);
    }
    // One that is there and cannot be read must not be taken for none: it would be replaced.
    Ok(Some(git::printed(repository, "read a note", &["notes", "--ref", name, "show", commit])?))
}

fn read_notes(repository: &Path, name: &str, each: &mut dyn FnMut(&str, &Report)) -> Result<Vec<String>, HistoryError> {
    git::commit_of(repository, "HEAD")?;
    let list = git::printed(repository, "list the notes", &["notes", "--ref", name, "list"])?;
    let commits: BTreeSet<&str> = list.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    let mut unreadable = Vec::new();
    for commit in commits {
        let text = note(repository, name, commit)?.unwrap_or_default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = || format!("line {} of the note of {commit:.12}", index + 1);
            match serde_json::from_str::<Report>(line) {
                Ok(report) if report.schema_version != SCHEMA_VERSION => {
                    unreadable.push(format!("{}: schema_version {}", place(), report.schema_version));
                }
                // A rebased commit may have taken its note along: what counts is the commit that was measured.
                Ok(report) => match belongs_to(&report) {
                    Ok(commit) => each(commit, &report),
                    Err(error) => unreadable.push(format!("{}: {error}", place())),
                },
                Err(error) => unreadable.push(format!("{} is no report: {error}", place())),
            }
        }
    }
    Ok(unreadable)
}
