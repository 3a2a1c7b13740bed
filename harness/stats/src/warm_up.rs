//! How many of a process's first iterations still differ from the later ones.

use super::median;

/// Fewer processes than this cannot show that an iteration differs in all of them rather than by chance.
const PROCESSES_MIN: usize = 8;
/// A difference smaller than this is left in, however sure it is.
const NOTEWORTHY: f64 = 0.02;
/// The chance that an iteration like any other is taken for one that warms up.
const CHANCE: f64 = 0.01;

/// The number of leading iterations to leave out of a summary: those that differ from the second half of their own
/// process by more than 2 % in the median over processes, and in the same direction in more processes than chance would
/// have it (sign test at 1 %). At most half of the iterations; 0 where there are fewer than eight processes.
#[must_use]
pub fn warm_up(samples: &[Vec<f64>]) -> usize {
    let iterations = samples.iter().map(Vec::len).min().unwrap_or(0);
    if samples.len() < PROCESSES_MIN || iterations < 4 {
        return 0;
    }
    let later: Vec<f64> = samples.iter().filter_map(|process| median(&process[iterations / 2..])).collect();
    let differs = |index: usize| {
        let ratios: Vec<f64> =
            samples.iter().zip(&later).filter(|(_, later)| **later > 0.0).map(|(s, later)| s[index] / later).collect();
        let typical = median(&ratios).unwrap_or(1.0);
        let above = ratios.iter().filter(|ratio| **ratio > 1.0).count();
        let below = ratios.iter().filter(|ratio| **ratio < 1.0).count();
        (typical - 1.0).abs() > NOTEWORTHY && sign_test(above.max(below), above + below) < CHANCE
    };
    (0..iterations / 2).take_while(|index| differs(*index)).count()
}

/// Two-sided chance of at least `larger` of `n` fair coins on one side.
fn sign_test(larger: usize, n: usize) -> f64 {
    let mut term = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut tail = 0.0;
    for k in 0..=n - larger {
        tail += term;
        term *= (n - k) as f64 / (k + 1) as f64;
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes of ten iterations, the first `slow` of them a fifth slower, all with some deterministic jitter.
    fn processes(count: usize, slow: usize) -> Vec<Vec<f64>> {
        let sample = |process: usize, iteration: usize| {
            let jitter = ((process * 7 + iteration * 13) % 11) as f64;
            if iteration < slow { 120.0 + jitter } else { 100.0 + jitter }
        };
        (0..count).map(|process| (0..10).map(|iteration| sample(process, iteration)).collect()).collect()
    }

    #[test]
    fn slow_beginnings_are_recognised_and_even_ones_left_alone() {
        assert_eq!(warm_up(&processes(10, 0)), 0);
        assert_eq!(warm_up(&processes(10, 1)), 1);
        assert_eq!(warm_up(&processes(10, 3)), 3);
        assert_eq!(warm_up(&processes(7, 3)), 0, "too few processes to tell");
        assert_eq!(warm_up(&processes(10, 10)), 0, "slow throughout is not warming up");
        assert_eq!(warm_up(&[]), 0);
    }

    #[test]
    fn one_slow_process_is_no_warm_up() {
        let mut samples = processes(10, 0);
        samples[3][0] = 10_000.0;
        assert_eq!(warm_up(&samples), 0);
    }

    #[test]
    fn the_sign_test_by_hand() {
        assert!((sign_test(10, 10) - 2.0 / 1024.0).abs() < 1e-12);
        assert!((sign_test(9, 10) - 22.0 / 1024.0).abs() < 1e-12);
        assert_eq!(sign_test(5, 10), 1.0);
    }
}
