//! Where memory lies, and how much of it is resident: of the whole worker, and of the guest's linear memory.
//!
//! `/proc` is read by hand here and in `thread.rs`: it is read in every iteration, and what procfs allocates for fields that nobody asks for would be in
//! the resident memory that is measured.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use wasiscope_scenario::{BoundsChecks, EngineSettings};
use wasiscope_worker::cell::MemoryRegion;

/// wasmtime's reservation for a linear memory where nothing else is said, on 64-bit machines.
pub const RESERVATION: u64 = 4 << 30;
/// wasmtime's guard on either side of it, likewise.
const GUARD: u64 = 32 << 20;
/// What wasmtime reserves for growth behind a memory that does not fit into its reservation, likewise.
const GROWTH: u64 = 2 << 30;

/// A linear memory that an engine of these settings has put there.
pub fn region(settings: EngineSettings, accessible: Range<u64>) -> MemoryRegion {
    let guard = match settings.bounds_checks {
        BoundsChecks::Explicit => 0,
        BoundsChecks::Guard => settings.memory_guard.unwrap_or(GUARD),
    };
    let (size, reservation) = (accessible.end - accessible.start, settings.memory_reservation.unwrap_or(RESERVATION));
    // As in wasmtime's `MmapMemory::new`, of a memory that has not grown since.
    let reserved = if size <= reservation { reservation } else { size.saturating_add(GROWTH) };
    let reserved_end = accessible.start.saturating_add(reserved).saturating_add(guard);
    MemoryRegion { accessible, guard_before: guard, reserved_end }
}

/// Where this process's heap may grow to, and its first thread's stack; `None` for what `/proc` does not tell.
pub fn heap_and_stack() -> (Option<Range<u64>>, Option<Range<u64>>) {
    /// The next mapping above the heap is terabytes away.
    const HEAP_MOST: u64 = 64 << 30;
    /// Without a limit on the stack.
    const STACK_MOST: u64 = 1 << 30;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = |name: &str| {
        let line = maps.lines().find(|line| line.ends_with(name))?;
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
    };
    let stack_limit = rustix::process::getrlimit(rustix::process::Resource::Stack).current.unwrap_or(STACK_MOST);
    let heap = range("[heap]").map(|(start, _)| start..start.saturating_add(HEAP_MOST));
    let stack = range("[stack]").map(|(start, end)| end.saturating_sub(stack_limit.min(STACK_MOST)).min(start)..end);
    (heap, stack)
}

/// Resident bytes of this process; `None` where `/proc` does not tell.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_bytes())
}

/// Bytes of `range` that are resident, by the page map of this process.
pub fn resident_in(range: Range<usize>) -> Option<u64> {
    /// Bit 63 of an entry: the page is in memory (Documentation/admin-guide/mm/pagemap.rst).
    const PRESENT: u64 = 1 << 63;
    const ENTRY_BYTES: usize = size_of::<u64>();
    let page_bytes = page_bytes();
    let first = range.start as u64 / page_bytes;
    let pages = (range.end as u64).div_ceil(page_bytes).saturating_sub(first);
    let page_map = File::open("/proc/self/pagemap").ok()?;
    let mut buffer = vec![0; 64 << 10];
    let (mut seen, mut present) = (0, 0);
    while seen < pages {
        let wanted = usize::try_from((pages - seen) * ENTRY_BYTES as u64).ok()?.min(buffer.len());
        let read = page_map.read_at(&mut buffer[..wanted], (first + seen) * ENTRY_BYTES as u64).ok()?;
        let entries = buffer[..read].as_chunks::<ENTRY_BYTES>().0;
        if entries.is_empty() {
            return None;
        }
        present += entries.iter().filter(|entry| u64::from_ne_bytes(**entry) & PRESENT != 0).count() as u64;
        seen += entries.len() as u64;
    }
    Some(present * page_bytes)
}

fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_pages_are_resident_and_untouched_ones_are_not() {
        let page = usize::try_from(page_bytes()).unwrap();
        // SAFETY: a new anonymous mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                64 * page,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        // SAFETY: advice on the mapping made above; small pages only, so that one touch is one page.
        unsafe { libc::madvise(base, 64 * page, libc::MADV_NOHUGEPAGE) };
        let range = base as usize..base as usize + 64 * page;
        assert_eq!(resident_in(range.clone()), Some(0));
        for index in [0, 1, 40] {
            // SAFETY: inside the mapping made above, which nothing else uses.
            unsafe { base.cast::<u8>().add(index * page).write_volatile(1) };
        }
        assert_eq!(resident_in(range), Some(3 * page_bytes()));
    }

    #[test]
    fn heap_and_stack_hold_what_they_should() {
        // The main thread's stack is that of the process; a test runs on a thread of its own.
        let (heap, stack) = heap_and_stack();
        let (heap, stack) = (heap.unwrap(), stack.unwrap());
        assert!(heap.end <= stack.start, "{heap:x?} {stack:x?}");
        // SAFETY: asks where the heap ends.
        let heap_end = unsafe { libc::sbrk(0) } as u64;
        assert!(heap.contains(&(heap_end - 1)));
    }

    #[test]
    fn a_memory_is_guarded_as_its_engine_says() {
        let usual = region(EngineSettings::WASMTIME, 0x1_0000_0000..0x1_0001_0000);
        assert_eq!((usual.guard_before, usual.reserved_end), (32 << 20, 0x1_0000_0000 + (4 << 30) + (32 << 20)));
        let own = EngineSettings { memory_reservation: Some(0), memory_guard: Some(4096), ..EngineSettings::WASMTIME };
        assert_eq!(
            region(own, 0x1000..0x3000),
            MemoryRegion { accessible: 0x1000..0x3000, guard_before: 4096, reserved_end: 0x4000 + (2 << 30) }
        );
        let checked = EngineSettings { bounds_checks: BoundsChecks::Explicit, ..own };
        assert_eq!(region(checked, 0x1000..0x3000).reserved_end, 0x3000 + (2 << 30));
        let roomy = EngineSettings { memory_reservation: Some(0x8000), ..own };
        assert_eq!(region(roomy, 0x1000..0x3000).reserved_end, 0xa000, "it fits into its reservation");
    }

    #[test]
    fn this_process_is_resident() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100 << 10));
    }
}
