//! Starts a worker under Valgrind's callgrind and reads what it counted.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::heartbeat::Patience;
use wasiscope_scenario::engine::{self, Program, Start};
use wasiscope_sys::before_exec::BeforeExec;
use wasiscope_worker::heartbeat::HeartbeatPage;
use wasiscope_worker::{self as worker, Request};

/// How much slower everything is under callgrind, generously.
const SLOWDOWN: u32 = 200;

/// The instructions of each counted pass.
///
/// # Errors
/// When valgrind is not there, or the worker does not get to its end.
pub(super) fn count(request: &Request) -> Result<Vec<u64>, String> {
    if !matches!(engine::program(&request.subject.program), Some(Program { start: Start::Itself, .. })) {
        return Err(format!("instructions cannot be counted in {}", request.subject.program));
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let heartbeat = HeartbeatPage::new().map_err(|error| error.to_string())?;
    let files = folder.path().join("counts");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", files.display()));
    // Under valgrind /proc/self/exe would be valgrind's own.
    command.arg(format!("/proc/{}/exe", std::process::id())).arg(worker::VERB).arg(heartbeat.fd().to_string());
    BeforeExec::default().inherit([heartbeat.fd()]).apply(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("valgrind cannot be run ({error}): install it"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        // A worker that is dead already says so by its status.
        let _ = stdin.write_all(&[&line[..], b"\n"].concat());
    }
    let mut patience = Patience::new(&heartbeat, request.subject.limits.wall.saturating_mul(SLOWDOWN));
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => break,
            Some(status) => return Err(format!("the worker under valgrind ended with {status}")),
            None => {
                if let Some(stuck) = patience.look() {
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(format!(
                        "in {} for {} under valgrind, killed: raise the limit with --wall",
                        stuck.phase.name(),
                        humantime::format_duration(Duration::from_secs(stuck.in_phase.as_secs()))
                    ));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    let counts = read(folder.path());
    if counts.is_empty() { Err("callgrind left no counts".to_owned()) } else { Ok(counts) }
}

/// The totals of callgrind's files, one for each dump, in order: `counts.1`, `counts.2`, … The last, without a number,
/// is of what came after.
fn read(folder: &Path) -> Vec<u64> {
    (1..)
        .map_while(|dump| fs::read_to_string(folder.join(format!("counts.{dump}"))).ok())
        .filter_map(|text| total(&text))
        .collect()
}

/// `totals: 12345`.
fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_in_the_order_of_the_dumps() {
        let folder = tempfile::tempdir().unwrap();
        for (name, total) in [("counts.1", 10), ("counts.2", 20), ("counts", 99)] {
            fs::write(folder.path().join(name), format!("events: Ir\nfn=(1) a\n1 5\ntotals: {total}\n")).unwrap();
        }
        assert_eq!(read(folder.path()), [10, 20]);
        assert_eq!(total("events: Ir\n"), None);
    }
}
