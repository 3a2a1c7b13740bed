//! A revision of the repository, checked out beside it for as long as a comparison needs it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::submodules::{self, Submodules};
use super::worktrees::{forget_leftovers, remove};
use crate::prepare::prepare;
use crate::runner::{InputFiles, Prepared};
use wasiscope_guest::guest::NoGuest;
use wasiscope_guest::places::Places;
use wasiscope_model::code::Code;
use wasiscope_model::record::Status;
use wasiscope_scenario::plan::{Case, GuestSource};
use wasiscope_scenario::{CargoGuest, CommandGuest};
use wasiscope_sys::git::{GitError, commit_of, git, path_in, said};

/// Settings for a checkout that is nobody's but ours: no daemon that watches it, and submodules by [`submodules`].
const OURS: [&str; 4] = ["-c", "core.fsmonitor=false", "-c", "submodule.recurse=false"];

/// Characters of a commit's hash in messages.
const HASH_CHARS: usize = 12;

/// A worktree of one revision. Removed when dropped; what a killed run left is removed by the next.
#[derive(Debug)]
pub struct Worktree {
    repository: PathBuf,
    path: PathBuf,
    /// The top of the checkout that this is beside; `None` of a bare repository.
    checkout: Option<PathBuf>,
    /// Where the project lies in it.
    pub root: PathBuf,
    /// The commit.
    pub commit: String,
    /// What the user called it.
    pub revision: String,
    submodules: Submodules,
}

impl Worktree {
    /// Checks `revision` of the repository around `root` out into `path`, which must not exist.
    ///
    /// # Errors
    /// When there is no such revision, or git cannot check it out.
    pub fn add(root: &Path, revision: &str, path: &Path) -> Result<Self, GitError> {
        let commit = commit_of(root, revision)?;
        let of_checkout = |what: &str| -> Result<Option<PathBuf>, GitError> {
            let output = git(root, ["rev-parse", what])?;
            Ok(output.status.success().then(|| path_in(&output)))
        };
        // A bare repository has neither.
        let (checkout, prefix) = (of_checkout("--show-toplevel")?, of_checkout("--show-prefix")?);
        forget_leftovers(root, &[])?;
        let mut worktree = Self {
            repository: root.to_owned(),
            path: path.to_owned(),
            checkout,
            root: path.join(prefix.unwrap_or_default()),
            revision: if revision == commit { commit.chars().take(HASH_CHARS).collect() } else { revision.to_owned() },
            commit: commit.clone(),
            submodules: Submodules::default(),
        };
        let arguments = OURS.into_iter().chain(["worktree", "add", "--quiet", "--detach"]).map(OsStr::new);
        let output = git(root, arguments.chain([path.as_os_str(), OsStr::new(&commit)]))?;
        if !output.status.success() {
            return Err(GitError::Refused { what: format!("check out {revision}"), said: said(&output) });
        }
        worktree.submodules = submodules::check_out(root, worktree.checkout.as_deref(), path)?;
        Ok(worktree)
    }

    /// Where something lies in this revision that was named by a path in it, or in the checkout. What lies in neither is the same at
    /// every revision.
    #[must_use]
    pub fn place(&self, path: &Path) -> PathBuf {
        let Some(checkout) = &self.checkout else { return path.to_owned() };
        if let Ok(inside) = path.strip_prefix(&self.path) {
            // A relative path that leads out of the repository is relative to the checkout.
            let leads_out = !lexical(path).starts_with(lexical(&self.path));
            return if leads_out { lexical(&checkout.join(inside)) } else { path.to_owned() };
        }
        match real(path).strip_prefix(real(checkout)) {
            Ok(inside) => self.path.join(inside),
            Err(_) => path.to_owned(),
        }
    }

    /// A path in the worktree as the repository has it.
    #[must_use]
    pub fn shown(&self, path: &Path) -> String {
        let path = lexical(path);
        path.strip_prefix(lexical(&self.path)).unwrap_or(&path).display().to_string()
    }

    /// Whether this is a folder of it.
    #[must_use]
    pub fn has(&self, folder: &Path) -> bool {
        folder.starts_with(&self.path)
    }

