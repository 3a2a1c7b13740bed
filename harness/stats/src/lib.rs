//! Samples to summaries and verdicts. Knows nothing of processes, clocks or cases: only of numbers grouped into
//! independent units.
//!
//! A *unit* is one worker process. Iterations inside a process share its address-space layout, its heap and the mood
//! of the machine, so they are not independent; treating them as if they were makes intervals far too narrow.
//!
//! Written here because no crate has estimates for units of this kind, verdicts over families, or steps in series; distributions are statrs's.

mod estimate;
mod split;
mod steps;
mod verdict;
mod warm_up;

pub use estimate::{Estimate, UNITS_MIN, log_ratio, shift, typical_log};
pub use split::SEGMENT_MIN;
pub use steps::{Step, steps};
pub use verdict::{FALSE_ALARMS, LOOKS, family};
pub use warm_up::warm_up;
pub use wasiscope_model::figures::{Summary, Verdict, total};

/// The share of repetitions in which [`Summary::ci_low`]..=[`Summary::ci_high`] covers the true median, at least.
pub const CONFIDENCE: f64 = 0.99;

/// Summarises samples grouped by process; `None` when there are none.
#[must_use]
pub fn summarise(samples: &[Vec<f64>]) -> Option<Summary> {
    let mut pooled: Vec<f64> = samples.iter().flatten().copied().collect();
    pooled.sort_by(f64::total_cmp);
    let (&min, &max) = (pooled.first()?, pooled.last()?);
    let mut medians: Vec<f64> = samples.iter().filter_map(|process| median(process)).collect();
    medians.sort_by(f64::total_cmp);
    let centre = quantile_of_sorted(&pooled, 0.5)?;
    let deviations: Vec<f64> = pooled.iter().map(|sample| (sample - centre).abs()).collect();
    let interval = median_interval_of_sorted(&medians, CONFIDENCE);
    Some(Summary {
        n: pooled.len(),
        processes: medians.len(),
        median: quantile_of_sorted(&medians, 0.5)?,
        ci_low: interval.map(|(low, _)| low),
        ci_high: interval.map(|(_, high)| high),
        min,
        max,
        mad: median(&deviations)?,
        p95: quantile_of_sorted(&pooled, 0.95)?,
    })
}

/// The median of unsorted values; `None` when there are none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, 0.5)
}

/// Several quantiles of unsorted values; `None` when there are no values.
#[must_use]
pub fn quantiles<const N: usize>(values: &[f64], shares: [f64; N]) -> Option<[f64; N]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    if sorted.is_empty() {
        return None;
    }
    Some(shares.map(|share| quantile_of_sorted(&sorted, share).unwrap_or(f64::NAN)))
}

/// Quantile by linear interpolation between the closest ranks (R's type 7).
fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= q <= 1, so 0 <= position <= last"
    )]
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    let fraction = position - below as f64;
    Some(sorted[below] + (sorted[above] - sorted[below]) * fraction)
}

/// The narrowest symmetric pair of order statistics that covers the median with at least `confidence`.
///
/// Free of any assumption on the distribution: the number of units below the true median is binomial(n, 1/2). Eight
/// units are the fewest for 99 % (coverage 1 - 2/2^8 = 99.2 %); with fewer there is no such interval and this is `None`.
fn median_interval_of_sorted(sorted: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let n = sorted.len();
    let tail_allowed = (1.0 - confidence) / 2.0;
    // Chance that at most `k` of n fair coins show heads, added up term by term.
    let mut term = 0.5_f64.powi(i32::try_from(n).ok()?);
    let mut tail = term;
    let mut rank = None;
    for k in 0..n / 2 {
        if tail > tail_allowed {
            break;
        }
        rank = Some(k);
        term *= (n - k) as f64 / (k + 1) as f64;
        tail += term;
    }
    rank.map(|k| (sorted[k], sorted[n - 1 - k]))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_summary_worked_by_hand() {
        let summary = summarise(&[vec![1.0, 2.0, 9.0], vec![4.0, 4.0], vec![]]).expect("there are samples");
        assert_eq!(summary.n, 5);
        assert_eq!(summary.processes, 2);
        assert_eq!(summary.median, 3.0, "median of the process medians 2 and 4");
        assert_eq!((summary.min, summary.max), (1.0, 9.0));
        assert_eq!(summary.mad, 2.0, "deviations from 4: 3 2 0 0 5");
        assert!((summary.p95 - 8.0).abs() < 1e-9, "between 4 and 9 at rank 3.8: {}", summary.p95);
        assert_eq!((summary.ci_low, summary.ci_high), (None, None), "two processes carry no 99 % interval");
    }

    #[test]
    fn nothing_measured_is_nothing_said() {
        assert_eq!(summarise(&[]), None);
        assert_eq!(summarise(&[vec![], vec![]]), None);
    }

    #[test]
    fn the_interval_needs_eight_processes() {
        let units = |n: u32| (1..=n).map(|i| vec![f64::from(i)]).collect::<Vec<_>>();
        let ends = |n| summarise(&units(n)).map(|s| (s.ci_low, s.ci_high)).expect("there are samples");
        assert_eq!(ends(7), (None, None));
        assert_eq!(ends(8), (Some(1.0), Some(8.0)));
        assert_eq!(ends(10), (Some(1.0), Some(10.0)), "second and ninth would cover 97.9 % only");
        assert_eq!(ends(20), (Some(4.0), Some(17.0)), "ranks 4 and 17 of 20: 99.7 %; 5 and 16 only 98.8 %");
    }

    #[test]
    fn the_interval_covers_the_median_as_often_as_it_says() {
        // Exponential units: skewed, with a known median of ln 2.
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let trials = 4_000;
        let mut covered = 0;
        for _ in 0..trials {
            let units: Vec<Vec<f64>> = (0..10).map(|_| vec![exponential(&mut random)]).collect();
            let summary = summarise(&units).expect("there are samples");
            let (low, high) = (summary.ci_low.expect("ten units"), summary.ci_high.expect("ten units"));
            covered += usize::from(low <= 2f64.ln() && 2f64.ln() <= high);
        }
        // True coverage 99.8 %, so 4,000 trials give 99.0 % or less with a chance far below 10^-9.
        assert!(covered as f64 / f64::from(trials) >= 0.99, "{covered} of {trials}");
    }

    fn exponential(random: &mut impl Rng) -> f64 {
        -(1.0 - random.random::<f64>()).ln()
    }
}
