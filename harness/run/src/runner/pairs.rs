//! Two guests in one worker: what `compare` asks for, one process at a time. When to stop is not decided here.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use super::facts::{self, Judge};
use super::judge::{judge, judge_death};
use super::known::Known;
use super::label::label;
use super::{Prepared, Settings, Workers, cpu_of, stays_on_one_processor, subject};
use wasiscope_capture::{Capture, Coverage, KernelEvents};
use wasiscope_model::record::{Facts, Outcome};
use wasiscope_worker::{LastMark, Message, Request, Side, Task};

/// Time that the passes of one worker may take together, roughly: long enough to outweigh starting it, and short enough
/// for many workers.
const PASSES_NS: u64 = 1_000_000_000;
/// Time that the compilations of one worker may take together, roughly.
const COMPILATIONS_NS: u64 = 400_000_000;
/// Passes, or compilations, in a quad.
const QUAD: u64 = 4;

/// Watched workers of each side, and iterations of each.
const WATCHED: u32 = 3;
const WATCHED_ITERATIONS: u32 = 10;

/// Two cases to compare.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What is compared with.
    pub base: Prepared,
    /// What may have changed.
    pub new: Prepared,
}

impl Pair {
    /// Whether both are the same code, run in the same way.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        let same_guest = match (&self.base.guest, &self.new.guest) {
            (Ok(base), Ok(new)) => base.sha256 == new.sha256,
            _ => false,
        };
        let (base, new) = (&self.base.case, &self.new.case);
        same_guest && base.engine.runs_as(&new.engine) && base.input == new.input && base.limits == new.limits
    }
}

/// A pair whose facts are known, ready to be timed.
#[derive(Clone, Debug)]
pub struct PairPlan {
    base: Known,
    new: Known,
    quads: u32,
    compilations: u32,
    repeats: u32,
}

impl PairPlan {
    /// Whether each side marks its measured part: the base, then the new one.
    #[must_use]
    pub const fn marked(&self) -> (bool, bool) {
        (self.base.marked, self.new.marked)
    }

    /// Where each side traps, if it does.
    #[must_use]
    pub const fn traps_after(&self) -> (Option<LastMark>, Option<LastMark>) {
        (self.base.traps_after, self.new.traps_after)
    }
}

/// What one worker gave: nanoseconds of each phase on both sides, in order. Of repeated phases the mean of the repeats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairSamples {
    /// Of the base.
    pub base: BTreeMap<Phase, Vec<f64>>,
    /// Of the new one.
    pub new: BTreeMap<Phase, Vec<f64>>,
}

/// What the kernel charged to one worker, and how often it entered each phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Charged {
    /// Passes through each phase.
    pub entered: BTreeMap<Phase, u64>,
    /// What was charged.
    pub events: KernelEvents,
}

/// The watched workers of both sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChargedPair {
    /// Of the base.
    pub base: Vec<Charged>,
    /// Of the new one.
    pub new: Vec<Charged>,
}

/// Runs the workers of pairs.
pub struct Pairs<'a> {
    workers: &'a mut dyn Workers,
    settings: &'a Settings<'a>,
    capture: Option<Box<dyn Capture>>,
    /// Where that comes from, until it is needed.
    open: Option<Opens<'a>>,
    next_slot: u32,
}

/// Opens a capture; `None` where there is none to be had.
pub type Opens<'a> = Box<dyn FnOnce() -> Option<Box<dyn Capture>> + 'a>;

/// The facts of both sides of a pair.
pub type FactsOfBoth = (Facts, Facts);

impl<'a> Pairs<'a> {
    /// Over real or fake workers.
    pub fn new(workers: &'a mut dyn Workers, settings: &'a Settings<'a>) -> Self {
        Self { workers, settings, capture: None, open: None, next_slot: 1 }
    }

    /// With a kernel that can be watched: it is opened when something is to be watched, because that takes longer than to compare two guests, and nothing
    /// is watched while anything is timed.
    #[must_use]
    pub fn with_capture(self, open: Opens<'a>) -> Self {
        Self { open: Some(open), ..self }
    }

