//! The worker's phase cell: how it says which phase it is in, at the price of one store, and where its memory lies.

use std::io;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use wasiscope_ebpf_abi::{self as abi, Phase, REGIONS, Region, RegionKind, cell_value};

use super::heartbeat::Heartbeat;
use super::limits::{Limit, LimitMet};
use super::shared::map_shared;
use wasiscope_sys::before_exec::inherited;

/// The cell that this worker writes, for as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub struct PhaseCell {
    cell: &'static SharedCell,
    slot: u32,
    heartbeat: Heartbeat,
}

/// [`abi::PhaseCell`] as memory that the kernel programs read meanwhile.
#[derive(Debug)]
#[repr(C, align(64))]
struct SharedCell {
    value: AtomicU64,
    traced: AtomicU64,
    padding: [AtomicU64; 6],
    regions: [SharedRegion; REGIONS],
    tail: [AtomicU64; 2],
}

#[derive(Debug)]
#[repr(C)]
struct SharedRegion {
    start: AtomicU64,
    end: AtomicU64,
    kind: AtomicU64,
}

const _: () = assert!(size_of::<SharedCell>() == size_of::<abi::PhaseCell>());
const _: () = assert!(size_of::<SharedRegion>() == size_of::<Region>());

/// Which of the cell's regions are for what.
mod place {
    pub const PROCESS: usize = 0;
    pub const CODE: usize = 2;
    pub const MEMORIES: usize = 3;
    /// Of each memory: what is accessible, what is reserved before it, and behind.
    pub const OF_MEMORY: usize = 3;
}

/// How many linear memories a worker can publish.
pub const MEMORIES: usize = (REGIONS - place::MEMORIES) / place::OF_MEMORY;

impl SharedRegion {
    const fn none() -> Self {
        Self { start: AtomicU64::new(0), end: AtomicU64::new(0), kind: AtomicU64::new(0) }
    }

    /// Empty while it is being changed.
    fn set(&self, region: Region) {
        self.end.store(0, Ordering::Relaxed);
        self.start.store(region.start, Ordering::Relaxed);
        self.kind.store(region.kind, Ordering::Relaxed);
        self.end.store(region.end, Ordering::Release);
    }
}

/// A linear memory and what is reserved around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// From its first byte to behind its last.
    pub accessible: Range<u64>,
    /// Bytes reserved before it.
    pub guard_before: u64,
    /// Where the reservation ends behind it.
    pub reserved_end: u64,
}

impl MemoryRegion {
    /// Whether an address lies behind the memory in what is reserved for it.
    #[must_use]
    pub fn is_behind(&self, address: u64) -> bool {
        (self.accessible.end..self.reserved_end).contains(&address)
    }
}

impl PhaseCell {
    /// Maps cell `index` of the array of phase cells behind `fd`, an inherited descriptor, which is closed whatever
    /// the outcome; the mapping stays for the rest of the process.
    ///
    /// # Errors
    /// When the descriptor is not a mappable array with a cell of that index.
    pub fn mapped(fd: RawFd, index: u32, slot: u32) -> io::Result<Self> {
        let fd = inherited(fd)?;
        let base = map_shared(&fd, (index as usize + 1) * size_of::<abi::PhaseCell>())?;
        // SAFETY: `index + 1` cells were mapped, readable and writable, and are never unmapped. The array is aligned to
        // a page and its cells to their size's factor of 64, and all sides access the words as aligned u64s.
        let cell = unsafe { &*base.cast::<SharedCell>().add(index as usize) };
        Ok(Self { cell, slot, heartbeat: Heartbeat::private() })
    }

