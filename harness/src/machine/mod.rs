//! What this machine is, which tools it has, and which commit is checked out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::document::{Git, Machine};
use crate::worker::WASMTIME_VERSION;

/// Jiffies that the hypervisor took from this machine, and all jiffies, since it booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    stolen: u64,
    all: u64,
}

impl CpuTimes {
    /// Now; `None` where `/proc/stat` does not tell.
    #[must_use]
    pub fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // cpu user nice system idle iowait irq softirq steal guest guest_nice: guest time is part of user time.
        let line = stat.lines().find(|line| line.starts_with("cpu "))?;
        let jiffies: Vec<u64> = line.split_whitespace().skip(1).take(8).map_while(|word| word.parse().ok()).collect();
        Some(Self { stolen: *jiffies.get(7)?, all: jiffies.iter().sum() })
    }

    /// Share of processor time stolen between `self` and `later`; `None` when no time passed.
    #[must_use]
    pub fn stolen_until(self, later: Self) -> Option<f64> {
        let all = later.all.checked_sub(self.all).filter(|all| *all > 0)?;
        Some(later.stolen.checked_sub(self.stolen)? as f64 / all as f64)
    }
}

/// The processors that this process may use and choose among; none where the kernel does not let it choose.
#[must_use]
pub fn processors() -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    // Asking for what is so already changes nothing, and tells whether asking is allowed.
    if rustix::thread::sched_setaffinity(None, &allowed).is_err() {
        return Vec::new();
    }
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()
}

/// By which the owner of a machine names it, for reports from many.
pub const NAME_VARIABLE: &str = "WASISCOPE_MACHINE";

/// The machine as a report names it.
#[must_use]
pub fn describe(steal_ratio: Option<f64>) -> Machine {
    let uname = rustix::system::uname();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Machine {
        name: std::env::var(NAME_VARIABLE).ok().filter(|name| !name.trim().is_empty()),
        os: std::env::consts::OS.to_owned(),
        kernel: Some(uname.release().to_string_lossy().into_owned()),
        arch: std::env::consts::ARCH.to_owned(),
        cpu: value_of(&cpuinfo, "model name"),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: value_of(&meminfo, "MemTotal")
            .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kib| kib << 10),
        virtualized: value_of(&cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        steal_ratio,
        frequency_governor: fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
            .ok()
            .map(|governor| governor.trim().to_owned()),
        pinned: !processors().is_empty(),
    }
}

/// The value behind `key :` in a file of `/proc`.
fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

/// Versions of the tools that shape a result; `None` for those that are not there.
#[must_use]
pub fn tools(root: &Path) -> BTreeMap<String, Option<String>> {
    let mut tools = BTreeMap::from([("wasmtime".to_owned(), Some(WASMTIME_VERSION.to_owned()))]);
    for (name, arguments) in [("rustc", "--version"), ("go", "version")] {
        tools.insert(name.to_owned(), first_line(name, &[arguments], root));
    }
    tools
}

/// The commit checked out in `root`; `None` outside a repository.
#[must_use]
pub fn git(root: &Path) -> Option<Git> {
    let commit = first_line("git", &["rev-parse", "HEAD"], root)?;
    let changes = first_line("git", &["status", "--porcelain", "--untracked-files=no"], root);
    Some(Git { commit, dirty: changes.is_some_and(|changes| !changes.is_empty()) })
}

/// The first line that a command prints; `None` when it cannot be run or fails.
#[must_use]
pub fn first_line(program: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    // A relative root may be the empty path, which is not a folder to run in.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_figure_and_guest_time_is_not_counted_twice() {
        let before = CpuTimes::parse("cpu  10 0 10 80 0 0 0 0 5 0\ncpu0 …\n").expect("well formed");
        let later = CpuTimes::parse("cpu  20 0 10 160 0 0 0 10 9 0\n").expect("well formed");
        assert_eq!(before.stolen_until(later), Some(0.1));
        assert_eq!(before.stolen_until(before), None);
        assert_eq!(CpuTimes::parse("intr 1 2 3"), None);
    }
}
