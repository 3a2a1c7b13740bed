//! What a flow of events into a handler needs of the kernel.

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::JointMetrics;

use super::CaptureError;

/// When the reader of the ring buffer is woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wake {
    /// When it has caught up, whether it sleeps or not: what the kernel does by itself.
    CaughtUp,
    /// Never; it looks once a millisecond.
    Never,
    /// When it says that it sleeps.
    #[default]
    Asleep,
}

impl Wake {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CaughtUp, Self::Never, Self::Asleep];

    /// The name in case ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CaughtUp => "caught-up",
            Self::Never => "never",
            Self::Asleep => "asleep",
        }
    }
}

/// System calls that the generator can make, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calls(u8);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// One byte from `/dev/zero`.
    Read,
    /// One byte to `/dev/null`.
    Write,
    /// To the beginning of a file.
    Lseek,
    /// The parent's number.
    Getppid,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Lseek, Self::Getppid];

    /// As the kernel calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Lseek => "lseek",
            Self::Getppid => "getppid",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Calls {
    /// These.
    #[must_use]
    pub fn of(calls: &[Call]) -> Self {
        Self(calls.iter().fold(0, |bits, call| bits | call.bit()))
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Call> {
        Call::ALL.into_iter().filter(move |call| self.0 & call.bit() != 0)
    }

    /// As a number, for a command line.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From [`bits`](Self::bits).
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// How the kernel's side of a flow is set up.
#[derive(Clone, Copy, Debug)]
pub struct PipelineOptions {
    /// The calls that become events.
    pub calls: Calls,
    /// Bytes of the ring buffer, a power of two of pages.
    pub ring_bytes: u32,
    /// When the reader is woken.
    pub wake: Wake,
}

/// A map that a worker inherits, with all that must be known to stay within bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedMap {
    /// The name under which a guest finds it.
    pub name: String,
    /// Its descriptor.
    pub fd: RawFd,
    /// Bytes of a key.
    pub key_bytes: u32,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// Entries at most.
    pub entries: u32,
    /// What the kernel copies for one key: the value, or of per-CPU maps one for each CPU that there can be, each rounded up to 8 bytes.
    pub copied_bytes: u32,
}

impl InheritedMap {
    /// What the kernel copies for one key of a map.
    #[must_use]
    pub const fn copied_bytes(value_bytes: u32, per_cpu: bool, possible_cpus: u32) -> u32 {
        if per_cpu { value_bytes.next_multiple_of(8).saturating_mul(possible_cpus) } else { value_bytes }
    }
}

/// What a worker must inherit to take part in a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineMaps {
    /// The ring buffer.
    pub ring_fd: RawFd,
    /// Its bytes.
    pub ring_bytes: u32,
    /// The array in which the reader says whether it sleeps; see [`wasiscope_ebpf_abi::ReaderState`].
    pub reader_fd: RawFd,
    /// The joint metrics; see [`JointMetrics`].
    pub joint: InheritedMap,
    /// The maps that the guest may read, by name.
    pub granted: Vec<InheritedMap>,
}

/// The kernel's side of a flow of events. Dropping it detaches everything and leaves nothing behind.
pub trait Pipeline: Send {
    /// What the worker inherits.
    fn maps(&self) -> PipelineMaps;

    /// From now on, the calls of this process are events.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn begin(&mut self, process: u32) -> Result<(), CaptureError>;

    /// From now on, nobody's are.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn end(&mut self) -> Result<(), CaptureError>;

    /// Puts another program, freshly loaded, in place of the one that writes events, while they flow.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn swap(&mut self) -> Result<(), CaptureError>;

    /// What kernel and host have counted, added up.
    ///
    /// # Errors
    /// When it cannot be read.
    fn joint(&self) -> Result<JointMetrics, CaptureError>;
}
