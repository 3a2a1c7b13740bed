//! What the kernel charged to a worker: plain values, as stored and read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::{Counter, Phase, RegionKind};

use crate::figures::total;

/// What the kernel charged to one worker, by phase.
pub type KernelEvents = BTreeMap<Phase, PhaseEvents>;

/// What the kernel charged to one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhaseEvents {
    /// System calls by name.
    pub syscalls: BTreeMap<String, Calls>,
    /// Page faults taken in user mode, by the kind of region in which the address lies.
    pub faults_user: BTreeMap<String, u64>,
    /// Page faults taken by the kernel on the worker's behalf (inside a system call), likewise.
    pub faults_kernel: BTreeMap<String, u64>,
    /// Signals delivered, by name.
    pub signals: BTreeMap<String, u64>,
    /// How often threads lost their processor.
    pub switches: Switches,
    /// How often threads were moved to another processor.
    pub migrations: u64,
    /// Nanoseconds from runnable to running.
    pub run_queue_ns: Distribution,
    /// Nanoseconds without a processor, by the reason.
    pub off_cpu_ns: OffCpu,
    /// Nanoseconds in futex waits.
    pub futex_waits_ns: Distribution,
    /// Bytes of address space.
    pub memory: Memory,
    /// Threads and processes started.
    #[serde(rename = "births")]
    pub tasks_created: TasksCreated,
    /// Requests to block devices.
    pub block_io: BlockIo,
}

/// System calls of one kind in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// How often it was entered.
    pub count: u64,
    /// How many of them returned an error.
    pub errors: u64,
    /// Nanoseconds of those that returned.
    pub latency_ns: Distribution,
}

/// How threads lost their processor, counted as `getrusage` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// By waiting for something.
    pub voluntary: u64,
    /// Because another thread was to run.
    pub involuntary: u64,
}

/// Time without a processor, charged to the phase in which it was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OffCpu {
    /// Waiting for something.
    pub blocked: Distribution,
    /// Waiting for a processor.
    pub runnable: Distribution,
}

/// Bytes of address space that successful calls were about, in whole pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// By `mmap`, `mremap`, and `brk` upwards.
    pub mapped_bytes: u64,
    /// By `munmap`, `mremap`, and `brk` downwards.
    pub unmapped_bytes: u64,
    /// By `mprotect` and `pkey_mprotect`.
    pub protected_bytes: u64,
    /// By `madvise`.
    pub advised_bytes: u64,
}

/// What was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TasksCreated {
    /// Threads, which are watched from then on.
    pub threads: u64,
    /// Processes, which are not.
    pub processes: u64,
}

/// Requests that the worker's own threads handed to block devices; what the kernel writes back later is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIo {
    /// Requests to read.
    pub reads: u64,
    /// Bytes to read.
    pub read_bytes: u64,
    /// Requests to write.
    pub writes: u64,
    /// Bytes to write.
    pub written_bytes: u64,
    /// Other requests: flushes, discards.
    pub others: u64,
}

/// Durations in nanoseconds: exact in number, sum and extremes, and in buckets of an eighth of an octave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// All of them added up.
    pub sum: u64,
    /// The shortest; `None` when there is none.
    pub min: Option<u64>,
    /// The longest; `None` when there is none.
    pub max: Option<u64>,
    /// The largest duration that belongs to a bucket, and how many do; buckets in ascending order, empty ones left out.
    pub buckets: Vec<(u64, u64)>,
}

/// Adds to a count, which stays at the largest number there is: a stored capture may hold any.
pub fn raise(count: &mut u64, by: u64) {
    *count = count.saturating_add(by);
}

impl Distribution {
    /// Adds durations that all lie in the bucket with this bound.
    pub fn add_bucket(&mut self, upper_ns: u64, counter: &Counter) {
        if counter.count == 0 {
            return;
        }
        let Counter { count, total, min, max } = *counter;
        self.merge(&Self { count, sum: total, min: Some(min), max: Some(max), buckets: vec![(upper_ns, count)] });
    }

    /// Adds the durations of another distribution.
    pub fn merge(&mut self, other: &Self) {
        raise(&mut self.count, other.count);
        raise(&mut self.sum, other.sum);
        self.min = [self.min, other.min].into_iter().flatten().min();
        self.max = self.max.max(other.max);
        for &(upper, count) in &other.buckets {
            match self.buckets.binary_search_by_key(&upper, |(upper, _)| *upper) {
                Ok(at) => raise(&mut self.buckets[at].1, count),
                Err(at) => self.buckets.insert(at, (upper, count)),
            }
        }
    }

