//! A revision of the repository, checked out beside it for as long as a comparison needs it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::git::{GitError, commit_of, git};
use crate::places::Places;
use crate::plan::{Case, GuestSource};
use crate::prepare::prepare;
use crate::runner::Prepared;
use crate::scenario;

/// A worktree of one revision. Taken away when dropped; what a killed run left is taken away by the next.
#[derive(Debug)]
pub struct Worktree {
    repository: PathBuf,
    path: PathBuf,
    /// Where the checkout of wasiscope lies in it.
    pub root: PathBuf,
    /// The commit.
    pub commit: String,
}

impl Worktree {
    /// Checks `revision` of the repository around `root` out into `path`, which must not exist.
    ///
    /// # Errors
    /// When there is no such revision, or git cannot check it out.
    pub fn add(root: &Path, revision: &str, path: &Path) -> Result<Self, GitError> {
        let commit = commit_of(root, revision)?;
        // Where `root` lies in its repository.
        let prefix = git(root, ["rev-parse", "--show-prefix"])?;
        let prefix = PathBuf::from(String::from_utf8_lossy(&prefix.stdout).trim());
        // Forget those whose folder is gone.
        git(root, ["worktree", "prune"])?;
        let worktree = Self {
            repository: root.to_owned(),
            path: path.to_owned(),
            root: path.join(prefix),
            commit: commit.clone(),
        };
        let arguments = ["worktree", "add", "--quiet", "--detach"].map(OsStr::new);
        let output = git(root, arguments.into_iter().chain([path.as_os_str(), OsStr::new(&commit)]))?;
        if output.status.success() {
            return Ok(worktree);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(GitError::Refused { what: format!("check out {revision}"), said })
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        // Nothing to be done about a failure here: the next comparison prunes.
        let _ = git(
            &self.repository,
            ["worktree", "remove", "--force"].map(OsStr::new).into_iter().chain([self.path.as_os_str()]),
        );
    }
}

/// The guests of these cases as a revision has them, and its commit. `place` must not exist; the guests stay in it, or where built guests
/// are kept, when the revision's files are gone again.
///
/// # Errors
/// When there is no such revision, or a file of it cannot be read. A guest that cannot be built is a failed row.
pub fn guests(
    places: &Places,
    revision: &str,
    cases: &[Case],
    place: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<(Vec<Prepared>, String)> {
    fs::create_dir_all(place).with_context(|| place.display().to_string())?;
    let worktree = Worktree::add(&places.root, revision, &place.join("files"))?;
    let there = Places { root: worktree.root.clone(), ..places.clone() };
    let cases = cases.iter().map(|case| at_revision(case, &places.root, &worktree.root)).collect();
    let prepared = prepare(&there, cases, place, say)?;
    Ok((prepared, worktree.commit.clone()))
}

/// A guest that lies in the checkout is taken from where it lies in the revision's.
fn at_revision(case: &Case, root: &Path, there: &Path) -> Case {
    // However it was named, by a relative path or through a link. What lies outside is the same at every revision.
    let real =
        |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
    let moved = |path: &Path| match real(path).strip_prefix(real(root)) {
        Ok(inside) => there.join(inside),
        Err(_) => path.strip_prefix(root).map_or_else(|_| path.to_owned(), |inside| there.join(inside)),
    };
    let guest = match &case.guest {
        GuestSource::Built { .. }
        | GuestSource::Check(_)
        | GuestSource::Experiment(_)
        | GuestSource::Handler(_)
        | GuestSource::Trap { .. } => case.guest.clone(),
        GuestSource::File(path) => GuestSource::File(moved(path)),
        GuestSource::Cargo(own) => GuestSource::Cargo(scenario::CargoGuest { dir: moved(&own.dir), ..own.clone() }),
    };
    Case { guest, ..case.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let run =
            |arguments: &[&str]| assert!(git(folder.path(), arguments).unwrap().status.success(), "{arguments:?}");
        run(&["init", "--quiet"]);
        fs::create_dir(folder.path().join("inner")).unwrap();
        for text in ["one", "two"] {
            fs::write(folder.path().join("inner/file"), text).unwrap();
            run(&["add", "."]);
            run(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", text]);
        }
        folder
    }

    #[test]
    fn a_revision_is_checked_out_and_taken_away() {
        let folder = repository();
        let place = folder.path().join("elsewhere");
        let worktree = Worktree::add(&folder.path().join("inner"), "HEAD~1", &place).unwrap();
        assert_eq!(fs::read_to_string(worktree.root.join("file")).unwrap(), "one");
        assert_eq!(worktree.commit.len(), 40);
        drop(worktree);
        assert!(!place.exists());
        let list = git(folder.path(), ["worktree", "list"]).unwrap();
        assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count(), 1);
    }

    #[test]
    fn what_is_no_revision_is_said_to_be_none() {
        let folder = repository();
        let error = |revision: &str| commit_of(folder.path(), revision).unwrap_err().to_string();
        assert!(error("nowhere").contains("`nowhere`"));
        assert!(error("--all").contains("`--all`"));
        let outside = tempfile::tempdir().unwrap();
        assert!(matches!(commit_of(outside.path(), "HEAD"), Err(GitError::NoRepository(_))));
    }
}