    /// A few watched workers of each side, in turns. `None` without capture, or when a side goes wrong under it.
    pub fn watch(&mut self, pair: &Pair, plan: &PairPlan) -> Option<(ChargedPair, Coverage)> {
        if [&pair.base, &pair.new].iter().any(|prepared| !prepared.can_be_watched()) {
            return None;
        }
        if let Some(open) = self.open.take() {
            self.capture = open();
        }
        self.capture.as_mut()?.arm().ok()?;
        let mut both = ChargedPair::default();
        let mut whole = true;
        for process in 0..WATCHED {
            let sides = [(&pair.base, &plan.base, &mut both.base), (&pair.new, &plan.new, &mut both.new)];
            for (prepared, known, charged) in sides {
                match self.watched(prepared, known, process) {
                    Some(of_worker) => charged.push(of_worker),
                    None => whole = false,
                }
            }
        }
        let capture = self.capture.as_mut()?;
        let coverage = capture.programs().ok().map(|programs| Coverage::of(&programs));
        capture.disarm().ok()?;
        coverage.filter(|_| whole).map(|coverage| (both, coverage))
    }

    fn watched(&mut self, prepared: &Prepared, known: &Known, process: u32) -> Option<Charged> {
        let subject = subject(prepared, &self.settings.scratch.join("guest"), Some(known)).ok()?;
        let cpu = cpu_of(&self.settings.cpus, process).filter(|_| stays_on_one_processor(&prepared.case));
        let request = Request::new(
            subject,
            cpu,
            Task::Iterate { iterations: WATCHED_ITERATIONS, repeats: 1, compilations: None },
        );
        let slot = self.next_slot;
        self.next_slot += 1;
        let capture = self.capture.as_mut()?;
        let cell = capture.open(slot, &label(prepared, &process)).ok()?;
        let run = self.workers.run(&request, Some(&cell));
        let events = capture.collect(slot).ok()?;
        let mut charged = Charged { entered: BTreeMap::from([(Phase::Spawn, 1)]), events };
        let mut good = 0;
        for message in &run.messages {
            let Message::Iteration(iteration) = message else { continue };
            iteration.entered.iter().for_each(|phase| *charged.entered.entry(*phase).or_default() += 1);
            let judged = judge(&prepared.case, &iteration.into(), known.check.as_deref());
            good += u32::from(judged.expected);
        }
        (run.death.is_none() && good == WATCHED_ITERATIONS).then_some(charged)
    }

    /// The facts of both sides, and how the pair will be timed with `iterations` passes a side in each worker.
    ///
    /// # Errors
    /// Of the pair, when a side cannot be run: which, and how it ended.
    pub fn learn(&mut self, pair: &Pair, iterations: u32) -> (FactsOfBoth, Result<PairPlan, (Side, Outcome)>) {
        let base = facts::learn(self.workers, &pair.base, &self.settings.scratch, Judge::Scenario);
        let new = facts::learn(self.workers, &pair.new, &self.settings.scratch, Judge::Scenario);
        let both = (base.facts, new.facts);
        let known = match (base.known, new.known) {
            (Some(base), Some(new)) => (base, new),
            (None, _) => return (both, Err((Side::Base, base.outcome))),
            (_, None) => return (both, Err((Side::New, new.outcome))),
        };
        (both, Ok(lay_out(known, iterations)))
    }

    /// The facts of one side alone.
    pub fn facts(&mut self, prepared: &Prepared) -> Facts {
        facts::learn(self.workers, prepared, &self.settings.scratch, Judge::Scenario).facts
    }

