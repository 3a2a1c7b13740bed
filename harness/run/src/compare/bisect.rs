//! Which of the commits between a good one and a bad one made the difference. Says which to try next, and what is known; trying is for others.

use std::collections::BTreeSet;

/// What a trial of one commit said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As the good one.
    Good,
    /// As the bad one.
    Bad,
    /// It cannot be told, or the commit cannot be built.
    Unclear,
}

impl Answer {
    /// From an interval of log(commit / good), where the bad commit is `effect` away: on which side of half the way it lies. Half the way,
    /// rather than a tolerance around the good one, so that the two answers are equally far from being wrong.
    #[must_use]
    pub fn of((low, high): (f64, f64), effect: f64) -> Self {
        let half = effect / 2.0;
        let (near, far) = if effect < 0.0 { (-high, -low) } else { (low, high) };
        match half.abs() {
            half if near > half => Self::Bad,
            half if far < half => Self::Good,
            _ => Self::Unclear,
        }
    }
}

/// The commits in order, the first of which is known to be good and the last to be bad.
#[derive(Clone, Debug)]
pub struct Search {
    good: usize,
    bad: usize,
    unclear: BTreeSet<usize>,
}

impl Search {
    /// Over commits 0 (good) to `last` (bad), which is at least 1.
    #[must_use]
    pub fn new(last: usize) -> Self {
        Self { good: 0, bad: last.max(1), unclear: BTreeSet::new() }
    }

    /// The commit to try next: the one nearest to the middle of which nothing is known. `None` when there is none left.
    #[must_use]
    pub fn next(&self) -> Option<usize> {
        let middle = self.good.midpoint(self.bad);
        (self.good + 1..self.bad).filter(|at| !self.unclear.contains(at)).min_by_key(|at| at.abs_diff(middle))
    }

    /// Takes in what a trial said.
    pub fn answer(&mut self, at: usize, answer: Answer) {
        match answer {
            Answer::Good => self.good = self.good.max(at),
            Answer::Bad => self.bad = self.bad.min(at),
            Answer::Unclear => _ = self.unclear.insert(at),
        }
    }

    /// The last commit known to be good and the first known to be bad. When they are neighbours, the latter did it; else one of those
    /// after the former.
    #[must_use]
    pub const fn range(&self) -> (usize, usize) {
        (self.good, self.bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bisects commits of which those from `culprit` on are bad, and those in `unclear` tell nothing.
    fn found(last: usize, culprit: usize, unclear: &[usize]) -> ((usize, usize), usize) {
        let mut search = Search::new(last);
        let mut trials = 0;
        while let Some(at) = search.next() {
            trials += 1;
            let truth = if at < culprit { Answer::Good } else { Answer::Bad };
            search.answer(at, if unclear.contains(&at) { Answer::Unclear } else { truth });
        }
        (search.range(), trials)
    }

    #[test]
    fn every_culprit_is_found_in_few_trials() {
        for last in 1..40 {
            for culprit in 1..=last {
                let (range, trials) = found(last, culprit, &[]);
                assert_eq!(range, (culprit - 1, culprit));
                assert!(trials <= last.ilog2() as usize + 1, "{trials} trials of {last}");
            }
        }
    }

    #[test]
    fn unclear_commits_widen_the_range_only_where_they_are() {
        assert_eq!(found(10, 5, &[2, 8]).0, (4, 5));
        assert_eq!(found(10, 5, &[4]).0, (3, 5));
        assert_eq!(found(10, 5, &[5, 6]).0, (4, 7));
        assert_eq!(found(3, 2, &[1, 2]).0, (0, 3));
    }

    #[test]
    fn an_answer_lies_on_one_side_of_half_the_way() {
        let effect = 0.05;
        assert_eq!(Answer::of((0.03, 0.06), effect), Answer::Bad);
        assert_eq!(Answer::of((-0.01, 0.02), effect), Answer::Good);
        assert_eq!(Answer::of((0.02, 0.03), effect), Answer::Unclear);
        // An improvement is looked for likewise.
        assert_eq!(Answer::of((-0.06, -0.04), -effect), Answer::Bad);
        assert_eq!(Answer::of((-0.01, 0.01), -effect), Answer::Good);
        assert_eq!(Answer::of((0.0, 0.2), -effect), Answer::Good);
    }
}
