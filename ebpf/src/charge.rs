//! Adding to the counter that the worker's phase calls for.

use core::ptr::read_volatile;

use wasiscope_ebpf_abi::{Counter, CounterKey};

use crate::maps::{CELLS, COUNTERS, note_map_full};

/// Counts one event to the phase that the cell shows. The key that was counted, or `None` when it was lost.
#[inline(always)]
pub fn charge(cell_index: u32, kind: u32, id: u32) -> Option<CounterKey> {
    let cell = CELLS.get_ptr(cell_index)?;
    // SAFETY: the kernel gave out an element of the array, which lives as long as the map. The worker may write it
    // at any time, so it is read exactly once; an aligned u64 is never torn.
    let value = unsafe { read_volatile(&raw const (*cell).value) };
    let key = CounterKey { slot: (value >> 8) as u32, phase: (value & 0xff) as u32, kind, id };
    if let Some(counter) = COUNTERS.get_ptr_mut(key) {
        // SAFETY: the kernel gave out this CPU's own share, and no program runs twice at once on one CPU; different
        // programs never count to the same key.
        unsafe { (*counter).count += 1 };
    } else if COUNTERS.insert(key, Counter { count: 1, total_ns: 0 }, 0).is_err() {
        note_map_full();
        return None;
    }
    Some(key)
}

/// Adds the duration of an event that was counted before, perhaps on another CPU.
#[inline(always)]
pub fn add_time(key: &CounterKey, duration_ns: u64) {
    if let Some(counter) = COUNTERS.get_ptr_mut(key) {
        // SAFETY: as in `charge`; durations are added by `sys_exit` alone.
        unsafe { (*counter).total_ns += duration_ns };
    }
}
