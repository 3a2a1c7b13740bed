//! What the kernel charged to a worker: plain values, as stored and read back.
//!
//! Kinds of events are fields here and in [`KernelPhase`](crate::report::KernelPhase), and not entries of a map: documents give each a
//! name and a shape of its own, and what reads one says which. That none is left out is for the compiler, which knows all kinds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::{Counter, Kind, Phase, RegionKind};

mod tally;

pub use tally::Charged;
use tally::Tally;

/// What the kernel charged to one worker, by phase.
pub type KernelEvents = BTreeMap<Phase, PhaseEvents>;

macro_rules! phase_events {
    ($($(#[$attribute:meta])+ $field:ident: $tally:ty, of $($kind:ident),+;)+) => {
        /// What the kernel charged to one phase.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct PhaseEvents {
            $($(#[$attribute])+ pub $field: $tally,)+
        }

        impl PhaseEvents {
            /// Adds what one counter of the kernel programs holds.
            pub fn add(&mut self, charged: &Charged<'_>) {
                match charged.kind {
                    $($(Kind::$kind)|+ => self.$field.charge(charged),)+
                }
            }

            /// Adds what another worker, or another part of it, was charged.
            pub fn merge(&mut self, other: &Self) {
                $(self.$field.include(&other.$field);)+
            }

            /// How many events of a kind there are, or how many bytes where nothing but bytes is counted.
            #[must_use]
            pub fn total(&self, kind: Kind) -> u64 {
                match kind {
                    $($(Kind::$kind)|+ => self.$field.total(kind),)+
                }
            }
        }
    };
}

// One row for each field, with the kinds of events that it counts: the compiler refuses a kind that none of them does.
phase_events! {
    /// System calls by name.
    syscalls: BTreeMap<String, Calls>, of Syscall, SyscallError;
    /// Page faults taken in user mode, by the kind of region in which the address lies.
    faults_user: BTreeMap<String, u64>, of FaultUser;
    /// Page faults taken by the kernel on the worker's behalf (inside a system call), likewise.
    faults_kernel: BTreeMap<String, u64>, of FaultKernel;
    /// Signals delivered, by name.
    signals: BTreeMap<String, u64>, of Signal;
    /// How often threads lost their processor.
    switches: Switches, of Switch;
    /// How often threads were moved to another processor.
    migrations: u64, of Migration;
    /// Nanoseconds from runnable to running.
    run_queue_ns: Distribution, of RunQueue;
    /// Nanoseconds without a processor, by the reason.
    off_cpu_ns: OffCpu, of OffCpu;
    /// Nanoseconds in futex waits.
    futex_waits_ns: Distribution, of FutexWait;
    /// Bytes of address space.
    memory: Memory, of Memory;
    /// Threads and processes started.
    #[serde(rename = "births")]
    tasks_created: TasksCreated, of Birth;
    /// Requests to block devices.
    block_io: BlockIo, of BlockIo;
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
    /// Page faults in user mode, wherever.
    #[must_use]
    pub fn user_faults(&self) -> u64 {
        self.total(Kind::FaultUser)
    }

    /// Page faults in the kernel, wherever.
    #[must_use]
    pub fn kernel_faults(&self) -> u64 {
        self.total(Kind::FaultKernel)
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
