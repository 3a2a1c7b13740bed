//! The maps that the programs share with user space.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use wasiscope_ebpf_abi::{Counter, CounterKey, LEDGER_ENTRIES, PhaseCell, Running, Thread};

/// Lets user space map an array into its memory (`BPF_F_MMAPABLE`, Linux 5.5).
pub const MMAPABLE: u32 = 1 << 10;

/// The phase cells; workers map them and write, the programs read.
#[map]
pub static CELLS: Array<PhaseCell> = Array::with_max_entries(64, MMAPABLE);

/// Thread group of a worker that wants to be watched, as wasiscope numbers it → index of its cell.
#[map]
pub static WATCHED: HashMap<u32, u32> = HashMap::with_max_entries(64, 0);

/// Threads of watched workers, as the kernel numbers them.
#[map]
pub static THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(4096, 0);

/// What this CPU keeps of the watched thread that it runs.
#[map]
pub static RUNNING: PerCpuArray<Running> = PerCpuArray::with_max_entries(1, 0);

/// The end of each worker's heap, by the index of its cell, as `brk` answered last; 0 when it never did.
#[map]
pub static HEAP_ENDS: Array<u64> = Array::with_max_entries(64, 0);

/// What has been counted, until user space takes it out.
#[map]
pub static COUNTERS: PerCpuHashMap<CounterKey, Counter> = PerCpuHashMap::with_max_entries(16384, 0);

/// Events of traced iterations. User space makes it larger when it wants any.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// What was lost, by the `LEDGER_…` constants.
#[map]
pub static LEDGER: PerCpuArray<u64> = PerCpuArray::with_max_entries(LEDGER_ENTRIES, 0);

/// Adds one to an entry of the ledger.
#[inline(always)]
pub fn note_loss(entry: u32) {
    if let Some(lost) = LEDGER.get_ptr_mut(entry) {
        // SAFETY: the kernel gave out this CPU's own element, which lives as long as the map.
        unsafe { *lost += 1 };
    }
}
