//! Log-ratios of independent units to an interval of their centre.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::median;

/// Below this many units nothing is concluded from them.
pub const UNITS_MIN: usize = 8;

/// From this many units on, the trimmed mean takes over from the plain one. On real samples of identical code (MEASURING
/// has the table) Student's t is right at ten units, where trimming is a little too sure of itself, and is the weaker
/// of the two from twenty on, because now and then a unit is far off.
const TRIMMED_FROM: usize = 20;

/// Share of the units cut off at either end.
const TRIM: f64 = 0.2;

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

    /// Mean of the middle 60 %, with the error of Tukey and McLaughlin: that of the sample whose ends were pulled in to
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

/// One unit of a paired comparison: the log of new over base in one worker, from its quads A B B A. The mean of logs
/// within a quad cancels drift that is linear over the quad.
///
/// `None` when a side is missing or some sample is 0, of which there is no ratio.
#[must_use]
pub fn log_ratio(base: &[f64], new: &[f64]) -> Option<f64> {
    if base.is_empty() || base.len() != new.len() || base.iter().chain(new).any(|sample| *sample <= 0.0) {
        return None;
    }
    let mean_of_logs = |samples: &[f64]| samples.iter().map(|sample| sample.ln()).sum::<f64>() / samples.len() as f64;
    Some(mean_of_logs(new) - mean_of_logs(base))
}

/// Estimate of the shift from one block of units to a later one, as log of new over base.
///
/// Neighbouring workers resemble each other (lag-1 correlation 0.75 on the machines of PLATFORM), so a block holds less
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
