//! Where the level of a series shifts: the steps of one metric over commits.
//!
//! Divergence and bisection are those of E-Divisive (Matteson and James 2014, *A Nonparametric Approach for Multiple Change
//! Point Analysis of Multivariate Data*), with distances as they are (alpha = 1). Three things differ, each for a reason:
//!
//! * **A step answers to its neighbours.** Bisection goes on to the shortest segments, and then the weakest step is dropped
//!   for as long as one is there that could be chance, each held against the two segments beside it alone. Tested from the
//!   top, as in the paper, a slowdown that was mended later hides itself: the first cut leaves one of its edges in the rest.
//! * **Noise that resembles its neighbours** looks like steps to a permutation of the values, which takes them for
//!   independent. Here the innovations of an autoregression are permuted and played back (a sieve bootstrap), and the
//!   statistic is the ratio of the dispersion between the two sides to that within (F of DISCO, Rizzo and Székely 2010), so
//!   that it does not matter how large the noise is. Short series cannot tell their own correlation: it is drawn towards 0.5.
//! * **A lone spike** is pulled in to its neighbours first.
//!
//! What that gives, by `cargo test -p wasiscope --lib stats::steps -- --ignored --nocapture` (normal noise, 1,000 to 4,000 series
//! each, no tolerance): FIGURES

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{FALSE_ALARMS, median};

/// Points on either side of a step, at least. With two, a spike and whatever lies beside it would be a level; with four, ten
/// commits could not have a step at their fourth.
pub const SEGMENT_MIN: usize = 3;

/// Replayed series for the widest test are one less than this over its level: 199, as in the paper.
const ALLOWED: f64 = 2.0;
/// A value is pulled in when it lies further than so many median differences outside of the two values on either side of it.
const SPIKE: f64 = 2.0;
/// So many steps in a row between the same two levels are an alternation: a level left and come back to once may be a slowdown
/// that was mended, twice is how this metric is.
const ALTERNATION_MIN: usize = 4;
/// What is assumed of the correlation of neighbours before anything has been seen, between independent values and the 0.75
/// of successive processes on shared machines.
const CORRELATION_ASSUMED: f64 = 0.5;
/// The weight of that, in points.
const ASSUMED_POINTS: f64 = 10.0;
/// Above this, noise is as good as a random walk, whose steps nobody could tell.
const CORRELATION_MAX: f64 = 0.9;
/// Any fixed number: the same series has the same steps.
const SEED: u64 = 1;

/// A lasting shift of the level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Index of the first value of the new level.
    pub at: usize,
    /// Median of the values from the step before, or the beginning, up to this one.
    pub before: f64,
    /// Median of the values from this step up to the next, or the end.
    pub after: f64,
    /// The chance of such a shift, or a larger one, somewhere in a series of this length that has none; at most [`FALSE_ALARMS`].
    pub p: f64,
}

/// The steps of a series, in its order; each is a shift of more than `tolerance` (relative: 0.03 for 3 %) of the level before.
///
/// The values must be finite. The time is that of some hundred passes over the distances between all values.
#[must_use]
pub fn steps(values: &[f64], tolerance: f64) -> Vec<Step> {
    debug_assert!(values.iter().all(|value| value.is_finite()), "a series has no gaps");
    let mut segments = Segments::finest(values);
    loop {
        segments.settle();
        match segments.judge(tolerance) {
            Ok(steps) => match alternation(&steps) {
                Some(range) => drop(segments.bounds.drain(range.start + 1..range.end + 1)),
                None => return steps,
            },
            Err(weakest) => drop(segments.bounds.remove(weakest)),
        }
    }
}

/// The first stretch of steps that only go back and forth between two levels, as indices; `None` where there is none.
fn alternation(steps: &[Step]) -> Option<Range<usize>> {
    let back_and_forth = |from: &usize| {
        let four = &steps[*from..*from + ALTERNATION_MIN];
        let one: Vec<f64> =
            std::iter::once(four[0].before).chain(four.iter().skip(1).step_by(2).map(|s| s.after)).collect();
        let other: Vec<f64> = four.iter().step_by(2).map(|step| step.after).collect();
        let spread = |levels: &[f64]| {
            let (low, high) =
                levels.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
            high - low
        };
        let least = four.iter().map(|step| (step.after - step.before).abs()).fold(f64::INFINITY, f64::min);
        spread(&one).max(spread(&other)) < least / 2.0
    };
    let candidates = 0..(steps.len() + 1).saturating_sub(ALTERNATION_MIN);
    let first = candidates.clone().find(back_and_forth)?;
    let last = (first..candidates.end).take_while(back_and_forth).last()?;
    Some(first..last + ALTERNATION_MIN)
}

