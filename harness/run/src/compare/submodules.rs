//! The submodules of a worktree: checked out from what the clone has of them, without the network.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::worktrees::{forget_leftovers, remove};
use wasiscope_sys::git::{GitError, git, path_in, said};

/// Deepest nesting that is followed.
const DEPTH_MAX: u32 = 16;

/// What became of the submodules of a worktree.
#[derive(Debug, Default)]
pub(super) struct Submodules {
    /// Repository and worktree of each that was checked out, the outermost first.
    present: Vec<(PathBuf, PathBuf)>,
    /// Those that could not be, by their path in the worktree, with the reason.
    missing: BTreeMap<PathBuf, String>,
}

impl Submodules {
    /// Why `path` is not there, where it lies in a submodule that is not.
    pub(super) fn missing(&self, path: &Path) -> Option<String> {
        let (submodule, reason) = self.missing.iter().find(|(submodule, _)| path.starts_with(submodule))?;
        Some(format!("{} is in the submodule `{}`, which {reason}", path.display(), submodule.display()))
    }

    /// Each that is missing, with the reason.
    pub(super) fn all_missing(&self) -> Vec<String> {
        self.missing.iter().map(|(path, reason)| format!("the submodule `{}` {reason}", path.display())).collect()
    }

    /// Takes the worktrees away again, the innermost first.
    pub(super) fn remove(&mut self) {
        for (repository, path) in self.present.drain(..).rev() {
            // What is left is forgotten by the next comparison.
            let _ = remove(&repository, &of(&repository), &path);
        }
    }
}

/// A submodule as the worktree's index has it.
struct Link {
    path: PathBuf,
    commit: String,
}

/// Where the repositories of submodules may be.
#[derive(Clone)]
struct Sources {
    /// Repositories that may have them below `modules/`.
    repositories: Vec<PathBuf>,
    /// The checkout, whose submodules may have repositories of their own.
    checkout: Option<PathBuf>,
}

/// Checks out the submodules of `worktree`, a worktree of the repository around `root`, with theirs. What the clone does not have is
/// remembered as missing: whether it is needed shows later.
pub(super) fn check_out(root: &Path, checkout: Option<&Path>, worktree: &Path) -> Result<Submodules, GitError> {
    let mut repositories = Vec::new();
    // In a linked worktree the two differ, and either may have them.
    for which in ["--git-dir", "--git-common-dir"] {
        let output = git(root, ["rev-parse", which])?;
        let repository = root.join(path_in(&output));
        if output.status.success() && !repositories.contains(&repository) {
            repositories.push(repository);
        }
    }
    let sources = Sources { repositories, checkout: checkout.map(Path::to_owned) };
    let mut submodules = Submodules::default();
    descend(&sources, worktree, Path::new(""), DEPTH_MAX, &mut submodules)?;
    Ok(submodules)
}

/// `below` is where `worktree` lies in the outermost one.
fn descend(
    sources: &Sources,
    worktree: &Path,
    below: &Path,
    depth: u32,
    submodules: &mut Submodules,
) -> Result<(), GitError> {
    let links = links(worktree)?;
    if links.is_empty() {
        return Ok(());
    }
    let names = names(worktree)?;
    for Link { path, commit } in links {
        let place = below.join(&path);
        let found = match names.get(&path) {
            _ if depth == 0 => Err("is nested too deeply".to_owned()),
            Some(name) => sources.repository(name, &path),
            None => Err("has no entry in .gitmodules".to_owned()),
        };
        let added = found.and_then(|repository| {
            add(&repository, &worktree.join(&path), &commit)?;
            Ok(repository)
        });
        match added {
            Ok(repository) => {
                submodules.present.push((repository.clone(), worktree.join(&path)));
                let checkout = sources.checkout.as_ref().map(|checkout| checkout.join(&path));
                let inner = Sources { repositories: vec![repository], checkout };
                descend(&inner, &worktree.join(&path), &place, depth - 1, submodules)?;
            }
            Err(reason) => _ = submodules.missing.insert(place, reason),
        }
    }
    Ok(())
}

impl Sources {
    fn repository(&self, name: &Path, path: &Path) -> Result<PathBuf, String> {
        let is_plain = name.components().all(|component| matches!(component, Component::Normal(_)));
        let below = self.repositories.iter().map(|repository| repository.join("modules").join(name));
        if let Some(found) = below.filter(|_| is_plain).find(|path| path.join("HEAD").is_file()) {
            return Ok(found);
        }
        // One that was cloned into its place has its repository there.
        let own = self.checkout.as_ref().map(|checkout| checkout.join(path).join(".git"));
        own.filter(|path| path.join("HEAD").is_file()).ok_or_else(|| {
            format!("is not in this clone: run `git submodule update --init --recursive -- {}`", path.display())
        })
    }
}

/// Names the repository to git, wherever it is run. Its settings name the checkout as its home, which need not be there any more, and git
/// would not start without: so another folder is named, which no command here looks into.
fn of(repository: &Path) -> [OsString; 2] {
    ["--git-dir=", "--work-tree="].map(|option| {
        let mut option = OsString::from(option);
        option.push(repository);
        option
    })
}

