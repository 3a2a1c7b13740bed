//! The order of work. No clock, no files.
//!
//! Machines drift, so the cases are interleaved: every round gives each case one worker, in a fresh random order.
//! Watched and unwatched workers run in separate halves of a round, because attaching the kernel programs takes tens
//! of milliseconds and unwatched workers must run on a kernel without them; which half comes first alternates
//! (off on, on off, …), so that drift cancels and programs are attached once in two rounds.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// One worker to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the case.
    pub case: usize,
    /// Which of the case's processes this is, counted apart for watched and unwatched ones.
    pub process: u32,
    /// Whether the kernel watches it.
    pub watched: bool,
}

/// One half of a round: workers that are all watched, or all unwatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Half {
    /// Whether the kernel watches them.
    pub watched: bool,
    /// The workers in order.
    pub steps: Vec<Step>,
}

/// How many workers a case gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Unwatched ones.
    pub processes: u32,
    /// Whether it gets as many watched ones.
    pub watch: bool,
}

/// Orders the workers of each case.
#[must_use]
pub fn order(wanted: &[Wanted], seed: u64) -> Vec<Half> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rounds = wanted.iter().map(|wanted| wanted.processes).max().unwrap_or(0);
    let mut halves = Vec::new();
    for process in 0..rounds {
        let watched_first = process % 2 == 1;
        for watched in [watched_first, !watched_first] {
            let mut steps: Vec<Step> = (0..wanted.len())
                .filter(|case| process < wanted[*case].processes && (wanted[*case].watch || !watched))
                .map(|case| Step { case, process, watched })
                .collect();
            if !steps.is_empty() {
                steps.shuffle(&mut random);
                halves.push(Half { watched, steps });
            }
        }
    }
    halves
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn wanted(processes: &[u32], watch: bool) -> Vec<Wanted> {
        processes.iter().map(|processes| Wanted { processes: *processes, watch }).collect()
    }

    #[test]
    fn every_case_gets_its_processes_watched_and_unwatched() {
        let halves = order(&wanted(&[3, 1], true), 1);
        let steps: Vec<Step> = halves.iter().flat_map(|half| half.steps.clone()).collect();
        assert_eq!(steps.len(), 8);
        for watched in [false, true] {
            for (case, count) in [(0, 3), (1, 1)] {
                let processes: BTreeSet<u32> = steps
                    .iter()
                    .filter(|step| step.case == case && step.watched == watched)
                    .map(|step| step.process)
                    .collect();
                assert_eq!(processes, (0..count).collect());
            }
        }
    }

    #[test]
    fn halves_alternate_so_that_neighbours_share_an_attachment() {
        let watched: Vec<bool> = order(&wanted(&[4], true), 1).iter().map(|half| half.watched).collect();
        assert_eq!(watched, [false, true, true, false, false, true, true, false]);
    }

    #[test]
    fn without_capture_nothing_is_watched() {
        assert!(order(&wanted(&[2, 2], false), 1).iter().all(|half| !half.watched));
    }

    #[test]
    fn the_seed_alone_decides_the_order() {
        let processes = wanted(&[10; 8], true);
        assert_eq!(order(&processes, 5), order(&processes, 5));
        assert_ne!(order(&processes, 5), order(&processes, 6));
    }
}
