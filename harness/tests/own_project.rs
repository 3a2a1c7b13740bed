//! docs/own-project.md, command by command: a project of a user's own gets its tests as the page says, and prints what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{WASISCOPE, root};

/// How the page installs the command. Here it is what cargo built for these tests, so that no engine is compiled.
const INSTALL: &str = "cargo install --locked --git https://github.com/OWNER/wasiscope wasiscope";

/// A block of the page: commands, or what the commands before it print.
enum Block {
    Commands(String),
    Output(String),
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let text: String =
            lines.by_ref().take_while(|line| *line != "```").fold(String::new(), |text, line| text + line + "\n");
        match kind {
            "sh" => blocks.push(Block::Commands(text)),
            "text" => blocks.push(Block::Output(text)),
            other => panic!("a block of `{other}`: write sh or text"),
        }
    }
    blocks
}

/// Runs commands as a shell does, in the folder in which the last ones ended; gives what they print and where they end.
/// What they install goes to `bin`.
fn run(commands: &str, folder: &Path, bin: &Path) -> (String, PathBuf) {
    let commands = commands.replace(INSTALL, &format!("ln -s '{WASISCOPE}' '{}/wasiscope'", bin.display()));
    // This repository, as it is, instead of the one on the network.
    let here = format!("--path {}", root().join("harness/test").display());
    let commands = commands.replace("--git https://github.com/OWNER/wasiscope", &here);
    let place = tempfile::NamedTempFile::new().unwrap();
    let script = format!("exec 2>&1\n{commands}pwd >{}\n", place.path().display());
    let mut shell = Command::new("bash");
    for (name, _) in std::env::vars() {
        // What cargo and nextest tell this test is not meant for those within it.
        let told =
            ["CARGO", "NEXTEST", "RUST", "INSTA", "WASISCOPE", "__CARGO"].iter().any(|prefix| name.starts_with(prefix));
        // But where things are, and how dependencies are built: they would be built once more.
        let kept = ["CARGO_HOME", "RUSTUP_HOME", "CARGO_INCREMENTAL", "CARGO_PROFILE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if told && !kept {
            shell.env_remove(name);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{path}", bin.display()));
    // What is built already is not built again.
    shell.env("CARGO_TARGET_DIR", root().join("target")).env("NO_COLOR", "1").env("CARGO_TERM_COLOR", "never");
    let output = shell.current_dir(folder).arg("-c").arg(script).output().unwrap();
    let place = std::fs::read_to_string(place.path()).unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), PathBuf::from(place.trim_end()))
}

/// The versions that are locked here, so that neither the network nor a new release decides whether this test passes.
fn lock(project: &Path) {
    let lock = project.join("Cargo.lock");
    if project.join("Cargo.toml").exists() && !lock.exists() {
        std::fs::copy(root().join("Cargo.lock"), lock).unwrap();
    }
}

#[test]
fn the_page_is_true() {
    let page = std::fs::read_to_string(root().join("docs/own-project.md")).unwrap();
    let (folder, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut place = folder.path().to_owned();
    let mut printed = String::new();
    let mut log = String::new();
    for block in blocks(&page) {
        match block {
            Block::Commands(commands) => {
                (printed, place) = run(&commands, &place, bin.path());
                lock(&place);
                write!(log, "$ {commands}{printed}").unwrap();
            }
            Block::Output(expected) => {
                assert!(fits(&expected, &printed), "the page says\n{expected}\nand it is\n{log}")
            }
        }
    }
    check_weight(&place, bin.path());
}

/// What such a project compiles is little, and no engine.
fn check_weight(project: &Path, bin: &Path) {
    let (tree, _) = run("cargo tree --edges normal,build,dev --prefix none --format '{p}'\n", project, bin);
    let packages: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(packages.iter().any(|package| package.starts_with("wasiscope-test ")), "{tree}");
    assert!((10..=60).contains(&packages.len()), "{} packages: {tree}", packages.len());
    assert!(!tree.contains("wasmtime"), "{tree}");
}

/// Whether a text is what the page says, in which `…` is anything, also several lines.
fn fits(expected: &str, printed: &str) -> bool {
    let mut rest = printed.trim_end();
    for (index, part) in expected.trim_end().split('…').enumerate() {
        match rest.find(part) {
            Some(at) if index > 0 || at == 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || expected.trim_end().ends_with('…')
}
