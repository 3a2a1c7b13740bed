//! What the kernel did, as a report says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::events::{BlockIo, Distribution, Switches, TasksCreated};
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
