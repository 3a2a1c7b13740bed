//! Giving up capabilities, for good: of the parent all but what watching the kernel needs, of a worker all.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// What the parent keeps while it watches the kernel: programs and maps, tracepoints, and, on kernels that count maps as locked
/// memory, the right to have more of it.
const WATCHING: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::SYS_RESOURCE);

/// What makes root able to write reports and build guests in anybody's checkout; and, for workers, to give up what they could
/// bound others by.
const FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETPCAP);

/// Keeps of this thread's capabilities what watching needs, and of whatever it starts from now on. `all` of watching: also what
/// counting the cost of programs needs.
///
/// Must be called before any other thread is started: capabilities belong to threads.
///
/// # Errors
/// When the kernel refuses.
pub fn keep_watching(all: bool) -> io::Result<()> {
    let held = rustix::thread::capabilities(None)?.permitted;
    // Before Linux 5.8 this one stood for both.
    let is_older = held.contains(CapabilitySet::SYS_ADMIN) && !held.contains(CapabilitySet::BPF);
    let admin = if all || is_older { CapabilitySet::SYS_ADMIN } else { CapabilitySet::empty() };
    keep(WATCHING | FILES | admin)
}

/// Keeps none.
///
/// # Errors
/// When the kernel refuses.
pub fn keep_none() -> io::Result<()> {
    keep(CapabilitySet::empty())
}

fn keep(kept: CapabilitySet) -> io::Result<()> {
    let held = rustix::thread::capabilities(None)?;
    // Not every kernel has ambient capabilities, and who may not shrink the bounding set has no use for it any more.
    let _ = rustix::thread::clear_ambient_capability_set();
    for capability in CapabilitySet::all().difference(kept).iter() {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let sets = CapabilitySets {
        effective: held.effective & kept,
        permitted: held.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