    /// The duration below which this share of them lies, to the precision of the buckets; `None` when there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let mut left = (self.count as f64 * share).ceil().max(1.0);
        for &(upper, count) in &self.buckets {
            left -= count as f64;
            if left <= 0.0 {
                return Some(self.max.map_or(upper, |max| upper.min(max)));
            }
        }
        self.max
    }

    /// Their mean in nanoseconds; `None` when there are none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

impl PhaseEvents {
    /// Adds what another worker, or another part of it, was charged.
    pub fn merge(&mut self, other: &Self) {
        for (name, calls) in &other.syscalls {
            let sum = self.syscalls.entry(name.clone()).or_default();
            raise(&mut sum.count, calls.count);
            raise(&mut sum.errors, calls.errors);
            sum.latency_ns.merge(&calls.latency_ns);
        }
        let by_name = [
            (&mut self.faults_user, &other.faults_user),
            (&mut self.faults_kernel, &other.faults_kernel),
            (&mut self.signals, &other.signals),
        ];
        for (sum, more) in by_name {
            for (name, count) in more {
                raise(sum.entry(name.clone()).or_default(), *count);
            }
        }
        raise(&mut self.switches.voluntary, other.switches.voluntary);
        raise(&mut self.switches.involuntary, other.switches.involuntary);
        raise(&mut self.migrations, other.migrations);
        self.run_queue_ns.merge(&other.run_queue_ns);
        self.off_cpu_ns.blocked.merge(&other.off_cpu_ns.blocked);
        self.off_cpu_ns.runnable.merge(&other.off_cpu_ns.runnable);
        self.futex_waits_ns.merge(&other.futex_waits_ns);
        raise(&mut self.memory.mapped_bytes, other.memory.mapped_bytes);
        raise(&mut self.memory.unmapped_bytes, other.memory.unmapped_bytes);
        raise(&mut self.memory.protected_bytes, other.memory.protected_bytes);
        raise(&mut self.memory.advised_bytes, other.memory.advised_bytes);
        raise(&mut self.tasks_created.threads, other.tasks_created.threads);
        raise(&mut self.tasks_created.processes, other.tasks_created.processes);
        raise(&mut self.block_io.reads, other.block_io.reads);
        raise(&mut self.block_io.read_bytes, other.block_io.read_bytes);
        raise(&mut self.block_io.writes, other.block_io.writes);
        raise(&mut self.block_io.written_bytes, other.block_io.written_bytes);
        raise(&mut self.block_io.others, other.block_io.others);
    }

    /// Page faults in user mode, wherever.
    #[must_use]
    pub fn user_faults(&self) -> u64 {
        total(self.faults_user.values().copied())
    }

    /// Page faults in the kernel, wherever.
    #[must_use]
    pub fn kernel_faults(&self) -> u64 {
        total(self.faults_kernel.values().copied())
    }
}

/// One event of a traced iteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedEvent {
    /// When it began (CLOCK_MONOTONIC, nanoseconds).
    pub at_ns: u64,
    /// The thread, as the kernel numbers it.
    pub thread: u32,
    /// The thread's name; `None` when another thread was running at that moment.
    pub thread_name: Option<String>,
    /// The phase to which it was charged.
    pub phase: Phase,
    /// What happened.
    pub what: Traced,
}

/// What happened in a traced iteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traced {
    /// A system call.
    Call {
        /// Its name.
        name: String,
        /// How long it took.
        duration_ns: u64,
        /// What it returned.
        returned: i64,
    },
    /// Time without a processor.
    OffCpu {
        /// Waiting for something, first.
        blocked_ns: u64,
        /// Waiting for a processor, then.
        runnable_ns: u64,
    },
    /// A page fault.
    Fault {
        /// Whether it was taken in user mode.
        user: bool,
        /// The address.
        address: u64,
        /// The kind of region that it lies in.
        region: String,
    },
    /// A signal delivered.
    Signal {
        /// Its name.
        name: String,
    },
}

