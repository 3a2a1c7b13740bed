//! Adding up: how each field of [`PhaseEvents`](super::PhaseEvents) takes counters in, and goes together with another worker's.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::{
    Counter, Kind, MEMORY_ADVISED, MEMORY_MAPPED, MEMORY_PROTECTED, MEMORY_UNMAPPED, Shape, UNFINISHED, bucket_upper,
};

use super::{BlockIo, Calls, Distribution, Memory, OffCpu, Switches, TasksCreated, raise};
use crate::figures::total;

/// One counter of the kernel programs, charged to a phase.
#[derive(Clone, Copy, Debug)]
pub struct Charged<'a> {
    /// What was counted.
    pub kind: Kind,
    /// What [`Kind`] says it is.
    pub id: u32,
    /// What `id` is called; empty for kinds of which it is no name.
    pub name: &'a str,
    /// The bucket of the durations, for kinds that have them.
    pub bucket: u16,
    /// How much.
    pub counter: Counter,
}

impl Charged<'_> {
    /// Of a kind with one number for each `id`: events, or bytes.
    fn amount(&self) -> u64 {
        match self.kind.event().shape {
            Shape::Bytes => self.counter.total,
            Shape::Count | Shape::Durations | Shape::CountAndBytes => self.counter.count,
        }
    }
}

/// What is counted of one kind of events, or of two that belong together.
pub(super) trait Tally {
    /// Adds a counter of the kind.
    fn charge(&mut self, charged: &Charged<'_>);

    /// Adds what was counted elsewhere.
    fn include(&mut self, other: &Self);

    /// All events of the kind, or all bytes where nothing else is counted.
    fn total(&self, kind: Kind) -> u64;
}

impl Tally for u64 {
    fn charge(&mut self, charged: &Charged<'_>) {
        raise(self, charged.amount());
    }

    fn include(&mut self, other: &Self) {
        raise(self, *other);
    }

    fn total(&self, _kind: Kind) -> u64 {
        *self
    }
}

impl Tally for BTreeMap<String, u64> {
    fn charge(&mut self, charged: &Charged<'_>) {
        raise(self.entry(charged.name.to_owned()).or_default(), charged.amount());
    }

    fn include(&mut self, other: &Self) {
        for (name, count) in other {
            raise(self.entry(name.clone()).or_default(), *count);
        }
    }

    fn total(&self, _kind: Kind) -> u64 {
        total(self.values().copied())
    }
}

impl Tally for Distribution {
    fn charge(&mut self, charged: &Charged<'_>) {
        self.add_bucket(bucket_upper(charged.bucket), &charged.counter);
    }

    fn include(&mut self, other: &Self) {
        self.merge(other);
    }

    fn total(&self, _kind: Kind) -> u64 {
        self.count
    }
}

impl Tally for BTreeMap<String, Calls> {
    fn charge(&mut self, charged: &Charged<'_>) {
        let calls = self.entry(charged.name.to_owned()).or_default();
        if charged.kind == Kind::SyscallError {
            raise(&mut calls.errors, charged.counter.count);
            return;
        }
        raise(&mut calls.count, charged.counter.count);
        if charged.bucket != UNFINISHED {
            calls.latency_ns.charge(charged);
        }
    }

    fn include(&mut self, other: &Self) {
        for (name, Calls { count, errors, latency_ns }) in other {
            let sum = self.entry(name.clone()).or_default();
            raise(&mut sum.count, *count);
            raise(&mut sum.errors, *errors);
            sum.latency_ns.merge(latency_ns);
        }
    }

    fn total(&self, kind: Kind) -> u64 {
        let of = |calls: &Calls| if kind == Kind::SyscallError { calls.errors } else { calls.count };
        total(self.values().map(of))
    }
}

impl Tally for BlockIo {
    fn charge(&mut self, charged: &Charged<'_>) {
        let Counter { count, total: bytes, .. } = charged.counter;
        match charged.id {
            0 => {
                raise(&mut self.reads, count);
                raise(&mut self.read_bytes, bytes);
            }
            1 => {
                raise(&mut self.writes, count);
                raise(&mut self.written_bytes, bytes);
            }
            _ => raise(&mut self.others, count),
        }
    }

    fn include(&mut self, other: &Self) {
        let Self { reads, read_bytes, writes, written_bytes, others } = *other;
        raise(&mut self.reads, reads);
        raise(&mut self.read_bytes, read_bytes);
        raise(&mut self.writes, writes);
        raise(&mut self.written_bytes, written_bytes);
        raise(&mut self.others, others);
    }

    fn total(&self, _kind: Kind) -> u64 {
        total([self.reads, self.writes, self.others])
    }
}

/// A number for each of a few parts, by `id`; what is `ignored` is of no part.
macro_rules! parts {
    ($tally:ty { $($id:pat => $part:ident),+ $(; $other:pat => ignored)? }) => {
        impl Tally for $tally {
            fn charge(&mut self, charged: &Charged<'_>) {
                match charged.id {
                    $($id => self.$part.charge(charged),)+
                    $($other => {})?
                }
            }

            fn include(&mut self, other: &Self) {
                let Self { $($part),+ } = other;
                $(self.$part.include($part);)+
            }

            fn total(&self, kind: Kind) -> u64 {
                total([$(self.$part.total(kind)),+])
            }
        }
    };
}

parts!(Switches { 0 => voluntary, _ => involuntary });
parts!(OffCpu { 0 => blocked, _ => runnable });
parts!(TasksCreated { 0 => threads, _ => processes });
parts!(Memory {
    MEMORY_MAPPED => mapped_bytes,
    MEMORY_UNMAPPED => unmapped_bytes,
    MEMORY_PROTECTED => protected_bytes,
    MEMORY_ADVISED => advised_bytes;
    _ => ignored
});
