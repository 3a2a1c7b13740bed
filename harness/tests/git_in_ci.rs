//! Repositories as CI has them: shallow, with submodules, of another owner, bare, with hooks. What works elsewhere works there; where it
//! cannot, git's own reason is shown.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use common::repository::{Repository, compare, git};
use common::{WASISCOPE, fails_with, spin};
use serde_json::Value;
use wasiscope::code::Code;

/// Two commits, of which the second changes the guest.
fn two_commits() -> Repository {
    let repository = Repository::new();
    for turns in [2_000, 2_001] {
        repository.add_guest("guest", &spin(turns));
        repository.commit("a guest");
    }
    repository
}

/// The quickest comparison that shows both guests were there: its facts differ.
fn assert_compares(repository: &Repository) {
    let compared = repository.compare(&["HEAD~1", "HEAD", "--processes", "1"]);
    assert_eq!(compared.code(), Some(0), "{}", compared.stderr());
    assert!(compared.json()["facts"].as_array().unwrap().iter().any(|fact| fact["fact"] == "fuel"));
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1, "no worktree is left");
}

fn wasiscope(repository: &Repository, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(repository.path()).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn guests_in_submodules_are_taken_from_the_clones_own_modules() {
    let (library, repository) = (Repository::new(), Repository::new());
    for (turns, subject) in [(2_000, "one"), (2_001, "two")] {
        library.write("guest.wat", spin(turns));
        library.commit(subject);
    }
    repository.git(&["submodule", "--quiet", "add", library.path().to_str().unwrap(), "libs/guest"]);
    repository.write("scenarios/guest.yaml", "name: guest\nwasm: ../libs/guest/guest.wat\n");
    git(&repository.path().join("libs/guest"), &["checkout", "--quiet", "HEAD~1"]);
    repository.commit("the first");
    git(&repository.path().join("libs/guest"), &["checkout", "--quiet", "-"]);
    repository.commit("the second");
    // The network would be of no use.
    fs::rename(library.path(), library.beside("gone")).unwrap();
    assert_compares(&repository);
    assert_eq!(git(&repository.path().join("libs/guest"), &["worktree", "list"]).lines().count(), 1);

    let clone = repository.beside("clone");
    git(repository.path(), &["clone", "--quiet", ".", clone.to_str().unwrap()]);
    let compared = compare(&clone, &["HEAD~1", "HEAD"]);
    let row = compared.row("guest/custom/cranelift");
    assert_eq!(row["failed"], true);
    common::assert_has(row["note"].as_str().unwrap(), &["`libs/guest`", "git submodule update"]);
    assert_eq!(compared.code(), Some(1));
}

#[test]
fn a_shallow_clone_says_how_to_deepen_it() {
    let repository = two_commits();
    let clone = repository.beside("clone");
    let source = format!("file://{}", repository.path().display());
    git(repository.path(), &["clone", "--quiet", "--depth", "1", &source, clone.to_str().unwrap()]);
    for arguments in [
        &["compare", "HEAD~1", "HEAD"][..],
        &["bisect", "HEAD~1", "HEAD", "--case", "guest/custom/cranelift", "--metric", "fuel"],
        &["history", "--notes", "--branch", "HEAD~1"],
    ] {
        let output = Command::new(WASISCOPE).current_dir(&clone).args(arguments).output().unwrap();
        fails_with(&output, Code::ShallowClone, &["git fetch --unshallow", "fetch-depth: 0"]);
    }
}

#[test]
fn a_repository_that_git_distrusts_is_refused_in_gits_words() {
    let repository = two_commits();
    let mut command = Command::new(WASISCOPE);
    command.current_dir(repository.path()).args(["compare", "HEAD~1", "HEAD"]);
    // By which git's own tests make it take every folder for somebody else's.
    let output = command.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "true").output().unwrap();
    fails_with(&output, Code::GitFailed, &["safe.directory"]);
}

#[test]
fn a_pointer_of_git_lfs_is_called_one() {
    let repository = two_commits();
    repository.write("guest.wat", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n");
    repository.commit("by LFS");
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    assert_eq!(compared.row("guest/custom/cranelift")["code"], Code::LfsPointer.name());
    assert_eq!(compared.code(), Some(1));
    fails_with(&wasiscope(&repository, &["run", "guest.wat"]), Code::LfsPointer, &["git lfs pull"]);
}

#[test]
fn the_users_hooks_do_not_run_and_filters_do() {
    let repository = Repository::new();
    repository.write(".gitattributes", "*.wat filter=upper\n");
    repository.git(&["config", "filter.upper.smudge", "sed s/hidden/_start/"]);
    repository.git(&["config", "filter.upper.clean", "sed s/_start/hidden/"]);
    let hook = repository.path().join(".git/hooks/post-checkout");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch '{}'\nexit 1\n", repository.beside("ran").display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    for turns in [2_000, 2_001] {
        repository.add_guest("guest", &spin(turns));
        repository.commit("a guest");
    }
    assert!(repository.git(&["show", "HEAD:guest.wat"]).contains("hidden"));
    assert_compares(&repository);
    assert!(!repository.beside("ran").exists(), "a hook of the user's ran");
    // A filter that cannot run is git's to explain.
    repository.git(&["config", "filter.upper.smudge", "no-such-filter"]);
    repository.git(&["config", "filter.upper.required", "true"]);
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    compared.fails_with(Code::GitFailed, &["no-such-filter"]);
}

