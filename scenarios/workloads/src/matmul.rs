//! `matmul`: floating-point arithmetic on small dense matrices.
//!
//! To repeat it elsewhere: fill the left matrix, then the right one, row by row with fractions from SplitMix64. In each
//! of `n` rounds (counted from 0) fill row `round % SIDE` of the left one with new fractions and multiply: every
//! element starts from 0, and products are added in rising order of the inner index, each product rounded before it is
//! added.

use core::hint::black_box;
use heap::vec;
use heap::vec::Vec;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure};

/// Rows and columns of every matrix.
pub const SIDE: usize = 64;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "matmul",
    summary: "Multiplies two 64 by 64 matrices of f64 n times, by the plain triple loop in the order that runs along \
              rows. 262,144 multiplications and additions each round on 96 KiB that stay in the second-level cache; \
              natively the inner loop becomes vectors, in the guests it does not.",
    default_n: 16,
    run: |host, n| run(host, n),
};

/// Multiplies `n` times. The check takes in, word by word, the bits of every element of every product.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let mut random = SplitMix64::new(SEED);
    let mut left = matrix(|| random.fraction());
    let right = matrix(|| random.fraction());
    let mut product = matrix(|| 0.0);
    measure(host, n, |_, n| {
        let mut check = Fnv1a::new();
        for (row, _) in (0..SIDE).cycle().zip(0..n) {
            left[row] = core::array::from_fn(|_| random.fraction());
            multiply(black_box(&left), black_box(&right), &mut product);
            for element in product.iter().flatten() {
                check.update_word(element.to_bits());
            }
        }
        Ok(check.finish())
    })
}

type Matrix = Vec<[f64; SIDE]>;

fn matrix(mut element: impl FnMut() -> f64) -> Matrix {
    let mut rows = vec![[0.0; SIDE]; SIDE];
    rows.iter_mut().flatten().for_each(|place| *place = element());
    rows
}

fn multiply(left: &Matrix, right: &Matrix, product: &mut Matrix) {
    for (left_row, sums) in left.iter().zip(product) {
        sums.fill(0.0);
        for (factor, right_row) in left_row.iter().zip(right) {
            for (sum, element) in sums.iter_mut().zip(right_row) {
                *sum += factor * element;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the same operations on Python's floats, which are f64 as well.
    #[test]
    fn known_checks() {
        for (n, expected) in [(0, 0xcbf2_9ce4_8422_2325), (1, 0xf36e_726c_0ac7_deda), (16, 0xa8a0_7fca_f9e3_bd3c)] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
