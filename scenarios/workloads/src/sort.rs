//! `sort`: comparisons whose outcome nobody can predict.
//!
//! To repeat it elsewhere: take the first `n` numbers of SplitMix64 from [`SEED`] and sort them in rising order.

use core::hint::black_box;
use heap::vec::Vec;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure, to_len};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "sort",
    summary: "Sorts n random 64-bit numbers with the unstable sort of Rust's core library. Written to compile into \
              conditional moves rather than branches, it shows whether an engine keeps them, and how it does with \
              loads and stores that march through eight times n bytes.",
    default_n: 100_000,
    run: |host, n| run(host, n),
};

/// Sorts `n` numbers. The check takes them in, word by word, in their new order.
///
/// The numbers are generated before the start mark.
///
/// # Errors
/// If `n` numbers do not fit into memory, or the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let mut random = SplitMix64::new(SEED);
    let mut numbers: Vec<u64> = (0..to_len(n)?).map(|_| random.next_u64()).collect();
    measure(host, n, |_, _| {
        let numbers = black_box(&mut numbers);
        numbers.sort_unstable();
        let mut check = Fnv1a::new();
        for &number in &*numbers {
            check.update_word(number);
        }
        Ok(check.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python's `sorted`.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0xcbf2_9ce4_8422_2325),
            (1, 0x5253_2c7d_ca54_6037),
            (1000, 0x6397_a4e8_4b70_6d38),
            (100_000, 0x5aeb_21ce_e380_84de),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
