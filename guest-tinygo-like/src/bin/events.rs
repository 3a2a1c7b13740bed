//! The handler of kernel events without std.

#![no_std]
#![no_main]

use core::cell::UnsafeCell;

use wasiscope_guest_tinygo_like::workloads::events::Table;

/// Kinds of system call that it keeps apart.
const CALLS: usize = 32;

struct Single(UnsafeCell<Table<CALLS>>);

// SAFETY: a guest has one thread.
unsafe impl Sync for Single {}

static TABLE: Single = Single(UnsafeCell::new(Table::new()));

/// What the host calls first.
#[unsafe(no_mangle)]
pub extern "C" fn _start() {}

/// Takes one event in: 0 or more when it was handled, less when not.
///
/// # Safety
/// `len` bytes must lie at `ptr`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn handle_event(ptr: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's for the bytes. Nobody else has the table: there is one thread, and handling calls nobody.
    unsafe { (*TABLE.0.get()).handle(core::slice::from_raw_parts(ptr, len)) }
}

/// Events that were handled.
#[unsafe(no_mangle)]
pub extern "C" fn handled() -> u64 {
    // SAFETY: as above.
    unsafe { (*TABLE.0.get()).count() }
}
