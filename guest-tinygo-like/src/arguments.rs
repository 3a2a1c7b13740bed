//! The command line, of whatever length.

use core::alloc::Layout;
use core::ffi::CStr;

use crate::{heap, wasi};

/// The first argument after the program's name.
///
/// It stays in memory for as long as the program runs, in one block with all the others.
pub fn first() -> Option<&'static [u8]> {
    let (argc, bytes_len) = wasi::args_sizes_get();
    if argc < 2 {
        return None;
    }
    let Some((layout, bytes_offset)) = block(argc, bytes_len) else { no_memory() };
    let start = heap::reserve(layout);
    if start.is_null() {
        no_memory()
    }
    let pointers = start.cast::<*mut u8>();
    let bytes = start.wrapping_add(bytes_offset);
    // SAFETY: the two parts of the block have the lengths that `args_sizes_get` asked for.
    unsafe { wasi::args_get(pointers, bytes) };
    // SAFETY: there are at least two pointers, and the host has just written them.
    let argument = unsafe { pointers.add(1).read() };
    // SAFETY: it points to bytes that the host has just written and ended with a NUL, and that nothing changes again.
    Some(unsafe { CStr::from_ptr(argument.cast()) }.to_bytes())
}

/// Room for `argc` pointers and, at the offset that is also returned, `bytes_len` bytes.
fn block(argc: usize, bytes_len: usize) -> Option<(Layout, usize)> {
    let bytes_offset = argc.checked_mul(size_of::<*mut u8>())?;
    let size = bytes_offset.checked_add(bytes_len)?;
    Some((Layout::from_size_align(size, align_of::<*mut u8>()).ok()?, bytes_offset))
}

fn no_memory() -> ! {
    wasi::fail("allocating the arguments", None)
}