    /// A cell that nobody reads: an unwatched worker runs the same instructions as a watched one.
    #[must_use]
    pub fn private(slot: u32) -> Self {
        let cell: &'static SharedCell = Box::leak(Box::new(SharedCell {
            value: AtomicU64::new(0),
            traced: AtomicU64::new(0),
            padding: [const { AtomicU64::new(0) }; 6],
            regions: [const { SharedRegion::none() }; REGIONS],
            tail: [const { AtomicU64::new(0) }; 2],
        }));
        Self { cell, slot, heartbeat: Heartbeat::private() }
    }

    /// The same cell, with phases and passes also told to the parent.
    pub fn with_heartbeat(self, heartbeat: Heartbeat) -> Self {
        Self { heartbeat, ..self }
    }

    /// A cell that the kernel programs do not read, of the same worker: its parent sees no difference.
    pub fn unseen(&self) -> Self {
        Self { heartbeat: self.heartbeat, ..Self::private(0) }
    }

    /// A pass begins, which may take as long as the wall-clock limit says; `slowdown` times as long where it is slowed down on
    /// purpose. To be called outside phases.
    pub fn begin_pass(&self, slowdown: u64) {
        self.heartbeat.begin_pass(slowdown);
    }

    /// The guest has met a limit in the phase that it is in.
    pub fn meet(&self, limit: Limit) {
        self.meet_in(limit, self.phase());
    }

    /// Notes that the guest met a limit in this phase.
    pub fn meet_in(&self, limit: Limit, phase: Phase) {
        self.heartbeat.meet(limit, phase);
    }

    /// A new instance has met no limit.
    pub fn forget_limits(&self) {
        self.heartbeat.forget_limits();
    }

    /// The limits that the latest instance has met.
    pub fn limits_met(&self) -> Vec<LimitMet> {
        self.heartbeat.limits_met()
    }

    /// Counts signals of files that grew too large, from now on.
    pub fn note_file_size_signals(&self) {
        self.heartbeat.note_file_size_signals();
    }

    /// The phase that was entered last.
    pub fn phase(&self) -> Phase {
        self.heartbeat.phase()
    }

    /// From now on, events are charged to `phase`.
    #[inline]
    pub fn enter(&self, phase: Phase) {
        self.cell.value.store(cell_value(self.slot, phase), Ordering::Release);
        self.heartbeat.enter(phase);
    }

    /// Whether single events are told from now on, beside the counts.
    pub fn trace(&self, traced: bool) {
        self.cell.traced.store(u64::from(traced), Ordering::Release);
    }

    /// Where the process's own heap and stack lie.
    pub fn publish_process(&self, heap: Option<Range<u64>>, stack: Option<Range<u64>>) {
        let regions = [(RegionKind::HostHeap, heap), (RegionKind::Stack, stack)];
        for (place, (kind, range)) in (place::PROCESS..).zip(regions) {
            self.set(place, range.map_or(Region::NONE, |range| Region::new(kind, range.start, range.end)));
        }
    }

    /// Where the guest's compiled code lies.
    pub fn publish_code(&self, code: Range<u64>) {
        self.set(place::CODE, Region::new(RegionKind::Code, code.start, code.end));
    }

    /// Where the guest's memories lie; those beyond the first [`MEMORIES`] are not told of.
    pub fn publish_memories(&self, memories: impl IntoIterator<Item = MemoryRegion>) {
        let mut memories = memories.into_iter();
        for index in 0..MEMORIES {
            let regions = memories.next().map_or([Region::NONE; place::OF_MEMORY], |memory| {
                let MemoryRegion { accessible: Range { start, end }, guard_before, reserved_end } = memory;
                [
                    Region::new(RegionKind::LinearMemory, start, end),
                    Region::new(RegionKind::Guard, start.saturating_sub(guard_before), start),
                    Region::new(RegionKind::Guard, end, reserved_end.max(end)),
                ]
            });
            for (offset, region) in regions.into_iter().enumerate() {
                self.set(place::MEMORIES + index * place::OF_MEMORY + offset, region);
            }
        }
    }

    /// A memory of `before` bytes has now `after`. A memory that has moved on that occasion is not known any more.
    pub fn memory_grew(&self, before: u64, after: u64) {
        for index in 0..MEMORIES {
            let place = place::MEMORIES + index * place::OF_MEMORY;
            let (memory, behind) = (&self.cell.regions[place], &self.cell.regions[place + 2]);
            let start = memory.start.load(Ordering::Relaxed);
            if start != 0 && memory.end.load(Ordering::Relaxed) == start + before {
                memory.end.store(start + after, Ordering::Release);
                behind.start.store(start + after, Ordering::Release);
                return;
            }
        }
    }

    fn set(&self, place: usize, region: Region) {
        self.cell.regions[place].set(region);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{IntoRawFd, OwnedFd};
    use std::os::unix::fs::{FileExt, MetadataExt};

    use rustix::fs::MemfdFlags;

    use super::*;

    const CELL_BYTES: u64 = size_of::<abi::PhaseCell>() as u64;

    /// A stand-in for the kernel's array: 64 zeroed cells.
    fn cells() -> File {
        let file = File::from(rustix::fs::memfd_create("cells", MemfdFlags::CLOEXEC).unwrap());
        file.set_len(64 * CELL_BYTES).unwrap();
        file
    }

    fn value_at(cells: &File, index: u64) -> u64 {
        word_at(cells, index * CELL_BYTES)
    }

    fn word_at(cells: &File, at: u64) -> u64 {
        let mut bytes = [0; 8];
        cells.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn region_at(cells: &File, place: u64) -> [u64; 3] {
        [0, 8, 16].map(|field| word_at(cells, 64 + place * 24 + field))
    }

    #[test]
    fn regions_are_where_the_kernel_looks_for_them() {
        let array = cells();
        let cell = PhaseCell::mapped(array.try_clone().unwrap().into_raw_fd(), 0, 1).unwrap();
        cell.publish_process(Some(0x1000..0x2000), None);
        cell.publish_code(0x3000..0x4000);
        let memory = MemoryRegion { accessible: 0x10_0000..0x11_0000, guard_before: 0x1000, reserved_end: 0x20_0000 };
        cell.publish_memories([memory]);
        cell.trace(true);
        assert_eq!(word_at(&array, 8), 1);
        assert_eq!(region_at(&array, 0), [0x1000, 0x2000, RegionKind::HostHeap as u64]);
        assert_eq!(region_at(&array, 1), [0, 0, 0]);
        assert_eq!(region_at(&array, 2), [0x3000, 0x4000, RegionKind::Code as u64]);
        assert_eq!(region_at(&array, 3), [0x10_0000, 0x11_0000, RegionKind::LinearMemory as u64]);
        assert_eq!(region_at(&array, 4), [0xf_f000, 0x10_0000, RegionKind::Guard as u64]);
        assert_eq!(region_at(&array, 5), [0x11_0000, 0x20_0000, RegionKind::Guard as u64]);
        cell.memory_grew(0x1_0000, 0x3_0000);
        assert_eq!(region_at(&array, 3)[1], 0x13_0000);
        assert_eq!(region_at(&array, 5)[0], 0x13_0000);
        cell.memory_grew(0x77, 0x99);
        assert_eq!(region_at(&array, 3)[1], 0x13_0000, "another memory grew");
        cell.publish_memories([]);
        assert_eq!(region_at(&array, 3), [0, 0, 0]);
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
            assert_eq!(cell.cell.value.load(Ordering::Acquire), cell_value(5, phase));
        }
    }
}
