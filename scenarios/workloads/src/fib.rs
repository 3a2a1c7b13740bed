//! `fib`: calls and returns.
//!
//! To repeat it elsewhere: add up `n` times the result of the naive recursion for [`INDEX`], in 64 bits.

use core::hint::black_box;

use crate::{Host, HostError, Workload, measure};

/// Which Fibonacci number is computed in every round: the 20th, 6765, by 21,891 calls as the source has it.
pub const INDEX: u32 = 20;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "fib",
    summary: "Computes the 20th Fibonacci number n times by the naive double recursion. Nothing but calls, returns, a \
              comparison and an addition, so it costs what the engine's calling convention and stack check cost. \
              Compilers are free to turn one of the two calls into a loop.",
    default_n: 64,
    run: |host, n| run(host, n),
};

/// Computes the number `n` times. The check is the sum of the results.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let mut check = 0u64;
        for _ in 0..n {
            check = check.wrapping_add(fib(black_box(INDEX)));
        }
        Ok(check)
    })
}

#[inline(never)]
fn fib(index: u32) -> u64 {
    if index < 2 { index.into() } else { fib(index - 1) + fib(index - 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the On-Line Encyclopedia of Integer Sequences, A000045.
    #[test]
    fn published_numbers() {
        for (index, expected) in [(0, 0), (1, 1), (2, 1), (10, 55), (20, 6765), (25, 75025)] {
            assert_eq!(fib(index), expected, "{index}");
        }
    }

    #[test]
    fn the_check_is_the_sum() {
        assert_eq!(WORKLOAD.expected_check(0), Ok(0));
        assert_eq!(WORKLOAD.expected_check(3), Ok(3 * 6765));
    }
}
