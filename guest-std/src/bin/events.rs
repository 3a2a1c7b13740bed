//! The handler of kernel events on std.

use std::sync::Mutex;

use wasiscope_workloads::events::{FULL, Table};

/// Kinds of system call that it keeps apart.
const CALLS: usize = 32;

static TABLE: Mutex<Table<CALLS>> = Mutex::new(Table::new());

fn main() {}

/// Takes one event in: 0 or more when it was handled, less when not.
///
/// # Safety
/// `len` bytes must lie at `ptr`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn handle_event(ptr: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's.
    let event = unsafe { std::slice::from_raw_parts(ptr, len) };
    TABLE.lock().map_or(FULL, |mut table| table.handle(event))
}

/// Events that were handled.
#[unsafe(no_mangle)]
pub extern "C" fn handled() -> u64 {
    TABLE.lock().map_or(0, |table| table.count())
}
