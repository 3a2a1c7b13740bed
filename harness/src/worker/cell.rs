//! The worker's phase cell: how it says which phase it is in, at the price of one store.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};

use wasiscope_ebpf_abi::{self as abi, Phase, cell_value};

/// The cell that this worker writes, for as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub struct PhaseCell {
    cell: &'static AtomicU64,
    slot: u32,
}

/// A cell alone on its cache line, as in the kernel's array.
#[repr(align(64))]
struct OwnLine(AtomicU64);

impl PhaseCell {
    /// Maps cell `index` of the array of phase cells behind `fd`, an inherited descriptor, which is closed whatever
    /// the outcome; the mapping stays for the rest of the process.
    ///
    /// # Errors
    /// When the descriptor is not a mappable array with a cell of that index.
    pub fn mapped(fd: RawFd, index: u32, slot: u32) -> io::Result<Self> {
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: the caller hands over an inherited descriptor that nothing else in this process owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let base = map_shared(&fd, (index as usize + 1) * size_of::<abi::PhaseCell>())?;
        // SAFETY: `index + 1` cells were mapped, readable and writable, and are never unmapped. The array is aligned to
        // a page and its cells to their size, and all sides access the value as one aligned u64.
        let cell = unsafe { AtomicU64::from_ptr(base.add(index as usize).cast()) };
        Ok(Self { cell, slot })
    }

    /// A cell that nobody reads: an unwatched worker runs the same instructions as a watched one.
    #[must_use]
    pub fn private(slot: u32) -> Self {
        let line: &'static OwnLine = Box::leak(Box::new(OwnLine(AtomicU64::new(0))));
        Self { cell: &line.0, slot }
    }

    /// From now on, events are charged to `phase`.
    #[inline]
    pub fn enter(&self, phase: Phase) {
        self.cell.store(cell_value(self.slot, phase), Ordering::Release);
    }
}

/// The first `length` bytes behind `fd`, mapped for reading and writing.
fn map_shared(fd: &OwnedFd, length: usize) -> io::Result<*mut abi::PhaseCell> {
    // SAFETY: the kernel chooses the address, so no memory in use is replaced.
    let base = unsafe {
        libc::mmap(null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd(), 0)
    };
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base.cast()) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::IntoRawFd;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    /// A stand-in for the kernel's array: 64 zeroed cells of 64 bytes.
    fn cells() -> File {
        // SAFETY: the name is a C string; the descriptor, when valid, is new.
        let fd = unsafe { libc::memfd_create(c"cells".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: as above.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(64 * 64).unwrap();
        file
    }

    fn value_at(cells: &File, index: u64) -> u64 {
        let mut bytes = [0; 8];
        cells.read_exact_at(&mut bytes, index * 64).unwrap();
        u64::from_ne_bytes(bytes)
    }

    #[test]
    fn entering_a_phase_writes_its_own_cell_only() {
        let array = cells();
        let inherited = array.try_clone().unwrap().into_raw_fd();
        let cell = PhaseCell::mapped(inherited, 63, 127).unwrap();
        assert_eq!(value_at(&array, 63), 0, "mapping alone must not change the phase");
        cell.enter(Phase::Run);
        assert_eq!(value_at(&array, 63), cell_value(127, Phase::Run));
        cell.enter(Phase::Outside);
        assert_eq!(value_at(&array, 63), cell_value(127, Phase::Outside));
        assert_eq!(value_at(&array, 62), 0);
    }

    #[test]
    fn the_descriptor_is_closed_after_mapping() {
        let array = cells();
        let inherited = array.try_clone().unwrap().into_raw_fd();
        PhaseCell::mapped(inherited, 0, 0).unwrap();
        // Another test may have been given the same number since, but not for the same file.
        if let Ok(reused) = std::fs::metadata(format!("/proc/self/fd/{inherited}")) {
            assert_ne!(reused.ino(), array.metadata().unwrap().ino());
        }
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error() {
        assert!(PhaseCell::mapped(-1, 0, 0).is_err());
        let (reader, _writer) = io::pipe().unwrap();
        assert!(PhaseCell::mapped(OwnedFd::from(reader).into_raw_fd(), 0, 0).is_err(), "a pipe has no pages");
    }

    #[test]
    fn a_private_cell_takes_every_phase() {
        let cell = PhaseCell::private(5);
        for phase in Phase::REPORTED {
            cell.enter(phase);
            assert_eq!(cell.cell.load(Ordering::Acquire), cell_value(5, phase));
        }
    }
}
