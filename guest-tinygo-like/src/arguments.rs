//! The command line, of whatever length.

use alloc::vec;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ffi::CStr;
use core::ptr;

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

/// All arguments, the first being the program's name; they stay as well.
///
/// For a program that allocates anyway. [`first`] is for those that would have an allocator for nothing else. `inline`
/// so that this is compiled with those programs alone, and what it shares with the others is optimised for them only.
#[inline]
pub fn all() -> Vec<&'static [u8]> {
    let (argc, bytes_len) = wasi::args_sizes_get();
    let mut pointers = vec![ptr::null_mut(); argc];
    let bytes = vec![0; bytes_len].leak();
    // SAFETY: the two have the lengths that `args_sizes_get` asked for.
    unsafe { wasi::args_get(pointers.as_mut_ptr(), bytes.as_mut_ptr()) };
    let argument = |pointer: *mut u8| {
        // SAFETY: it points to bytes that the host has just written and ended with a NUL, and that nothing changes.
        unsafe { CStr::from_ptr(pointer.cast()) }.to_bytes()
    };
    pointers.into_iter().map(argument).collect()
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
