//! Log-ratios of independent units to an interval of their centre.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::median;

/// Below this many units nothing is concluded from them.
pub const UNITS_MIN: usize = 8;

/// From this many units on, the trimmed mean takes over from the plain one, which a single far unit makes blind: on real
/// samples of identical code made 1 % slower, 80 units find it in 41 % of trials by the plain mean and in 53 % trimmed.
const TRIMMED_FROM: usize = 20;

/// Share of the units cut off at either end. With 20 %, as in Yuen's test, the interval is too narrow for small samples
/// of normal units (1.3 % missed of 1 % at twenty); with 10 % it is right, and finds as much.
const TRIM: f64 = 0.1;

/// Where the centre of a population lies, judged by a sample of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Number of units.
    pub units: usize,
    /// The estimate itself.
    pub centre: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Degrees of freedom of that error.
    pub freedom: f64,
    /// A systematic error that more units would not make smaller: it widens every interval as it is.
    pub drift: f64,
}

impl Estimate {
    /// From independent units; `None` when there are fewer than [`UNITS_MIN`] or one of them is no number.
    #[must_use]
    pub fn of(units: &[f64]) -> Option<Self> {
        if units.len() < UNITS_MIN || units.iter().any(|unit| !unit.is_finite()) {
            return None;
        }
        Some(if units.len() < TRIMMED_FROM { Self::plain(units) } else { Self::trimmed(units) })
    }

    /// Mean, with Student's error.
    fn plain(units: &[f64]) -> Self {
        let n = units.len() as f64;
        let (mean, variance) = mean_and_variance(units);
        Self { units: units.len(), centre: mean, standard_error: (variance / n).sqrt(), freedom: n - 1.0, drift: 0.0 }
    }

    /// Mean of the middle 80 %, with the error of Tukey and McLaughlin: that of the sample whose ends were pulled in to
    /// the last values kept.
    fn trimmed(units: &[f64]) -> Self {
        let n = units.len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let cut = (TRIM * n as f64) as usize;
        let mut sorted = units.to_vec();
        sorted.sort_by(f64::total_cmp);
        let kept = n - 2 * cut;
        let (centre, _) = mean_and_variance(&sorted[cut..n - cut]);
        let (low, high) = (sorted[cut], sorted[n - cut - 1]);
        let pulled_in: Vec<f64> = sorted.iter().map(|unit| unit.clamp(low, high)).collect();
        let (_, variance) = mean_and_variance(&pulled_in);
        let standard_error = variance.sqrt() / (kept as f64 / n as f64 * (n as f64).sqrt());
        Self { units: n, centre, standard_error, freedom: kept as f64 - 1.0, drift: 0.0 }
    }

    /// The interval that covers the true centre with this confidence.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let reach = self.quantile(0.5 + confidence / 2.0) * self.standard_error + self.drift;
        (self.centre - reach, self.centre + reach)
    }

    /// Two-sided p-value of "the true centre lies within `tolerance` of zero". Units that are all equal are certain.
    #[must_use]
    pub fn p_within(&self, tolerance: f64) -> f64 {
        let distance = self.centre.abs() - tolerance - self.drift;
        if distance <= 0.0 {
            return 1.0;
        }
        if self.standard_error <= 0.0 {
            return 0.0;
        }
        let tail = self.student().map_or(0.5, |student| student.sf(distance / self.standard_error));
        (2.0 * tail).min(1.0)
    }

    /// The shift of a case between two runs, judged by that of a reference case which has not changed: what the
    /// reference did is taken off, and because another case may have drifted otherwise, its size is added to the
    /// interval.
    #[must_use]
    pub fn relative_to(&self, reference: &Self) -> Self {
        Self {
            units: self.units,
            centre: self.centre - reference.centre,
            standard_error: self.standard_error.hypot(reference.standard_error),
            freedom: self.freedom.min(reference.freedom),
            drift: self.drift + reference.centre.abs(),
        }
    }

    fn quantile(&self, probability: f64) -> f64 {
        self.student().map_or(f64::INFINITY, |student| student.inverse_cdf(probability))
    }

    fn student(&self) -> Option<StudentsT> {
        // `None` for no freedom at all, of which nothing follows.
        StudentsT::new(0.0, 1.0, self.freedom).ok()
    }
}

