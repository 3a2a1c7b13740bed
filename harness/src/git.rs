//! What is asked of git: commits, their order, notes, worktrees.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Why git cannot do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git is not there.
    #[error("git cannot be run: {0}")]
    NoGit(io::Error),
    /// No repository.
    #[error("{} is not in a git repository: there are no revisions", .0.display())]
    NoRepository(PathBuf),
    /// No such commit.
    #[error("`{0}` is no .wasm file, no report (.json), and no revision of this repository")]
    NoSuchRevision(String),
    /// git refused.
    #[error("git cannot {what}: {said}")]
    Refused {
        /// What it was to do.
        what: String,
        /// What git said.
        said: String,
    },
}

/// The commit that a revision names.
///
/// # Errors
/// When it names none.
pub fn commit_of(root: &Path, revision: &str) -> Result<String, GitError> {
    if !git(root, ["rev-parse", "--git-dir"])?.status.success() {
        return Err(GitError::NoRepository(root.to_owned()));
    }
    let wanted = format!("{revision}^{{commit}}");
    let output = git(root, ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])?;
    if !output.status.success() {
        return Err(GitError::NoSuchRevision(revision.to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs git in a folder, whatever it comes to.
///
/// # Errors
/// When there is no git.
pub fn git<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Result<Output, GitError> {
    command(folder).args(arguments).stdin(Stdio::null()).output().map_err(GitError::NoGit)
}

fn command(folder: &Path) -> Command {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut command = Command::new("git");
    // A hook that runs wasiscope sets these for its own repository and index.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(variable);
    }
    command.current_dir(folder);
    command
}

/// What git prints.
///
/// # Errors
/// When it refuses.
pub fn printed(folder: &Path, what: &str, arguments: &[&str]) -> Result<String, GitError> {
    let output = git(folder, arguments)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitError::Refused { what: what.to_owned(), said })
}

/// The commits from the first to `revision` along first parents, which is how a branch grew; each with its subject.
///
/// # Errors
/// When there is no such revision.
pub fn mainline(folder: &Path, revision: &str) -> Result<Vec<(String, String)>, GitError> {
    let commit = commit_of(folder, revision)?;
    log(folder, &[&commit])
}

/// The commits after `good` up to `bad`, the oldest first, along first parents; each with its subject. None where `good` is not on that
/// way.
///
/// # Errors
/// When git refuses.
pub fn between(folder: &Path, good: &str, bad: &str) -> Result<Vec<(String, String)>, GitError> {
    let commits = log(folder, &["--ancestry-path", &format!("{good}..{bad}")])?;
    let Some((first, _)) = commits.first() else { return Ok(commits) };
    // Along first parents, GOOD itself must be passed: a branch that was merged is not on the way.
    let before = printed(folder, "show a parent", &["rev-parse", &format!("{first}^1")])?;
    Ok(if before.trim() == good { commits } else { Vec::new() })
}

/// Whether the clone lacks its older commits, and so their order.
#[must_use]
pub fn is_shallow(folder: &Path) -> bool {
    printed(folder, "say", &["rev-parse", "--is-shallow-repository"]).is_ok_and(|text| text.trim() == "true")
}

/// The first line of a commit's message.
///
/// # Errors
/// When there is no such commit.
pub fn subject(folder: &Path, commit: &str) -> Result<String, GitError> {
    let text = printed(folder, "show a commit", &["log", "--max-count=1", "--format=%s", commit, "--"])?;
    Ok(text.trim_end().to_owned())
}

fn log(folder: &Path, range: &[&str]) -> Result<Vec<(String, String)>, GitError> {
    let arguments = [&["log", "--first-parent", "--reverse", "--format=%H %s"], range].concat();
    let text = printed(folder, "list commits", &arguments)?;
    let commit = |line: &str| {
        let (commit, subject) = line.split_once(' ').unwrap_or((line, ""));
        (commit.to_owned(), subject.to_owned())
    };
    Ok(text.lines().map(commit).collect())
}

/// Lets git read `input`.
///
/// # Errors
/// When git refuses.
pub fn feed(folder: &Path, what: &str, arguments: &[&str], input: &[u8]) -> Result<String, GitError> {
    let mut command = command(folder);
    // A machine of CI need not have a name; where there is one, it stays.
    if !git(folder, ["var", "GIT_COMMITTER_IDENT"])?.status.success() {
        for variable in ["GIT_AUTHOR", "GIT_COMMITTER"] {
            command
                .env(format!("{variable}_NAME"), "wasiscope")
                .env(format!("{variable}_EMAIL"), "wasiscope@localhost");
        }
    }
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(GitError::NoGit)?;
    let mut stdin = child.stdin.take();
    // In a thread of its own: git may print before it has read all.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(input)));
        child.wait_with_output()
    });
    let output = output.map_err(GitError::NoGit)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitError::Refused { what: what.to_owned(), said })
}