/// The kind of region of this number, by its name in reports.
#[must_use]
pub fn region_name(number: u32) -> &'static str {
    let known = usize::try_from(number).ok().and_then(|number| RegionKind::ALL.get(number));
    known.copied().unwrap_or(RegionKind::Other).name()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(upper_ns: u64, durations: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        for &ns in durations {
            distribution.add_bucket(upper_ns, &Counter { count: 1, total: ns, min: ns, max: ns });
        }
        distribution
    }

    #[test]
    fn distributions_add_up_in_ascending_buckets() {
        let mut sum = of(15, &[15, 15]);
        sum.merge(&of(7, &[7]));
        sum.merge(&of(1023, &[1000]));
        sum.merge(&Distribution::default());
        assert_eq!(sum.buckets, [(7, 1), (15, 2), (1023, 1)]);
        assert_eq!((sum.count, sum.sum, sum.min, sum.max), (4, 1037, Some(7), Some(1000)));
        assert_eq!(sum.mean(), Some(259.25));
    }

    #[test]
    fn quantiles_are_bounds_of_buckets_and_never_beyond_the_longest() {
        let mut sum = of(15, &[15, 15]);
        sum.merge(&of(1023, &[1000, 960]));
        assert_eq!((sum.quantile(0.0), sum.quantile(0.5)), (Some(15), Some(15)));
        assert_eq!((sum.quantile(0.75), sum.quantile(1.0)), (Some(1000), Some(1000)));
        assert_eq!((Distribution::default().quantile(0.5), Distribution::default().mean()), (None, None));
    }

    #[test]
    fn what_two_workers_were_charged_adds_up() {
        let calls = Calls { count: 2, errors: 1, latency_ns: of(15, &[15]) };
        let one = PhaseEvents {
            syscalls: BTreeMap::from([("read".into(), calls)]),
            faults_user: BTreeMap::from([("stack".into(), 3)]),
            signals: BTreeMap::from([("SIGSEGV".into(), 1)]),
            switches: Switches { voluntary: 1, involuntary: 2 },
            migrations: 4,
            memory: Memory { mapped_bytes: 4096, ..Memory::default() },
            tasks_created: TasksCreated { threads: 1, processes: 0 },
            block_io: BlockIo { reads: 1, read_bytes: 512, ..BlockIo::default() },
            ..PhaseEvents::default()
        };
        let mut sum = one.clone();
        sum.merge(&one);
        assert_eq!((sum.syscalls["read"].count, sum.syscalls["read"].errors), (4, 2));
        assert_eq!(sum.syscalls["read"].latency_ns.count, 2);
        assert_eq!((sum.user_faults(), sum.kernel_faults(), sum.signals["SIGSEGV"]), (6, 0, 2));
        assert_eq!((sum.switches.voluntary, sum.switches.involuntary, sum.migrations), (2, 4, 8));
        assert_eq!((sum.memory.mapped_bytes, sum.tasks_created.threads, sum.block_io.read_bytes), (8192, 2, 1024));
    }

    #[test]
    fn events_survive_being_stored_and_older_ones_are_read() {
        let events = PhaseEvents { run_queue_ns: of(15, &[14]), ..PhaseEvents::default() };
        let text = serde_json::to_string(&events).expect("plain data");
        assert_eq!(serde_json::from_str::<PhaseEvents>(&text).expect("our own text"), events);
        assert_eq!(
            serde_json::from_str::<PhaseEvents>("{}").expect("every field can be absent"),
            PhaseEvents::default()
        );
    }

    #[test]
    fn sums_stay_at_the_largest_number_there_is() {
        let most = of(15, &[u64::MAX]);
        let mut sum = most.clone();
        sum.merge(&most);
        assert_eq!((sum.count, sum.sum), (2, u64::MAX));
        let largest = PhaseEvents {
            faults_user: BTreeMap::from([("stack".into(), u64::MAX), ("guard".into(), 1)]),
            migrations: u64::MAX,
            ..PhaseEvents::default()
        };
        let mut both = largest.clone();
        both.merge(&largest);
        assert_eq!((both.user_faults(), both.migrations), (u64::MAX, u64::MAX));
        assert_eq!(both.faults_user["guard"], 2);
    }

    #[test]
    fn regions_have_names() {
        assert_eq!((region_name(1), region_name(99)), ("linear_memory", "other"));
    }
}
