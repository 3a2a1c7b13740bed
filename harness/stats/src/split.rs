//! How a stretch of values falls into two parts: E-Divisive's measure, and what keeps lone spikes out of it.

use super::median;

/// Points on either side of a step, at least. With two, a spike and whatever lies beside it would be a level; with four, ten
/// commits could not have a step at their fourth.
pub const SEGMENT_MIN: usize = 3;

/// A value may stand out by so many times the median difference of neighbours before it is pulled in.
const SPIKE: f64 = 2.0;

/// Pulls in what stands out of its four nearest neighbours, or of all but one of them: two that agree are no level yet.
pub(super) fn without_spikes(values: &[f64]) -> Vec<f64> {
    const AROUND: usize = 5;
    if values.len() < AROUND {
        return values.to_vec();
    }
    let differences: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let room = median(&differences).map_or(0.0, |difference| SPIKE * difference);
    let pulled_in = |index: usize| {
        let from = index.saturating_sub(AROUND / 2).min(values.len() - AROUND);
        let mut others = [0.0; AROUND - 1];
        let nearest = (from..from + AROUND).filter(|other| *other != index);
        others.iter_mut().zip(nearest).for_each(|(other, at)| *other = values[at]);
        others.sort_by(f64::total_cmp);
        values[index].clamp(others[1] - room, others[2] + room)
    };
    (0..values.len()).map(pulled_in).collect()
}

/// Where a stretch falls into two parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// Index of the first value of the second part.
    pub(super) at: usize,
    /// Dispersion between the parts: half of E-Divisive's divergence, scaled by their sizes.
    pub(super) gain: f64,
    /// The same over the mean dispersion within them.
    pub(super) ratio: f64,
}

impl Split {
    /// The split of the largest gain; `None` where values are too few or all the same.
    pub(super) fn best(values: &[f64]) -> Option<Self> {
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
