//! What the kernel did, as a report says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::Kind;

use crate::capture::Coverage;
use crate::events::{self, BlockIo, Distribution, Memory, PhaseEvents, Switches, TasksCreated};
use crate::figures::total;

/// What the kernel charged to one case, over all its watched workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelReport {
    /// By phase.
    pub phases: BTreeMap<String, KernelPhase>,
    /// What belongs to no phase: the worker's own doings between phases, repeated passes, its end. With the phases it is all
    /// that a worker did, from its first system call after `fork` to its end, as `getrusage` or `perf stat` see it;
    /// `iterations` counts workers here.
    #[serde(default)]
    pub outside: Option<KernelPhase>,
}

/// What the kernel charged to one phase. Totals over `iterations` passes; `None` is what no program could see here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelPhase {
    /// How often the phase was entered.
    pub iterations: u64,
    /// System calls by name.
    pub syscalls: BTreeMap<String, Calls>,
    /// Page faults.
    pub faults: Faults,
    /// Signals delivered, by name; those that traps come from are there even when they are 0.
    pub signals: Option<BTreeMap<String, u64>>,
    /// How often threads lost their processor.
    pub switches: Option<Switches>,
    /// How often threads were moved to another processor.
    pub migrations: Option<u64>,
    /// Nanoseconds from runnable to running.
    pub run_queue_ns: Option<Distribution>,
    /// Nanoseconds without a processor.
    pub off_cpu_ns: Option<OffCpu>,
    /// Nanoseconds in futex waits.
    pub futex_waits_ns: Option<Distribution>,
    /// Bytes of address space mapped: by `mmap`, `mremap`, and `brk` upwards.
    pub mapped_bytes: Option<u64>,
    /// Unmapped: by `munmap`, `mremap`, and `brk` downwards.
    pub unmapped_bytes: Option<u64>,
    /// By `mprotect` and `pkey_mprotect`.
    pub protected_bytes: Option<u64>,
    /// By `madvise`.
    pub advised_bytes: Option<u64>,
    /// Threads and processes started.
    pub created: Option<TasksCreated>,
    /// Requests to block devices.
    pub block_io: Option<BlockIo>,
}

/// One system call in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// How often it was entered.
    pub count: u64,
    /// Nanoseconds spent in those that returned.
    pub total_ns: Option<u64>,
    /// How many returned an error.
    pub errors: u64,
    /// Nanoseconds of each that returned.
    pub latency_ns: Option<Distribution>,
}

/// Time without a processor, charged to the phase in which it was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OffCpu {
    /// Nanoseconds waiting for something.
    pub blocked: u64,
    /// Nanoseconds waiting for a processor.
    pub runnable: u64,
    /// Each wait for something.
    pub blocked_spans: Distribution,
    /// Each wait for a processor.
    pub runnable_spans: Distribution,
}

impl KernelPhase {
    /// What a report says of a phase that was entered so often. The compiler refuses a kind of events that is left out here.
    #[must_use]
    pub fn of(iterations: u64, events: PhaseEvents, coverage: Coverage) -> Self {
        let PhaseEvents {
            syscalls,
            faults_user,
            faults_kernel,
            signals,
            switches,
            migrations,
            run_queue_ns,
            off_cpu_ns,
            futex_waits_ns,
            memory: Memory { mapped_bytes, unmapped_bytes, protected_bytes, advised_bytes },
            tasks_created,
            block_io,
        } = events;
        let sees = |kind| coverage.sees(kind);
        let memory = |bytes: u64| sees(Kind::Memory).then_some(bytes);
        Self {
            iterations,
            syscalls: syscalls.into_iter().map(|(name, calls)| (name, calls.into())).collect(),
            faults: Faults {
                user: sees(Kind::FaultUser).then(|| total(faults_user.values().copied())),
                kernel: sees(Kind::FaultKernel).then(|| total(faults_kernel.values().copied())),
                user_by_region: faults_user,
                kernel_by_region: faults_kernel,
            },
            signals: sees(Kind::Signal).then(|| with_those_of_traps(signals)),
            switches: sees(Kind::Switch).then_some(switches),
            migrations: sees(Kind::Migration).then_some(migrations),
            run_queue_ns: sees(Kind::RunQueue).then_some(run_queue_ns),
            off_cpu_ns: sees(Kind::OffCpu).then(|| off_cpu_ns.into()),
            futex_waits_ns: sees(Kind::FutexWait).then_some(futex_waits_ns),
            mapped_bytes: memory(mapped_bytes),
            unmapped_bytes: memory(unmapped_bytes),
            protected_bytes: memory(protected_bytes),
            advised_bytes: memory(advised_bytes),
            created: sees(Kind::Birth).then_some(tasks_created),
            block_io: sees(Kind::BlockIo).then_some(block_io),
        }
    }

    /// All system calls together.
    #[must_use]
    pub fn syscall_count(&self) -> u64 {
        total(self.syscalls.values().map(|calls| calls.count))
    }

    /// How many of them returned an error.
    #[must_use]
    pub fn syscall_errors(&self) -> u64 {
        total(self.syscalls.values().map(|calls| calls.errors))
    }

    /// Nanoseconds in all that returned; `None` when that is not known of one.
    #[must_use]
    pub fn syscall_ns(&self) -> Option<u64> {
        self.syscalls.values().try_fold(0, |sum: u64, calls| Some(sum.saturating_add(calls.total_ns?)))
    }
}

impl From<events::Calls> for Calls {
    fn from(calls: events::Calls) -> Self {
        let events::Calls { count, errors, latency_ns } = calls;
        Self { count, total_ns: Some(latency_ns.sum), errors, latency_ns: Some(latency_ns) }
    }
}

impl From<events::OffCpu> for OffCpu {
    fn from(off_cpu: events::OffCpu) -> Self {
        let events::OffCpu { blocked, runnable } = off_cpu;
        Self { blocked: blocked.sum, runnable: runnable.sum, blocked_spans: blocked, runnable_spans: runnable }
    }
}

/// With the signals that traps come from in any case: that there were none is a result.
fn with_those_of_traps(mut signals: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for name in ["SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGTRAP"] {
        signals.entry(name.to_owned()).or_default();
    }
    signals
}

/// Page faults by the mode in which they were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// In user mode; `None` when the kernel program for it is unavailable.
    pub user: Option<u64>,
    /// In the kernel, on the worker's behalf; `None` when the kernel program for it is unavailable.
    pub kernel: Option<u64>,
    /// Those in user mode, by where the address lies: `linear_memory`, `guard`, `code`, `host_heap`, `stack`, `other`.
    pub user_by_region: BTreeMap<String, u64>,
    /// Those in the kernel, likewise.
    pub kernel_by_region: BTreeMap<String, u64>,
}

impl Faults {
    /// Both together; `None` when either is not known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        Some(self.user?.saturating_add(self.kernel?))
    }
}
