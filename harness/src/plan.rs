//! The matrix of cases and the order of work. No clock, no files.
//!
//! Machines drift, so the cases are interleaved: every round gives each case one worker, in a fresh random order.
//! Watched and unwatched workers run in separate halves of a round, because attaching the kernel programs takes tens
//! of milliseconds and unwatched workers must run on a kernel without them; which half comes first alternates
//! (off on, on off, …), so that drift cancels and programs are attached once in two rounds.

use std::path::PathBuf;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::scenario::{Engine, Expectation, Flavour, Limits, Scenario, SizedWorkload};

/// Where a guest comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuestSource {
    /// Built from the catalogue.
    Built {
        /// The flavour.
        flavour: Flavour,
        /// The workload's name.
        workload: String,
    },
    /// A file that somebody else built.
    File(PathBuf),
}

/// workload × flavour × engine, with all that a worker of it needs to know.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the scenario that asked for it.
    pub scenario: String,
    /// First part of its id.
    pub workload: String,
    /// Second part of its id.
    pub flavour: String,
    /// Third part of its id.
    pub engine: Engine,
    /// The guest to run.
    pub guest: GuestSource,
    /// The size, where the workload has one.
    pub n: Option<u64>,
    /// The guest's arguments, without its own name.
    pub args: Vec<String>,
    /// How it should end.
    pub expect: Expectation,
    /// Bounds on the guest.
    pub limits: Limits,
    /// Unwatched workers, and as many watched ones.
    pub processes: u32,
    /// Iterations per worker.
    pub iterations: u32,
}

impl Case {
    /// `workload/flavour/engine`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.workload, self.flavour, self.engine.name)
    }
}

/// The matrix of one scenario: workloads × flavours × engines.
#[must_use]
pub fn matrix(scenario: &Scenario) -> Vec<Case> {
    let mut cases = Vec::new();
    for SizedWorkload { name, n } in &scenario.workloads {
        for flavour in &scenario.flavours {
            for engine in &scenario.engines {
                cases.push(Case {
                    scenario: scenario.name.clone(),
                    workload: name.clone(),
                    flavour: flavour.name().to_owned(),
                    engine: engine.clone(),
                    guest: GuestSource::Built { flavour: *flavour, workload: name.clone() },
                    n: Some(*n),
                    args: vec![n.to_string()],
                    expect: scenario.expect.clone(),
                    limits: scenario.limits,
                    processes: scenario.processes,
                    iterations: scenario.iterations,
                });
            }
        }
    }
    cases
}

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

/// Orders `processes[i]` workers of each case `i`, and as many watched ones when `watch` is set.
#[must_use]
pub fn order(processes: &[u32], watch: bool, seed: u64) -> Vec<Half> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rounds = processes.iter().copied().max().unwrap_or(0);
    let mut halves = Vec::new();
    for process in 0..rounds {
        let watched_first = process % 2 == 1;
        for watched in [watched_first, !watched_first] {
            if watched && !watch {
                continue;
            }
            let mut steps: Vec<Step> = (0..processes.len())
                .filter(|case| process < processes[*case])
                .map(|case| Step { case, process, watched })
                .collect();
            steps.shuffle(&mut random);
            halves.push(Half { watched, steps });
        }
    }
    halves
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_gets_its_processes_watched_and_unwatched() {
        let halves = order(&[3, 1], true, 1);
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
        let watched: Vec<bool> = order(&[4], true, 1).iter().map(|half| half.watched).collect();
        assert_eq!(watched, [false, true, true, false, false, true, true, false]);
    }

    #[test]
    fn without_capture_nothing_is_watched() {
        assert!(order(&[2, 2], false, 1).iter().all(|half| !half.watched));
    }

    #[test]
    fn the_seed_alone_decides_the_order() {
        let processes = [10; 8];
        assert_eq!(order(&processes, true, 5), order(&processes, true, 5));
        assert_ne!(order(&processes, true, 5), order(&processes, true, 6));
    }
}
