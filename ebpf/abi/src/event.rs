//! The table of kernel events: what the programs count, and which of them must be there for it.
//!
//! The programs use [`Kind`] only. Everything else is for user space, and takes no room in the object.

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct KernelEvent {
    /// Which one.
    pub kind: Kind,
    /// What it is called, in the plural.
    pub name: &'static str,
    /// What the `id` of its counters says.
    pub id: EventId,
    /// What its counters hold.
    pub shape: Shape,
    /// Which programs see it.
    pub seen_by: SeenBy,
}

/// What the `id` of a counter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventId {
    /// Nothing: it is always 0.
    Nothing,
    /// The number of a system call.
    Call,
    /// The number of a signal.
    Signal,
    /// A [`RegionKind`](crate::RegionKind).
    Region,
    /// A part of the whole, as the comment of the [`Kind`] says.
    Part,
}

/// What the counters of an event hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// How often it happened.
    Count,
    /// How long each took, in nanoseconds and in buckets.
    Durations,
    /// Bytes added up.
    Bytes,
    /// How often it happened, and bytes added up.
    CountAndBytes,
}

/// The programs that see an event, by the names of their tracepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenBy {
    /// All of them together.
    All(&'static [&'static str]),
    /// Any one of them.
    Any(&'static [&'static str]),
    /// `sys_enter`, where it can read the arguments of system calls.
    CallArguments,
}

impl SeenBy {
    /// The programs.
    #[must_use]
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::All(programs) | Self::Any(programs) => programs,
            Self::CallArguments => &["sys_enter"],
        }
    }
}

macro_rules! kernel_events {
    ($($(#[doc = $comment:literal])+ $number:literal $kind:ident, $name:literal, $id:expr, $shape:expr, $seen_by:expr;)+) => {
        /// What an event is, in a [`CounterKey`](crate::CounterKey) and in a [`TraceEvent`](crate::TraceEvent).
        ///
        /// Programs that may interrupt each other on a processor never count to the same kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[doc = $comment])+ $kind = $number,)+
        }

        /// Every event that is counted, by the numbers of the kinds, which begin with 1.
        pub const KERNEL_EVENTS: &[KernelEvent] = &[
            $(KernelEvent { kind: Kind::$kind, name: $name, id: $id, shape: $shape, seen_by: $seen_by },)+
        ];
    };
}

use EventId::{Call, Nothing, Part, Region, Signal};
use SeenBy::{All, Any, CallArguments};
use Shape::{Bytes, Count, CountAndBytes, Durations};

kernel_events! {
    /// A system call; durations in buckets, [`UNFINISHED`](crate::UNFINISHED) for those that did not return.
    1 Syscall, "system calls", Call, Durations, All(&["sys_enter", "sys_exit"]);
    /// A system call that returned an error. Also counted as [`Kind::Syscall`].
    2 SyscallError, "failed system calls", Call, Count, All(&["sys_enter", "sys_exit"]);
    /// A page fault taken in user mode.
    3 FaultUser, "page faults in user mode", Region, Count, Any(&["page_fault_user", "page_fault"]);
    /// A page fault taken by the kernel on the worker's behalf.
    4 FaultKernel, "page faults in the kernel", Region, Count, Any(&["page_fault_kernel", "page_fault"]);
    /// A signal delivered.
    5 Signal, "signals", Signal, Count, All(&["signal_deliver"]);
    /// A thread gave its processor away: `id` 0 of its own will, 1 against it.
    6 Switch, "switches", Part, Count, All(&["sched_switch"]);
    /// A thread was moved to another processor.
    7 Migration, "migrations", Nothing, Count, All(&["sched_migrate_task"]);
    /// From runnable to running, in buckets.
    8 RunQueue, "waits in the run queue", Nothing, Durations, All(&["sched_switch", "sched_wakeup"]);
    /// Without a processor, in buckets: `id` 0 blocked, 1 runnable.
    9 OffCpu, "times without a processor", Part, Durations, All(&["sched_switch", "sched_wakeup"]);
    /// In a futex wait, in buckets.
    10 FutexWait, "futex waits", Nothing, Durations, CallArguments;
    /// Bytes of address space, in `total`: `id` one of the `MEMORY_…` constants.
    11 Memory, "bytes of address space", Part, Bytes, CallArguments;
    /// A thread was started (`id` 0), or a process (`id` 1).
    12 Birth, "threads and processes started", Part, Count, All(&["sched_process_fork"]);
    /// A block I/O request, bytes in `total`: `id` 0 read, 1 written, 2 anything else.
    13 BlockIo, "requests to block devices", Part, CountAndBytes, All(&["block_bio_queue"]);
}

impl Kind {
    /// The kind of this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(KERNEL_EVENTS.get(usize::from(number).checked_sub(1)?)?.kind)
    }

    /// Its place in [`KERNEL_EVENTS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// Its row.
    #[must_use]
    pub const fn event(self) -> &'static KernelEvent {
        &KERNEL_EVENTS[self.index()]
    }
}

/// `id` of [`Kind::Memory`]: mapped, by `mmap`, `mremap`, or a rising `brk`.
pub const MEMORY_MAPPED: u32 = 0;
/// `id` of [`Kind::Memory`]: unmapped, by `munmap`, `mremap`, or a falling `brk`.
pub const MEMORY_UNMAPPED: u32 = 1;
/// `id` of [`Kind::Memory`]: `mprotect`.
pub const MEMORY_PROTECTED: u32 = 2;
/// `id` of [`Kind::Memory`]: `madvise`.
pub const MEMORY_ADVISED: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_their_number() {
        let mut number = 0;
        for event in KERNEL_EVENTS {
            number += 1;
            assert_eq!((event.kind as u8, Kind::from_u8(number)), (number, Some(event.kind)));
            assert_eq!(event.kind.event().name, event.name);
        }
        assert_eq!((Kind::from_u8(0), Kind::from_u8(number + 1)), (None, None));
    }

    #[test]
    fn every_event_has_a_name_of_its_own_and_a_program() {
        for event in KERNEL_EVENTS {
            assert_eq!(KERNEL_EVENTS.iter().filter(|other| other.name == event.name).count(), 1, "{}", event.name);
            assert!(!event.seen_by.programs().is_empty(), "{}", event.name);
        }
    }
}
