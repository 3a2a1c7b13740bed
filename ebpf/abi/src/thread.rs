//! What the kernel programs remember of a thread, and what they tell of single events.

/// A thread of a watched worker, as the kernel programs see it.
///
/// Its own thread writes it, but for `woken_ns`, which belongs to whoever wakes it while it has no processor.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Thread {
    /// Index of its worker's cell.
    pub cell_index: u32,
    /// Its worker's slot.
    pub slot: u32,
    /// The [`Phase`](crate::Phase) to which all it does is charged, whatever the cell shows: `compile` for threads that
    /// were started there; 0 for all others.
    pub home: u32,
    /// The phase of the cell at the entry of the system call it is in.
    pub call_phase: u32,
    /// When it entered that call (CLOCK_MONOTONIC); 0 while in none.
    pub call_entered_ns: u64,
    /// What the call's arguments say that is looked at: a length, by how much one grows, a futex operation, an address.
    pub call_argument: u64,
    /// The call's number.
    pub call_number: u32,
    /// The phase of the cell when it last lost its processor.
    pub off_phase: u32,
    /// When it lost its processor; 0 while it has one.
    pub off_since_ns: u64,
    /// Since when it has been waiting for a processor; 0 while it is blocked or running.
    pub woken_ns: u64,
    /// The end of the heap that `brk` answered last; 0 when it never did.
    pub heap_end: u64,
}

impl Thread {
    /// A thread of which nothing is known yet.
    pub const NEW: Self = Self {
        cell_index: 0,
        slot: 0,
        home: 0,
        call_phase: 0,
        call_entered_ns: 0,
        call_argument: 0,
        call_number: 0,
        off_phase: 0,
        off_since_ns: 0,
        woken_ns: 0,
        heap_end: 0,
    };
}

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
/// Number of entries of the ledger map.
pub const LEDGER_ENTRIES: u32 = 2;