/// A series cut into segments.
struct Segments<'a> {
    values: &'a [f64],
    /// The same without lone spikes.
    calm: Vec<f64>,
    /// 0, where each further segment begins, and the length.
    bounds: Vec<usize>,
}

impl<'a> Segments<'a> {
    /// Cut as often as [`SEGMENT_MIN`] allows.
    fn finest(values: &'a [f64]) -> Self {
        let calm = without_spikes(values);
        let mut bounds = vec![0];
        bisect(&calm, 0, &mut bounds);
        bounds.push(values.len());
        Self { values, calm, bounds }
    }

    /// Moves every cut to the best place between its neighbours, until none moves.
    fn settle(&mut self) {
        // Each move makes the whole less dispersed, so this ends; the bound is for sums that differ in their last bits only.
        for _ in 0..self.values.len() {
            let mut moved = false;
            for index in 1..self.bounds.len().saturating_sub(1) {
                let (from, to) = (self.bounds[index - 1], self.bounds[index + 1]);
                if let Some(split) = Split::best(&self.calm[from..to]) {
                    moved |= self.bounds[index] != from + split.at;
                    self.bounds[index] = from + split.at;
                }
            }
            if !moved {
                break;
            }
        }
    }

    /// The steps, if all are; else which of the bounds is not, the weakest first.
    fn judge(&self, tolerance: f64) -> Result<Vec<Step>, usize> {
        let correlation = self.correlation();
        let inner = 1..self.bounds.len().saturating_sub(1);
        let mut splits: Vec<(usize, Split)> = Vec::new();
        for index in inner {
            let (from, to) = (self.bounds[index - 1], self.bounds[index + 1]);
            splits.push((index, Split::best(&self.calm[from..to]).ok_or(index)?));
        }
        splits.sort_by(|(_, left), (_, right)| left.gain.total_cmp(&right.gain));
        let mut steps = Vec::with_capacity(splits.len());
        for (index, split) in splits {
            let step = self.step(index, &split, correlation).ok_or(index)?;
            if (step.after - step.before).abs() <= tolerance * step.before.abs() {
                return Err(index);
            }
            steps.push(step);
        }
        steps.sort_by_key(|step| step.at);
        Ok(steps)
    }

    /// The step at one of the bounds; `None` where it could be chance.
    fn step(&self, index: usize, split: &Split, correlation: f64) -> Option<Step> {
        let (from, at, to) = (self.bounds[index - 1], self.bounds[index], self.bounds[index + 1]);
        // As many places as this stretch has in the series were looked at: each gets its share of the false alarms.
        let share = (to - from) as f64 / self.values.len() as f64;
        let noise = self.residuals(self.values, &[from, at, to]);
        let p = chance(&noise, correlation, split.ratio, FALSE_ALARMS * share)? / share;
        let (before, after) = (median(&self.values[from..at])?, median(&self.values[at..to])?);
        (before != after).then_some(Step { at, before, after, p })
    }

    /// Distances of values from the means of their segments.
    fn residuals(&self, values: &[f64], bounds: &[usize]) -> Vec<f64> {
        let of_segment = |ends: &[usize]| {
            let calm = &self.calm[ends[0]..ends[1]];
            let mean = calm.iter().sum::<f64>() / calm.len() as f64;
            values[ends[0]..ends[1]].iter().map(move |value| value - mean).collect::<Vec<f64>>()
        };
        bounds.windows(2).flat_map(of_segment).collect()
    }

    /// How much neighbours resemble each other beyond their level: lag-1 correlation.
    fn correlation(&self) -> f64 {
        let residuals = self.residuals(&self.calm, &self.bounds);
        let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let products: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let seen = if squares > 0.0 { products / squares } else { 0.0 };
        let points = residuals.len() as f64;
        // Each mean that was taken off has hidden (1 + 3 r) / n of it (Marriott and Pope 1954).
        let segments = (self.bounds.len() - 1) as f64;
        let unbiased = (seen + (1.0 + 3.0 * seen) * segments / points).clamp(0.0, CORRELATION_MAX);
        (unbiased * points + CORRELATION_ASSUMED * ASSUMED_POINTS) / (points + ASSUMED_POINTS)
    }
}

