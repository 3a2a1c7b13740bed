//! What `doctor` says of the place where it runs: processors, memory, address space, containers and namespaces.

use super::Finding;
use crate::clock;
use crate::machine::cgroup::{self, CpuQuota, Throttling};
use crate::machine::{self, processor, surroundings};
use crate::units;

/// Everything about it.
pub(super) fn findings() -> Vec<Finding> {
    vec![processors(), memory(), address_space(surroundings::address_space_limit()), place()]
}

fn processors() -> Finding {
    let usable = processor::usable();
    let mut detail = match processor::online() {
        Some(online) if online > usable => format!("{usable} of {online}: its cpuset or affinity leaves no more"),
        _ => format!("{usable}"),
    };
    if machine::processors().is_empty() {
        detail.push_str("; workers cannot be kept on one, because sched_setaffinity(2) is refused");
    }
    match cgroup::cpu_quota() {
        Some(quota) => short_of_time(&detail, &quota),
        None => Finding::good("processors", detail),
    }
}

fn short_of_time(processors: &str, quota: &CpuQuota) -> Finding {
    let stopped = Throttling::now().map(Throttling::so_far).filter(|so_far| so_far.periods > 0);
    let stopped = stopped.map(|so_far| {
        let time = units::duration(so_far.time_us as f64 * 1_000.0);
        format!("; it has stopped its processes in {} periods so far, for {time}", so_far.periods)
    });
    let detail = format!(
        "{processors}, and a quota of {:.2} processors' time in {}{}",
        quota.processors,
        quota.folder.display(),
        stopped.unwrap_or_default()
    );
    let mend = "raise or remove the quota (docker run --cpus, Kubernetes resources.limits.cpu, systemd CPUQuota=): cases that it \
                stops are marked `disturbed`";
    Finding::bad("processors", detail, mend)
}

fn memory() -> Finding {
    let all = machine::memory_bytes();
    let of_machine = all.map_or_else(|| "unknown".to_owned(), units::bytes);
    match cgroup::memory_limit().filter(|limit| all.is_none_or(|all| limit.bytes < all)) {
        Some(limit) => {
            let (bytes, folder) = (units::bytes(limit.bytes), limit.folder.display());
            Finding::good("memory", format!("{bytes} of {of_machine}: the limit of the cgroup {folder}"))
        }
        None => Finding::good("memory", of_machine),
    }
}

/// wasmtime reserves address space instead of checking bounds: for each memory all that 32 bits reach, and guards. A worker has one
/// instance at a time, besides itself.
fn address_space(limit: Option<u64>) -> Finding {
    const WHAT: &str = "address space";
    const NEEDED_BYTES: u64 = 5 << 30;
    let Some(limit) = limit else { return Finding::good(WHAT, "no limit") };
    let detail = format!(
        "{} for each process (ulimit -v), of which every memory of a guest reserves a little over 4 GiB",
        units::bytes(limit)
    );
    if limit >= NEEDED_BYTES {
        return Finding::good(WHAT, detail);
    }
    let mend = "ulimit -v unlimited: what is reserved is no memory that is used";
    Finding::bad(WHAT, detail, mend)
}

fn place() -> Finding {
    const WHAT: &str = "runs in";
    let namespaces = surroundings::namespaces();
    let mut detail =
        surroundings::container().map_or_else(|| "no container".to_owned(), |kind| format!("a container ({kind})"));
    if !namespaces.is_empty() {
        detail.push_str(&format!("; namespaces of its own: {}", namespaces.join(", ")));
    }
    if surroundings::is_filtered() {
        detail.push_str("; system calls filtered by seccomp");
    }
    let offset_ns = clock::namespace_offset_ns();
    if offset_ns != 0 {
        let (way, seconds) =
            (if offset_ns < 0 { "behind" } else { "ahead of" }, offset_ns.unsigned_abs() / 1_000_000_000);
        detail.push_str(&format!("; its clock is {seconds} s {way} the kernel's, which is taken into account"));
    }
    if clock::is_shared_with_children() {
        Finding::good(WHAT, detail)
    } else {
        let mend = "start it as a child of the process that made the namespace: unshare --time --fork …";
        Finding::bad(WHAT, format!("{detail}; but what it starts reads another clock: no phase spawn"), mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_address_space_says_what_to_do() {
        assert!(address_space(None).ok && address_space(Some(5 << 30)).ok);
        let small = address_space(Some(3 << 30));
        assert!(!small.ok && small.mend.is_some_and(|mend| mend.contains("ulimit -v unlimited")));
    }
}
