//! Guests that a scenario brings along, in place of workloads and flavours of the catalogue.

use std::path::PathBuf;

use wasiscope_model::names;

/// The flavour of a guest that is the only one of its scenario.
pub const CUSTOM: &str = "custom";

/// A guest of the scenario's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnGuest {
    /// What tells it apart from others of the scenario; `None` where it is the only one.
    pub flavour: Option<String>,
    /// Where it comes from.
    pub source: OwnSource,
}

/// Where a guest of the scenario's own comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnSource {
    /// A file.
    Wasm(PathBuf),
    /// A crate, built before it is run.
    Cargo(CargoGuest),
    /// What a command leaves.
    Command(CommandGuest),
}

impl OwnGuest {
    /// The flavour in its case's id.
    #[must_use]
    pub fn flavour(&self) -> &str {
        self.flavour.as_deref().unwrap_or(CUSTOM)
    }

    /// Whether it is a native executable and no wasm.
    #[must_use]
    pub fn is_native(&self) -> bool {
        matches!(&self.source, OwnSource::Cargo(cargo) if cargo.is_native())
    }

    /// What it is called where it is the only one.
    #[must_use]
    pub fn name(&self) -> String {
        let stem = |path: &PathBuf| path.file_stem().map(names::escaped).unwrap_or_default();
        match &self.source {
            OwnSource::Wasm(path) => stem(path),
            OwnSource::Cargo(cargo) => cargo.bin.clone(),
            OwnSource::Command(command) => stem(&command.out),
        }
    }
}

/// One binary of a crate that is not in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CargoGuest {
    /// The crate's folder.
    pub dir: PathBuf,
    /// The binary.
    pub bin: String,
    /// What it is compiled for; `native` for the machine itself.
    pub target: String,
    /// The profile of its own manifest.
    pub profile: String,
}

/// The target of a crate that is compiled for the machine itself.
pub const NATIVE: &str = "native";

impl CargoGuest {
    /// Whether it is compiled for the machine itself.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.target == NATIVE
    }
}

/// A guest that a command builds, by whatever toolchain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandGuest {
    /// The command, for a shell.
    pub build: String,
    /// Where it runs.
    pub dir: PathBuf,
    /// The file that it leaves.
    pub out: PathBuf,
}