/// Adds where the second half of each part begins, from the left.
fn bisect(values: &[f64], offset: usize, bounds: &mut Vec<usize>) {
    let Some(split) = Split::best(values) else { return };
    bisect(&values[..split.at], offset, bounds);
    bounds.push(offset + split.at);
    bisect(&values[split.at..], offset + split.at, bounds);
}

/// The chance that noise like this, played back in another order, has a split of at least this ratio; `None` above `level`.
fn chance(noise: &[f64], correlation: f64, ratio: f64, level: f64) -> Option<f64> {
    let stationary = (1.0 - correlation * correlation).sqrt();
    let mut innovations: Vec<f64> = noise.windows(2).map(|pair| pair[1] - correlation * pair[0]).collect();
    innovations.extend(noise.first().map(|first| first * stationary));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut as_large = 1.0;
    let mut played = 1.0;
    while played < ALLOWED / level {
        innovations.shuffle(&mut random);
        let mut last = innovations[0] / stationary;
        let following = innovations[1..].iter().map(|innovation| {
            last = correlation * last + innovation;
            last
        });
        let series: Vec<f64> = std::iter::once(innovations[0] / stationary).chain(following).collect();
        played += 1.0;
        if Split::best(&without_spikes(&series)).map_or(0.0, |split| split.ratio) >= ratio {
            as_large += 1.0;
            // Already too often for any number of further ones: most chance ends here, after a few.
            if as_large > ALLOWED {
                return None;
            }
        }
    }
    Some(as_large / played)
}

/// Pulls in what stands out of its four nearest neighbours, or of all but one of them: two that agree are no level yet.
fn without_spikes(values: &[f64]) -> Vec<f64> {
    const AROUND: usize = 5;
    if values.len() < AROUND {
        return values.to_vec();
    }
    let differences: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let room = median(&differences).map_or(0.0, |difference| SPIKE * difference);
    let pulled_in = |index: usize| {
        let from = index.saturating_sub(AROUND / 2).min(values.len() - AROUND);
        let others = (from..from + AROUND).filter(|other| *other != index);
        let mut others: Vec<f64> = others.map(|other| values[other]).collect();
        others.sort_by(f64::total_cmp);
        values[index].clamp(others[1] - room, others[2] + room)
    };
    (0..values.len()).map(pulled_in).collect()
}

/// Where a stretch falls into two parts.
#[derive(Clone, Copy, Debug)]
struct Split {
    /// Index of the first value of the second part.
    at: usize,
    /// Dispersion between the parts: half of E-Divisive's divergence, scaled by their sizes.
    gain: f64,
    /// The same over the mean dispersion within them.
    ratio: f64,
}

impl Split {
    /// The split of the largest gain; `None` where values are too few or all the same.
    fn best(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n < 2 * SEGMENT_MIN {
            return None;
        }
        // Sums of distances: of each value to all others, and among the first so many.
        let mut to_all = vec![0.0; n];
        let mut among_first = vec![0.0; n + 1];
        for (index, value) in values.iter().enumerate() {
            let mut to_earlier = 0.0;
            for (earlier, sum) in values[..index].iter().zip(&mut to_all) {
                let distance = (value - earlier).abs();
                to_earlier += distance;
                *sum += distance;
            }
            to_all[index] = to_earlier;
            among_first[index + 1] = among_first[index] + to_earlier;
        }
        let total = among_first[n];
        let (mut at, mut within) = (0, f64::INFINITY);
        let mut from_first = to_all[..SEGMENT_MIN - 1].iter().sum::<f64>();
        for split in SEGMENT_MIN..=n - SEGMENT_MIN {
            from_first += to_all[split - 1];
            let left = among_first[split];
            // What leaves the first so many counts twice when both ends are among them.
            let right = total - (from_first - left);
            let dispersion = left / split as f64 + right / (n - split) as f64;
            if dispersion < within {
                (at, within) = (split, dispersion);
            }
        }
        let all = total / n as f64;
        let nothing = 1e-12 * all;
        let gain = all - within;
        let ratio = if within > nothing { gain * (n - 2) as f64 / within } else { f64::INFINITY };
        (gain > nothing).then_some(Self { at, gain, ratio })
    }
}
