//! Commands whose outcome follows from the guest's own files alone.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use wasiscope_sys::interrupt;

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

/// How often a build is asked whether it should go on.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);
/// How long a build that was told to end may take to do so.
const END_MAX: Duration = Duration::from_secs(3);

/// Runs a command to its end, or until this process is asked to stop: then whatever the command has started ends, too.
///
/// # Errors
/// When it cannot be run.
pub(super) fn output(command: &mut Command) -> io::Result<Output> {
    // A group of its own, so that a compiler's compilers can be ended with it.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn()?;
    let group = Pid::from_child(&child);
    let (sender, ended) = mpsc::channel();
    // Both pipes are read while the deadline is watched here.
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let mut asked_at: Option<Instant> = None;
    loop {
        match ended.recv_timeout(INTERRUPT_POLL) {
            Ok(output) => return output,
            Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // What has ended meanwhile needs no signal.
        match asked_at {
            None if interrupt::is_asked() => {
                asked_at = Some(Instant::now());
                let _ = kill_process_group(group, Signal::TERM);
            }
            Some(at) if at.elapsed() > END_MAX => _ = kill_process_group(group, Signal::KILL),
            _ => {}
        }
    }
}

/// What a command prints, trimmed; `None` when it cannot be run or fails.
pub(super) fn printed(program: &str, folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = output(command(program, folder).args(arguments)).ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
