//! `memcopy`: memory moved in bulk.
//!
//! To repeat it elsewhere: fill one buffer of [`BUFFER_BYTES`] from SplitMix64 and leave another at zeros. Until `n`
//! bytes are done, draw a length (1 plus a number below [`MAX_PIECE_BYTES`], cut to what is left), two offsets below
//! [`BUFFER_BYTES`] minus the length plus one, and a number below four: 0 and 1 copy from the first offset of the first
//! buffer to the second offset of the second, or from the second back to the first; 2 moves within the first buffer
//! from the first offset to the second, where the two may overlap; 3 fills the second buffer from the second offset
//! with the length's lowest byte.

use core::hint::black_box;
use heap::vec;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure};

/// Size of each of the two buffers.
pub const BUFFER_BYTES: u32 = 256 * 1024;
/// Most bytes of one operation.
pub const MAX_PIECE_BYTES: u32 = 16 * 1024;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "memcopy",
    summary: "Copies, moves and fills n bytes in pieces of up to 16 KiB, at any alignment, within half a megabyte. In \
              wasm these are `memory.copy` and `memory.fill`, which the runtime carries out with its own native code \
              after checking the bounds: the guest should come close to native.",
    default_n: 32 << 20,
    run: |host, n| run(host, n),
};

/// Handles `n` bytes. The check takes in, word by word, the first buffer and then the second.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let mut random = SplitMix64::new(SEED);
    let mut first = vec![0; BUFFER_BYTES as usize];
    let mut second = first.clone();
    random.fill(&mut first);
    measure(host, n, |_, n| {
        let (first, second) = (black_box(&mut first[..]), black_box(&mut second[..]));
        let mut remaining_bytes = n;
        while remaining_bytes > 0 {
            let wanted = 1 + random.below(MAX_PIECE_BYTES);
            let len = u32::try_from(remaining_bytes).map_or(wanted, |bytes| bytes.min(wanted));
            let mut offset = || random.below(BUFFER_BYTES - len + 1) as usize;
            let (from, to) = (offset(), offset());
            remaining_bytes -= u64::from(len);
            let [fill, ..] = len.to_le_bytes();
            let len = len as usize;
            match random.below(4) {
                0 => second[to..to + len].copy_from_slice(&first[from..from + len]),
                1 => first[to..to + len].copy_from_slice(&second[from..from + len]),
                2 => first.copy_within(from..from + len, to),
                _ => second[to..to + len].fill(fill),
            }
        }
        let mut check = Fnv1a::new();
        for word in first.as_chunks().0.iter().chain(second.as_chunks().0) {
            check.update_word(u64::from_le_bytes(*word));
        }
        Ok(check.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the same operations on a Python `bytearray`.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0x3ec3_b731_3cee_bf41),
            (1, 0xf1dd_0f34_b5f1_1a2c),
            (100_000, 0x737f_0733_9fd0_b7ee),
            (33_554_432, 0x9399_1a57_64bd_4f2d),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
