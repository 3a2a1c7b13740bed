//! Reading a BPF ring buffer that was inherited: the layout is user space's stable interface (Linux's Documentation/bpf/ringbuf.rst).
//!
//! Its descriptor is mapped as: one page with the reader's position, which the reader writes; one page with the writer's position; then the data twice,
//! one copy behind the other, so that no record is cut at the end.
//!
//! Written here because aya's ring buffer releases records one at a time, where a handler takes them in batches, and needs maps opened by aya.

use std::io;
use std::os::fd::RawFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A record begins with its length and these bits in the same word, then an offset that is the kernel's own.
const HEADER_BYTES: usize = 8;
/// The writer has not finished it.
const BUSY: u32 = 1 << 31;
/// The writer has given it up.
const DISCARDED: u32 = 1 << 30;

/// What the reader says of itself to whoever writes.
pub struct Sign {
    asleep: NonNull<AtomicU64>,
    page: usize,
}

impl Sign {
    /// Maps the array of one [`wasiscope_ebpf_abi::ReaderState`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn map(fd: RawFd) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let asleep = mapped(fd, page, 0, libc::PROT_READ | libc::PROT_WRITE)?.cast();
        Ok(Self { asleep, page })
    }

    pub fn sleeps(&self, asleep: bool) {
        // SAFETY: the first word of a page that is mapped, for writing, as long as `self` lives. Sequentially consistent, because the reader looks into
        // the ring buffer next, and must not have looked before it was seen to sleep.
        unsafe { self.asleep.as_ref() }.store(u64::from(asleep), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        unmap(self.asleep.cast(), self.page);
    }
}

/// The reader's end of a ring buffer.
pub struct Ring {
    reader: NonNull<AtomicU64>,
    writer: NonNull<AtomicU64>,
    data: NonNull<u8>,
    bytes: usize,
    position: u64,
    page: usize,
}

impl Ring {
    /// Maps the ring buffer of so many bytes.
    ///
    /// # Errors
    /// When the kernel refuses: it is none, or of another size.
    pub fn map(fd: RawFd, bytes: u32) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let bytes = bytes as usize;
        if !bytes.is_power_of_two() || !bytes.is_multiple_of(page) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a ring buffer has a power of two of pages"));
        }
        let reader = mapped(fd, page, 0, libc::PROT_READ | libc::PROT_WRITE)?;
        let writer = mapped(fd, page + 2 * bytes, page, libc::PROT_READ);
        let writer = writer.inspect_err(|_| unmap(reader, page))?;
        // SAFETY: the mapping is longer than a page.
        let data = unsafe { writer.add(page) };
        let mut ring = Self { reader: reader.cast(), writer: writer.cast(), data, bytes, position: 0, page };
        // SAFETY: the first word of a page that is mapped as long as `self` lives.
        ring.position = unsafe { ring.reader.as_ref() }.load(Ordering::Acquire);
        if !ring.position.is_multiple_of(HEADER_BYTES as u64) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no record of a ring buffer begins there"));
        }
        Ok(ring)
    }

    /// Copies the next records out, up to `room` of them, and gives each to `take`. They are the kernel's again only with [`release`](Self::release).
    pub fn read(&mut self, room: usize, mut take: impl FnMut(&[u8])) -> usize {
        // SAFETY: the first word of a page that is mapped as long as `self` lives.
        let written = unsafe { self.writer.as_ref() }.load(Ordering::Acquire);
        let mut taken = 0;
        while taken < room && self.position < written {
            let Ok(at) = usize::try_from(self.position % self.bytes as u64) else { break };
            // SAFETY: within the data, and aligned: records begin at multiples of 8. The kernel changes the word when a record is done.
            let header = unsafe { self.data.add(at).cast::<AtomicU32>().as_ref() }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let length = (header & !(BUSY | DISCARDED)) as usize;
            if length > self.bytes {
                // Not what the kernel writes; to go on would be to guess.
                break;
            }
            if header & DISCARDED == 0 {
                // SAFETY: the record lies within the data, whose second copy follows the first. The kernel does not write to it before it is
                // released.
                let record = unsafe { std::slice::from_raw_parts(self.data.add(at + HEADER_BYTES).as_ptr(), length) };
                take(record);
                taken += 1;
            }
            self.position = self.position.saturating_add((length + HEADER_BYTES).next_multiple_of(HEADER_BYTES) as u64);
        }
        taken
    }

    /// Gives the room of everything read so far back to the kernel.
    pub fn release(&self) {
        // SAFETY: the first word of a page that is mapped, for writing, as long as `self` lives.
        unsafe { self.reader.as_ref() }.store(self.position, Ordering::Release);
    }

    /// Whether the writer is ahead.
    pub fn has_more(&self) -> bool {
        // SAFETY: as in `read`.
        unsafe { self.writer.as_ref() }.load(Ordering::Acquire) > self.position
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        unmap(self.reader.cast(), self.page);
        unmap(self.writer.cast(), self.page + 2 * self.bytes);
    }
}