/// Mean and sample variance; the variance of one value is 0.
pub(super) fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (n - 1.0).max(1.0))
}

/// One unit of a paired comparison: the log of new over base in one worker, from what is [`typical_log`] of each side.
///
/// `None` when a side is missing or some sample is 0, of which there is no ratio.
#[must_use]
pub fn log_ratio(base: &[f64], new: &[f64]) -> Option<f64> {
    if base.len() != new.len() {
        return None;
    }
    Some(typical_log(new)? - typical_log(base)?)
}

/// The mean of the logs of the faster half of one worker's samples; `None` when there are none or one is not positive.
///
/// Whatever else the machine does makes a pass slower and never faster, so the faster half says more of the code: on the
/// real samples it finds as much as the mean of all, or more, and on a busy machine, where a quarter of the passes
/// is interrupted, it still does.
#[must_use]
pub fn typical_log(samples: &[f64]) -> Option<f64> {
    if samples.is_empty() || samples.iter().any(|sample| !(sample.is_finite() && *sample > 0.0)) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let faster = &sorted[..sorted.len().div_ceil(2)];
    Some(faster.iter().map(|sample| sample.ln()).sum::<f64>() / faster.len() as f64)
}

/// Estimate of the shift from one block of units to a later one, as log of new over base.
///
/// Neighbouring workers resemble each other (lag-1 correlation 0.75 on two shared cores, MEASURING.md), so a block holds less
/// than its number of units says: the error of each block is widened by its own serial correlation.
#[must_use]
pub fn shift(base: &[f64], new: &[f64]) -> Option<Estimate> {
    let usable = |block: &[f64]| block.len() >= UNITS_MIN && block.iter().all(|unit| unit.is_finite() && *unit > 0.0);
    if !usable(base) || !usable(new) {
        return None;
    }
    let logs = |block: &[f64]| block.iter().map(|unit| unit.ln()).collect::<Vec<f64>>();
    let (base, new) = (logs(base), logs(new));
    let error = |block: &[f64]| {
        let (_, variance) = mean_and_variance(block);
        variance / (block.len() as f64 / inflation(block))
    };
    let (base_error, new_error) = (error(&base), error(&new));
    Some(Estimate {
        units: base.len() + new.len(),
        centre: median(&new)? - median(&base)?,
        standard_error: (base_error + new_error).sqrt(),
        freedom: (base.len().min(new.len()) - 1) as f64,
        drift: 0.0,
    })
}

