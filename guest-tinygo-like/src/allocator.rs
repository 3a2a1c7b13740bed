//! The allocator: lists of free blocks, one for each size, over a pointer that only moves up.
//!
//! Every block is a power of two in size, at least [`MIN_BYTES`], and lies at a multiple of its size, which aligns it
//! for whatever fits into it. A block given back goes to the front of the list of its size, its first word holding the
//! address of the next, and the next request of that size takes it from there; only when the list is empty does the
//! pointer move. What it skips to reach a multiple of the size is cut into free blocks as well, so all that is lost is
//! what a request leaves unused of its block: less than half, if it is no smaller than its alignment. Blocks are never
//! split or joined: each size keeps the memory that it needed at its peak, so churn cannot make memory grow without
//! end, and both operations take a few instructions whatever has happened before. That, and the size of the code, is
//! what it is made for.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The smallest block: room for the address of the next, on any machine.
const MIN_BYTES: usize = 8;
/// One list for each power of two that an address can hold.
const CLASSES: usize = usize::BITS as usize;

/// Where the memory comes from.
pub trait Memory {
    /// The address of its first byte.
    fn base(&self) -> usize;

    /// Makes it reach up to the address `end`; false if the system does not give that much.
    fn reach(&self, end: usize) -> bool;
}

/// The allocator's state. Guests have one thread; the atomics are for the compiler, and ordinary loads and stores in
/// the binary.
pub struct FreeLists<M> {
    memory: M,
    /// How far above the memory's base the pointer is.
    used_bytes: AtomicUsize,
    /// Each list's first block, by the exponent of its size; 0 if it is empty.
    heads: [AtomicUsize; CLASSES],
}

impl<M: Memory> FreeLists<M> {
    pub const fn new(memory: M) -> Self {
        Self { memory, used_bytes: AtomicUsize::new(0), heads: [const { AtomicUsize::new(0) }; CLASSES] }
    }

    /// Takes memory that no block has ever been in and that will never come back, with nothing but the pointer.
    pub fn reserve(&self, layout: Layout) -> *mut u8 {
        match self.bump(layout) {
            Some((_, start)) => ptr::with_exposed_provenance_mut(start),
            None => null_mut(),
        }
    }

    /// Moves the pointer to the end of a new `layout`, and says where it was and where the layout begins.
    fn bump(&self, layout: Layout) -> Option<(usize, usize)> {
        let base = self.memory.base();
        let free = base + self.used_bytes.load(Relaxed);
        let start = round_up(free, layout.align());
        let end = start.wrapping_add(layout.size());
        // Should either addition wrap around, which only a guest with nearly 4 GiB in use could bring about, then `end`
        // is below `free`, because no layout is larger than half of the address space.
        if end < free || !self.memory.reach(end) {
            return None;
        }
        self.used_bytes.store(end - base, Relaxed);
        Some((free, start))
    }

    /// Puts the block at `address` on the list of `class`.
    ///
    /// # Safety
    /// The block must be that large, within memory, and no longer in use by anyone.
    unsafe fn give_back(&self, address: usize, class: usize) {
        let head = &self.heads[class % CLASSES];
        // SAFETY: no block is smaller than an address or less aligned, and nobody else uses this one.
        unsafe { ptr::with_exposed_provenance_mut::<usize>(address).write(head.load(Relaxed)) };
        head.store(address, Relaxed);
    }
}

/// The next multiple of `align`, which is a power of two.
fn round_up(address: usize, align: usize) -> usize {
    address.wrapping_add(align - 1) & !(align - 1)
}

/// The exponent of the size of the blocks for `layout`.
fn class(layout: Layout) -> usize {
    // Neither a size nor an alignment is above half of the address space, so the power exists.
    layout.size().max(layout.align()).max(MIN_BYTES).next_power_of_two().trailing_zeros() as usize
}

