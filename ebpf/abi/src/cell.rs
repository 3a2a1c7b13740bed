//! What a worker tells the kernel programs about itself, through memory that both see.

use crate::Phase;

/// How many regions a worker can publish.
pub const REGIONS: usize = 10;

/// A worker's cell: its phase alone on the first cache line, then where its memory lies.
///
/// It lives in a `BPF_F_MMAPABLE` array, so that entering a phase costs one store and no system call.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct PhaseCell {
    /// [`cell_value`] of the worker that owns the cell; 0 while nobody does.
    pub value: u64,
    /// Whether single events are wanted for the timeline, beside the counts: 0 or 1.
    pub traced: u64,
    /// Fills the cache line.
    pub padding: [u64; 6],
    /// Where page faults can fall; the first region that holds an address decides.
    pub regions: [Region; REGIONS],
    /// Fills the last cache line.
    pub tail: [u64; 2],
}

impl PhaseCell {
    /// A cell that shows `value` and nothing else.
    #[must_use]
    pub const fn showing(value: u64) -> Self {
        Self { value, traced: 0, padding: [0; 6], regions: [Region::NONE; REGIONS], tail: [0; 2] }
    }
}

/// What a worker in `slot` stores on entering `phase`: `slot << 8 | phase`.
#[must_use]
pub const fn cell_value(slot: u32, phase: Phase) -> u64 {
    ((slot as u64) << 8) | phase as u64
}

/// A part of a worker's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Region {
    /// Its first address.
    pub start: u64,
    /// The address behind its last; nothing lies in a region that ends where it starts.
    pub end: u64,
    /// A [`RegionKind`] as a number.
    pub kind: u64,
}

impl Region {
    /// Holds no address.
    pub const NONE: Self = Self { start: 0, end: 0, kind: 0 };

    /// From `start` up to `end`.
    #[must_use]
    pub const fn new(kind: RegionKind, start: u64, end: u64) -> Self {
        Self { start, end, kind: kind as u64 }
    }
}

/// What a part of a worker's address space is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RegionKind {
    /// None of the others: libraries, mapped files, the allocator's mappings, stacks of further threads.
    Other = 0,
    /// The guest's linear memory, up to its present size.
    LinearMemory = 1,
    /// What is reserved around it and never to be touched.
    Guard = 2,
    /// The guest's compiled code.
    Code = 3,
    /// The heap of the host (`brk`).
    HostHeap = 4,
    /// The stack of the worker's first thread, on which guest and host run.
    Stack = 5,
}

impl RegionKind {
    /// Every kind, by number.
    pub const ALL: [Self; 6] = [Self::Other, Self::LinearMemory, Self::Guard, Self::Code, Self::HostHeap, Self::Stack];

    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::LinearMemory => "linear_memory",
            Self::Guard => "guard",
            Self::Code => "code",
            Self::HostHeap => "host_heap",
            Self::Stack => "stack",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_slot_and_phase() {
        assert_eq!(cell_value(3, Phase::Run), 0x309);
        assert_eq!(cell_value(u32::MAX, Phase::Teardown), 0xff_ffff_ff0b);
    }

    #[test]
    fn kinds_are_their_places_in_the_list() {
        for (number, kind) in RegionKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}
