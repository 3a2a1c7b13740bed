//! Marks and memory outside wasm, where the same programs are the baseline.

use std::io::{self, Write as _};
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::time::{ClockId, clock_gettime};
use wasiscope_workloads::{HostError, MARK_END, MARK_START, PAGE_BYTES};

/// When the marks were reached, in nanoseconds of `CLOCK_MONOTONIC`: std's `Instant` does not say.
#[derive(Debug, Default)]
pub struct Marks {
    start_ns: Option<u64>,
    end_ns: Option<u64>,
}

impl Marks {
    pub fn mark(&mut self, mark: u64) -> Result<(), HostError> {
        match mark {
            MARK_START => self.start_ns = monotonic_ns(),
            MARK_END => self.end_ns = monotonic_ns(),
            _ => (),
        }
        Ok(())
    }

    /// Says on standard error when both were reached.
    pub fn report(&self) -> io::Result<()> {
        match (self.start_ns, self.end_ns) {
            (Some(start_ns), Some(end_ns)) => writeln!(io::stderr(), "marks start={start_ns} end={end_ns}"),
            _ => Ok(()),
        }
    }
}

fn monotonic_ns() -> Option<u64> {
    let now = clock_gettime(ClockId::Monotonic);
    Some(u64::try_from(now.tv_sec).ok()? * 1_000_000_000 + u64::try_from(now.tv_nsec).ok()?)
}

/// [`PAGE_BYTES`] in a mapping of their own, or `None`.
pub fn fresh_page() -> Option<&'static mut [u8]> {
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: the kernel chooses where, so nothing that is there already is touched.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), PAGE_BYTES, protection, flags) }.ok()?;
    // SAFETY: the mapping has this length, is zero in the beginning, and is never given back nor handed out again.
    Some(unsafe { std::slice::from_raw_parts_mut(start.cast(), PAGE_BYTES) })
}
