//! What the tests of the command share: running it, and reading what it leaves.
#![allow(dead_code, reason = "every test binary uses a part of this")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail in the binaries that use everything")]

pub mod forked;
pub mod repository;
pub mod trials;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use wasiscope::cli::Exit;
use wasiscope::code::Code;

pub const WASISCOPE: &str = env!("CARGO_BIN_EXE_wasiscope");

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Copies what guests are built from to another place, which is a checkout then.
pub fn copy_guests(to: &Path) {
    for name in ["guest-std", "guest-tinygo-like", "scenarios"] {
        copy_folder(&root().join(name), &to.join(name));
    }
    for name in ["Cargo.toml", "rust-toolchain.toml"] {
        std::fs::copy(root().join(name), to.join(name)).expect("a file");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten().filter(|entry| entry.file_name() != "target") {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file");
        }
    }
}

/// A run whose report goes to a folder of its own.
pub struct Run {
    pub folder: tempfile::TempDir,
    pub output: Output,
}

impl Run {
    /// `wasiscope run ARGUMENTS --out FOLDER/report.json`, in an empty folder.
    pub fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::in_folder(folder, arguments)
    }

    pub fn in_folder(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let output = command(&folder).args(arguments).output().expect("wasiscope starts");
        Self { folder, output }
    }

    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or_else(|| panic!("killed: {:?}", self.output.status))
    }

    /// It ended with an error of this code, whose message has all of `values`.
    #[track_caller]
    pub fn fails_with(&self, code: Code, values: &[&str]) {
        fails_with(&self.output, code, values);
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The report, which must be there.
    pub fn report(&self) -> Value {
        let path = self.folder.path().join("report.json");
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{error}; stderr: {}", self.stderr()));
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The only case of the report, or the one with this id.
    pub fn case(&self, id: &str) -> Value {
        let report = self.report();
        let cases = report["scenarios"].as_array().expect("scenarios").iter();
        let mut cases = cases.flat_map(|scenario| scenario["cases"].as_array().expect("cases").clone());
        cases.find(|case| case["id"] == id).unwrap_or_else(|| panic!("no case {id}; stderr: {}", self.stderr()))
    }
}

/// A command ended with an error of this code and the exit status that belongs to it; its message has all of `values`.
#[track_caller]
pub fn fails_with(output: &Output, code: Code, values: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let begin = format!("error[{code}]: ");
    assert!(stderr.lines().any(|line| line.starts_with(&begin)), "no {begin:?} in:\n{stderr}");
    assert_eq!(output.status.code(), Some(Exit::of_code(code) as i32), "{stderr}");
    assert_has(&stderr, values);
}

/// The command line was refused for what these options or arguments say.
#[track_caller]
pub fn is_bad_usage(output: &Output, named: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert_eq!(output.status.code(), Some(Exit::BadInput as i32), "{stderr}");
    assert_has(&stderr, named);
}

/// A case ended so, for this reason; its detail has all of `values`.
#[track_caller]
pub fn ended(case: &Value, status: &str, code: Code, values: &[&str]) {
    let outcome = &case["outcome"];
    assert_eq!((&outcome["status"], &outcome["code"]), (&Value::from(status), &Value::from(code.name())), "{outcome}");
    assert_has(outcome["detail"].as_str().unwrap_or_default(), values);
}

#[track_caller]
pub fn assert_has(text: &str, values: &[&str]) {
    for value in values {
        assert!(text.contains(value), "no {value:?} in:\n{text}");
    }
}

/// `wasiscope run --root CHECKOUT --out FOLDER/report.json`, ready for more arguments.
pub fn command(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(WASISCOPE);
    command.current_dir(folder.path()).arg("run").arg("--root").arg(root());
    command.arg("--out").arg(folder.path().join("report.json"));
    command
}

/// Writes a file into a folder and gives its path as text.
pub fn file(folder: &tempfile::TempDir, name: &str, contents: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, contents).expect("a file");
    path.to_str().expect("plain text").to_owned()
}

/// A guest that runs `body` as `_start`, with one page of memory and `proc_exit` and `fd_write` at hand.
pub fn guest(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "hello n=1 check=0000000000000bad\n")
            ;; One buffer: the line above.
            (data (i32.const 0) "\40\00\00\00\21\00\00\00")
            (func (export "_start") {body}))"#
    );
    wat::parse_str(text).expect("valid text")
}

/// A guest that spins `n` times.
pub fn spin(n: u32) -> String {
    format!(
        r#"(module (memory (export "memory") 1)
            (func (export "_start") (local $left i32) (local $x i64)
                (local.set $left (i32.const {n}))
                (loop $again
                    (local.set $x (i64.mul (i64.add (local.get $x) (i64.const 7)) (i64.const 6364136223846793005)))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (i64.store (i32.const 8) (local.get $x))))"#
    )
}

/// Waits for what must come true within two minutes.
pub fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !reached() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The kernel's BTF in which the names of these tracepoints do not occur, as if it did not have them.
pub fn btf_without(tracepoints: &[&str]) -> Vec<u8> {
    let mut btf = std::fs::read(wasiscope::capture::btf::KERNEL_BTF).expect("the kernel shows its types");
    for name in tracepoints {
        for prefix in ["__traceiter_", "__bpf_trace_"] {
            let wanted = format!("\0{prefix}{name}\0").into_bytes();
            if let Some(at) = btf.windows(wanted.len()).position(|bytes| bytes == wanted) {
                btf[at + 1] = b'X';
            }
        }
    }
    btf
}

/// System calls of one phase whose name contains `part`, added up over all its iterations.
pub fn syscalls(case: &Value, phase: &str, part: &str) -> u64 {
    let Some(calls) = case["kernel"]["phases"][phase]["syscalls"].as_object() else { return 0 };
    calls
        .iter()
        .filter(|(name, _)| name.contains(part))
        .map(|(_, tally)| tally["count"].as_u64().expect("a count"))
        .sum()
}