/// A worktree of a submodule's repository.
fn add(repository: &Path, path: &Path, commit: &str) -> Result<(), String> {
    let cannot = |error: GitError| format!("cannot be checked out: {error}");
    let run = |arguments: &[&OsStr]| {
        let all = of(repository).into_iter().chain(arguments.iter().map(|argument| (*argument).to_owned()));
        git(repository, all).map_err(cannot)
    };
    let wanted = format!("{commit}^{{commit}}");
    if !run(&["cat-file", "-e", &wanted].map(OsStr::new))?.status.success() {
        return Err(format!(
            "lacks the commit {commit:.12} in this clone: run `git submodule update --init --recursive`, and `git fetch --unshallow` in it \
             where it is shallow"
        ));
    }
    forget_leftovers(repository, &of(repository)).map_err(cannot)?;
    let options =
        ["-c", "core.fsmonitor=false", "-c", "submodule.recurse=false", "worktree", "add", "--quiet", "--detach"];
    let output =
        run(&options.map(OsStr::new).into_iter().chain([path.as_os_str(), OsStr::new(commit)]).collect::<Vec<_>>())?;
    if output.status.success() { Ok(()) } else { Err(format!("cannot be checked out: {}", said(&output))) }
}

/// The submodules in the worktree's index.
fn links(worktree: &Path) -> Result<Vec<Link>, GitError> {
    let output = git(worktree, ["ls-files", "--stage", "-z"])?;
    let entries = output.stdout.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"160000 "));
    let link = |entry: &[u8]| {
        // 160000 COMMIT STAGE<tab>PATH
        let at = entry.iter().position(|byte| *byte == b'\t')?;
        let (words, path) = (std::str::from_utf8(&entry[..at]).ok()?, &entry[at + 1..]);
        let commit = words.split(' ').nth(1)?.to_owned();
        Some(Link { path: PathBuf::from(OsStr::from_bytes(path)), commit })
    };
    Ok(entries.filter_map(link).collect())
}

/// Path → name, by which a repository knows its submodules.
fn names(worktree: &Path) -> Result<BTreeMap<PathBuf, PathBuf>, GitError> {
    let arguments = ["config", "--file", ".gitmodules", "-z", "--get-regexp", r"^submodule\..*\.path$"];
    let output = git(worktree, arguments)?;
    let name = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'\n')?;
        let name = entry[..at].strip_prefix(b"submodule.")?.strip_suffix(b".path")?;
        let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        Some((path(&entry[at + 1..]), path(name)))
    };
    Ok(output.stdout.split(|byte| *byte == 0).filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::revision::Worktree;
    use super::*;

    fn run(folder: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"];
        let output = git(folder, identity.iter().chain(arguments)).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }

    fn commit(folder: &Path, text: &str) {
        fs::write(folder.join("file"), text).unwrap();
        run(folder, &["add", "."]);
        run(folder, &["commit", "--quiet", "-m", text]);
    }

    /// `outer` has `middle` in `libs/middle`, which has `inner` in `inner`; each is at its second commit.
    fn nested(folder: &Path) -> PathBuf {
        for name in ["inner", "middle", "outer"] {
            let repository = folder.join(name);
            fs::create_dir(&repository).unwrap();
            run(&repository, &["init", "--quiet"]);
            commit(&repository, "one");
        }
        let (inner, middle, outer) = (folder.join("inner"), folder.join("middle"), folder.join("outer"));
        run(&middle, &["submodule", "--quiet", "add", inner.to_str().unwrap(), "inner"]);
        commit(&middle, "two");
        run(&outer, &["submodule", "--quiet", "add", middle.to_str().unwrap(), "libs/middle"]);
        run(&outer, &["submodule", "--quiet", "update", "--init", "--recursive"]);
        commit(&outer, "two");
        outer
    }

    #[test]
    fn submodules_and_theirs_are_checked_out_without_their_origins() {
        let folder = tempfile::tempdir().unwrap();
        let outer = nested(folder.path());
        for origin in ["inner", "middle"] {
            fs::remove_dir_all(folder.path().join(origin)).unwrap();
        }
        let place = folder.path().join("work-1-a/files");
        let worktree = Worktree::add(&outer, "HEAD", &place).unwrap();
        for (path, text) in [("file", "two"), ("libs/middle/file", "two"), ("libs/middle/inner/file", "one")] {
            assert_eq!(fs::read_to_string(place.join(path)).unwrap(), text, "{path}");
        }
        assert_eq!(worktree.missing_submodules(), [""; 0]);
        drop(worktree);
        assert!(!place.exists());
        for repository in ["", "libs/middle", "libs/middle/inner"] {
            let list = git(&outer.join(repository), ["worktree", "list"]).unwrap();
            assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count(), 1, "{repository}");
        }
        // Where its checkout was taken away, what it left in .git is enough.
        fs::remove_dir_all(outer.join("libs")).unwrap();
        let worktree = Worktree::add(&outer, "HEAD", &place).unwrap();
        assert_eq!(fs::read_to_string(place.join("libs/middle/inner/file")).unwrap(), "one");
        drop(worktree);
    }

    #[test]
    fn what_the_clone_does_not_have_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let outer = nested(folder.path());
        let clone = folder.path().join("clone");
        run(folder.path(), &["clone", "--quiet", outer.to_str().unwrap(), clone.to_str().unwrap()]);
        let worktree = Worktree::add(&clone, "HEAD", &folder.path().join("files")).unwrap();
        let missing = worktree.why_missing(&folder.path().join("files/libs/middle/guest.wasm"));
        assert!(missing.contains("`libs/middle`") && missing.contains("git submodule update"), "{missing}");
    }
}
