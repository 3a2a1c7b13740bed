//! Ten commits, one of which makes a guest 5 KB larger and another makes one 5 % slower: snapshot, compare, history and bisect each name
//! the right one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::WASISCOPE;
use serde_json::Value;

const COMMITS: usize = 10;
/// Which of them, from 0, makes the guest `table` larger, and which makes `work` slower.
const LARGER: usize = 4;
const SLOWER: usize = 6;
/// As many reports of a commit, at most, until history is sure: one is of a machine in one mood.
const ROUNDS: usize = 8;

const MANIFEST: &str = r#"[package]
name = "demo"
version = "0.1.0"
edition = "2024"

[profile.release]
lto = true
panic = "abort"
strip = "debuginfo"
"#;

/// A guest with a table of constants, all of which are read.
fn table(bytes: usize) -> String {
    format!(
        "const fn bytes() -> [u8; {bytes}] {{\n    let mut table = [0; {bytes}];\n    let mut i = 0;\n    while i < {bytes} {{\n        \
         table[i] = (i * 7 + i / 251 + 1) as u8;\n        i += 1;\n    }}\n    table\n}}\nstatic TABLE: [u8; {bytes}] = bytes();\n\nfn main() {{\n    \
         let first = std::hint::black_box(&TABLE).iter().take(1000).map(|b| u64::from(*b)).sum::<u64>();\n    \
         println!(\"table n=1 check={{first:016x}}\");\n}}\n"
    )
}

/// A guest that takes so many turns, and says the same whatever their number. Each commit's is other bytes than its parent's.
fn work(turns: u32, note: usize) -> String {
    format!(
        "fn main() {{\n    std::hint::black_box(\"note {note}\");\n    let mut x = 1u64;\n    for turn in 0..{turns}u64 {{\n        x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(turn));\n    }}\n    \
         println!(\"work n=1 check={{:016x}}\", u64::from(x != 0));\n}}\n"
    )
}

struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.git(&["init", "--quiet", "--initial-branch", "main"]);
        this.write("Cargo.toml", MANIFEST);
        this.write(".gitignore", "target\n");
        // Of `table` the facts alone are looked at.
        for (bin, processes) in [("table", 1), ("work", 8)] {
            let scenario = format!(
                "name: {bin}\ndefault: true\ncargo: {{dir: .., bin: {bin}}}\nprocesses: {processes}\niterations: 3\ntolerance: {{phase.compile: 1000%, phase.init: 1000%, phase.instantiate: 1000%}}\nbudgets: {{size.gzip: any, size.zstd: any}}\n"
            );
            this.write(&format!("scenarios/{bin}.yaml"), &scenario);
        }
        this
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let output = Command::new("git").current_dir(self.path()).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn wasiscope(&self, arguments: &[&str]) -> Output {
        Command::new(WASISCOPE).current_dir(self.path()).args(arguments).output().unwrap()
    }

    /// What it prints, whatever it says of it by its status.
    fn said(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.wasiscope(arguments);
        let all = [&output.stdout[..], &output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&all).into_owned())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.wasiscope(&[arguments, &["--format", "json"]].concat());
        let said = || String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", said()))
    }

    /// Runs these scenarios in the tree as it is, and keeps the report.
    fn measure(&self, scenarios: &[&str]) {
        let (status, said) = self.said(&[&["run", "--capture", "off"], scenarios].concat());
        assert_eq!(status, 0, "{said}");
        let (status, said) = self.said(&["history", "--notes", "--add", "target/wasiscope/report.json"]);
        assert_eq!(status, 0, "{said}");
    }

    /// The subjects of the commits at which history sees a step.
    fn steps(&self, case: &str, metric: &str) -> Vec<String> {
        let history = self.json(&["history", "--notes", "--branch", "main", "--case", case, "--metric", metric]);
        let series = history["series"].as_array().unwrap();
        assert_eq!(series.len(), 1, "one case, one metric, one machine: {history}");
        let step = |step: &Value| {
            let point = &series[0]["points"][usize::try_from(step["at"].as_u64().unwrap()).unwrap()];
            let commit = usize::try_from(point["commit"].as_u64().unwrap()).unwrap();
            history["commits"][commit]["subject"].as_str().unwrap().to_owned()
        };
        series[0]["steps"].as_array().unwrap().iter().map(step).collect()
    }
}