/// By how much serial correlation inflates the variance of a mean: (1 + r) / (1 - r), at least 1, at most 9.
fn inflation(units: &[f64]) -> f64 {
    let (mean, variance) = mean_and_variance(units);
    if variance <= 0.0 {
        return 1.0;
    }
    let products: f64 = units.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let lag_one = (products / (units.len() as f64 - 1.0) / variance).clamp(0.0, 0.8);
    (1.0 + lag_one) / (1.0 - lag_one)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{Verdict, family};

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 5e-6
    }

    /// The example that MEASURING.md works through.
    #[test]
    fn the_worked_example() {
        let ratios = [1.021, 1.018, 1.025, 1.019, 1.022, 1.030, 1.017, 1.020, 1.023, 1.016_f64];
        let units: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
        let estimate = Estimate::of(&units).expect("ten units");
        assert!(close(estimate.centre, 0.020_873), "{estimate:?}");
        assert!(close(estimate.standard_error, 0.001_291), "{estimate:?}");
        let (low, high) = estimate.interval(0.99);
        assert!(close(low.exp(), 1.016_817) && close(high.exp(), 1.025_385), "{low} {high}");
        assert!(estimate.p_within(1.005_f64.ln()) < 1e-6, "12.3 standard errors");
        assert_eq!(family(&[Some((estimate, 0.005))], 1), [Verdict::Regressed]);
        assert_eq!(family(&[Some((estimate, 0.02))], 1), [Verdict::Inconclusive], "the interval reaches over 2 %");
        assert_eq!(family(&[Some((estimate, 0.03))], 1), [Verdict::Unchanged]);
    }

    #[test]
    fn closed_forms() {
        let count_to = |n: u32| (1..=n).map(f64::from).collect::<Vec<f64>>();
        let ten = Estimate::of(&count_to(10)).expect("ten units");
        let (low, high) = ten.interval(0.99);
        assert!(close(ten.centre, 5.5) && close(high - 5.5, 3.111_481) && close(5.5 - low, 3.111_481), "{low} {high}");
        // 1 to 20 with two cut off at either end: mean 10.5; pulled in to 3 and 18, the deviation is 5.453150.
        let twenty = Estimate::of(&count_to(20)).expect("twenty units");
        assert!(close(twenty.centre, 10.5) && close(twenty.standard_error, 1.524_202), "{twenty:?}");
        assert_eq!(twenty.freedom, 15.0);
        let equal = Estimate::of(&[0.25; 9]).expect("nine units");
        assert_eq!(equal.interval(0.99), (0.25, 0.25));
        assert_eq!((equal.p_within(0.2), equal.p_within(0.3)), (0.0, 1.0));
    }

    #[test]
    fn too_little_or_no_number_is_no_estimate() {
        assert_eq!(Estimate::of(&[0.0; 7]), None);
        assert_eq!(Estimate::of(&[0.0, 0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0, 0.0]), None);
        assert_eq!(log_ratio(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(log_ratio(&[1.0], &[0.0]), None);
        assert_eq!(shift(&[1.0; 3], &[1.0; 9]), None);
    }

    #[test]
    fn drift_cancels_over_workers_that_take_turns_to_begin() {
        // Every pass a tenth of a percent slower than the one before, A B B A, B A A B, A B B A, and the other way round.
        let pass = |index: usize| 100.0 * 1.001_f64.powf(index as f64);
        let outer: Vec<f64> = [0, 3, 5, 6, 8, 11].map(pass).to_vec();
        let inner: Vec<f64> = [1, 2, 4, 7, 9, 10].map(pass).to_vec();
        let (one, other) = (log_ratio(&outer, &inner), log_ratio(&inner, &outer));
        let (one, other) = (one.expect("two sides"), other.expect("two sides"));
        assert!(one.abs() < 0.001 && (one + other).abs() < 1e-12, "{one} {other}");
    }

    #[test]
    fn passes_that_were_interrupted_do_not_count() {
        let calm = [100.0, 101.0, 102.0, 103.0, 104.0, 105.0];
        let mut busy = calm;
        busy[3] = 300.0;
        busy[5] = 900.0;
        assert_eq!(log_ratio(&calm, &busy), Some(0.0));
    }

    fn normal(random: &mut impl Rng) -> f64 {
        let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Share of samples of `n` units whose 99 % interval misses the true centre, 0.
    fn misses(n: usize, mut unit: impl FnMut(&mut ChaCha8Rng) -> f64) -> f64 {
        const TRIALS: usize = 10_000;
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let missed = |_| {
            let units: Vec<f64> = (0..n).map(|_| unit(&mut random)).collect();
            let (low, high) = Estimate::of(&units).expect("enough units").interval(0.99);
            usize::from(!(low..=high).contains(&0.0))
        };
        (0..TRIALS).map(missed).sum::<usize>() as f64 / TRIALS as f64
    }

    #[test]
    fn the_interval_misses_no_more_often_than_it_says() {
        for n in [10, 20, 40, 80] {
            // 1.3 % is three standard deviations of 10,000 trials above 1 %.
            let normal_units = misses(n, normal);
            assert!(normal_units < 0.013, "normal, n = {n}: {normal_units}");
            // Student's t with two degrees of freedom has no variance.
            let heavy = misses(n, |random| {
                let z = normal(random);
                let chi = normal(random).powi(2) + normal(random).powi(2);
                z / (chi / 2.0).sqrt()
            });
            assert!(heavy < 0.013, "heavy tail, n = {n}: {heavy}");
            let outliers = misses(n, |random| {
                let far = if random.random::<f64>() < 0.05 { 50.0 } else { 1.0 };
                far * normal(random)
            });
            assert!(outliers < 0.013, "one process in twenty far off, n = {n}: {outliers}");
            // Ten units now and then fall on one side nearly all together: no method for a centre can know.
            let modes = misses(n, |random| if random.random() { 1.0 } else { -1.0 } + 0.1 * normal(random));
            let bound = if n == 10 { 0.025 } else { 0.015 };
            assert!(modes < bound, "two modes, n = {n}: {modes}");
        }
    }

    /// Nanoseconds of ten passes each in 800 processes: one engine on two shared cores (Linux 6.18), in the order taken.
    fn real_noise(text: &str) -> Vec<Vec<f64>> {
        let row = |line: &str| line.split(',').skip(1).map(|field| field.parse().expect("a number")).collect();
        text.lines().skip(1).map(row).collect()
    }

    /// The verdicts of comparisons of `processes` successive processes each, whose passes 2 to 9 are taken as
    /// A B B A A B B A, with B made slower.
    fn verdicts_on(noise: &[Vec<f64>], processes: usize, slowdown: f64, tolerance: f64) -> Vec<Verdict> {
        let unit = |passes: &Vec<f64>| {
            let base = [passes[2], passes[5], passes[6], passes[9]];
            let new = [passes[3], passes[4], passes[7], passes[8]].map(|ns| ns * (1.0 + slowdown));
            log_ratio(&base, &new).expect("both sides")
        };
        let verdict = |group: &[Vec<f64>]| {
            let units: Vec<f64> = group.iter().map(unit).collect();
            family(&[Estimate::of(&units).map(|estimate| (estimate, tolerance))], 1)[0]
        };
        noise.chunks_exact(processes).map(verdict).collect()
    }

    #[test]
    fn real_noise_raises_no_alarm_and_hides_no_slowdown() {
        let share = |verdicts: &[Verdict], wanted: fn(&Verdict) -> bool| {
            verdicts.iter().filter(|verdict| wanted(verdict)).count() as f64 / verdicts.len() as f64
        };
        let run = real_noise(include_str!("../../tests/data/noise/12ms-work-execution.csv"));
        let instantiate = real_noise(include_str!("../../tests/data/noise/12ms-work-instantiation.csv"));
        for noise in [&run, &instantiate] {
            for processes in [10, 20, 40] {
                let alarms = share(&verdicts_on(noise, processes, 0.0, 0.0), |verdict| verdict.is_change());
                assert!(alarms <= 0.025, "{alarms} with {processes} processes");
            }
        }
        let found = |processes| share(&verdicts_on(&run, processes, 0.02, 0.005), |v| *v == Verdict::Regressed);
        assert!(found(40) >= 0.95, "{}", found(40));
        assert!(found(20) >= 0.6, "{}", found(20));
    }

    #[test]
    fn blocks_that_drift_are_less_sure_than_their_size_says() {
        let steady: Vec<f64> = [3, 9, 1, 7, 5, 2, 8, 4, 10, 6].iter().map(|step| 1_000.0 + f64::from(*step)).collect();
        let mut drifting = steady.clone();
        drifting.sort_by(f64::total_cmp);
        let error = |block: &[f64]| shift(block, block).expect("ten units").standard_error;
        assert!(error(&drifting) > 1.5 * error(&steady), "{} {}", error(&drifting), error(&steady));
    }

    #[test]
    fn what_the_reference_did_is_taken_off_and_added_to_the_interval() {
        let estimate = |centre: f64| Estimate { units: 20, centre, standard_error: 0.003, freedom: 9.0, drift: 0.0 };
        let relative = estimate(0.05).relative_to(&estimate(0.04));
        assert!(close(relative.centre, 0.01) && close(relative.drift, 0.04), "{relative:?}");
        let (low, high) = relative.interval(0.99);
        let reach = 3.249_836 * 0.003 * std::f64::consts::SQRT_2 + 0.04;
        assert!(close(low, 0.01 - reach) && close(high, 0.01 + reach), "{low} {high}");
    }
}
