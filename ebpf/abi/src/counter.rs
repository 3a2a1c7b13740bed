//! The counters of the kernel programs, and how durations fall into buckets.

/// What a counter counts, in one word: the kernel hashes and compares every byte of it, at every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct CounterKey(u64);

/// The parts of a [`CounterKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterOf {
    /// Index of the worker's cell.
    pub cell_index: u8,
    /// The [`Phase`](crate::Phase) as a number.
    pub phase: u8,
    /// The [`Kind`](crate::Kind) as a number.
    pub kind: u8,
    /// [`bucket_of`] the duration, for kinds that have one; else 0.
    pub bucket: u16,
    /// What `kind` says it is. There are no larger numbers of calls and signals; one would be counted as the largest.
    pub id: u16,
}

impl CounterKey {
    /// Packs it.
    #[inline]
    #[must_use]
    pub const fn new(of: CounterOf) -> Self {
        let CounterOf { cell_index, phase, kind, bucket, id } = of;
        Self((id as u64) << 48 | (bucket as u64) << 32 | (cell_index as u64) << 16 | (phase as u64) << 8 | kind as u64)
    }

    /// Its parts.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "that is how they are taken apart")]
    pub const fn parts(self) -> CounterOf {
        let word = self.0;
        CounterOf {
            cell_index: (word >> 16) as u8,
            phase: (word >> 8) as u8,
            kind: word as u8,
            bucket: (word >> 32) as u16,
            id: (word >> 48) as u16,
        }
    }
}

/// One CPU's share of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// How many events.
    pub count: u64,
    /// Their nanoseconds or bytes added up.
    pub total: u64,
    /// The smallest of these; meaningless when `count` is 0.
    pub min: u64,
    /// The largest of these.
    pub max: u64,
}

impl Counter {
    /// Adds what another CPU counted.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.total += other.total;
    }
}

/// Buckets in each octave, as a power of two: 8, so that a bucket's bounds are at most 12.5 % apart.
const SUB_BITS: u32 = 3;

/// The `bucket` of system calls that did not return: `exit`, and those that death interrupted.
pub const UNFINISHED: u16 = u16::MAX;

/// The bucket of a duration: exact below 16, then eight to the octave.
#[inline]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the last bucket is 495")]
pub const fn bucket_of(duration_ns: u64) -> u16 {
    if duration_ns < 1 << SUB_BITS {
        return duration_ns as u16;
    }
    let octave = highest_bit(duration_ns);
    let sub = (duration_ns >> (octave - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    (((octave - SUB_BITS + 1) << SUB_BITS) as u64 + sub) as u16
}

/// The place of the highest bit that is set. Durations resemble each other, so these branches are foreseen; the kernel's
/// virtual machine has no instruction for it, and counting without branches takes four times as many.
#[inline]
const fn highest_bit(mut number: u64) -> u32 {
    let mut place = 0;
    let mut half = 32;
    while half > 0 {
        if number >> half != 0 {
            number >>= half;
            place += half;
        }
        half /= 2;
    }
    place
}

/// The largest duration that falls into a bucket.
#[must_use]
pub const fn bucket_upper(bucket: u16) -> u64 {
    let bucket = bucket as u64;
    if bucket < 1 << SUB_BITS {
        return bucket;
    }
    let (octave, sub) = ((bucket >> SUB_BITS) - 1, bucket & ((1 << SUB_BITS) - 1));
    // Behind the last bucket lies 2^64, which is 0 here: one less is the largest number there is, as it should be.
    let behind = if octave >= 64 { 0 } else { ((1_u64 << SUB_BITS) + sub + 1) << octave };
    u64::wrapping_sub(behind, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_below_its_buckets_bound_and_above_the_one_before() {
        let around = (0..64).flat_map(|bit| [0, 1, 2, 3].map(|more| (1_u64 << bit).wrapping_add(more << (bit / 2))));
        for duration in around.chain(0..5_000).chain([u64::MAX]) {
            let bucket = bucket_of(duration);
            assert!(duration <= bucket_upper(bucket), "{duration} in {bucket}");
            assert!(bucket == 0 || duration > bucket_upper(bucket - 1), "{duration} in {bucket}");
        }
    }

    #[test]
    fn buckets_are_eight_to_the_octave() {
        assert_eq!(bucket_of(2048) - bucket_of(1024), 8);
        assert_eq!((bucket_of(15), bucket_upper(15)), (15, 15));
        assert_eq!((bucket_of(1_000), bucket_upper(bucket_of(1_000))), (63, 1_023));
        assert!(bucket_of(u64::MAX) < UNFINISHED);
    }

    #[test]
    fn keys_come_apart_as_they_were_packed() {
        let of = CounterOf { cell_index: 63, phase: 11, kind: 13, bucket: UNFINISHED, id: 0xabcd };
        assert_eq!(CounterKey::new(of).parts(), of);
        let other = CounterOf { cell_index: 1, phase: 2, kind: 3, bucket: 4, id: 5 };
        assert_eq!(CounterKey::new(other).parts(), other);
    }

    #[test]
    fn the_highest_bit_is_the_logarithm() {
        for number in [1, 2, 3, 255, 256, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            assert_eq!(highest_bit(number), number.ilog2());
        }
    }

    #[test]
    fn shares_add_up() {
        let mut sum = Counter::default();
        sum.merge(&Counter::default());
        sum.merge(&Counter { count: 1, total: 7, min: 7, max: 7 });
        sum.merge(&Counter { count: 2, total: 7, min: 3, max: 4 });
        assert_eq!(sum, Counter { count: 3, total: 14, min: 3, max: 7 });
    }
}
