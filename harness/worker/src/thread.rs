//! The thread that runs the guest, as the kernel schedules it.

use rustix::thread::CpuSet;

/// How often the kernel has taken the processor away from this thread; `None` where `/proc` does not tell. By hand, as in `memory.rs`.
pub fn preemptions() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// Keeps this thread, and those it will start, on one processor.
pub fn stay_on(cpu: usize) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_put() {
        let allowed = rustix::thread::sched_getaffinity(None).unwrap();
        let cpu = (0..CpuSet::MAX_CPU).rfind(|cpu| allowed.is_set(*cpu)).unwrap();
        let seen = std::thread::spawn(move || {
            stay_on(cpu).unwrap();
            rustix::thread::sched_getcpu()
        });
        assert_eq!(seen.join().unwrap(), cpu);
    }

    #[test]
    fn being_preempted_is_counted() {
        assert!(preemptions().is_some());
    }
}