/// Makes the commits, each as its author would: run, look at what the snapshots say, and accept it with the next commit.
fn commits(repository: &Repository) -> Vec<String> {
    let mut commits = Vec::new();
    for index in 0..COMMITS {
        repository.write("src/bin/table.rs", &table(if index < LARGER { 2_000 } else { 7_120 }));
        repository.write("src/bin/work.rs", &work(if index < SLOWER { 600_000 } else { 630_000 }, index));
        repository.write("NOTES", &format!("note {index}\n"));
        repository.git(&["add", "."]);
        let subject = match index {
            LARGER => "a larger table".to_owned(),
            SLOWER => "more work".to_owned(),
            _ => format!("note {index}"),
        };
        repository.git(&["commit", "--quiet", "-m", &subject]);
        commits.push(repository.git(&["rev-parse", "HEAD"]));
        repository.measure(&[]);
        let (status, said) = repository.said(&["snapshot", "target/wasiscope/report.json"]);
        let differs = [0, LARGER, SLOWER].contains(&index);
        assert_eq!(status, i32::from(differs), "{subject}: {said}");
        match index {
            LARGER => {
                assert!(said.contains("table/custom/cranelift: differs") && !said.contains("work/custom"), "{said}");
                assert!(said.contains("size.wasm: ") && said.contains("section data: "), "{said}");
                assert!(said.contains("(+5120"), "{said}");
            }
            SLOWER => {
                assert!(said.contains("work/custom/cranelift: differs") && !said.contains("table/custom"), "{said}");
                assert!(said.contains("fuel: "), "{said}");
            }
            _ => {}
        }
        if differs {
            let (status, said) = repository.said(&["snapshot", "target/wasiscope/report.json", "--accept"]);
            assert_eq!(status, 0, "{said}");
        }
        // A lock file is the project's, once cargo has made it.
        assert!(repository.path().join("Cargo.lock").exists());
    }
    commits
}

#[test]
fn the_right_commits_are_named() {
    let repository = Repository::new();
    repository.write("src/bin/table.rs", &table(2_000));
    repository.write("src/bin/work.rs", &work(600_000, 0));
    let lock = Command::new("cargo").current_dir(repository.path()).arg("generate-lockfile").output().unwrap();
    assert!(lock.status.success());
    let commits = commits(&repository);

    // Compare: each with its parent.
    for (index, only) in [(LARGER, "table/*"), (SLOWER, "work/*")] {
        let (base, new) = (&commits[index - 1], &commits[index]);
        // What times are looked at takes as many workers as it takes: beside busy processes twelve were not enough.
        let long_enough = if index == SLOWER { ["--budget", "5m"] } else { ["--processes", "12"] };
        let options = ["--only", only, "--metric", "phase.run"];
        let comparison = repository.json(&[&["compare", base, new], &options[..], &long_enough].concat());
        let regressed = comparison["verdict"] == "regressed";
        assert_eq!(regressed, index == SLOWER, "{index}: {comparison:#}");
        let facts: Vec<&str> =
            comparison["facts"].as_array().unwrap().iter().map(|row| row["fact"].as_str().unwrap()).collect();
        assert_eq!(facts.contains(&"size.wasm"), index == LARGER, "{facts:?}");
        assert_eq!(facts.contains(&"fuel"), index == SLOWER, "{facts:?}");
    }

    // History: the fact from one report of each commit, the measurement from as many as it takes.
    assert_eq!(repository.steps("table/*", "size.wasm"), ["a larger table"]);
    assert_eq!(repository.steps("work/*", "fuel"), ["more work"]);
    let mut steps = repository.steps("work/*", "phase.run");
    for _ in 1..ROUNDS {
        if steps == ["more work"] {
            break;
        }
        for commit in &commits {
            repository.git(&["checkout", "--quiet", "--force", commit]);
            repository.measure(&["work"]);
        }
        repository.git(&["checkout", "--quiet", "main"]);
        steps = repository.steps("work/*", "phase.run");
    }
    assert_eq!(steps, ["more work"]);

    // Bisect, by a measurement and by a fact.
    let (good, bad) = (&commits[0], &commits[COMMITS - 1]);
    for (case, metric, culprit) in [
        ("work/custom/cranelift", "phase.run", SLOWER),
        ("work/custom/cranelift", "fuel", SLOWER),
        ("table/custom/cranelift", "size.wasm", LARGER),
    ] {
        let found = repository.json(&["bisect", good, bad, "--case", case, "--metric", metric]);
        let names: Vec<&str> =
            found["found"].as_array().unwrap().iter().map(|commit| commit["commit"].as_str().unwrap()).collect();
        assert_eq!(names, [commits[culprit].as_str()], "{metric}: {found:#}");
    }
    let (status, said) =
        repository.said(&["bisect", good, &commits[2], "--case", "table/custom/cranelift", "--metric", "size.wasm"]);
    assert!(status == 3 && said.contains("nothing to look for"), "{status}: {said}");
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1, "no worktree is left");
}
