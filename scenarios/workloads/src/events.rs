//! `events`: a handler of kernel events, as both flavours have it: it decodes an event, keeps a table by system call, and finds slow ones.
//!
//! No workload of the registry, because it is not run but called. All of it is generic or `inline`, as in [`cooperation`](crate::cooperation).

/// Bytes of an event: `PipelineEvent` of the kernel programs' side, little-endian.
pub const EVENT_BYTES: usize = 48;
/// What took longer is slow.
pub const SLOW_NS: u64 = 100_000;

/// The answer to an event that was handled.
pub const HANDLED: i32 = 0;
/// The answer to one whose call was slow.
pub const SLOW: i32 = 1;
/// The answer to what is no event.
pub const NO_EVENT: i32 = -1;
/// The answer when there is no room for another kind of call.
pub const FULL: i32 = -2;

/// What is kept of one system call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub call: u32,
    /// How many of them failed.
    pub failed: u32,
    /// How often it returned; 0 in a row that is free.
    pub count: u64,
    /// Nanoseconds of all together.
    pub total_ns: u64,
    /// The longest.
    pub longest_ns: u64,
    /// How many were slow.
    pub slow: u64,
}

/// A table by system call, with room for `CALLS` kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<const CALLS: usize> {
    rows: [Row; CALLS],
}

impl<const CALLS: usize> Table<CALLS> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        const FREE: Row = Row { call: 0, failed: 0, count: 0, total_ns: 0, longest_ns: 0, slow: 0 };
        Self { rows: [FREE; CALLS] }
    }

    /// Takes an event in, and answers.
    #[must_use]
    pub fn handle(&mut self, event: &[u8]) -> i32 {
        let Ok(event) = <&[u8; EVENT_BYTES]>::try_from(event) else { return NO_EVENT };
        let (duration_ns, returned, call) = (word(event, 16), word(event, 24).cast_signed(), half(event, 36));
        let Some(row) = self.rows.iter_mut().find(|row| row.count == 0 || row.call == call) else { return FULL };
        row.call = call;
        row.count += 1;
        row.total_ns += duration_ns;
        row.longest_ns = row.longest_ns.max(duration_ns);
        row.failed += u32::from(returned < 0);
        let slow = duration_ns > SLOW_NS;
        row.slow += u64::from(slow);
        if slow { SLOW } else { HANDLED }
    }

    /// Events that were handled.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.rows.iter().map(|row| row.count).sum()
    }

    /// Its rows, those that are free among them.
    #[must_use]
    pub const fn rows(&self) -> &[Row; CALLS] {
        &self.rows
    }
}

impl<const CALLS: usize> Default for Table<CALLS> {
    fn default() -> Self {
        Self::new()
    }
}

#[inline]
fn word(event: &[u8; EVENT_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&event[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[inline]
fn half(event: &[u8; EVENT_BYTES], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&event[at..at + 4]);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(call: u32, duration_ns: u64, returned: i64) -> [u8; EVENT_BYTES] {
        let mut bytes = [0; EVENT_BYTES];
        bytes[16..24].copy_from_slice(&duration_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&returned.to_le_bytes());
        bytes[36..40].copy_from_slice(&call.to_le_bytes());
        bytes
    }

    #[test]
    fn events_are_kept_by_call() {
        let mut table = Table::<2>::new();
        assert_eq!(table.handle(&event(0, 500, 1)), HANDLED);
        assert_eq!(table.handle(&event(0, SLOW_NS + 1, -11)), SLOW);
        assert_eq!(table.handle(&event(8, 300, 0)), HANDLED);
        assert_eq!(table.handle(&event(9, 300, 0)), FULL);
        assert_eq!(table.handle(&[0; 47]), NO_EVENT);
        assert_eq!(table.count(), 3);
        let read = table.rows()[0];
        assert_eq!((read.count, read.total_ns, read.failed, read.slow), (2, SLOW_NS + 501, 1, 1));
    }
}
