//! Counting an event, and telling of it where a timeline is wanted.

use aya_ebpf::helpers::{bpf_get_current_comm, bpf_ktime_get_ns};
use wasiscope_ebpf_abi::{Counter, CounterKey, Kind, LEDGER_MAP_FULL, LEDGER_RING_FULL, TraceEvent, bucket_of};

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
pub fn charge(watched: Watched, phase: u32, event: Event) {
    let Event { kind, id, bucket, amount } = event;
    // SAFETY: the map's element, which outlives this run of the program.
    let slot = unsafe { (*watched.thread).slot };
    let key = CounterKey { slot, id, bucket, phase: phase as u8, kind: kind as u8 };
    if let Some(counter) = COUNTERS.get_ptr_mut(key) {
        // SAFETY: the kernel gave out this CPU's own share, and programs that can interrupt each other never count to
        // the same key.
        unsafe {
            if (*counter).count == 0 || amount < (*counter).min {
                (*counter).min = amount;
            }
            if amount > (*counter).max {
                (*counter).max = amount;
            }
            (*counter).count += 1;
            (*counter).total += amount;
        }
    } else if COUNTERS.insert(key, Counter { count: 1, total: amount, min: amount, max: amount }, 0).is_err() {
        note_loss(LEDGER_MAP_FULL);
    }
}

/// A single event for the timeline.
#[derive(Clone, Copy)]
pub struct Moment {
    pub kind: Kind,
    pub phase: u32,
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
    // SAFETY: the map's element, which outlives this run of the program.
    let slot = unsafe { (*watched.thread).slot };
    entry.write(TraceEvent {
        at_ns: moment.at_ns,
        duration_ns: moment.duration_ns,
        id: moment.id,
        detail: moment.detail,
        thread: watched.number,
        slot,
        name,
        kind: moment.kind as u8,
        phase: moment.phase as u8,
        padding: [0; 6],
    });
    entry.submit(NO_WAKEUP);
}

/// CLOCK_MONOTONIC in nanoseconds.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { bpf_ktime_get_ns() }
}
