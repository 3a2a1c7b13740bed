//! `spin`: a known number of operations, to calibrate time.
//!
//! To repeat it elsewhere: start from [`SEED`] and replace x by [`FACTOR`] x + [`SUMMAND`] modulo 2⁶⁴, `n` times.

use core::hint::black_box;

use crate::splitmix::SEED;
use crate::{Host, HostError, Workload, measure};

/// The multiplier of Knuth's MMIX generator.
pub const FACTOR: u64 = 6_364_136_223_846_793_005;
/// The increment of Knuth's MMIX generator.
pub const SUMMAND: u64 = 1_442_695_040_888_963_407;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "spin",
    summary: "Multiplies and adds n times, each time to the result of the time before. Exactly n multiplications and n \
              additions in a chain that nothing can run in parallel or shorten, no memory, no calls: twice the n must \
              take twice the time, on any engine, and a change of the clock's frequency shows at once.",
    default_n: 4_000_000,
    run: |host, n| run(host, n),
};

/// Does `n` operations. The check is the last result.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        // Knowing the two numbers, a compiler that unrolls the loop could make one operation out of several.
        let (factor, summand) = (black_box(FACTOR), black_box(SUMMAND));
        let mut x = SEED;
        for _ in 0..n {
            x = x.wrapping_mul(factor).wrapping_add(summand);
        }
        Ok(x)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed in Python without the loop: by squaring the step, as one jumps ahead in such a generator.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0x5741_5349_5343_4f50),
            (1, 0x73f5_2279_e825_225f),
            (1000, 0x0f74_ce7c_166c_2f58),
            (4_000_000, 0x06ce_ecb3_d846_bc50),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
