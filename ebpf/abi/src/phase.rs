//! The phases of an iteration.

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

#[cfg(feature = "serde")]
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
}
