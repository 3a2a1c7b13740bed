//! `alloc`: blocks that come and go.
//!
//! To repeat it elsewhere: for each of `n` steps draw one of [`SLOTS`], then a number below eight. If the slot is
//! empty, draw a size and fill the slot: the number says how large, see `size_bytes`. If it is not, 0 doubles its
//! block, all else frees it. A block begins with its step's number, and the check takes that in, word by word, for
//! every block freed, those left after the last step in the order of their slots.

use core::iter;
use heap::vec::Vec;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure};

/// Blocks there can be at a time.
pub const SLOTS: u32 = 1024;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "alloc",
    summary: "Allocates, grows and frees blocks of 8 bytes to 32 KiB in n steps, in an order without a pattern and \
              with up to 1024 of them alive. Almost no work on the memory itself: it measures the allocator that the \
              flavour brings along, and how much memory it lets lie.",
    default_n: 50_000,
    run: |host, n| run(host, n),
};

/// Does `n` steps, then frees what is left. The check is as the module says.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let mut slots: Vec<Vec<u8>> = iter::repeat_with(Vec::new).take(SLOTS as usize).collect();
    measure(host, n, |_, n| {
        let mut random = SplitMix64::new(SEED);
        let mut check = Fnv1a::new();
        for step in 0..n {
            let slot = &mut slots[random.below(SLOTS) as usize];
            let choice = random.below(8);
            match slot.len() {
                0 => {
                    slot.reserve_exact(size_bytes(choice, &mut random));
                    slot.extend_from_slice(&step.to_le_bytes());
                }
                _ if choice == 0 => slot.reserve_exact(2 * slot.capacity() - slot.len()),
                _ => free(slot, &mut check),
            }
        }
        slots.iter_mut().filter(|slot| !slot.is_empty()).for_each(|slot| free(slot, &mut check));
        Ok(check.finish())
    })
}

/// Five of eight blocks are small, two are middling, and one is large.
fn size_bytes(choice: u32, random: &mut SplitMix64) -> usize {
    let (least, range) = match choice {
        0..=4 => (8, 120),
        5 | 6 => (128, 896),
        _ => (1024, 31 * 1024),
    };
    (least + random.below(range)) as usize
}

fn free(slot: &mut Vec<u8>, check: &mut Fnv1a) {
    let block = core::mem::take(slot);
    if let Some(step) = block.first_chunk() {
        check.update_word(u64::from_le_bytes(*step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the same steps in Python, which has no blocks to grow.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0xcbf2_9ce4_8422_2325),
            (1, 0x90c0_36fb_f5ec_77a9),
            (1000, 0x3204_0192_0181_7d96),
            (100_000, 0x40f7_b783_ba67_f253),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
