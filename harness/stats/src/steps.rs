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
//! What that gives, in normal noise and without a tolerance (4,000 series each; the ignored test `figures` prints it):
//!
//! | correlation of neighbours | false alarms in 10 points | 20 | 50 | 100 |
//! |---|---|---|---|---|
//! | 0 | 0.8 % | 0.4 % | 0.6 % | 0.8 % |
//! | 0.5 | 3.8 % | 5.3 % | 4.2 % | 2.7 % |
//! | 0.75 | 6.9 % | 13.9 % | 10.9 % | 8.0 % |
//!
//! | ten points, a step of | at the 4th: found | exactly there | at the 6th: found | exactly there |
//! |---|---|---|---|---|
//! | 1 deviation | 1.6 % | 0.6 % | 2.9 % | 1.0 % |
//! | 2 | 7.1 % | 5.4 % | 10.8 % | 8.1 % |
//! | 3 | 22.1 % | 20.2 % | 31.2 % | 28.4 % |
//! | 5 | 65.9 % | 64.6 % | 77.8 % | 76.9 % |
//! | 10 | 98.7 % | 97.8 % | 99.6 % | 99.6 % |
//!
//! A permutation of the values themselves, at the 5 % without which it cannot find a step at the fourth of ten at all, calls 3 to
//! 6 %, 22 to 49 % and 37 to 89 % of such series (200 to 2,000 each). Correlated noise still cries wolf here, then, and a short
//! series shows large steps only; a tolerance takes away those too small to matter. Alternating levels, drifts and levels of two
//! points are no steps. 1,000 points take a tenth of a second, with twenty steps among them half of one.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::split::{Split, without_spikes};
use super::{FALSE_ALARMS, median};