    /// One worker of the pair.
    ///
    /// # Errors
    /// When a side does not end as it should.
    pub fn process(&mut self, pair: &Pair, walk: &PairPlan, process: u32) -> Result<PairSamples, (Side, Outcome)> {
        let request = self.request(pair, walk, process)?;
        let run = self.workers.run(&request, None);
        let mut samples = PairSamples::default();
        for message in &run.messages {
            let Message::Compared { side, iteration } = message else { continue };
            let (prepared, known, phases) = match side {
                Side::Base => (&pair.base, &walk.base, &mut samples.base),
                Side::New => (&pair.new, &walk.new, &mut samples.new),
            };
            // A pass of compilations alone has nothing to judge.
            if iteration.entered.iter().any(|phase| wasiscope_model::record::is_repeated(*phase)) {
                let outcome = judge(&prepared.case, &iteration.into(), known.check.as_deref());
                if !outcome.expected {
                    return Err((*side, outcome));
                }
            }
            for timed in &iteration.timed {
                phases.entry(timed.phase).or_default().push(timed.mean_ns());
            }
        }
        if run.death.is_some() || samples == PairSamples::default() {
            return Err((Side::New, judge_death(&run, &pair.new.case)));
        }
        Ok(samples)
    }

    fn request(&self, pair: &Pair, walk: &PairPlan, process: u32) -> Result<Request, (Side, Outcome)> {
        let scratch = &self.settings.scratch;
        let mut base =
            subject(&pair.base, &scratch.join("guest"), Some(&walk.base)).map_err(|why| (Side::Base, why))?;
        let other = subject(&pair.new, &scratch.join("guest-new"), Some(&walk.new)).map_err(|why| (Side::New, why))?;
        // One worker has both, so the longer limit holds for either.
        base.limits.wall = pair.base.case.limits.wall.max(pair.new.case.limits.wall);
        let task = Task::Compare {
            other: Box::new(other),
            quads: walk.quads,
            compilations: walk.compilations,
            repeats: walk.repeats,
            other_first: process % 2 == 1,
        };
        // Two neighbours, one of each order, share a processor.
        let cpu = cpu_of(&self.settings.cpus, process / 2)
            .filter(|_| stays_on_one_processor(&pair.base.case) && stays_on_one_processor(&pair.new.case));
        Ok(Request::new(base, cpu, task))
    }
}

fn lay_out((base, new): (Known, Known), iterations: u32) -> PairPlan {
    let repeats = base.repeats.max(new.repeats);
    let slower = |ns: fn(&Known) -> Option<u64>| ns(&base).max(ns(&new));
    let quads_wanted = u64::from(iterations.div_ceil(2)).max(1);
    let pass_ns = slower(|known| known.pass_ns).unwrap_or(0).saturating_mul(u64::from(repeats));
    let quads = (PASSES_NS / QUAD.saturating_mul(pass_ns).max(1)).clamp(1, quads_wanted);
    let compilations =
        (COMPILATIONS_NS / QUAD.saturating_mul(slower(|known| known.compile_ns).unwrap_or(0)).max(1)).min(quads_wanted);
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    PairPlan { base, new, quads: count(quads), compilations: count(compilations), repeats }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(repeats: u32, compile_ns: u64, pass_ns: u64) -> Known {
        Known {
            marked: true,
            traps_after: None,
            check: None,
            repeats,
            compile_ns: Some(compile_ns),
            pass_ns: Some(pass_ns),
            code: None,
        }
    }

    #[test]
    fn slow_guests_get_fewer_passes_and_quick_ones_all() {
        let quick = known(20, 1_000_000, 50_000);
        let walk = lay_out((quick.clone(), quick.clone()), 10);
        assert_eq!((walk.quads, walk.compilations, walk.repeats), (5, 5, 20));
        let endless = known(1, u64::MAX, u64::MAX);
        let walk = lay_out((quick.clone(), endless), 10);
        assert_eq!((walk.quads, walk.compilations), (1, 0), "whatever a worker says");
        let slow = known(1, 2_000_000_000, 120_000_000);
        let walk = lay_out((quick, slow), 10);
        assert_eq!((walk.quads, walk.compilations, walk.repeats), (1, 0, 20), "both sides have the same repeats");
    }
}