fn mapped(fd: RawFd, length: usize, offset: usize, protection: i32) -> io::Result<NonNull<u8>> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: a new mapping at a place that the kernel chooses.
    let at = unsafe { libc::mmap(null_mut(), length, protection, libc::MAP_SHARED, fd, offset) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at 0"))
}

fn unmap(at: NonNull<u8>, length: usize) {
    // SAFETY: made by `mapped` with this length, and nobody refers to it any more.
    unsafe { libc::munmap(at.as_ptr().cast(), length) };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A file that looks like a ring buffer of one page: no second copy of the data, so records must not cross its end.
    fn ring() -> (File, Ring, u64) {
        let page = rustix::param::page_size() as u64;
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 * page).unwrap();
        let ring = Ring::map(file.as_raw_fd(), u32::try_from(page).unwrap()).unwrap();
        (file, ring, page)
    }

    fn write(file: &File, page: u64, at: u64, header: u32, record: &[u8]) {
        file.write_all_at(&header.to_ne_bytes(), 2 * page + at).unwrap();
        file.write_all_at(record, 2 * page + at + HEADER_BYTES as u64).unwrap();
    }

    fn read(ring: &mut Ring, room: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        ring.read(room, |record| records.push(record.to_vec()));
        records
    }

    #[test]
    fn records_come_in_order_until_one_is_not_finished() {
        let (file, mut ring, page) = ring();
        write(&file, page, 0, 5, b"first");
        write(&file, page, 16, 3 | DISCARDED, b"bad");
        write(&file, page, 32, 6, b"second");
        write(&file, page, 48, 4 | BUSY, b"late");
        file.write_all_at(&64_u64.to_ne_bytes(), page).unwrap();
        assert_eq!(read(&mut ring, 1), [b"first".to_vec()]);
        assert_eq!(read(&mut ring, 9), [b"second".to_vec()]);
        assert!(ring.has_more());
        write(&file, page, 48, 4, b"late");
        assert_eq!(read(&mut ring, 9), [b"late".to_vec()]);
        assert!(!ring.has_more());
        ring.release();
        let mut position = [0; 8];
        file.read_exact_at(&mut position, 0).unwrap();
        assert_eq!(u64::from_ne_bytes(position), 64);
    }

    #[test]
    fn positions_that_no_record_has_are_refused_or_end_the_reading() {
        let (file, ring, page) = ring();
        drop(ring);
        let bytes = u32::try_from(page).unwrap();
        file.write_all_at(&3_u64.to_ne_bytes(), 0).unwrap();
        assert!(Ring::map(file.as_raw_fd(), bytes).is_err(), "records begin at multiples of 8");
        file.write_all_at(&(u64::MAX - 7).to_ne_bytes(), 0).unwrap();
        file.write_all_at(&u64::MAX.to_ne_bytes(), page).unwrap();
        let mut ring = Ring::map(file.as_raw_fd(), bytes).unwrap();
        assert_eq!(read(&mut ring, 9), [b""]);
        assert!(!ring.has_more());
    }

    #[test]
    fn a_length_that_cannot_be_is_not_followed() {
        let (file, mut ring, page) = ring();
        write(&file, page, 0, 1 << 20, b"");
        file.write_all_at(&64_u64.to_ne_bytes(), page).unwrap();
        assert_eq!(read(&mut ring, 9), [] as [Vec<u8>; 0]);
        assert!(Ring::map(file.as_raw_fd(), 5_000).is_err());
    }
}
