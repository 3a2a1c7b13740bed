//! The folder in which the guests of one run have their own folders. Gone with the run; what a killed run left is
//! cleared away by the next.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = "work-";

/// A folder below `state` that is removed when it is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn create(state: &Path) -> io::Result<TempDir> {
    fs::create_dir_all(state)?;
    // Absolute: workers have other current folders.
    let state = fs::canonicalize(state)?;
    for leftover in leftovers(&state) {
        // Another run may be clearing it at the same time.
        let _ = fs::remove_dir_all(leftover);
    }
    tempfile::Builder::new().prefix(&prefix(std::process::id())).tempdir_in(&state)
}

/// How the names of a process's folders begin.
pub fn prefix(pid: u32) -> String {
    format!("{PREFIX}{pid}-")
}

/// Whether a folder has the name of one that a run made.
pub fn is_of_run(name: &OsStr) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(pid, _)| !pid.is_empty() && pid.chars().all(|c| c.is_ascii_digit()))
}

/// Folders of runs whose process is no more.
fn leftovers(state: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(state) else { return Vec::new() };
    let is_left = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.to_owned());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    entries.flatten().map(|entry| entry.path()).filter(is_left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_runs_folder_is_cleared_and_a_running_ones_is_not() {
        let state = tempfile::tempdir().unwrap();
        // Larger than any pid that Linux gives out.
        let (dead, other) = (state.path().join("work-4294967295-abc"), state.path().join("guests"));
        fs::create_dir_all(dead.join("guest")).unwrap();
        fs::create_dir_all(&other).unwrap();
        let running = create(state.path()).unwrap();
        let second = create(state.path()).unwrap();
        assert!(!dead.exists() && other.exists());
        assert!(running.path().exists() && second.path().exists());
    }
}
