//! Where things are: the project with its scenarios, and the folder for what a run leaves behind.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use wasiscope_scenario as scenario;

/// A project with scenarios, or the folder that stands in for one. wasiscope's own checkout is one, which has the catalogue's
/// guests besides.
#[derive(Clone, Debug)]
pub struct Places {
    /// Holds `scenarios/`, `snapshots/` and, in a checkout of wasiscope, the guest folders.
    pub root: PathBuf,
    /// Holds reports, journals and built guests; writable by this user.
    pub state: PathBuf,
    /// Where other users of this checkout keep theirs, for reading only: built guests can be taken from there.
    pub shared_state: PathBuf,
}

impl Places {
    /// Finds the project at or above the current folder, or takes `root` when given.
    #[must_use]
    pub fn find(root: Option<&Path>) -> Self {
        let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let root = root.map(Path::to_owned).or_else(|| project_above(&here)).unwrap_or(here);
        // Absolute: compilers and workers run in other folders.
        let root = std::path::absolute(&root).unwrap_or(root);
        let shared_state = root.join("target").join("wasiscope");
        let state = if is_writable(&shared_state) { shared_state.clone() } else { fallback() };
        Self { root, state, shared_state }
    }

    /// Whether the root holds the sources of the catalogue's guests.
    #[must_use]
    pub fn is_checkout(&self) -> bool {
        self.scenarios().is_dir() && self.root.join("guest-std").is_dir()
    }

    /// Whether the root holds scenarios, its own or wasiscope's.
    #[must_use]
    pub fn is_project(&self) -> bool {
        has_scenarios(&self.root)
    }

    /// The folder of the facts that are kept.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// The folder of scenario files.
    #[must_use]
    pub fn scenarios(&self) -> PathBuf {
        self.root.join("scenarios")
    }

    /// Where the report goes when nothing else is said.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.state.join("report.json")
    }
}

fn project_above(start: &Path) -> Option<PathBuf> {
    start.ancestors().find(|folder| has_scenarios(folder)).map(Path::to_owned)
}

/// A folder of this name alone may be anything; one with YAML in it is a project's.
fn has_scenarios(folder: &Path) -> bool {
    let is_yaml = |entry: fs::DirEntry| scenario::is_scenario_name(&entry.path());
    fs::read_dir(folder.join("scenarios")).is_ok_and(|entries| entries.flatten().any(is_yaml))
}

/// Whether this user can create files in `folder`, or create it. Permission bits do not tell (ACLs, read-only mounts,
/// user namespaces), so this tries, where the folder is or would be made.
fn is_writable(folder: &Path) -> bool {
    let existing = folder.ancestors().map(|ancestor| if ancestor == Path::new("") { Path::new(".") } else { ancestor });
    existing
        .into_iter()
        .find(|ancestor| ancestor.exists())
        .is_some_and(|ancestor| tempfile::tempfile_in(ancestor).is_ok())
}

/// For a user who may read the checkout but not write into it.
fn fallback() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    env::temp_dir().join(format!("wasiscope-{user}"))
}
