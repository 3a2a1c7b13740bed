//! Counting an event, and telling of it where a timeline is wanted.

use aya_ebpf::helpers::{bpf_get_current_comm, bpf_ktime_get_ns};
use wasiscope_ebpf_abi::{
    Counter, CounterKey, CounterOf, Kind, LEDGER_MAP_FULL, LEDGER_RING_FULL, RECENT, Running, TraceEvent, bucket_of,
};

use crate::kernel::fact;
use crate::maps::{COUNTERS, EVENTS, note_loss};
use crate::who::Watched;

/// Writes no notice to user space: it looks when the worker is gone (`BPF_RB_NO_WAKEUP`).
const NO_WAKEUP: u64 = 1;

/// What is counted.
#[derive(Clone, Copy)]
pub struct Event {
    pub kind: Kind,
    pub id: u32,
    /// 0 for events without one.
    pub bucket: u16,
    /// Nanoseconds or bytes; 0 for events without them.
    pub amount: u64,
}

impl Event {
    #[inline(always)]
    pub fn once(kind: Kind, id: u32) -> Self {
        Self { kind, id, bucket: 0, amount: 0 }
    }

    #[inline(always)]
    pub fn lasting(kind: Kind, id: u32, duration_ns: u64) -> Self {
        Self { kind, id, bucket: bucket_of(duration_ns), amount: duration_ns }
    }

    #[inline(always)]
    pub fn bytes(kind: Kind, id: u32, bytes: u64) -> Self {
        Self { kind, id, bucket: 0, amount: bytes }
    }
}

/// Counts an event to a phase of the thread's worker.
#[inline(always)]
pub fn charge(watched: Watched, phase: u8, event: Event) {
    let amount = event.amount;
    add(key(watched, phase, event), Counter { count: 1, total: amount, min: amount, max: amount });
}

#[inline(always)]
fn key(watched: Watched, phase: u8, event: Event) -> CounterKey {
    let Event { kind, id, bucket, amount: _ } = event;
    let id = if id > u16::MAX as u32 { u16::MAX } else { id as u16 };
    CounterKey::new(CounterOf { cell_index: watched.owner.cell_index as u8, phase, kind: kind as u8, bucket, id })
}

#[inline(always)]
fn add(key: CounterKey, more: Counter) {
    if let Some(counter) = COUNTERS.get_ptr_mut(key) {
        // SAFETY: the kernel gave out this CPU's own share, and programs that can interrupt each other never count to
        // the same key.
        unsafe { (*counter).merge(&more) };
    } else if COUNTERS.insert(key, more, 0).is_err() {
        note_loss(LEDGER_MAP_FULL);
    }
}

/// Counts a system call of the thread that this CPU keeps, and leaves it with the CPU for now.
#[inline(always)]
pub fn charge_recent(running: *mut Running, watched: Watched, phase: u8, event: Event) {
    let key = key(watched, phase, event);
    let place = (event.bucket as usize ^ event.id as usize) % RECENT;
    let amount = event.amount;
    // SAFETY: this CPU's own element, and the place lies in its array. Only `sys_exit`, which does not interrupt itself,
    // and what puts it back, which does not interrupt `sys_exit`, change it.
    unsafe {
        let recent = &raw mut (*running).recent[place];
        if (*recent).key == key && (*recent).counter.count != 0 {
            (*recent).counter.merge(&Counter { count: 1, total: amount, min: amount, max: amount });
            return;
        }
        if (*recent).counter.count != 0 {
            add((*recent).key, (*recent).counter);
        }
        (*recent).key = key;
        (*recent).counter = Counter { count: 1, total: amount, min: amount, max: amount };
    }
}

/// Puts the counters that this CPU keeps into the table.
///
/// A function of its own, because the loop is long when it is repeated in every program that calls it.
#[inline(never)]
pub fn put_back(running: *mut Running) {
    for place in 0..RECENT {
        // SAFETY: as in `charge_recent`.
        unsafe {
            let recent = &raw mut (*running).recent[place];
            if (*recent).counter.count != 0 {
                add((*recent).key, (*recent).counter);
                (*recent).counter.count = 0;
            }
        }
    }
}

/// A single event for the timeline.
#[derive(Clone, Copy)]
pub struct Moment {
    pub kind: Kind,
    pub phase: u8,
    pub at_ns: u64,
    pub duration_ns: u64,
    pub id: u64,
    pub detail: i64,
}

/// Tells user space of a single event. `own` says whether the thread is the one that runs here.
#[inline(always)]
pub fn tell(watched: Watched, own: bool, moment: Moment) {
    let Some(mut entry) = EVENTS.reserve::<TraceEvent>(0) else {
        note_loss(LEDGER_RING_FULL);
        return;
    };
    let name = if own { bpf_get_current_comm().unwrap_or([0; 16]) } else { [0; 16] };
    entry.write(TraceEvent {
        at_ns: moment.at_ns,
        duration_ns: moment.duration_ns,
        id: moment.id,
        detail: moment.detail,
        thread: watched.number,
        slot: watched.owner.slot,
        name,
        kind: moment.kind as u8,
        phase: moment.phase,
        padding: [0; 6],
    });
    entry.submit(NO_WAKEUP);
}

/// CLOCK_MONOTONIC in nanoseconds, as the workers read it: the helper knows nothing of time namespaces.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { bpf_ktime_get_ns() }.wrapping_add(fact!(clock_offset_ns))
}
