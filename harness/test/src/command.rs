//! The command `wasiscope`, and what it answers.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::process::{self, ExitStatus, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Names the command to run: a path, or a name on PATH.
pub const COMMAND_VARIABLE: &str = "WASISCOPE";

/// The version of the answers of `wasiscope suite` that this crate understands.
pub const PROTOCOL: u32 = 1;

const INSTALL: &str = "cargo install --locked wasiscope";

/// Set by nextest: where the command is that was built for the tested package, wherever it has been moved since.
const BUILT_VARIABLE: &str = "NEXTEST_BIN_EXE_wasiscope";

/// The command, for one project.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    program: OsString,
    root: PathBuf,
}

/// A case that is a test.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    /// `SCENARIO::WORKLOAD/FLAVOUR/ENGINE`.
    pub(crate) test: String,
    /// `WORKLOAD/FLAVOUR/ENGINE`.
    pub(crate) case: String,
    /// Its scenario's file. This path and the others are absolute, or relative to the project's root.
    pub(crate) scenario: PathBuf,
    /// Where the report of a measurement goes.
    pub(crate) report: PathBuf,
    /// Whether this machine cannot find out its facts, for lack of a toolchain or of a watched kernel.
    pub(crate) ignored: bool,
}

/// A scenario that cannot be read.
#[derive(Debug, Deserialize)]
pub(crate) struct Broken {
    /// The test that fails for it.
    pub(crate) test: String,
    /// What is wrong.
    pub(crate) reason: String,
}

/// The answer to `wasiscope suite list`.
#[derive(Debug, Deserialize)]
pub(crate) struct List {
    pub(crate) cases: Vec<Case>,
    pub(crate) broken: Vec<Broken>,
}

/// The answer to `wasiscope suite facts`.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    /// What to know of a case that passes.
    pub(crate) note: Option<String>,
    /// Why the case fails with the snapshots as they are.
    pub(crate) problem: Option<String>,
    /// Whether some of it is mended by accepting these facts.
    pub(crate) can_be_accepted: bool,
    /// Whether it fails whatever is accepted.
    pub(crate) over_budget: bool,
    /// The snapshots to compare with.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A snapshot as it should be.
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
    pub(crate) contents: String,
}

/// What every answer has.
#[derive(Debug, Deserialize)]
struct Head {
    protocol: u32,
    wasiscope: String,
    error: Option<String>,
}

impl Command {
    /// `built` is the command of the tested package itself, if it has one.
    pub(crate) fn find(root: &Path, built: Option<&str>) -> Self {
        let built = built.map(|built| env::var_os(BUILT_VARIABLE).unwrap_or_else(|| built.into()));
        let named = || env::var_os(COMMAND_VARIABLE).filter(|name| !name.is_empty());
        let program = built.or_else(named).unwrap_or_else(|| "wasiscope".into());
        // The command is started in another folder.
        let is_path = program.as_encoded_bytes().contains(&b'/');
        let program = if is_path { absolute(&program).map_or(program, PathBuf::into_os_string) } else { program };
        Self { program, root: root.to_owned() }
    }

    /// Every case of every scenario.
    pub(crate) fn list(&self) -> Result<List, String> {
        self.ask(&["list"])
    }

    /// A path of an answer.
    pub(crate) fn in_project(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Runs a case once.
    pub(crate) fn facts(&self, test: &str) -> Result<Facts, String> {
        self.ask(&["facts", "--", test])
    }

    /// `wasiscope run`, of one case.
    pub(crate) fn measure(&self, case: &Case, capture: &OsStr) -> Result<ExitStatus, String> {
        let mut command = self.command();
        command.arg("run").arg(self.in_project(&case.scenario)).args(["--only", &case.case]);
        command.arg("--out").arg(self.in_project(&case.report)).arg("--capture").arg(capture);
        command.status().map_err(|error| self.not_started(&error))
    }

    fn command(&self) -> process::Command {
        let mut command = process::Command::new(&self.program);
        command.arg("--root").arg(&self.root).stdin(Stdio::null());
        command
    }

    fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, String> {
        let mut command = self.command();
        let output = command.arg("suite").args(arguments).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| self.not_started(&error))?;
        self.read(&output.stdout, output.status)
    }

    fn read<T: DeserializeOwned>(&self, answer: &[u8], status: ExitStatus) -> Result<T, String> {
        let program = self.program.display();
        let same_version =
            concat!("install the version of this crate: cargo install --locked wasiscope@", env!("CARGO_PKG_VERSION"));
        let Ok(head) = serde_json::from_slice::<Head>(answer) else {
            return Err(format!(
                "`{program} suite` gave no answer ({status}); if it is too old for that, {same_version}"
            ));
        };
        if head.protocol != PROTOCOL {
            return Err(format!(
                "{program} is wasiscope {}, which speaks protocol {} of tests; this is wasiscope-test {}, which speaks {PROTOCOL}: \
                 {same_version}, or take the crate of that version",
                head.wasiscope,
                head.protocol,
                env!("CARGO_PKG_VERSION"),
            ));
        }
        match head.error {
            Some(error) => Err(error),
            None => serde_json::from_slice(answer).map_err(|error| format!("malformed answer from {program}: {error}")),
        }
    }

    fn not_started(&self, error: &io::Error) -> String {
        let program = self.program.display();
        if error.kind() == io::ErrorKind::NotFound {
            return format!("there is no command {program}: {INSTALL}, or set {COMMAND_VARIABLE} to where it is");
        }
        format!("cannot run {program}: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<List, String> {
        let command = Command { program: "wasiscope".into(), root: PathBuf::new() };
        command.read(answer.as_bytes(), ExitStatus::default())
    }

    #[test]
    fn an_answer_of_another_protocol_is_refused_before_it_is_read() {
        let error = read(r#"{"protocol": 2, "wasiscope": "9.9.9", "cases": 7}"#).unwrap_err();
        assert!(error.contains("9.9.9") && error.contains("cargo install"), "{error}");
    }

    #[test]
    fn an_error_is_passed_on_and_no_answer_is_one() {
        assert_eq!(read(r#"{"protocol": 1, "wasiscope": "0.1.0", "error": "why"}"#).unwrap_err(), "why");
        assert!(read("").unwrap_err().contains("cargo install"));
        assert!(read(r#"{"protocol": 1, "wasiscope": "0.1.0", "cases": 7}"#).unwrap_err().contains("malformed"));
    }

    #[test]
    fn fields_of_later_versions_are_ignored() {
        let list = read(r#"{"protocol": 1, "wasiscope": "0.2.0", "more": 1, "cases": [], "broken": []}"#).unwrap();
        assert_eq!((list.cases.len(), list.broken.len()), (0, 0));
    }
}
