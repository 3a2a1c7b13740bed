//! The guest's memory above its stack and data, and the global allocator in it.

use core::alloc::Layout;
use core::arch::wasm32::{memory_grow, memory_size};

use crate::allocator::{FreeLists, Memory};

/// The unit in which wasm memory grows.
const PAGE_BYTES: usize = 64 * 1024;

#[global_allocator]
static ALLOCATOR: FreeLists<LinearMemory> = FreeLists::new(LinearMemory);

struct LinearMemory;

unsafe extern "C" {
    /// Defined by the linker: where stack and data end. Only its address means anything.
    static __heap_base: u8;
}

impl Memory for LinearMemory {
    fn base(&self) -> usize {
        (&raw const __heap_base).addr()
    }

    fn reach(&self, end: usize) -> bool {
        let missing_pages = end.div_ceil(PAGE_BYTES).saturating_sub(memory_size::<0>());
        missing_pages == 0 || memory_grow::<0>(missing_pages) != usize::MAX
    }
}

/// Memory for as long as the program runs; null if there is no more. A guest that calls nothing else has no lists.
pub fn reserve(layout: Layout) -> *mut u8 {
    ALLOCATOR.reserve(layout)
}

/// `N` bytes that have never been used, at a multiple of `N`; `None` if there is no more.
///
/// For a page of wasm that is one `memory.grow` each time, at least from the second page on.
pub fn fresh_page<const N: usize>() -> Option<&'static mut [u8; N]> {
    let start = reserve(Layout::from_size_align(N, N).ok()?);
    // SAFETY: if it is not null, then this many bytes are within memory and nobody else's; what the pointer has not
    // reached before is zero, as all of wasm's memory is in the beginning.
    unsafe { start.cast::<[u8; N]>().as_mut() }
}
