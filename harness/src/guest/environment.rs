//! Commands whose outcome follows from the guest's own files alone.

use std::path::Path;
use std::process::Command;

/// A command in `folder` that inherits nothing which could change what is built. cargo reads its configuration from
/// the folder it runs in, and rustup its toolchain.
pub(super) fn command(program: &str, folder: &Path) -> Command {
    // Where to get crates from is the machine's business; how to build them is not.
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    const DROPPED: [&str; 5] = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "GO"];
    // Where Go keeps what it has compiled and downloaded.
    const KEPT_GO: [&str; 3] = ["GOROOT", "GOCACHE", "GOPATH"];
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let kept = KEPT.iter().any(|kept| name.starts_with(kept)) || KEPT_GO.contains(&name.as_ref());
        if !kept && DROPPED.iter().any(|dropped| name.starts_with(dropped)) {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// What a command prints, trimmed; `None` when it cannot be run or fails.
pub(super) fn printed(program: &str, folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = command(program, folder).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
