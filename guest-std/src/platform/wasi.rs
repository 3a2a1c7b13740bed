//! Marks and memory in a guest.

use std::arch::wasm32::memory_grow;
use std::io;

use wasiscope_workloads::{HostError, PAGE_BYTES};

mod imports {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        /// std offers no way to choose the precision, which is what carries a mark.
        pub fn clock_time_get(id: u32, precision: u64, time: *mut u64) -> u16;
    }
}

const CLOCK_MONOTONIC: u32 = 1;

/// Marks are told to whoever runs the guest as they are reached, so there is nothing to keep.
#[derive(Debug, Default)]
pub struct Marks;

impl Marks {
    pub fn mark(&mut self, mark: u64) -> Result<(), HostError> {
        let mut time = 0;
        // SAFETY: the pointer is to a live local that the host fills.
        match unsafe { imports::clock_time_get(CLOCK_MONOTONIC, mark, &raw mut time) } {
            0 => Ok(()),
            errno => Err(HostError { operation: "mark", errno: Some(errno) }),
        }
    }

    /// Says nothing.
    pub fn report(&self) -> io::Result<()> {
        Ok(())
    }
}

/// [`PAGE_BYTES`] more, or `None`.
pub fn fresh_page() -> Option<&'static mut [u8]> {
    let page = memory_grow::<0>(1);
    (page != usize::MAX).then(|| {
        let start = std::ptr::with_exposed_provenance_mut(page * PAGE_BYTES);
        // SAFETY: the memory has just grown by these bytes, so they are there and zero; std's allocator only ever uses
        // what it has asked for itself.
        unsafe { std::slice::from_raw_parts_mut(start, PAGE_BYTES) }
    })
}
