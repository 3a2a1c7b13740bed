//! `memgrow`: memory that was not there before.

use crate::fnv::Fnv1a;
use crate::{Host, HostError, Workload, measure};

/// Distance of the places written to: no page of any host is smaller.
const OS_PAGE_BYTES: usize = 4096;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "memgrow",
    summary: "Asks n times for 64 KiB of new memory and writes to each 4 KiB of it: `memory.grow` by one page in the \
              guests, a fresh mapping natively. It costs what the runtime does to make a memory larger, and sixteen \
              page faults each time.",
    default_n: 128,
    run: |host, n| run(host, n),
};

/// Grows by `n` pages of wasm. The check takes in, word by word, what was there first, which must be 0, and the number
/// written in its place.
///
/// # Errors
/// If the host gives no more memory, or could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |host, n| {
        let mut check = Fnv1a::new();
        let mut written = 0u64;
        for _ in 0..n {
            for place in host.grow()?.chunks_exact_mut(OS_PAGE_BYTES) {
                written += 1;
                if let Some(word) = place.first_chunk_mut() {
                    check.update_word(u64::from_le_bytes(*word));
                    *word = written.to_le_bytes();
                    check.update_word(u64::from_le_bytes(*core::hint::black_box(word)));
                }
            }
        }
        Ok(check.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed in Python from nothing but the numbers written.
    #[test]
    fn known_checks() {
        for (n, expected) in [(0, 0xcbf2_9ce4_8422_2325), (1, 0xe0c4_cc60_1576_22e7), (256, 0x9657_4ee1_eb56_e90d)] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
