//! What stands between this process and the machine: containers, namespaces, filters, limits of its own.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use procfs::FromRead;
use procfs::process::Status;
use rustix::process::{Resource, getrlimit};

/// Namespaces other than the machine's own, by the numbers that the kernel gives its first ones (`PROC_…_INIT_INO`).
#[must_use]
pub fn namespaces() -> Vec<String> {
    const INITIAL: [(&str, u64); 4] =
        [("user", 0xEFFF_FFFD), ("pid", 0xEFFF_FFFC), ("time", 0xEFFF_FFFA), ("cgroup", 0xEFFF_FFFB)];
    /// The first namespace of mounts has a number of its own since Linux 6.18; before, it was the first or second of those
    /// that are counted.
    const LAST_INITIAL_MOUNT: u64 = 0xF000_0001;
    let number = |name: &str| Some(fs::metadata(format!("/proc/self/ns/{name}")).ok()?.ino());
    let is_own = |(name, initial): &(&str, u64)| number(name).is_some_and(|number| number != *initial);
    let mut namespaces: Vec<String> = INITIAL.into_iter().filter(is_own).map(|(name, _)| name.to_owned()).collect();
    if number("mnt").is_some_and(|number| number > LAST_INITIAL_MOUNT) {
        namespaces.push("mount".to_owned());
    }
    namespaces
}

/// What kind of container this process is in, by the marks that their managers leave; `None` when there are none.
#[must_use]
pub fn container() -> Option<String> {
    if env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("kubernetes".to_owned());
    }
    // systemd writes what the manager has told it; podman and docker leave a file.
    let told = fs::read_to_string("/run/systemd/container").ok().map(|name| name.trim().to_owned());
    let told = told.or_else(|| env::var("container").ok()).filter(|name| !name.is_empty());
    let marked = |path: &str, name: &str| Path::new(path).exists().then(|| name.to_owned());
    told.or_else(|| marked("/run/.containerenv", "podman")).or_else(|| marked("/.dockerenv", "docker"))
}

/// Whether a seccomp filter decides which system calls this process may make.
#[must_use]
pub fn is_filtered() -> bool {
    const FILTER: u32 = 2;
    Status::from_file("/proc/thread-self/status").is_ok_and(|status| status.seccomp == Some(FILTER))
}

/// The limit of this process's address space (`ulimit -v`), which its workers inherit; `None` without one.
#[must_use]
pub fn address_space_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}