/// A step counts when no more series than this have as large a split, itself among them. For the widest test that makes 199
/// series to be played, as many as in the paper.
const ALLOWED: f64 = 2.0;
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
    /// Cut as often as the shortest segments allow.
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

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt};

    use super::*;

    const NONE: [usize; 0] = [];

    fn normal(random: &mut impl Rng) -> f64 {
        let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Normal noise of deviation 1 whose neighbours correlate, about 100.
    fn noise(random: &mut impl Rng, length: usize, correlation: f64) -> Vec<f64> {
        let mut last = normal(random);
        let value = |_| {
            let value = 100.0 + last;
            last = correlation * last + (1.0 - correlation * correlation).sqrt() * normal(random);
            value
        };
        (0..length).map(value).collect()
    }

    fn raised(mut values: Vec<f64>, range: Range<usize>, by: f64) -> Vec<f64> {
        values[range].iter_mut().for_each(|value| *value += by);
        values
    }

    fn places(values: &[f64]) -> Vec<usize> {
        steps(values, 0.0).iter().map(|step| step.at).collect()
    }

    #[test]
    fn ten_commits_with_a_step_at_the_fourth_or_the_seventh() {
        let fourth = [100.0, 101.0, 99.0, 110.0, 111.0, 109.0, 110.0, 112.0, 110.0, 109.0];
        let found = steps(&fourth, 0.0);
        assert_eq!((found.len(), found[0].at, found[0].before, found[0].after), (1, 3, 100.0, 110.0));
        assert!(found[0].p <= FALSE_ALARMS, "{}", found[0].p);
        let seventh = [100.0, 101.0, 99.0, 100.0, 102.0, 99.0, 95.0, 94.0, 93.0, 94.0];
        assert_eq!(places(&seventh), [6]);
        assert!(steps(&seventh, 0.07).is_empty(), "6 % is let pass");
        assert_eq!(steps(&seventh, 0.05).len(), 1);
    }

    #[test]
    fn levels_without_any_noise() {
        assert_eq!(places(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), [3]);
        assert_eq!(places(&[2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0]), [6]);
        assert_eq!(places(&[0.1 + 0.2; 40]), NONE);
        assert_eq!(places(&[1.0, 1.0, 1.0, 1.0, 2.0, 2.0]), NONE, "two values are no level yet");
        assert_eq!(places(&[]), NONE);
        assert_eq!(places(&[1.0]), NONE);
    }

    #[test]
    fn a_slowdown_that_was_mended_is_two_steps() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mended = raised(noise(&mut random, 50, 0.0), 20..30, 8.0);
        assert_eq!(places(&mended), [20, 30]);
        let stairs: Vec<f64> = (0..60).map(|index| 10.0 * f64::from(index / 15) + normal(&mut random)).collect();
        assert_eq!(places(&stairs), [15, 30, 45]);
    }

    #[test]
    fn spikes_are_left_alone_wherever_they_are() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for length in [10, 30, 200] {
            let calm = noise(&mut random, length, 0.0);
            assert_eq!(places(&calm), NONE);
            for at in [0, 1, 2, length / 2, length - 3, length - 2, length - 1] {
                for by in [30.0, -30.0, 10_000.0] {
                    assert_eq!(places(&raised(calm.clone(), at..at + 1, by)), NONE, "{by} at {at} of {length}");
                }
            }
            for (one, other) in [(0, length - 1), (2, 5), (length - 4, length - 2)] {
                let two = raised(raised(calm.clone(), one..one + 1, 40.0), other..other + 1, 40.0);
                assert_eq!(places(&two), NONE, "at {one} and {other} of {length}");
            }
        }
        let beside_a_step = raised(raised(noise(&mut random, 30, 0.0), 12..30, 10.0), 20..21, 50.0);
        assert_eq!(places(&beside_a_step), [12]);
    }

    #[test]
    fn what_goes_back_and_forth_is_no_step() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for period in 1..=10 {
            let square = |index: usize| 10.0 * ((index / period) % 2) as f64;
            let exact: Vec<f64> = (0..60).map(square).collect();
            assert_eq!(places(&exact), NONE, "period {period}");
            let noisy: Vec<f64> = exact.iter().map(|level| level + normal(&mut random)).collect();
            assert_eq!(places(&noisy), NONE, "noisy, period {period}");
        }
        let wave: Vec<f64> = (0..60).map(|index| (f64::from(index) * std::f64::consts::TAU / 12.0).sin()).collect();
        assert_eq!(places(&wave), NONE);
        let drift: Vec<f64> = (0..60).map(f64::from).collect();
        assert_eq!(places(&drift), NONE, "a drift has no place at which it happened");
    }

    #[test]
    fn long_series_and_the_same_answer_twice() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let series = raised(noise(&mut random, 300, 0.0), 171..300, 4.0);
        assert_eq!(places(&series), [171]);
        assert_eq!(steps(&series, 0.0), steps(&series, 0.0));
    }

    #[test]
    fn noise_is_seldom_a_step() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut alarms = |length, correlation| {
            (0..200).filter(|_| !places(&noise(&mut random, length, correlation)).is_empty()).count()
        };
        // The seed is fixed, so these are no bets; the rates are in the module's table.
        assert!(alarms(10, 0.0) <= 4 && alarms(20, 0.0) <= 4);
        assert!(alarms(20, 0.5) <= 20);
    }

    /// One row of the table: how often, and at the right place.
    fn found(random: &mut ChaCha8Rng, at: usize, by: f64) -> (f64, f64) {
        const TRIALS: usize = 4_000;
        let trials: Vec<Vec<usize>> =
            (0..TRIALS).map(|_| places(&raised(noise(random, 10, 0.0), at..10, by))).collect();
        let share = |count: usize| 100.0 * count as f64 / TRIALS as f64;
        let exact = trials.iter().filter(|places| **places == [at]).count();
        (share(trials.iter().filter(|places| !places.is_empty()).count()), share(exact))
    }

    #[test]
    #[ignore = "prints the figures of MEASURING.md, which takes minutes"]
    fn figures() {
        let mut random = ChaCha8Rng::seed_from_u64(6);
        for correlation in [0.0, 0.5, 0.75] {
            let alarms = [10, 20, 50, 100].map(|length| {
                let trials = 4_000;
                let alarms = (0..trials).filter(|_| !places(&noise(&mut random, length, correlation)).is_empty());
                format!("{length} points {:.1} %", 100.0 * alarms.count() as f64 / f64::from(trials))
            });
            println!("false alarms, correlation {correlation}: {}", alarms.join(", "));
        }
        for at in [3, 5, 6] {
            for by in [1.0, 2.0, 3.0, 5.0, 10.0] {
                let (found, exact) = found(&mut random, at, by);
                println!(
                    "ten points, {by} deviations at index {at}: found {found:.1} %, of these at its place {:.1} %",
                    100.0 * exact / found
                );
            }
        }
    }
}
