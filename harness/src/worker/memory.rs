//! How much memory is resident: of the whole worker, and of the guest's linear memory.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Resident bytes of this process; `None` where `/proc` does not tell.
pub(super) fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_bytes())
}

/// Bytes of `range` that are resident, by the page map of this process.
pub(super) fn resident_in(range: std::ops::Range<usize>) -> Option<u64> {
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
    fn this_process_is_resident() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100 << 10));
    }
}
