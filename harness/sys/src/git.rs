//! What is asked of git: commits, their order, notes, worktrees.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use wasiscope_model::code::{Code, Coded};

/// Why git cannot do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git is not there.
    #[error("git cannot be run: {0}")]
    NoGit(io::Error),
    /// No repository.
    #[error("{} is not in a git repository: there are no revisions", .0.display())]
    NoRepository(PathBuf),
    /// A repository in which nothing was committed.
    #[error("the repository around {} has no commits yet, so there are no revisions", .0.display())]
    NoCommits(PathBuf),
    /// No such commit.
    #[error(
        "`{revision}` is no .wasm file, no report (.json), and no revision of this repository{}",
        did_you_mean(remote)
    )]
    NoSuchRevision {
        /// What was named.
        revision: String,
        /// Branches of that name which only a remote has.
        remote: Vec<String>,
    },
    /// No such commit, in a clone that lacks most of them.
    #[error("`{revision}` is not in this clone, {}{}", SHALLOW, did_you_mean(remote))]
    Shallow {
        /// What was named.
        revision: String,
        /// Branches of that name which only a remote has.
        remote: Vec<String>,
    },
    /// git refused.
    #[error("git cannot {what}: {said}")]
    Refused {
        /// What it was to do.
        what: String,
        /// What git said.
        said: String,
    },
}

/// What a shallow clone is, and how to get the rest of it.
pub const SHALLOW: &str = "which is shallow and lacks older commits: run `git fetch --unshallow` \
    (in GitHub Actions, give actions/checkout `fetch-depth: 0`)";

impl Coded for GitError {
    fn code(&self) -> Code {
        match self {
            Self::NoGit(_) => Code::NoGit,
            Self::NoRepository(_) => Code::NoRepository,
            Self::NoCommits(_) => Code::NoCommits,
            Self::NoSuchRevision { .. } => Code::NoSuchRevision,
            Self::Shallow { .. } => Code::ShallowClone,
            Self::Refused { .. } => Code::GitFailed,
        }
    }
}

fn did_you_mean(remote: &[String]) -> String {
    if remote.is_empty() { String::new() } else { format!(" (did you mean `{}`?)", remote.join("` or `")) }
}

/// The commit that a revision names.
///
/// # Errors
/// When it names none.
pub fn commit_of(root: &Path, revision: &str) -> Result<String, GitError> {
    check_repository(root)?;
    if let Some(commit) = resolve(root, revision)? {
        return Ok(commit);
    }
    let any = git(root, ["rev-list", "--all", "--max-count=1"])?;
    if any.status.success() && any.stdout.is_empty() && resolve(root, "HEAD")?.is_none() {
        return Err(GitError::NoCommits(root.to_owned()));
    }
    let (revision, remote) = (revision.to_owned(), on_remotes(root, revision));
    Err(if is_shallow(root) {
        GitError::Shallow { revision, remote }
    } else {
        GitError::NoSuchRevision { revision, remote }
    })
}

/// Whether git finds a repository around `root`, and is willing to use it.
///
/// # Errors
/// With git's own reason when it is not, as of a folder that belongs to another user.
pub fn check_repository(root: &Path) -> Result<(), GitError> {
    let output = git(root, ["rev-parse", "--git-dir"])?;
    if output.status.success() {
        return Ok(());
    }
    let said = said(&output);
    if said.contains("not a git repository (or any") {
        return Err(GitError::NoRepository(root.to_owned()));
    }
    Err(GitError::Refused { what: format!("use the repository around {}", root.display()), said })
}

/// Whether a word names a commit.
#[must_use]
pub fn is_revision(root: &Path, word: &str) -> bool {
    resolve(root, word).is_ok_and(|commit| commit.is_some())
}

fn resolve(root: &Path, revision: &str) -> Result<Option<String>, GitError> {
    let wanted = format!("{revision}^{{commit}}");
    let output = git(root, ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

/// The branches of this name that remotes have: what CI checks out often has no local one.
fn on_remotes(root: &Path, revision: &str) -> Vec<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if revision.is_empty() || !revision.chars().all(is_plain) {
        return Vec::new();
    }
    let pattern = format!("refs/remotes/*/{revision}");
    let arguments = ["for-each-ref", "--format=%(refname:short)", &pattern];
    printed(root, "list branches", &arguments).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// Runs git in a folder, whatever it comes to.
///
/// # Errors
/// When there is no git.
pub fn git<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Result<Output, GitError> {
    command(folder).args(arguments).stdin(Stdio::null()).output().map_err(GitError::NoGit)
}

/// What git says of where it is, and what it reads and writes there. A hook that runs wasiscope has them set for its own repository,
/// which need not be the one that is asked about.
const OF_ANOTHER_REPOSITORY: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
];

fn command(folder: &Path) -> Command {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut command = Command::new("git");
    for variable in OF_ANOTHER_REPOSITORY {
        command.env_remove(variable);
    }
    // Messages are parsed, and nobody is there to answer a question.
    command.env("LC_ALL", "C").env_remove("LANGUAGE").env("GIT_TERMINAL_PROMPT", "0");
    // The user's hooks are for the user's own commits and checkouts, not for those made here.
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false"]);
    command.current_dir(folder);
    command
}

/// What git gave as its reason.
pub fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if text.is_empty() { format!("{} and no message", output.status) } else { text }
}

/// A path that git printed on a line: any bytes but the line's end.
pub fn path_in(output: &Output) -> PathBuf {
    let line = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    PathBuf::from(OsStr::from_bytes(line))
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
    Err(GitError::Refused { what: what.to_owned(), said: said(&output) })
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
    let arguments = [&["log", "--first-parent", "--reverse", "--format=%H %s"], range, &["--"]].concat();
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
    Err(GitError::Refused { what: what.to_owned(), said: said(&output) })
}
