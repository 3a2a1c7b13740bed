//! The global allocator: a pointer that only moves up, except that the newest block can be given back.
//!
//! Guests live for one run, so memory that is never reused costs nothing but itself, and the code costs next to none.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The unit in which wasm memory grows.
const PAGE_BYTES: usize = 64 * 1024;

#[global_allocator]
static ALLOCATOR: Bump = Bump { used_bytes: AtomicUsize::new(0) };

/// Guests have one thread; the atomic is for the compiler, and an ordinary load and store in the binary.
struct Bump {
    /// How far above `__heap_base` the next free byte is.
    used_bytes: AtomicUsize,
}

unsafe extern "C" {
    /// Defined by the linker: where stack and data end. Only its address means anything.
    static __heap_base: u8;
}

fn heap_base() -> usize {
    (&raw const __heap_base).addr()
}

/// Makes memory reach up to the address `end`; false if the host does not give that much.
fn reach(end: usize) -> bool {
    let missing_pages = end.div_ceil(PAGE_BYTES).saturating_sub(memory_size::<0>());
    missing_pages == 0 || memory_grow::<0>(missing_pages) != usize::MAX
}

// SAFETY: blocks are disjoint, because each begins at or above the end of all that are in use; they are aligned, by
// rounding up; and they lie within memory, because it is grown before they are handed out.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = heap_base();
        let free = base + self.used_bytes.load(Relaxed);
        let start = free.wrapping_add(layout.align() - 1) & !(layout.align() - 1);
        let end = start.wrapping_add(layout.size());
        // Should either addition wrap around, which only a guest with nearly 4 GiB in use could bring about, then `end`
        // is below `free`, because no layout is larger than half of the address space.
        if end < free || !reach(end) {
            return null_mut();
        }
        self.used_bytes.store(end - base, Relaxed);
        ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let offset = block.addr() - heap_base();
        if offset + layout.size() == self.used_bytes.load(Relaxed) {
            self.used_bytes.store(offset, Relaxed);
        }
    }
}
