//! Engines. A program runs guests and speaks the worker protocol; an engine is such a program with settings, under a name.
//!
//! A new program is its executable, and a row in the table [`PROGRAMS`].

pub mod wasmtime;

use std::env;
use std::path::PathBuf;

use wasiscope_model::engine;

pub use wasmtime::{Allocation, BoundsChecks, Compiler, EngineSettings, OptLevel};

/// Every program, in the order in which they are listed.
pub const PROGRAMS: &[Program] = &[wasmtime::WASMTIME];

/// A program that runs guests.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name, for messages.
    pub name: &'static str,
    /// How it is started.
    pub start: Start,
    /// The engines that a scenario can name without spelling them out.
    pub presets: &'static [Preset],
}

/// How the worker of a program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is a part of this executable.
    Itself,
    /// It is an executable of this name, beside this one or on `PATH`.
    Executable(&'static str),
}

/// An engine that needs no spelling out.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Its settings; `None` of a program that has none.
    pub settings: Option<EngineSettings>,
    /// One line for `wasiscope list`.
    pub summary: &'static str,
}

impl Program {
    /// Where its executable is; `None` where it is a part of this one.
    ///
    /// # Errors
    /// Its name, when it is not there.
    pub fn executable(&self) -> Result<Option<PathBuf>, &'static str> {
        let Start::Executable(name) = self.start else { return Ok(None) };
        let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
        let folders = env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
        let found = beside.into_iter().chain(folders).map(|folder| folder.join(name)).find(|path| path.is_file());
        found.map(Some).ok_or(name)
    }
}

/// A program with settings, under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The name, last part of a case's id.
    pub name: String,
    /// The program; `None` outside of wasm.
    pub program: Option<&'static Program>,
    /// wasmtime's settings; `None` of any other program.
    pub settings: Option<EngineSettings>,
}

impl Engine {
    /// What stands in a native case's id in place of an engine.
    #[must_use]
    pub fn native() -> Self {
        Self { name: "native".to_owned(), program: None, settings: None }
    }

    /// wasmtime, so set.
    #[must_use]
    pub fn wasmtime(name: &str, settings: EngineSettings) -> Self {
        Self { name: name.to_owned(), program: Some(&PROGRAMS[0]), settings: Some(settings) }
    }

    /// wasmtime as it comes: the engine where none is named.
    #[must_use]
    pub fn usual() -> Self {
        Self::wasmtime(Self::USUAL, EngineSettings::WASMTIME)
    }

    /// The name of the engine where none is named.
    pub const USUAL: &str = "cranelift";

    /// The preset of that name.
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        presets().find(|(_, preset)| preset.name == name).map(|(program, preset)| Self {
            name: name.to_owned(),
            program: Some(program),
            settings: preset.settings,
        })
    }

    /// The settings as documents and workers have them; `None` outside of wasm.
    #[must_use]
    pub fn opaque(&self) -> Option<engine::Settings> {
        self.program.map(|_| self.settings.as_ref().map(engine::Settings::of).unwrap_or_default())
    }

    /// Whether it is the same under another name.
    #[must_use]
    pub fn runs_as(&self, other: &Self) -> bool {
        (self.program, self.settings) == (other.program, other.settings)
    }

    /// Whether its settings are wasmtime's, and such.
    #[must_use]
    pub fn is_set(&self, such: impl FnOnce(&EngineSettings) -> bool) -> bool {
        self.settings.as_ref().is_some_and(such)
    }
}

/// Every engine that a scenario can name, with its program.
pub fn presets() -> impl Iterator<Item = (&'static Program, &'static Preset)> {
    PROGRAMS.iter().flat_map(|program| program.presets.iter().map(move |preset| (program, preset)))
}

/// The program of this name.
#[must_use]
pub fn program(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_engines_are_called_the_same() {
        let names: BTreeSet<&str> = presets().map(|(_, preset)| preset.name).collect();
        assert_eq!(names.len(), presets().count());
        assert_eq!(Engine::preset(Engine::USUAL), Some(Engine::usual()));
        assert_eq!(Engine::preset("native"), None);
    }

    #[test]
    fn a_program_that_is_nowhere_is_not_found() {
        let there = Program { name: "sh", start: Start::Executable("sh"), presets: &[] };
        let nowhere = Program { name: "none", start: Start::Executable("wasiscope-engine-none"), presets: &[] };
        assert!(there.executable().is_ok_and(|path| path.is_some_and(|path| path.ends_with("sh"))));
        assert_eq!(nowhere.executable(), Err("wasiscope-engine-none"));
        assert_eq!(PROGRAMS[0].executable(), Ok(None));
    }
}
