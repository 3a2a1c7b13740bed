//! A git repository of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wasiscope::code::Code;

use super::WASISCOPE;

pub struct Repository {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

impl Repository {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // A space and a letter beyond ASCII: paths have both.
        let root = folder.path().join("the répository");
        fs::create_dir(&root).expect("a folder");
        let this = Self { _folder: folder, root };
        this.git(&["init", "--quiet", "--initial-branch", "main"]);
        this.write(".gitignore", "target\n");
        this
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    /// A place beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.with_file_name(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, contents).expect("a file");
    }

    /// A guest, and a scenario for it.
    pub fn add_guest(&self, name: &str, text: &str) {
        self.write(&format!("{name}.wat"), text);
        self.write(&format!("scenarios/{name}.yaml"), format!("name: {name}\nwasm: ../{name}.wat\n"));
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).expect("a file");
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        git(self.path(), arguments)
    }

    pub fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
    }

    pub fn compare(&self, arguments: &[&str]) -> Compared {
        compare(self.path(), arguments)
    }
}

/// Runs git in a folder, as somebody with a name.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"];
    let output = Command::new("git").current_dir(folder).args(identity).args(arguments).output().expect("git");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// What `wasiscope compare` said.
pub struct Compared {
    pub output: Output,
}

/// `wasiscope compare ARGUMENTS --format json` in a folder, with `run` alone and no capture.
pub fn compare(folder: &Path, arguments: &[&str]) -> Compared {
    let options = ["--metric", "phase.run", "--capture", "off", "--format", "json"];
    let mut command = Command::new(WASISCOPE);
    command.current_dir(folder).arg("compare").args(arguments).args(options);
    Compared { output: command.output().expect("wasiscope starts") }
}

impl Compared {
    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    #[track_caller]
    pub fn fails_with(&self, code: Code, values: &[&str]) {
        super::fails_with(&self.output, code, values);
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|_| panic!("{}", self.stderr()))
    }

    pub fn rows(&self) -> Vec<Value> {
        self.json()["rows"].as_array().expect("rows").clone()
    }

    /// The only row of this case.
    pub fn row(&self, case: &str) -> Value {
        let rows: Vec<Value> = self.rows().into_iter().filter(|row| row["case"] == case).collect();
        assert_eq!(rows.len(), 1, "{case}: {:#}", self.json());
        rows[0].clone()
    }
}
