//! Nested cargo, in an environment where only the guest's own files decide what is built.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::GuestError;
use crate::scenario::Flavour;

/// Makes a guest's bytes independent of where the checkout lies.
pub(super) const STABLE_RUSTC: &str = include_str!("stable-rustc.sh");

/// Where a flavour lives and what it is compiled for.
pub(super) struct Recipe {
    pub(super) folder: &'static str,
    pub(super) target: &'static str,
}

pub(super) const fn recipe(flavour: Flavour) -> Recipe {
    match flavour {
        Flavour::TinygoLike => Recipe { folder: "guest-tinygo-like", target: "wasm32-unknown-unknown" },
        Flavour::Std => Recipe { folder: "guest-std", target: "wasm32-wasip1" },
    }
}

/// What decides the output besides the sources, as stored in the artifact. Paths are left out: they differ between
/// machines and are mapped away.
pub(super) fn flags(recipe: &Recipe) -> String {
    format!("--release --locked --target {} RUSTFLAGS=--remap-path-prefix (see guest/cargo.rs)", recipe.target)
}

/// A command in `folder` that inherits nothing which could change what is built. cargo reads its configuration from
/// the folder it runs in, and rustup its toolchain.
fn command(program: &str, folder: &Path) -> Command {
    // Where to get crates from is the machine's business; how to build them is not.
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let builds = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
        if builds || name.starts_with("RUSTC") || name.starts_with("RUSTFLAGS") || name == "RUSTUP_TOOLCHAIN" {
            command.env_remove(name.as_ref());
        }
    }
    command
}

fn output(mut command: Command, program: &'static str) -> Result<Output, GuestError> {
    command.output().map_err(|reason| GuestError::NoTool { program, reason })
}

/// `rustc -vV` of the toolchain that `folder` selects; `None` when it cannot be run, as by a user without one.
pub(super) fn toolchain(folder: &Path) -> Option<String> {
    let mut rustc = command("rustc", folder);
    rustc.arg("-vV");
    let output = output(rustc, "rustc").ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn printed(folder: &Path, what: &[&str]) -> Option<PathBuf> {
    let mut rustc = command("rustc", folder);
    rustc.args(what);
    let output = output(rustc, "rustc").ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Makes sure that the toolchain of `folder` has a standard library for `target`, through rustup if it has not.
pub(super) fn ensure_target(folder: &Path, target: &'static str, say: &mut dyn FnMut(&str)) -> Result<(), GuestError> {
    let is_there = || {
        printed(folder, &["--print", "target-libdir", "--target", target])
            .and_then(|folder| std::fs::read_dir(folder).ok())
            .is_some_and(|mut files| files.next().is_some())
    };
    if is_there() {
        return Ok(());
    }
    say(&format!("adding the target {target}: rustup target add {target}"));
    let mut rustup = command("rustup", folder);
    rustup.args(["target", "add", target]);
    let because = match rustup.output() {
        Ok(output) if output.status.success() && is_there() => return Ok(()),
        Ok(output) => format!(" (rustup said: {})", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => format!(" (rustup cannot be run: {error})"),
    };
    Err(GuestError::NoTarget { target, folder: folder.to_owned(), because })
}

/// Compiles the binaries `workloads` of the workspace in `folder`; they end up below `target_dir`.
pub(super) fn build(
    root: &Path,
    recipe: &Recipe,
    workloads: &[&str],
    target_dir: &Path,
) -> Result<PathBuf, GuestError> {
    let folder = root.join(recipe.folder);
    let mut cargo = command("cargo", &folder);
    cargo.args(["build", "--release", "--locked", "--target", recipe.target, "--target-dir"]).arg(target_dir);
    for workload in workloads {
        cargo.args(["--bin", workload]);
    }
    let wrapper = target_dir.join("stable-rustc.sh");
    write_executable(&wrapper, STABLE_RUSTC)
        .map_err(|reason| GuestError::Io { what: format!("writing {}", wrapper.display()), reason })?;
    cargo.env("RUSTC_WRAPPER", &wrapper);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", path_mapping(root, &folder).join("\u{1f}"));
    let output = output(cargo, "cargo")?;
    if output.status.success() {
        return Ok(target_dir.join(recipe.target).join("release"));
    }
    let what = format!("{} in {}", workloads.join(", "), recipe.folder);
    Err(GuestError::Build { what, said: last_lines(&String::from_utf8_lossy(&output.stderr), 40) })
}

/// Panic messages hold paths of sources. Left alone, the size of a guest would depend on where its sources lie.
fn path_mapping(root: &Path, folder: &Path) -> Vec<String> {
    let mut mapping = vec![(root.to_owned(), "/wasiscope")];
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".cargo")));
    mapping.extend(cargo_home.map(|cargo_home| (cargo_home, "/cargo")));
    // With the component rust-src installed, rustc names the standard library's sources by where they lie.
    let sysroot = printed(folder, &["--print", "sysroot"]);
    mapping.extend(sysroot.map(|sysroot| (sysroot.join("lib/rustlib/src/rust"), "/rust")));
    mapping.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

/// Left alone when it is right already, so that no build sees it half written.
fn write_executable(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.persist(path)?;
    Ok(())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