#[test]
fn linked_worktrees_detached_heads_and_bare_repositories_are_repositories() {
    let repository = two_commits();
    repository.git(&["checkout", "--quiet", "--detach"]);
    assert_compares(&repository);
    let (linked, bare) = (repository.beside("linked"), repository.beside("bare"));
    repository.git(&["worktree", "add", "--quiet", "--detach", linked.to_str().unwrap()]);
    git(repository.path(), &["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    for (folder, worktrees) in [(&linked, 2), (&bare, 1)] {
        let compared = compare(folder, &["HEAD~1", "HEAD", "--processes", "1"]);
        assert_eq!(compared.code(), Some(0), "{}", compared.stderr());
        assert_eq!(compared.row("guest/custom/cranelift")["failed"], false);
        assert_eq!(git(folder, &["worktree", "list"]).lines().count(), worktrees, "no worktree is left");
    }
}

#[test]
fn what_is_not_committed_takes_no_part_and_is_mentioned() {
    let repository = two_commits();
    repository.write("guest.wat", "not even a module");
    let compared = repository.compare(&["HEAD~1", "HEAD", "--processes", "1"]);
    assert_eq!(compared.code(), Some(0), "{}", compared.stderr());
    let warnings = compared.json()["warnings"].clone();
    assert!(warnings.as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("in neither revision")));
}

#[test]
fn a_repository_without_commits_has_no_revisions() {
    let repository = Repository::new();
    repository.add_guest("guest", &spin(2_000));
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    compared.fails_with(Code::NoCommits, &[]);
}

#[test]
fn a_revision_may_be_called_like_a_file() {
    let repository = two_commits();
    for name in ["topic", "v1.json", "guest.wasm"] {
        repository.git(&["branch", name, "HEAD~1"]);
    }
    repository.write("topic", "a file of that name");
    for name in ["topic", "v1.json", "guest.wasm"] {
        let compared = repository.compare(&[name, "HEAD", "--processes", "1"]);
        assert_eq!(compared.code(), Some(0), "{name}: {}", compared.stderr());
        assert_eq!(compared.row("guest/custom/cranelift")["failed"], false);
    }
    let compared = repository.compare(&["./topic", "./topic"]);
    compared.fails_with(Code::NotAReport, &["topic"]);
    for name in ["", "HEAD^{tree}", "main..topic"] {
        fails_with(&wasiscope(&repository, &["compare", name, "HEAD"]), Code::NoSuchRevision, &[name]);
    }
    // Git has no branch of such a name, and behind `--` are the guest's arguments.
    for arguments in [&["compare", "--all", "HEAD"][..], &["compare", "--", "HEAD~1", "HEAD"]] {
        assert_eq!(wasiscope(&repository, arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_branch_that_only_the_remote_has_is_suggested() {
    let repository = two_commits();
    let clone = repository.beside("clone");
    repository.git(&["branch", "topic"]);
    git(repository.path(), &["clone", "--quiet", ".", clone.to_str().unwrap()]);
    let compared = compare(&clone, &["topic", "HEAD"]);
    compared.fails_with(Code::NoSuchRevision, &["`origin/topic`"]);
}

#[test]
fn neither_variables_of_git_nor_the_locale_lead_astray() {
    let (repository, other) = (two_commits(), Repository::new());
    let elsewhere = other.path().join(".git");
    let mut command = Command::new(WASISCOPE);
    command.current_dir(repository.path()).args(["compare", "HEAD~1", "HEAD", "--capture", "off", "--format", "json"]);
    command.args(["--processes", "1"]).env("GIT_DIR", &elsewhere).env("GIT_COMMON_DIR", &elsewhere);
    command.env("GIT_WORK_TREE", other.path()).env("GIT_INDEX_FILE", elsewhere.join("index"));
    command.env("GIT_OBJECT_DIRECTORY", elsewhere.join("objects")).env("GIT_NAMESPACE", "none");
    command.env("LC_ALL", "de_DE.UTF-8").env("LANGUAGE", "de");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(comparison["new"]["git"]["commit"], repository.git(&["rev-parse", "HEAD"]));
    assert!(!comparison["facts"].as_array().unwrap().is_empty());
    let outside = tempfile::tempdir().unwrap();
    let mut command = Command::new(WASISCOPE);
    command.current_dir(outside.path()).args(["compare", "HEAD~1", "HEAD"]).env("LC_ALL", "de_DE.UTF-8");
    let output = command.output().unwrap();
    fails_with(&output, Code::NoRepository, &[]);
}

#[test]
fn the_worktrees_of_the_user_stay_and_those_of_killed_runs_go() {
    let repository = two_commits();
    let theirs = repository.beside("theirs");
    repository.git(&["worktree", "add", "--quiet", "--detach", theirs.to_str().unwrap()]);
    // As on a disk that is not mounted just now.
    fs::rename(&theirs, repository.beside("unmounted")).unwrap();
    let left = repository.path().join("target/wasiscope/work-4294967295-a/base/files");
    repository.git(&["worktree", "add", "--quiet", "--detach", left.to_str().unwrap()]);
    let compared = repository.compare(&["HEAD~1", "HEAD", "--processes", "1"]);
    assert_eq!(compared.code(), Some(0), "{}", compared.stderr());
    let list = repository.git(&["worktree", "list"]);
    assert!(list.contains("theirs") && !list.contains("work-4294967295"), "{list}");
}
