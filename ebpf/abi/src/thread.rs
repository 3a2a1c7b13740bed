//! What the kernel programs remember of a thread, and what they tell of single events.

use crate::{Counter, CounterKey};

/// A thread of a watched worker, as the kernel programs see it.
///
/// Its own thread writes it, but for `woken_ns`, which belongs to whoever wakes it while it has no processor.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Thread {
    /// Which worker's.
    pub owner: Owner,
    /// The phase of the cell when it last lost its processor.
    pub off_phase: u32,
    /// When it lost its processor; 0 while it has one.
    pub off_since_ns: u64,
    /// Since when it has been waiting for a processor; 0 while it is blocked or running.
    pub woken_ns: u64,
    /// The system call that it is in. While it runs, the newest state of it is in [`Running`].
    pub call: Call,
}

impl Thread {
    /// A thread of which nothing else is known yet.
    #[inline]
    #[must_use]
    pub const fn of(owner: Owner) -> Self {
        Self { owner, off_phase: 0, off_since_ns: 0, woken_ns: 0, call: Call::NONE }
    }
}

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Owner {
    /// Index of the worker's cell.
    pub cell_index: u32,
    /// The worker's slot.
    pub slot: u32,
    /// The [`Phase`](crate::Phase) to which all of the thread's events are charged, whatever the cell shows: `compile` for
    /// threads that were started there; 0 for all others.
    pub home: u32,
}

/// A system call that a thread has entered and not yet left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Call {
    /// When (CLOCK_MONOTONIC); 0 when there is none.
    pub entered_ns: u64,
    /// What its arguments say that is looked at: a length, by how much one grows, a futex operation, an address.
    pub argument: u64,
    /// Its number.
    pub number: u32,
    /// The phase to which it is charged.
    pub phase: u8,
    /// Its [`CallClass`](crate::CallClass) as a number.
    pub class: u8,
    /// Whether it is to be told of: 0 or 1.
    pub traced: u8,
    /// Fills the word.
    pub padding: u8,
}

impl Call {
    /// None at all.
    pub const NONE: Self = Self { entered_ns: 0, argument: 0, number: 0, phase: 0, class: 0, traced: 0, padding: 0 };
}

/// What one CPU keeps of the watched thread that it runs, so that a system call needs no look-up in a hash table.
///
/// It is put back into the tables when the thread loses the processor or dies.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Running {
    /// The thread, as the kernel numbers it; 0 when nothing is kept.
    pub number: u32,
    /// Which worker's.
    pub owner: Owner,
    /// The system call that it is in.
    pub call: Call,
    /// Counters of system calls that were counted to just now.
    pub recent: [Recent; RECENT],
}

/// A counter, before it is added to the one in the table.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Recent {
    /// What it counts.
    pub key: CounterKey,
    /// How much since it was put here; nothing while its `count` is 0.
    pub counter: Counter,
}

/// How many of them each CPU keeps, a power of two: the calls of a guest's inner loop fall into a handful of buckets.
pub const RECENT: usize = 16;

/// One event of a traced iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TraceEvent {
    /// When it began (CLOCK_MONOTONIC).
    pub at_ns: u64,
    /// How long it took; 0 for what happens at one moment.
    pub duration_ns: u64,
    /// Depending on the kind: the number of the call or signal, the faulting address, how much of `duration_ns` the
    /// thread was blocked.
    pub id: u64,
    /// What the call returned, or the kind of region of a fault.
    pub detail: i64,
    /// The thread, as the kernel numbers it.
    pub thread: u32,
    /// The worker's slot.
    pub slot: u32,
    /// The thread's name; zeroes when another thread was running at that moment.
    pub name: [u8; 16],
    /// The [`Kind`](crate::Kind) as a number.
    pub kind: u8,
    /// The phase as a number.
    pub phase: u8,
    /// Fills the last eight bytes.
    pub padding: [u8; 6],
}

/// Index into the ledger map: events not counted because a map had no room.
pub const LEDGER_MAP_FULL: u32 = 0;
/// Index into the ledger map: events of a traced iteration that the ring buffer had no room for.
pub const LEDGER_RING_FULL: u32 = 1;
/// Index into the ledger map: threads that got a processor without its being seen, so that how long they waited is not
/// known.
pub const LEDGER_SWITCH_UNSEEN: u32 = 2;
/// Number of entries of the ledger map.
pub const LEDGER_ENTRIES: u32 = 3;
