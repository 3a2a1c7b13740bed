//! What a report says of the capture as a whole: what it lost, its programs, and what they can see.

use serde::{Deserialize, Serialize};

/// What the capture knows that it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Ring-buffer records that found no room.
    pub ring_dropped: u64,
    /// Events that found a map full.
    pub map_full: u64,
    /// Program runs that the kernel skipped because the same program was running on that CPU.
    pub recursion_missed: u64,
    /// Waits for a processor whose end was not seen: they are missing in the times off the processor, and nowhere else.
    #[serde(default)]
    pub switches_unseen: u64,
    /// Events on their way into handlers that found no room in their ring buffer; the cases say which (`events.lost`). Nothing else is missing for them.
    #[serde(default)]
    pub events_lost: u64,
}

impl Ledger {
    /// Whether every count is exact. What the ring buffer lost is missing in the timeline only.
    #[must_use]
    pub fn counts_are_exact(&self) -> bool {
        self.map_full == 0 && self.recursion_missed == 0
    }
}

/// One kernel program and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// The program's name, which is that of its tracepoint.
    pub name: String,
    /// How often it ran while costs were being counted; `None` when they were not.
    pub run_count: Option<u64>,
    /// Mean nanoseconds of a run; `None` when costs were not counted.
    pub mean_ns: Option<f64>,
    /// Why this program is not attached although the others are.
    pub unavailable: Option<String>,
    /// What it cannot see here although it is attached, and why.
    #[serde(default)]
    pub blind_to: Option<String>,
}

/// Which events the programs at hand can see: what none of them sees is unknown, not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Page faults in user mode.
    pub faults_user: bool,
    /// Page faults in the kernel.
    pub faults_kernel: bool,
    /// Signals.
    pub signals: bool,
    /// Switches.
    pub switches: bool,
    /// When threads become runnable, and so how long they are blocked and how long they wait.
    pub wake_ups: bool,
    /// Moves from processor to processor.
    pub migrations: bool,
    /// New threads and processes.
    pub tasks_created: bool,
    /// Requests to block devices.
    pub block_io: bool,
    /// Whether nothing was lost and this very run was watched, so that counts can be held against other counts.
    pub lossless: bool,
    /// Arguments of system calls, and so bytes of address space and futex waits.
    pub arguments: bool,
}

impl Coverage {
    /// Of these programs, in a run of which nothing was lost.
    #[must_use]
    pub fn of(programs: &[ProgramCost]) -> Self {
        let attached =
            |name: &str| programs.iter().find(|program| program.name == name && program.unavailable.is_none());
        let sees = |name: &str| attached(name).is_some();
        Self {
            lossless: true,
            faults_user: sees("page_fault_user") || sees("page_fault"),
            faults_kernel: sees("page_fault_kernel") || sees("page_fault"),
            signals: sees("signal_deliver"),
            switches: sees("sched_switch"),
            wake_ups: sees("sched_switch") && sees("sched_wakeup"),
            migrations: sees("sched_migrate_task"),
            tasks_created: sees("sched_process_fork"),
            block_io: sees("block_bio_queue"),
            arguments: attached("sys_enter").is_some_and(|program| program.blind_to.is_none()),
        }
    }
}
