//! What a report says of the capture as a whole: what it lost, its programs, and what they can see.

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::{KERNEL_EVENTS, Kind, SeenBy};

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
    /// By the places of [`KERNEL_EVENTS`].
    seen: [bool; KERNEL_EVENTS.len()],
    /// Whether nothing was lost and this very run was watched, so that counts can be held against other counts.
    pub lossless: bool,
}

impl Coverage {
    /// Of these programs, in a run of which nothing was lost.
    #[must_use]
    pub fn of(programs: &[ProgramCost]) -> Self {
        let attached =
            |name: &str| programs.iter().find(|program| program.name == name && program.unavailable.is_none());
        let is_there = |name: &&str| attached(name).is_some();
        let is_seen = |seen_by: SeenBy| match seen_by {
            SeenBy::All(programs) => programs.iter().all(is_there),
            SeenBy::Any(programs) => programs.iter().any(is_there),
            SeenBy::CallArguments => attached("sys_enter").is_some_and(|program| program.blind_to.is_none()),
        };
        let mut seen = [false; KERNEL_EVENTS.len()];
        for (seen, event) in seen.iter_mut().zip(KERNEL_EVENTS) {
            *seen = is_seen(event.seen_by);
        }
        Self { seen, lossless: true }
    }

    /// Whether events of this kind are seen.
    #[must_use]
    pub const fn sees(&self, kind: Kind) -> bool {
        self.seen[kind.index()]
    }
}
