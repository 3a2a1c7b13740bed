//! What this machine is, which tools it has, and which commit is checked out.

pub mod cgroup;
pub mod processor;
pub mod surroundings;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use self::cgroup::Throttling;
use self::processor::{CpuTimes, value_of};
use crate::git;
use wasiscope_model::record::Throttled;
use wasiscope_model::report::{Git, Machine, MachineLimits};

pub use self::processor::processors;

/// The counters of what others take from this process: the hypervisor, and its own quotas.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    times: Option<CpuTimes>,
    throttling: Option<Throttling>,
}

/// What others took from this process meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interference {
    /// Share of the machine's processor time that the hypervisor gave to others; `None` when unknown.
    pub steal_ratio: Option<f64>,
    /// How often the quota of its cgroups stopped it; `None` without a quota.
    pub throttled: Option<Throttled>,
}

impl Counters {
    /// As they are now.
    #[must_use]
    pub fn now() -> Self {
        Self { times: CpuTimes::now(), throttling: Throttling::now() }
    }

    /// What came to them since.
    #[must_use]
    pub fn until_now(self) -> Interference {
        let now = Self::now();
        Interference {
            steal_ratio: self.times.zip(now.times).and_then(|(from, to)| from.stolen_until(to)),
            throttled: self.throttling.zip(now.throttling).map(|(from, to)| from.until(to)),
        }
    }
}

/// By which the owner of a machine names it, for reports from many.
pub const NAME_VARIABLE: &str = "WASISCOPE_MACHINE";

/// The machine as a report names it, with what it did beside the run; nothing of that where nothing was measured.
#[must_use]
pub fn describe(meanwhile: Interference) -> Machine {
    let uname = rustix::system::uname();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory_bytes = memory_bytes();
    Machine {
        name: std::env::var(NAME_VARIABLE).ok().filter(|name| !name.trim().is_empty()),
        os: std::env::consts::OS.to_owned(),
        kernel: Some(uname.release().to_string_lossy().into_owned()),
        arch: std::env::consts::ARCH.to_owned(),
        cpu: processor::model(&cpuinfo),
        cpus: processor::usable(),
        memory_bytes,
        virtualized: value_of(&cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        steal_ratio: meanwhile.steal_ratio,
        frequency_governor: fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
            .ok()
            .map(|governor| governor.trim().to_owned()),
        pinned: !processors().is_empty(),
        limits: MachineLimits {
            cpus_online: processor::online().filter(|online| *online > processor::usable()),
            cpu_quota: cgroup::cpu_quota().map(|quota| quota.processors),
            throttled: meanwhile.throttled,
            memory_bytes: cgroup::memory_limit()
                .map(|limit| limit.bytes)
                .filter(|bytes| memory_bytes.is_none_or(|all| *bytes < all)),
            address_space_bytes: surroundings::address_space_limit(),
        },
        container: surroundings::container(),
        namespaces: surroundings::namespaces(),
    }
}

/// Memory of the machine, as its kernel counts it; `None` where that is not told.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = value_of(&meminfo, "MemTotal")?.strip_suffix(" kB")?.parse::<u64>().ok()?;
    kib.checked_mul(1 << 10)
}

/// Versions of the tools that shape a result, that of wasmtime among them; `None` for those that are not there.
#[must_use]
pub fn tools(root: &Path, wasmtime: &str) -> BTreeMap<String, Option<String>> {
    let mut tools = BTreeMap::from([("wasmtime".to_owned(), Some(wasmtime.to_owned()))]);
    for (name, arguments) in [("rustc", "--version"), ("go", "version")] {
        tools.insert(name.to_owned(), first_line(name, &[arguments], root));
    }
    tools
}

/// The commit checked out in `root`; `None` outside a repository.
#[must_use]
pub fn git(root: &Path) -> Option<Git> {
    let printed = |arguments: &[&str]| git::printed(root, "describe the checkout", arguments).ok();
    let commit = printed(&["rev-parse", "--verify", "HEAD"])?.trim().to_owned();
    // In a bare repository there is nothing that could have changed.
    let changes = printed(&["status", "--porcelain", "--untracked-files=no"]);
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
