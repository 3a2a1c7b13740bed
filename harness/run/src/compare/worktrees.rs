//! git's list of worktrees: what is taken off it again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use wasiscope_sys::git::{GitError, git};
use wasiscope_sys::scratch;

/// Forgets a worktree, and deletes it where it is there. `of` names another repository than that around the folder.
pub(super) fn remove(folder: &Path, of: &[OsString], path: &Path) -> Result<(), GitError> {
    let arguments = ["worktree", "remove", "--force", "--force"].map(OsString::from);
    git(folder, of.iter().cloned().chain(arguments).chain([path.as_os_str().to_owned()]))?;
    Ok(())
}

/// Forgets the worktrees of runs that were killed. Those of the user stay, even where their folder cannot be seen just now.
pub(super) fn forget_leftovers(folder: &Path, of: &[OsString]) -> Result<(), GitError> {
    let list = git(folder, of.iter().cloned().chain(["worktree", "list", "--porcelain"].map(OsString::from)))?;
    let paths = list.stdout.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"worktree "));
    let is_left = |path: &&Path| !path.exists() && path.iter().any(scratch::is_of_run);
    for path in paths.map(|bytes| Path::new(OsStr::from_bytes(bytes))).filter(is_left) {
        remove(folder, of, path)?;
    }
    Ok(())
}