    /// A message with the paths of the repository in place of those of the worktree, which is gone when somebody reads it.
    #[must_use]
    pub fn shown_in(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.path.display()), "")
    }

    /// Why something is not there that was looked for in the worktree.
    #[must_use]
    pub fn why_missing(&self, path: &Path) -> String {
        let wanted = lexical(path);
        let inside = wanted.strip_prefix(lexical(&self.path)).ok();
        let missing = inside.and_then(|inside| self.submodules.missing(inside));
        match (missing, inside) {
            (Some(missing), _) => missing,
            (None, Some(inside)) if self.is_ignored(inside) => format!(
                "{} is not in {}: git ignores it, so no revision has it; let the scenario build the guest (`cargo:`)",
                inside.display(),
                self.revision
            ),
            (None, _) => format!("{} is not in {}", self.shown(path), self.revision),
        }
    }

    /// Whether git was told to leave this file alone.
    fn is_ignored(&self, inside: &Path) -> bool {
        let arguments = ["check-ignore", "--quiet", "--"].map(OsStr::new).into_iter().chain([inside.as_os_str()]);
        git(&self.path, arguments).is_ok_and(|output| output.status.success())
    }

    /// Makes everything in it newer than whatever was built before. cargo tells by that what it must build anew, and takes the same crate
    /// in two worktrees for one.
    pub fn freshen(&self) {
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() => touch(&entry.path()),
                    _ => {}
                }
            }
        }
    }

    /// Submodules that this clone does not have, each with the reason.
    #[must_use]
    pub fn missing_submodules(&self) -> Vec<String> {
        self.submodules.all_missing()
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        // Nothing to be done about a failure here: the next comparison forgets what is left.
        self.submodules.remove();
        let _ = remove(&self.repository, &[], &self.path);
    }
}

/// A file that cannot be touched is older than it should be, and was not built from yet.
fn touch(path: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: now };
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// Without links, as far as the path is there.
fn real(path: &Path) -> PathBuf {
    let there = path.canonicalize();
    there.unwrap_or_else(|_| {
        let path = lexical(path);
        let found = path.ancestors().skip(1).find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
        found.and_then(|(ancestor, real)| Some(real.join(path.strip_prefix(ancestor).ok()?))).unwrap_or(path)
    })
}

/// Absolute, and without `..`.
pub(super) fn lexical(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut folded = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => _ = folded.pop(),
            Component::CurDir => {}
            other => folded.push(other),
        }
    }
    folded
}

