//! What crosses the boundary between the kernel programs in `ebpf/` and the harness.
//!
//! Everything here is `no_std`, `repr(C)` and free of padding, because the kernel compares map keys byte by byte.
#![no_std]

/// One stage of an iteration, as written into the phase cell by the worker and read by the kernel programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// The worker's own work between phases: talking to the parent, preparing a store. Charged to nobody.
    Outside = 0,
    /// The parent's fork and exec, until the child is ready.
    Spawn = 1,
    /// `Engine::new`.
    Engine = 2,
    /// Wasm bytes to a compiled module.
    Compile = 3,
    /// Precompiled bytes to a module, measured beside `Compile`.
    Deserialize = 4,
    /// Imports resolved.
    Link = 5,
    /// The first instance of a freshly made module.
    InstantiateCold = 6,
    /// A later instance of the same module.
    Instantiate = 7,
    /// Entry of `_start` until the guest's first mark: its runtime's start.
    Init = 8,
    /// Between the guest's marks.
    Run = 9,
    /// The guest's mark before a fault until control is back in the host.
    Trap = 10,
    /// Dropping store and instance.
    Teardown = 11,
}

impl Phase {
    /// Every phase that appears in a report, in the order in which an iteration passes through them.
    pub const REPORTED: [Self; 11] = [
        Self::Spawn,
        Self::Engine,
        Self::Compile,
        Self::Deserialize,
        Self::Link,
        Self::InstantiateCold,
        Self::Instantiate,
        Self::Init,
        Self::Run,
        Self::Trap,
        Self::Teardown,
    ];

    /// The name used in reports: `phase.<name>`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Spawn => "spawn",
            Self::Engine => "engine",
            Self::Compile => "compile",
            Self::Deserialize => "deserialize",
            Self::Link => "link",
            Self::InstantiateCold => "instantiate.cold",
            Self::Instantiate => "instantiate",
            Self::Init => "init",
            Self::Run => "run",
            Self::Trap => "trap",
            Self::Teardown => "teardown",
        }
    }

    /// The phase of that [`name`](Self::name); `None` when there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Outside].into_iter().chain(Self::REPORTED).find(|phase| phase.name() == name)
    }

    /// The phase of a byte read back from the kernel; `None` for a byte that no worker writes.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        if byte == 0 {
            return Some(Self::Outside);
        }
        Self::REPORTED.get(usize::from(byte) - 1).copied()
    }
}

/// The phase cell: one `u64` alone on its cache line, written by the worker and read by the kernel programs.
///
/// It lives in a `BPF_F_MMAPABLE` array, so that entering a phase costs one store and no system call.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct PhaseCell {
    /// [`cell_value`] of the worker that owns the cell; 0 while nobody does.
    pub value: u64,
    /// Fills the cache line.
    pub padding: [u64; 7],
}

/// What a worker in `slot` stores on entering `phase`: `slot << 8 | phase`.
#[must_use]
pub const fn cell_value(slot: u32, phase: Phase) -> u64 {
    ((slot as u64) << 8) | phase as u64
}

/// `kind` of a [`CounterKey`]: a system call, `id` being its number.
pub const KIND_SYSCALL: u32 = 1;
/// `kind` of a [`CounterKey`]: a page fault taken in user mode; `id` is 0.
pub const KIND_FAULT_USER: u32 = 2;
/// `kind` of a [`CounterKey`]: a page fault taken by the kernel on the worker's behalf; `id` is 0.
pub const KIND_FAULT_KERNEL: u32 = 3;

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct CounterKey {
    /// The worker's slot, from the phase cell.
    pub slot: u32,
    /// The [`Phase`] as a number, from the phase cell at the moment of the event.
    pub phase: u32,
    /// One of the `KIND_…` constants.
    pub kind: u32,
    /// What `kind` says it is.
    pub id: u32,
}

/// One CPU's share of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// How many events.
    pub count: u64,
    /// Their durations added up in nanoseconds, for events that have one and that ended.
    pub total_ns: u64,
}

/// A system call that a thread has entered and not yet left.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct InFlight {
    /// The counter that was incremented at entry, so that the time goes to the same phase.
    pub key: CounterKey,
    /// `bpf_ktime_get_ns` at entry (CLOCK_MONOTONIC).
    pub entered_ns: u64,
}

/// Index into the ledger map: events not counted because a map had no room.
pub const LEDGER_MAP_FULL: u32 = 0;
/// Number of entries of the ledger map.
pub const LEDGER_ENTRIES: u32 = 1;

/// Marks that no argument of a tracepoint carries the value, in the `ARG_…` globals of the programs.
pub const ARG_MISSING: u32 = u32::MAX;

#[cfg(feature = "user")]
mod pod {
    // SAFETY: each type is `repr(C)`, made of integers only and without padding, so any bytes are a valid value.
    unsafe impl aya::Pod for super::PhaseCell {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::CounterKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Counter {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::InFlight {}
}

#[cfg(feature = "user")]
mod json {
    use core::fmt;

    use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::Phase;

    /// By name, so that a phase can be the key of a JSON object.
    impl Serialize for Phase {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.name())
        }
    }

    impl<'de> Deserialize<'de> for Phase {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_str(PhaseName)
        }
    }

    struct PhaseName;

    impl Visitor<'_> for PhaseName {
        type Value = Phase;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("the name of a phase")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<Phase, E> {
            Phase::from_name(name).ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_survives_its_byte_and_its_name() {
        for phase in [Phase::Outside].into_iter().chain(Phase::REPORTED) {
            assert_eq!(Phase::from_u8(phase as u8), Some(phase));
            assert_eq!(Phase::from_name(phase.name()), Some(phase));
        }
        assert_eq!(Phase::from_u8(12), None);
        assert_eq!(Phase::from_name("init "), None);
    }

    #[test]
    fn a_cell_holds_slot_and_phase() {
        assert_eq!(cell_value(3, Phase::Run), 0x309);
        assert_eq!(cell_value(u32::MAX, Phase::Teardown), 0xff_ffff_ff0b);
    }

    #[test]
    fn shared_types_have_no_padding() {
        assert_eq!(size_of::<PhaseCell>(), 64);
        assert_eq!(size_of::<CounterKey>(), 16);
        assert_eq!(size_of::<Counter>(), 16);
        assert_eq!(size_of::<InFlight>(), 24);
    }
}
