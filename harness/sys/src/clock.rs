//! The one clock that parent, worker and kernel programs share.

use std::fs;

/// CLOCK_MONOTONIC in nanoseconds.
///
/// The kernel programs read the same clock by `bpf_ktime_get_ns`, which knows nothing of time namespaces: they add
/// [`namespace_offset_ns`].
#[must_use]
// So that it is compiled as what it measures is, and not as this crate.
#[inline]
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither is negative on a machine that has booted.
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// By how much CLOCK_MONOTONIC is ahead of the kernel's own in the time namespace of the processes that this one starts;
/// 0 in the machine's own namespace, and where the kernel knows no others.
#[must_use]
pub fn namespace_offset_ns() -> i64 {
    let offsets = fs::read_to_string("/proc/self/timens_offsets");
    offsets.ok().and_then(|offsets| monotonic_of(&offsets)).unwrap_or(0)
}

/// By hand: procfs does not read this file. Lines of a clock's name, seconds and nanoseconds; the seconds may be negative, the nanoseconds are not.
fn monotonic_of(offsets: &str) -> Option<i64> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let line = offsets.lines().map(words).find(|words| words.first().is_some_and(|name| name == "monotonic"))?;
    let [_, seconds, nanoseconds] = &line[..] else { return None };
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds.parse().ok()?)
}

/// Whether this process and those that it starts read the clock alike. They do not when it was put into a time namespace
/// with `unshare(2)` alone: before Linux 6.1 only its children are in it then, and never itself.
#[must_use]
pub fn is_shared_with_children() -> bool {
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).ok();
    namespace("time") == namespace("time_for_children")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_the_kernel_writes_them() {
        let of = |text: &str| monotonic_of(text);
        assert_eq!(of("monotonic           0         0\nboottime            0         0\n"), Some(0));
        assert_eq!(of("monotonic     1000000         7\nboottime  5 0\n"), Some(1_000_000_000_000_007));
        // A day and a half back: the kernel keeps the nanoseconds from 0 on.
        assert_eq!(of("boottime 1 1\nmonotonic     -2 500000000\n"), Some(-1_500_000_000));
        assert_eq!((of(""), of("monotonic x 0\n"), of("monotonic 9223372036854775807 0")), (None, None, None));
    }
}
