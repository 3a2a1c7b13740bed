//! What a guest is given: arguments, folders, standard input, and how it is called.

use std::path::PathBuf;
use std::sync::Arc;

/// What a guest is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The name it is called by, its first argument; [`GUEST_NAME`] when `None`.
    pub argv0: Option<String>,
    /// Arguments, without its own name.
    pub args: Vec<String>,
    /// Environment variables. Nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// Folders of the host. One named [`OWN_FOLDER`] takes the place of the guest's own.
    pub directories: Vec<Directory>,
    /// The guest gets no empty folder of its own: a preopened folder changes which descriptor comes next.
    pub no_own_folder: bool,
    /// Standard input, read once; empty when `None`.
    pub stdin: Option<Arc<[u8]>>,
    /// The exported function that is measured; `None` for `_start`.
    pub invoke: Option<String>,
    /// Whether `_start` is called before that function.
    pub start_first: bool,
    /// Whether imports that the host does not provide are replaced: functions by traps, everything else by what is empty.
    pub stub_imports: bool,
}

/// Said where a function is called in a command whose `_start` may be what initialises it.
pub const START_NOT_CALLED: &str = "`_start` is exported and not called, so what it initialises is missing: --start-first calls it \
     before the function of --invoke";

/// The first argument of every guest, unless the user gives another. The name of its file would differ between the two
/// sides of a comparison, and work on it would show as a change.
pub const GUEST_NAME: &str = "guest.wasm";

/// The name under which a guest finds its own folder.
pub const OWN_FOLDER: &str = ".";

/// A folder of the host that a guest is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Where it is on the host.
    pub host: PathBuf,
    /// The name under which the guest finds it.
    pub guest: String,
    /// Whether the guest works in the folder itself. Otherwise each pass gets the folder as it was.
    pub shared: bool,
}

impl Input {
    /// Whether a function other than `_start` is called, and `_start` is not.
    #[must_use]
    pub fn leaves_start_out(&self) -> bool {
        self.invoke.as_deref().is_some_and(|name| name != "_start") && !self.start_first
    }

    /// Whether the guest finds an empty folder of its own, as [`OWN_FOLDER`].
    #[must_use]
    pub fn has_own_folder(&self) -> bool {
        !self.no_own_folder && self.directories.iter().all(|folder| folder.guest != OWN_FOLDER)
    }
}
