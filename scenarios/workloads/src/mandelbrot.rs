//! `mandelbrot`: floating-point arithmetic with exits that depend on it.
//!
//! To repeat it elsewhere: row `r` of `n` and column `c` of [`COLUMNS`] are the point (3 `c` / [`COLUMNS`] − 2,
//! 2 `r` / `n` − 1), with both quotients rounded before the subtraction. Count for how many steps, at most
//! [`MAX_STEPS`], z ← z² + c starting from z = 0 stays within |z|² ≤ 4.

use crate::fnv::Fnv1a;
use crate::{Host, HostError, Workload, measure};

/// Points in every row.
pub const COLUMNS: u32 = 256;
/// Steps after which a point counts as one of the set.
pub const MAX_STEPS: u64 = 100;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "mandelbrot",
    summary: "Counts the steps after which each point of n rows of 256 leaves the Mandelbrot set's neighbourhood, 100 \
              at most. A loop of seven f64 operations with one exit, everything in registers, no memory at all: \
              arithmetic latency and how the engine handles a short loop.",
    default_n: 64,
    run: |host, n| run(host, n),
};

/// Counts for `n` rows. The check takes in, word by word, each point's number of steps.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let mut check = Fnv1a::new();
        for row in 0..n {
            let imaginary = 2.0 * row as f64 / n as f64 - 1.0;
            for column in 0..COLUMNS {
                let real = 3.0 * f64::from(column) / f64::from(COLUMNS) - 2.0;
                check.update_word(steps(real, imaginary));
            }
        }
        Ok(check.finish())
    })
}

fn steps(real: f64, imaginary: f64) -> u64 {
    let (mut x, mut y) = (0.0, 0.0);
    for step in 0..MAX_STEPS {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return step;
        }
        (x, y) = (xx - yy + real, 2.0 * x * y + imaginary);
    }
    MAX_STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the same operations on Python's floats, which are f64 as well.
    #[test]
    fn known_checks() {
        for (n, expected) in [(0, 0xcbf2_9ce4_8422_2325), (1, 0x6dc3_fdc3_856f_1435), (64, 0xfb38_506e_277a_30dc)] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