/// The guest of `case` as a revision has it, or why it has none. `place` must not exist; the guest stays in it when the
/// revision's files are gone again.
///
/// # Errors
/// When there is no such revision, or a guest cannot be written.
pub fn guest(
    places: &Places,
    revision: &str,
    case: &Case,
    place: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Prepared> {
    fs::create_dir_all(place).with_context(|| place.display().to_string())?;
    let worktree = Worktree::add(&places.root, revision, &place.join("files"))?;
    let there = Places { root: worktree.root.clone(), ..places.clone() };
    let case = at_revision(case, &worktree);
    if let Err(reason) = presence(&case, &worktree) {
        let guest = Err(NoGuest { status: Status::Failed, code: Code::NotInRevision, reason });
        return Ok(Prepared { case, guest, files: InputFiles::default(), watch: true });
    }
    Ok(prepare(&there, vec![case], place, say)?.remove(0))
}

/// The case with what it names where the revision has it.
pub(super) fn at_revision(case: &Case, worktree: &Worktree) -> Case {
    let guest = match &case.guest {
        GuestSource::File(path) => GuestSource::File(worktree.place(path)),
        GuestSource::Cargo(own) => GuestSource::Cargo(CargoGuest { dir: worktree.place(&own.dir), ..own.clone() }),
        GuestSource::Command(own) => {
            let (dir, out) = (worktree.place(&own.dir), worktree.place(&own.out));
            GuestSource::Command(CommandGuest { build: own.build.clone(), dir, out })
        }
        GuestSource::Built { .. } | GuestSource::Written { .. } | GuestSource::Modules => case.guest.clone(),
    };
    let mut input = case.input.clone();
    input.directories.iter_mut().for_each(|folder| folder.host = worktree.place(&folder.host));
    Case { guest, input, ..case.clone() }
}

/// Whether what a case names is in the revision.
///
/// # Errors
/// With the reason when it is not.
pub(super) fn presence(case: &Case, worktree: &Worktree) -> Result<(), String> {
    match &case.guest {
        GuestSource::File(path) if !path.exists() => return Err(worktree.why_missing(path)),
        GuestSource::Cargo(own) if !own.dir.join("Cargo.toml").is_file() => {
            return Err(worktree.why_missing(&own.dir.join("Cargo.toml")));
        }
        GuestSource::Command(own) if !own.dir.is_dir() => return Err(worktree.why_missing(&own.dir)),
        _ => {}
    }
    match case.input.directories.iter().map(|folder| &folder.host).find(|path| !path.exists()) {
        Some(path) => Err(worktree.why_missing(path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"];
        let output = git(folder, identity.iter().chain(arguments)).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["init", "--quiet"]);
        fs::create_dir(folder.path().join("inner ü")).unwrap();
        for text in ["one", "two"] {
            fs::write(folder.path().join("inner ü/file"), text).unwrap();
            run(folder.path(), &["add", "."]);
            run(folder.path(), &["commit", "--quiet", "-m", text]);
        }
        folder
    }

    fn worktrees(folder: &Path) -> usize {
        String::from_utf8_lossy(&git(folder, ["worktree", "list"]).unwrap().stdout).lines().count()
    }

    #[test]
    fn a_revision_is_checked_out_and_taken_away() {
        let folder = repository();
        let place = folder.path().join("elsewhere");
        let worktree = Worktree::add(&folder.path().join("inner ü"), "HEAD~1", &place).unwrap();
        assert_eq!(fs::read_to_string(worktree.root.join("file")).unwrap(), "one");
        assert_eq!(worktree.commit.len(), 40);
        drop(worktree);
        assert!(!place.exists());
        assert_eq!(worktrees(folder.path()), 1);
    }

    #[test]
    fn paths_of_the_checkout_are_those_of_the_revision() {
        let folder = repository();
        let root = folder.path().canonicalize().unwrap();
        let place = root.join("elsewhere");
        let worktree = Worktree::add(&root.join("inner ü"), "HEAD", &place).unwrap();
        assert_eq!(worktree.place(&root.join("inner ü/file")), place.join("inner ü/file"));
        assert_eq!(worktree.place(&root.join("inner ü/../gone/file")), place.join("gone/file"));
        assert_eq!(worktree.place(&worktree.root.join("../file")), worktree.root.join("../file"));
        // Beside the repository, wherever the worktree is.
        assert_eq!(worktree.place(&worktree.root.join("../../beside/file")), lexical(&root.join("../beside/file")));
        assert_eq!(worktree.place(Path::new("/elsewhere/file")), Path::new("/elsewhere/file"));
    }

    #[test]
    fn only_leftovers_of_killed_runs_are_forgotten() {
        let folder = repository();
        let (ours, theirs) = (folder.path().join("work-4294967295-a/base/files"), folder.path().join("theirs"));
        std::mem::forget(Worktree::add(folder.path(), "HEAD", &ours).unwrap());
        run(folder.path(), &["worktree", "add", "--quiet", "--detach", theirs.to_str().unwrap()]);
        for path in [&ours, &theirs] {
            fs::remove_dir_all(path).unwrap();
        }
        drop(Worktree::add(folder.path(), "HEAD", &folder.path().join("other")).unwrap());
        assert_eq!(worktrees(folder.path()), 2, "the repository's own and the user's");
    }

    #[test]
    fn what_is_no_revision_is_said_to_be_none() {
        let folder = repository();
        let error = |revision: &str| commit_of(folder.path(), revision).unwrap_err();
        for revision in ["nowhere", "--all", ""] {
            assert!(matches!(error(revision), GitError::NoSuchRevision { revision: said, .. } if said == revision));
        }
        run(folder.path(), &["update-ref", "refs/remotes/origin/topic", "HEAD"]);
        assert!(error("topic").to_string().contains("`origin/topic`"), "{}", error("topic"));
        let outside = tempfile::tempdir().unwrap();
        assert!(matches!(commit_of(outside.path(), "HEAD"), Err(GitError::NoRepository(_))));
        run(outside.path(), &["init", "--quiet"]);
        assert!(matches!(commit_of(outside.path(), "HEAD"), Err(GitError::NoCommits(_))));
        fs::write(outside.path().join(".git/config"), "[core\n").unwrap();
        // Not understood here, and so not guessed at.
        assert!(
            matches!(commit_of(outside.path(), "HEAD"), Err(GitError::Refused { said, .. }) if said.contains("config"))
        );
    }

    #[test]
    fn a_shallow_clone_is_said_to_be_one() {
        let folder = repository();
        let clone = folder.path().join("clone");
        let source = format!("file://{}", folder.path().display());
        run(folder.path(), &["clone", "--quiet", "--depth", "1", &source, clone.to_str().unwrap()]);
        assert!(commit_of(&clone, "HEAD").is_ok());
        assert!(matches!(commit_of(&clone, "HEAD~1"), Err(GitError::Shallow { .. })));
    }
}
