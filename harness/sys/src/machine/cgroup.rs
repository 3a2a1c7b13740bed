//! What the cgroups of this process allow it, and how often they made it wait. Version 1, version 2, and both at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procfs::process::MountInfo;
use procfs::{FromRead, ProcessCGroups};

use wasiscope_model::record::Throttled;

/// A quota of processor time.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuQuota {
    /// How many processors' worth of time.
    pub processors: f64,
    /// The cgroup that sets it.
    pub folder: PathBuf,
}

/// A limit of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// How much, for all processes of the cgroup together.
    pub bytes: u64,
    /// The cgroup that sets it.
    pub folder: PathBuf,
}

/// The tightest quota of processor time on this process; `None` when there is none, or the cgroups cannot be seen.
#[must_use]
pub fn cpu_quota() -> Option<CpuQuota> {
    Cgroups::of_this_process()?.cpu_quota()
}

/// The tightest limit of memory on this process; `None` when there is none, or the cgroups cannot be seen.
#[must_use]
pub fn memory_limit() -> Option<MemoryLimit> {
    Cgroups::of_this_process()?.memory_limit()
}

/// How often, and for how long, quotas of processor time have stopped the processes of this process's cgroups so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttling {
    periods: u64,
    time: Duration,
}

impl Throttling {
    /// Up to now; `None` without a quota.
    #[must_use]
    pub fn now() -> Option<Self> {
        Cgroups::of_this_process()?.throttling()
    }

