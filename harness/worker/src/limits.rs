//! The bounds that a guest can meet, and which of them it has met.

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::Phase;

/// Most bytes of one file that a worker writes, whoever lets it.
pub const FILE_BYTES: u64 = 1 << 30;

/// Most descriptors of a worker.
pub const DESCRIPTORS: u64 = 1024;

/// A bound on a guest, or on the worker that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// What it may write to stdout or stderr.
    Output,
    /// All its memories and tables together, met by a memory.
    Memory,
    /// The same, met by a table.
    Table,
    /// Its call stack.
    Stack,
    /// What the kernel lets the worker map.
    AddressSpace,
    /// The largest file that the worker may write.
    FileSize,
    /// Open files and folders.
    Descriptors,
}

impl Limit {
    const ALL: [Self; 7] =
        [Self::Output, Self::Memory, Self::Table, Self::Stack, Self::AddressSpace, Self::FileSize, Self::Descriptors];

    /// Where its byte lies in a word of limits met.
    const fn shift(self) -> u32 {
        self as u32 * u8::BITS
    }
}

/// A limit that stood in a guest's way. One that copes with it ends well all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitMet {
    /// Which.
    pub limit: Limit,
    /// The phase in which that was for the first time.
    pub phase: Phase,
}

/// `met` with this limit added, unless it is there: a byte for each, which is the phase and one more.
pub fn add(met: u64, limit: Limit, phase: Phase) -> u64 {
    let is_there = (met >> limit.shift()) & 0xff != 0;
    if is_there { met } else { met | (u64::from(phase as u8) + 1) << limit.shift() }
}

/// What a word of limits met says.
#[must_use]
pub fn met(word: u64) -> Vec<LimitMet> {
    let of = |limit: Limit| {
        let byte = u8::try_from((word >> limit.shift()) & 0xff).ok()?;
        Some(LimitMet { limit, phase: Phase::from_u8(byte.checked_sub(1)?)? })
    };
    Limit::ALL.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_every_limit_with_the_phase_of_its_first_time() {
        let mut word = 0;
        assert_eq!(met(word), []);
        for limit in Limit::ALL {
            word = add(add(word, limit, Phase::Teardown), limit, Phase::Run);
        }
        assert_eq!(met(word), Limit::ALL.map(|limit| LimitMet { limit, phase: Phase::Teardown }));
        assert_eq!(met(add(0, Limit::Stack, Phase::Outside)).len(), 1);
        assert_eq!(met(u64::MAX), [], "no worker says so");
    }
}
