//! The maps that the programs share with user space.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, PerCpuHashMap};
use wasiscope_ebpf_abi::{Counter, CounterKey, InFlight, LEDGER_ENTRIES, LEDGER_MAP_FULL, PhaseCell};

/// Lets user space map an array into its memory (`BPF_F_MMAPABLE`, Linux 5.5).
const MMAPABLE: u32 = 1 << 10;

/// The phase cells; workers map them and write, the programs read.
#[map]
pub static CELLS: Array<PhaseCell> = Array::with_max_entries(64, MMAPABLE);

/// Thread group of a watched worker, as wasiscope sees it → index of its cell.
#[map]
pub static WATCHED: HashMap<u32, u32> = HashMap::with_max_entries(64, 0);

/// What has been counted, until user space takes it out.
#[map]
pub static COUNTERS: PerCpuHashMap<CounterKey, Counter> = PerCpuHashMap::with_max_entries(8192, 0);

/// Thread, as the kernel counts them → the system call it is in.
#[map]
pub static IN_FLIGHT: HashMap<u32, InFlight> = HashMap::with_max_entries(1024, 0);

/// What was lost, by the `LEDGER_…` constants.
#[map]
pub static LEDGER: PerCpuArray<u64> = PerCpuArray::with_max_entries(LEDGER_ENTRIES, 0);

/// Notes that an event, or its duration, was not counted because a map had no room.
#[inline(always)]
pub fn note_map_full() {
    if let Some(lost) = LEDGER.get_ptr_mut(LEDGER_MAP_FULL) {
        // SAFETY: the kernel gave out this CPU's own element, which lives as long as the map.
        unsafe { *lost += 1 };
    }
}