    /// What came to it between `self` and `later`.
    #[must_use]
    pub fn until(self, later: Self) -> Throttled {
        let time = later.time.saturating_sub(self.time);
        Throttled {
            periods: later.periods.saturating_sub(self.periods),
            time_us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// All of it.
    #[must_use]
    pub fn so_far(self) -> Throttled {
        Self { periods: 0, time: Duration::ZERO }.until(self)
    }
}

/// Where the kernel says which cgroups a process is in, and where they are mounted.
struct Cgroups {
    /// `/proc/self/cgroup`.
    memberships: ProcessCGroups,
    /// `/proc/self/mountinfo`.
    mounts: Vec<MountInfo>,
}

impl Cgroups {
    fn of_this_process() -> Option<Self> {
        Self::parse(&fs::read("/proc/self/cgroup").ok()?, &fs::read("/proc/self/mountinfo").ok()?)
    }

    fn parse(memberships: &[u8], mounts: &[u8]) -> Option<Self> {
        let memberships = ProcessCGroups::from_read(memberships).ok()?;
        // Line by line: mount points need not be UTF-8, which procfs asks of all of them; those of cgroups are.
        let mounts = String::from_utf8_lossy(mounts);
        Some(Self { memberships, mounts: mounts.lines().filter_map(|line| MountInfo::from_line(line).ok()).collect() })
    }

    fn cpu_quota(&self) -> Option<CpuQuota> {
        let quotas = self.folders("cpu").into_iter().filter_map(|folder| {
            let processors = quota_of(&folder)?;
            Some(CpuQuota { processors, folder })
        });
        quotas.min_by(|a, b| a.processors.total_cmp(&b.processors))
    }

    fn memory_limit(&self) -> Option<MemoryLimit> {
        /// Version 1 says "no limit" as the largest number of whole pages.
        const UNLIMITED: u64 = 1 << 62;
        let limits = self.folders("memory").into_iter().filter_map(|folder| {
            let bytes = number(&folder, "memory.max").or_else(|| number(&folder, "memory.limit_in_bytes"))?;
            (bytes < UNLIMITED).then_some(MemoryLimit { bytes, folder })
        });
        limits.min_by_key(|limit| limit.bytes)
    }

    /// Every level counts only what its own quota does.
    fn throttling(&self) -> Option<Throttling> {
        let levels = self.folders("cpu").into_iter().filter(|folder| quota_of(folder).is_some());
        let counted = levels.filter_map(|folder| throttling_of(&fs::read_to_string(folder.join("cpu.stat")).ok()?));
        counted.reduce(|sum, level| Throttling {
            periods: sum.periods.saturating_add(level.periods),
            time: sum.time.saturating_add(level.time),
        })
    }

    /// The folders of this process's cgroups that could limit `controller`: its own first, then those above it.
    fn folders(&self, controller: &str) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for membership in &self.memberships {
            // Version 2 has no list: which controllers it has, the files in its folders tell.
            let is_v2 = membership.controllers.is_empty();
            if !is_v2 && !membership.controllers.iter().any(|name| name == controller) {
                continue;
            }
            let mount = self.mounts.iter().find(|mount| match mount.fs_type.as_str() {
                "cgroup2" => is_v2,
                "cgroup" => !is_v2 && mount.super_options.contains_key(controller),
                _ => false,
            });
            let Some(mount) = mount else { continue };
            // The kernel writes a space in a path as \040.
            let point = PathBuf::from(mount.mount_point.to_string_lossy().replace("\\040", " "));
            let own = folder_of(&mount.root, &point, &membership.pathname);
            let levels = own.ancestors().take_while(|folder| folder.starts_with(&point));
            folders.extend(levels.map(Path::to_owned));
        }
        folders
    }
}

/// Where the cgroup `path` is, when the folder `root` of all cgroups is mounted at `point`. A container often sees only its own cgroup, mounted as if
/// it were the root, and still reads its path from outside.
fn folder_of(root: &str, point: &Path, path: &str) -> PathBuf {
    let below = path.strip_prefix(root.trim_end_matches('/')).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let relative = below.unwrap_or("").trim_start_matches('/');
    let own = point.join(relative);
    if own.is_dir() && !relative.split('/').any(|part| part == "..") { own } else { point.to_owned() }
}

/// Processors' worth of time that the cgroup in this folder may use; `None` without a quota.
fn quota_of(folder: &Path) -> Option<f64> {
    let (quota, period) = match fs::read_to_string(folder.join("cpu.max")) {
        Ok(text) => {
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
        // -1, which is no u64, is none.
        Err(_) => (number(folder, "cpu.cfs_quota_us")?, number(folder, "cpu.cfs_period_us")?),
    };
    (period > 0).then_some(quota as f64 / period as f64)
}

/// From `cpu.stat`: microseconds in version 2, nanoseconds in version 1.
fn throttling_of(stat: &str) -> Option<Throttling> {
    let value = |key: &str| {
        let (_, value) = stat.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == key)?;
        value.trim().parse().ok()
    };
    let micros = value("throttled_usec").map(Duration::from_micros);
    let time = micros.or_else(|| value("throttled_time").map(Duration::from_nanos))?;
    Some(Throttling { periods: value("nr_throttled")?, time })
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files of cgroups in it, as `(path, contents)`.
    fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, contents) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
            fs::write(path, contents).expect("a file");
        }
        folder
    }

    fn cgroups(memberships: &str, mounts: &str, folder: &tempfile::TempDir) -> Cgroups {
        let place = folder.path().to_str().expect("plain text");
        Cgroups::parse(memberships.as_bytes(), mounts.replace("HERE", place).as_bytes()).expect("well formed")
    }

    #[test]
    fn version_2_counts_every_level_that_has_a_quota() {
        let folder = mounted(&[
            ("pod/cpu.max", "50000 100000\n"),
            ("pod/cpu.stat", "usage_usec 9\nnr_periods 5\nnr_throttled 2\nthrottled_usec 300\n"),
            ("pod/memory.max", "1048576\n"),
            ("pod/app/cpu.max", "20000 100000\n"),
            ("pod/app/cpu.stat", "nr_periods 5\nnr_throttled 3\nthrottled_usec 4000\n"),
            ("pod/app/memory.max", "max\n"),
            ("pod/app/run/cpu.max", "max 100000\n"),
            ("pod/app/run/cpu.stat", "nr_periods 0\nnr_throttled 9\nthrottled_usec 9\n"),
        ]);
        let of = cgroups("0::/pod/app/run\n", "36 31 0:38 / HERE rw,relatime - cgroup2 cgroup2 rw\n", &folder);
        let app = folder.path().join("pod/app");
        assert_eq!(of.cpu_quota(), Some(CpuQuota { processors: 0.2, folder: app }));
        assert_eq!(of.memory_limit(), Some(MemoryLimit { bytes: 1 << 20, folder: folder.path().join("pod") }));
        let throttled = of.throttling().expect("there are quotas");
        assert_eq!(throttled.so_far(), Throttled { periods: 5, time_us: 4300 });
        let later = Throttling { periods: 7, time: Duration::from_micros(5300) };
        assert_eq!(throttled.until(later), Throttled { periods: 2, time_us: 1000 });
    }

    #[test]
    fn version_1_is_found_by_its_controller_beside_version_2() {
        let folder = mounted(&[
            ("cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n"),
            ("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
            ("cpu,cpuacct/a/cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 7000000\n"),
            ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("unified/cgroup.procs", ""),
        ]);
        let of = cgroups(
            "3:memory:/\n2:cpu,cpuacct:/a\n1:name=systemd:/\n0::/\n",
            "33 31 0:35 / HERE/memory rw - cgroup cgroup rw,memory\n\
             32 31 0:29 / HERE/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             41 31 0:38 / HERE/unified rw - cgroup2 cgroup2 rw\n",
            &folder,
        );
        assert_eq!(of.cpu_quota().map(|quota| quota.processors), Some(1.5));
        assert_eq!(of.throttling().map(Throttling::so_far), Some(Throttled { periods: 4, time_us: 7000 }));
        assert_eq!(of.memory_limit(), None);
    }

    #[test]
    fn a_container_that_sees_only_its_own_cgroup_is_limited_by_it() {
        let folder = mounted(&[("own cgroup/cpu.max", "30000 100000\n")]);
        for (root, path) in [("/docker/abc", "/docker/abc"), ("/", "/docker/abc"), ("/../..", "/"), ("/", "/../../x")] {
            let mounts = format!("36 31 0:38 {root} HERE/own\\040cgroup ro - cgroup2 cgroup2 rw\n");
            let of = cgroups(&format!("0::{path}\n"), &mounts, &folder);
            assert_eq!(of.cpu_quota().map(|quota| quota.processors), Some(0.3), "{root} {path}");
        }
    }

    #[test]
    fn without_cgroups_there_is_no_limit() {
        let folder = mounted(&[]);
        assert!(Cgroups::parse(b"nonsense", b"").is_none());
        for memberships in ["", "0::/\n", "1:cpu:/a"] {
            let of = cgroups(memberships, "22 27 0:21 / /proc rw - proc proc rw\nnonsense\n", &folder);
            assert!(of.cpu_quota().is_none() && of.memory_limit().is_none() && of.throttling().is_none());
        }
    }
}
