//! What crosses the boundary between the kernel programs in `ebpf/` and the harness.
//!
//! Everything here is `no_std`, `repr(C)` and free of padding, because the kernel compares map keys byte by byte.
#![no_std]

mod cell;
mod counter;
mod event;
mod kernel;
mod phase;
mod pipeline;
mod thread;

pub use cell::{PhaseCell, REGIONS, Region, RegionKind, cell_value};
pub use counter::{Counter, CounterKey, CounterOf, UNFINISHED, bucket_of, bucket_upper};
pub use event::{
    EventId, KERNEL_EVENTS, KernelEvent, Kind, MEMORY_ADVISED, MEMORY_MAPPED, MEMORY_PROTECTED, MEMORY_UNMAPPED,
    SeenBy, Shape,
};
pub use kernel::{CALLS, CallClass, KernelFacts, MISSING, PERF_AARCH64, PERF_X86_64};
pub use phase::Phase;
pub use pipeline::{
    JOINT_ENTRIES, JOINT_FIELDS, JOINT_HOST, JOINT_KERNEL, JointMetrics, PIPELINE_CALLS, Pending, PipelineControl,
    PipelineEvent, ReaderState,
};
pub use thread::{
    Call, LEDGER_ENTRIES, LEDGER_MAP_FULL, LEDGER_RING_FULL, LEDGER_SWITCH_UNSEEN, Owner, RECENT, Recent, Running,
    Thread, TraceEvent,
};

#[cfg(feature = "user")]
mod pod {
    // SAFETY: each type is `repr(C)`, made of integers only and without padding, so any bytes are a valid value.
    unsafe impl aya::Pod for super::PhaseCell {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::CounterKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Counter {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Thread {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::KernelFacts {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::JointMetrics {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::PipelineControl {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_types_have_no_padding() {
        // Nobody writes padding, and kernels before 6.3 refuse a program that copies bytes of its stack that it has not written.
        assert_eq!(size_of::<PhaseCell>(), 64 + REGIONS * size_of::<Region>() + 16);
        assert_eq!(size_of::<CounterKey>(), 8);
        assert_eq!(size_of::<Counter>(), 4 * 8);
        assert_eq!(size_of::<Call>(), 2 * 8 + 4 + 4);
        assert_eq!(size_of::<Thread>(), 4 * 4 + 2 * 8 + size_of::<Call>());
        assert_eq!(size_of::<Recent>(), 8 + size_of::<Counter>());
        assert_eq!(size_of::<Running>(), 4 * 4 + size_of::<Call>() + RECENT * size_of::<Recent>());
        assert_eq!(size_of::<KernelFacts>(), 4 * 8 + 26 * 4 + CALLS);
        assert_eq!(size_of::<TraceEvent>(), 4 * 8 + 2 * 4 + 16 + 8);
        assert_eq!(size_of::<PipelineEvent>(), 4 * 8 + 4 * 4);
        assert_eq!(size_of::<JointMetrics>(), JOINT_FIELDS.len() * 8);
        assert_eq!(size_of::<PipelineControl>(), 2 * 4 + 8 + PIPELINE_CALLS / 8);
        assert_eq!(size_of::<Pending>(), 8 + 2 * 4);
        assert_eq!(size_of::<ReaderState>(), 64);
    }
}
