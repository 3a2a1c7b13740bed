//! What a flow of events into a handler needs of the kernel.

use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::JointMetrics;

use super::CaptureError;
use crate::pipeline::{Calls, Wake};

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
