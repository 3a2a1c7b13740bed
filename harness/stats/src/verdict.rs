//! What may be concluded: verdicts, families of them, and repeated looks at growing data.

use wasiscope_model::figures::Verdict;

use crate::Estimate;

/// The chance that a whole comparison says "regressed" or "improved" of a single row where nothing has changed, at most.
pub const FALSE_ALARMS: f64 = 0.01;

/// After how many processes a comparison looks whether it is settled. Looking often and stopping at the first success
/// would raise false alarms, so [`FALSE_ALARMS`] is divided among the looks.
pub const LOOKS: [u32; 4] = [10, 20, 40, 80];

/// The verdicts of a family of estimates (`None`: nothing can be said), each against its own tolerance, at a look that
/// is one of `looks`. A change must survive Holm's correction over the family; where it does not, the verdict is
/// inconclusive.
#[must_use]
pub fn family(members: &[Option<(Estimate, f64)>], looks: usize) -> Vec<Verdict> {
    let looks = looks.max(1) as f64;
    let confidence = 1.0 - FALSE_ALARMS / looks;
    let p_values: Vec<f64> = members
        .iter()
        .map(|member| member.map_or(1.0, |(estimate, tolerance)| estimate.p_within((1.0 + tolerance).ln()) * looks))
        .collect();
    let significant = holm(&p_values, FALSE_ALARMS);
    let verdict = |(member, significant): (&Option<(Estimate, f64)>, bool)| {
        let Some((estimate, tolerance)) = member else { return Verdict::Inconclusive };
        match Verdict::of(estimate.interval(confidence), *tolerance) {
            change if change.is_change() && !significant => Verdict::Inconclusive,
            verdict => verdict,
        }
    };
    members.iter().zip(significant).map(verdict).collect()
}

/// Which hypotheses Holm's step-down procedure rejects at level `alpha`.
fn holm(p_values: &[f64], alpha: f64) -> Vec<bool> {
    let mut by_size: Vec<usize> = (0..p_values.len()).collect();
    by_size.sort_by(|left, right| p_values[*left].total_cmp(&p_values[*right]));
    let mut rejected = vec![false; p_values.len()];
    for (rank, index) in by_size.iter().enumerate() {
        if p_values[*index] > alpha / (p_values.len() - rank) as f64 {
            break;
        }
        rejected[*index] = true;
    }
    rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_the_interval_and_the_tolerance() {
        let of = |low: f64, high: f64| Verdict::of((low.ln(), high.ln()), 0.03);
        assert_eq!(of(1.031, 1.2), Verdict::Regressed);
        assert_eq!(of(1.02, 1.2), Verdict::Inconclusive);
        assert_eq!(of(0.98, 1.02), Verdict::Unchanged);
        assert_eq!(of(0.96, 1.04), Verdict::Inconclusive);
        assert_eq!(of(0.9, 0.96), Verdict::Improved);
        assert_eq!(of(0.0, f64::INFINITY), Verdict::Inconclusive);
    }

    #[test]
    fn holm_as_in_the_textbook() {
        // At 5 % over four: 0.005 <= 0.05/4 and 0.01 <= 0.05/3, but 0.03 > 0.05/2, which ends it for 0.04 as well.
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005], 0.05), [true, false, false, true]);
        assert!(holm(&[], 0.05).is_empty());
    }

    #[test]
    fn one_of_many_must_be_surer_than_one_alone() {
        // p = 0.005: enough for one, not for the best of three.
        let estimate = Estimate { units: 10, centre: 0.05, standard_error: 0.05 / 3.689_7, freedom: 9.0, drift: 0.0 };
        let nothing = Estimate { units: 10, centre: 0.0, standard_error: 0.1, freedom: 9.0, drift: 0.0 };
        let (member, other) = (Some((estimate, 0.0)), Some((nothing, 0.0)));
        assert!((estimate.p_within(0.0) - 0.005).abs() < 1e-5);
        assert_eq!(family(&[member], 1), [Verdict::Regressed]);
        assert_eq!(family(&[member, other, other], 1)[0], Verdict::Inconclusive);
        assert_eq!(family(&[member], 4), [Verdict::Inconclusive], "nor for one of four looks");
        assert_eq!(family(&[None], 1), [Verdict::Inconclusive]);
    }
}