// SAFETY: a block is on a list or with one caller, never both, because it is taken off when handed out; blocks that the
// pointer hands out begin at or above the end of all before; they are as large and as aligned as the layout asks for,
// because both are at most the power of two that the class stands for; and they lie within memory, because it reaches
// there before they are handed out.
unsafe impl<M: Memory> GlobalAlloc for FreeLists<M> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        let head = &self.heads[class % CLASSES];
        let first = head.load(Relaxed);
        if first != 0 {
            let block = ptr::with_exposed_provenance_mut::<u8>(first);
            // SAFETY: the block is on the list, so its first word is the address that was written when it came there.
            head.store(unsafe { block.cast::<usize>().read() }, Relaxed);
            return block;
        }
        let Some((free, start)) =
            Layout::from_size_align(1 << class, 1 << class).ok().and_then(|block| self.bump(block))
        else {
            return null_mut();
        };
        let mut free = round_up(free, MIN_BYTES);
        while free < start {
            // The largest block that may lie here ends at or before `start`, which is a multiple of a larger one.
            let class = free.trailing_zeros() as usize;
            // SAFETY: the pointer has just skipped this, so nobody has it.
            unsafe { self.give_back(free, class) };
            free += 1 << class;
        }
        ptr::with_exposed_provenance_mut(start)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: it came from `alloc` with this layout, so it is of this class, and its owner gives it up.
        unsafe { self.give_back(block.expose_provenance(), class(layout)) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: whoever calls this promises that the new size, rounded up to the alignment, is not too large.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if class(new_layout) == class(layout) {
            return block;
        }
        // SAFETY: the size is not zero, as the caller promises.
        let new_block = unsafe { self.alloc(new_layout) };
        if !new_block.is_null() {
            // SAFETY: both blocks are at least as large as the smaller of the two sizes, and they are not the same.
            unsafe { ptr::copy_nonoverlapping(block, new_block, layout.size().min(new_size)) };
            // SAFETY: the caller gives up the old block.
            unsafe { self.dealloc(block, layout) };
        }
        new_block
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const ARENA_BYTES: usize = 64 * 1024;

    /// Memory that begins eight bytes after a multiple of its size and is never moved.
    struct Arena {
        start: usize,
    }

    impl Memory for Arena {
        fn base(&self) -> usize {
            self.start
        }

        fn reach(&self, end: usize) -> bool {
            end <= self.start + ARENA_BYTES
        }
    }

    /// The arena is leaked: a few of 128 KiB, for as long as the tests run.
    fn lists() -> FreeLists<Arena> {
        let layout = Layout::from_size_align(2 * ARENA_BYTES, ARENA_BYTES).expect("the size is sound");
        // SAFETY: the size is not zero.
        let start = unsafe { std::alloc::alloc(layout) };
        assert!(!start.is_null());
        FreeLists::new(Arena { start: start.expose_provenance() + 8 })
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("the layouts of the tests are sound")
    }

    fn alloc(lists: &FreeLists<Arena>, size: usize, align: usize) -> *mut u8 {
        // SAFETY: no test asks for nothing.
        unsafe { lists.alloc(layout(size, align)) }
    }

    fn dealloc(lists: &FreeLists<Arena>, block: *mut u8, size: usize, align: usize) {
        // SAFETY: the tests give back what they were given, once.
        unsafe { lists.dealloc(block, layout(size, align)) }
    }

    #[test]
    fn blocks_are_aligned_and_disjoint() {
        let lists = lists();
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for (size, align) in [(1, 1), (3, 64), (100, 4), (8, 8), (24, 16), (1000, 2), (1, 4096), (17, 1), (4096, 8)] {
            let start = alloc(&lists, size, align).addr();
            assert_ne!(start, 0);
            assert_eq!(start % align, 0, "{size} aligned to {align}");
            assert!(start >= lists.memory.base() && start + size <= lists.memory.base() + ARENA_BYTES);
            assert!(taken.iter().all(|&(other, len)| start + size <= other || other + len <= start), "{taken:?}");
            taken.push((start, size));
        }
    }

    #[test]
    fn what_is_given_back_is_handed_out_again() {
        let lists = lists();
        let first = alloc(&lists, 40, 8);
        let second = alloc(&lists, 40, 8);
        dealloc(&lists, first, 40, 8);
        dealloc(&lists, second, 40, 8);
        // Every size from 33 to 64 is of the same class, and the newest comes first.
        assert_eq!(alloc(&lists, 64, 64), second);
        assert_eq!(alloc(&lists, 33, 1), first);
    }

    #[test]
    fn what_the_pointer_skips_is_handed_out() {
        let lists = lists();
        let large = alloc(&lists, 1024, 8);
        let used_bytes = lists.used_bytes.load(Relaxed);
        // From 8 to 1024 there is one block each of 8, 16, 32 and so on up to 512 bytes.
        for exponent in 3..10 {
            let block = alloc(&lists, 1 << exponent, 1);
            assert!(!block.is_null() && block < large);
        }
        assert_eq!(lists.used_bytes.load(Relaxed), used_bytes);
        assert!(alloc(&lists, 8, 1) > large);
    }

    #[test]
    fn churn_does_not_grow() {
        let lists = lists();
        for round in 0..10_000 {
            let size = 1 + round % 2000;
            let (one, other) = (alloc(&lists, size, 8), alloc(&lists, size / 2 + 1, 1));
            assert!(!one.is_null() && !other.is_null(), "{round}");
            dealloc(&lists, one, size, 8);
            dealloc(&lists, other, size / 2 + 1, 1);
        }
        assert!(lists.used_bytes.load(Relaxed) < 16 * 1024);
    }

    #[test]
    fn growing_keeps_the_contents() {
        let lists = lists();
        let block = alloc(&lists, 5, 1);
        // SAFETY: the block has room for five bytes.
        unsafe { ptr::copy_nonoverlapping(b"bytes".as_ptr(), block, 5) };
        // SAFETY: the block is in use, with this layout.
        let same = unsafe { lists.realloc(block, layout(5, 1), 8) };
        assert_eq!(same, block, "eight bytes were there");
        // SAFETY: as before; the new size does not change the class.
        let moved = unsafe { lists.realloc(same, layout(8, 1), 100) };
        assert_ne!(moved, block);
        // SAFETY: the first five of its hundred bytes were copied.
        assert_eq!(unsafe { core::slice::from_raw_parts(moved, 5) }, b"bytes");
        assert_eq!(alloc(&lists, 8, 1), block, "the old one was given back");
    }

    #[test]
    fn null_when_there_is_no_more() {
        let lists = lists();
        assert!(alloc(&lists, ARENA_BYTES, 1).is_null());
        assert!(alloc(&lists, isize::MAX as usize, 1).is_null());
        assert!(lists.reserve(layout(ARENA_BYTES + 1, 1)).is_null());
        assert_eq!(lists.used_bytes.load(Relaxed), 0, "a failure takes nothing");
        assert!(!alloc(&lists, ARENA_BYTES / 2, 1).is_null());
        let small = alloc(&lists, 16, 1);
        // SAFETY: the block is in use, with this layout.
        assert!(unsafe { lists.realloc(small, layout(16, 1), ARENA_BYTES) }.is_null());
        dealloc(&lists, small, 16, 1);
        assert_eq!(alloc(&lists, 16, 1), small, "it was still its owner's");
    }

    #[test]
    fn what_is_reserved_stays() {
        let lists = lists();
        let reserved = lists.reserve(layout(13, 4));
        let block = alloc(&lists, 8, 8);
        assert_eq!(reserved.addr(), lists.memory.base());
        assert_eq!(block.addr(), lists.memory.base() + 16, "above the reserved bytes, at the next multiple of eight");
    }
}
