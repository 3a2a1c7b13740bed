//! Two guests compared in the same workers, for as many workers as it takes to be sure.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use wasiscope_ebpf_abi::Phase;

use super::unlike::{self, Unlike};
use super::{Differences, FactRow, KernelRow, Row, Tolerances, answers, facts, kernel, ratio_of};
use crate::runner::{Charged, Pair, PairPlan, PairSamples, Pairs, Prepared};
use crate::summary;
use wasiscope_model::record::{Facts, Status, metric_of};
use wasiscope_model::units;
use wasiscope_stats::{self as stats, Estimate, LOOKS, Verdict};
use wasiscope_sys::interrupt::Interrupt;

/// Phases that a comparison can look at, whether of guests or of reports.
pub const COMPARED: [Phase; 7] =
    [Phase::Engine, Phase::Compile, Phase::InstantiateCold, Phase::Instantiate, Phase::Init, Phase::Run, Phase::Trap];

/// The phases that say something of a guest, in the order of their rows. `engine` is added when the engines differ.
const PHASES: [Phase; 5] = [Phase::Compile, Phase::Instantiate, Phase::Init, Phase::Run, Phase::Trap];

/// Two cases to compare, and how much change is let pass.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The cases.
    pub pair: Pair,
    /// What is let pass.
    pub tolerances: Tolerances,
    /// The scenario, where that must be said to tell the case from others.
    pub scenario: Option<String>,
    /// What the case is called on the base's side, where that is another name.
    pub renamed_from: Option<String>,
    /// Why some phases do not do the same work on both sides, as far as that is known before anything is run.
    pub unlike: Option<Unlike>,
}

impl Candidate {
    /// Two cases of one name that are given the same.
    #[must_use]
    pub const fn new(pair: Pair, tolerances: Tolerances) -> Self {
        Self { pair, tolerances, scenario: None, renamed_from: None, unlike: None }
    }

    /// Whether comparing one of the two is comparing the other.
    #[must_use]
    pub fn is_same_work(&self, other: &Self) -> bool {
        let same = |one: &Prepared, other: &Prepared| {
            let same_guest = match (&one.guest, &other.guest) {
                (Ok(one), Ok(other)) => one.sha256 == other.sha256,
                (Err(one), Err(other)) => one == other,
                _ => false,
            };
            let (one, other) = (&one.case, &other.case);
            same_guest
                && one.id() == other.id()
                && one.engine.runs_as(&other.engine)
                && one.n == other.n
                && one.input == other.input
                && one.limits == other.limits
                && one.expect == other.expect
        };
        same(&self.pair.base, &other.pair.base)
            && same(&self.pair.new, &other.pair.new)
            && self.tolerances == other.tolerances
    }
}

/// How many workers each pair gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processes {
    /// As many as it takes until every row is settled, looked at after each of [`LOOKS`].
    UntilSettled,
    /// So many, looked at once.
    Exactly(u32),
}

/// How to compare.
pub struct Settings<'a> {
    /// Workers per pair.
    pub processes: Processes,
    /// Passes of each side in a worker.
    pub iterations: u32,
    /// Whether to time guests that are the same code: only to find out how often that raises an alarm.
    pub time_identical: bool,
    /// Whether a change is confirmed by fresh workers before it counts.
    pub confirm: bool,
    /// Which metrics are compared.
    pub wants: &'a dyn Fn(&str) -> bool,
    /// Decides the order.
    pub seed: u64,
    /// Time since the comparison began, and how long to look for changes; confirming them may take as long again.
    pub budget: Option<(&'a dyn Fn() -> Duration, Duration)>,
    /// Asks to stop.
    pub interrupt: Interrupt,
}

impl Settings<'_> {
    /// After how many workers to look.
    fn looks(&self) -> &[u32] {
        match &self.processes {
            Processes::UntilSettled => &LOOKS,
            Processes::Exactly(count) => std::slice::from_ref(count),
        }
    }
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The facts of a pair are being collected.
    Learning {
        /// The case.
        id: &'a str,
    },
    /// What the kernel does on both sides of a pair that has changed is about to be watched.
    Watching {
        /// The case.
        id: &'a str,
    },
    /// A worker of a pair is about to start.
    Process {
        /// The case.
        id: &'a str,
        /// Which of the pair's workers, from 0.
        process: u32,
        /// How many pairs are not settled yet.
        open: usize,
        /// Whether this is to confirm a change.
        confirming: bool,
    },
}

/// One pair on its way.
struct Running<'a> {
    candidate: &'a Candidate,
    id: String,
    /// How it is timed, or the row that says why it is not.
    plan: Result<PairPlan, Row>,
    phases: Vec<Phase>,
    /// Phases that get no verdict, and why.
    unlike: Option<Unlike>,
    /// The facts in which the answers differ.
    answers_differ: Vec<String>,
    tally: Tally,
    settled: bool,
}

/// Per process of one pair, by phase.
#[derive(Clone, Debug, Default)]
struct Tally {
    processes: u32,
    log_ratios: BTreeMap<Phase, Vec<f64>>,
    /// Typical log of nanoseconds, and likewise of the other side.
    base_ns: BTreeMap<Phase, Vec<f64>>,
    new_ns: BTreeMap<Phase, Vec<f64>>,
}

/// Why it ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Interrupted,
    BudgetSpent,
}

impl Tally {
    fn absorb(&mut self, samples: &PairSamples) {
        self.processes += 1;
        for (phase, base) in &samples.base {
            self.base_ns.entry(*phase).or_default().extend(stats::typical_log(base));
            let Some(new) = samples.new.get(phase) else { continue };
            self.log_ratios.entry(*phase).or_default().extend(stats::log_ratio(base, new));
        }
        for (phase, new) in &samples.new {
            self.new_ns.entry(*phase).or_default().extend(stats::typical_log(new));
        }
    }
}

impl<'a> Running<'a> {
    /// The same pair before its first worker, with some of its phases.
    fn afresh(&self, keep: impl Fn(Phase) -> bool) -> Running<'a> {
        let phases: Vec<Phase> = self.phases.iter().copied().filter(|phase| keep(*phase)).collect();
        Running {
            candidate: self.candidate,
            id: self.id.clone(),
            settled: phases.is_empty() || self.plan.is_err(),
            plan: self.plan.clone(),
            phases,
            unlike: None,
            answers_differ: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What is typical of a side's workers, by the same rule as the ratio, so that the three agree.
    fn typical(&self, side: &BTreeMap<Phase, Vec<f64>>, phase: Phase) -> Option<f64> {
        let logs = side.get(&phase)?;
        Estimate::of(logs).map(|estimate| estimate.centre).or_else(|| stats::median(logs)).map(ratio_of)
    }

    /// Whether a phase gets a verdict.
    fn is_comparable(&self, phase: Phase) -> bool {
        self.unlike.as_ref().is_none_or(|unlike| !unlike.phases.contains(&phase))
    }
}

/// Compares every pair.
pub fn compare(
    candidates: &[Candidate],
    runner: &mut Pairs<'_>,
    settings: &Settings<'_>,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Differences {
    let mut done = Differences { seed: Some(settings.seed), ..Differences::default() };
    let mut running = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if settings.interrupt.raised() {
            done.interrupted = true;
            break;
        }
        running.push(learn(candidate, runner, settings, &mut done, on_event));
    }
    let stop = sample(&mut running, runner, settings, false, on_event);
    let mut rows = rows::rows(&running, settings.looks().len());
    let mut stops = vec![stop];
    if settings.confirm && stops[0] != Some(Stop::Interrupted) {
        stops.push(confirm(&running, &mut rows, runner, settings, on_event));
    }
    let changed = |at: usize| rows.iter().any(|(of, row)| *of == at && row.verdict.is_change());
    for (_, pair) in running.iter().enumerate().filter(|(at, _)| changed(*at)) {
        let Ok(plan) = &pair.plan else { continue };
        if settings.interrupt.raised() || stops.contains(&Some(Stop::BudgetSpent)) {
            break;
        }
        on_event(Event::Watching { id: &pair.id });
        let scenario = &pair.candidate.scenario;
        let rows = watched(&pair.id, &pair.candidate.pair, plan, runner).into_iter();
        done.kernel.extend(rows.map(|row| KernelRow { scenario: scenario.clone(), ..row }));
    }
    done.interrupted |= settings.interrupt.raised();
    done.interrupted |= stops.contains(&Some(Stop::Interrupted));
    done.budget_spent = stops.contains(&Some(Stop::BudgetSpent));
    done.rows = rows.into_iter().map(|(_, row)| row).collect();
    super::put_in_order(&mut done.rows, &mut done.facts);
    done
}

/// What the kernel did otherwise; nothing, where it cannot be watched.
fn watched(id: &str, pair: &Pair, plan: &PairPlan, runner: &mut Pairs<'_>) -> Vec<KernelRow> {
    let Some((both, coverage)) = runner.watch(pair, plan) else { return Vec::new() };
    let report = |charged: &[Charged]| {
        summary::kernel(charged.iter().map(|charged| (&charged.entered, &charged.events)), coverage)
    };
    let sides = report(&both.base).zip(report(&both.new));
    sides.map(|(base, new)| kernel::differences(id, &base, &new)).unwrap_or_default()
}

/// Gives the pairs workers until all are settled, or something ends it.
fn sample(
    running: &mut [Running<'_>],
    runner: &mut Pairs<'_>,
    settings: &Settings<'_>,
    confirming: bool,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Option<Stop> {
    // What is to confirm something is ordered otherwise than what found it.
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed ^ u64::from(confirming));
    let began = settings.budget.map(|(elapsed, _)| elapsed());
    let spent = || {
        let so_far = settings.budget.zip(began).map(|((elapsed, budget), began)| (elapsed() - began, budget));
        so_far.is_some_and(|(so_far, budget)| so_far >= budget)
    };
    let looks = settings.looks();
    for look in looks {
        let stop = rounds(running, *look, runner, settings, &spent, &mut random, &mut |id, process, open| {
            on_event(Event::Process { id, process, open, confirming });
        });
        settle(running, looks.len());
        if stop.is_some() || running.iter().all(|pair| pair.settled) {
            return stop;
        }
    }
    None
}

fn learn<'a>(
    candidate: &'a Candidate,
    runner: &mut Pairs<'_>,
    settings: &Settings<'_>,
    done: &mut Differences,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Running<'a> {
    let Pair { base, new } = &candidate.pair;
    let id = new.case.id();
    on_event(Event::Learning { id: &id });
    let engines_differ = !base.case.engine.runs_as(&new.case.engine);
    let wanted = engines_differ.then_some(Phase::Engine).into_iter().chain(PHASES);
    let phases: Vec<Phase> = wanted.filter(|phase| (settings.wants)(&metric_of(*phase))).collect();
    let mut running = Running {
        candidate,
        id: id.clone(),
        plan: Err(Row::without_figures(&id, Verdict::Unchanged, "identical code: same guest, same engine")),
        phases,
        unlike: candidate.unlike.clone(),
        answers_differ: Vec::new(),
        tally: Tally::default(),
        settled: true,
    };
    if candidate.pair.is_identical() && !settings.time_identical {
        return running;
    }
    let ((base_facts, new_facts), plan) = runner.learn(&candidate.pair, settings.iterations);
    let rows = facts::differences(&id, &base_facts, &new_facts).into_iter();
    done.facts.extend(rows.map(|row| FactRow { scenario: candidate.scenario.clone(), ..row }));
    let plan = match plan {
        Ok(plan) => plan,
        Err((side, outcome)) => {
            let skipped_on_both = is_skipped(&candidate.pair);
            running.plan = Err(if skipped_on_both {
                rows::skipped(&id, &candidate.pair)
            } else {
                rows::failure(&id, side, &outcome)
            });
            return running;
        }
    };
    let ((old, now), (old_trap, new_trap)) = (plan.marked(), plan.traps_after());
    running.unlike =
        running.unlike.or_else(|| unlike::of_marks(old, now)).or_else(|| unlike::of_traps(old_trap, new_trap));
    let is_same_task = base.case.n == new.case.n && running.unlike.as_ref().is_none_or(|unlike| !unlike.of_input);
    if is_same_task {
        let (differing, moved) = answers_differ(base, (&base_facts, &new_facts), runner);
        running.answers_differ = differing;
        let mut unsteady = answers::unsteady(&base_facts, &new_facts);
        unsteady.extend(moved);
        if !unsteady.is_empty() {
            done.warnings.push(answers::unsteady_warning(&id, &unsteady));
        }
    }
    running.settled = !running.phases.iter().any(|phase| running.is_comparable(*phase));
    running.plan = Ok(plan);
    running
}

/// The facts in which the two answer differently, and those in which the base answers differently from time to time. What depends on the
/// time of day may be the same in both passes of a worker, so the base is asked once more.
fn answers_differ(base: &Prepared, (old, new): (&Facts, &Facts), runner: &mut Pairs<'_>) -> (Vec<String>, Vec<String>) {
    let differing = answers::differing(old, new);
    if differing.is_empty() {
        return (differing, Vec::new());
    }
    let again = answers::differing(old, &runner.facts(base));
    differing.into_iter().partition(|fact| !again.contains(fact))
}

/// Whether neither side can be had here, as of a toolchain that is not there.
fn is_skipped(pair: &Pair) -> bool {
    let skipped = |prepared: &Prepared| matches!(&prepared.guest, Err(no_guest) if no_guest.status == Status::Skipped);
    skipped(&pair.base) && skipped(&pair.new)
}

/// Gives every open pair workers until each has `upto`. Pairs take turns, in a fresh random order each round.
fn rounds(
    running: &mut [Running<'_>],
    upto: u32,
    runner: &mut Pairs<'_>,
    settings: &Settings<'_>,
    spent: &dyn Fn() -> bool,
    random: &mut ChaCha8Rng,
    on_process: &mut dyn FnMut(&str, u32, usize),
) -> Option<Stop> {
    loop {
        let mut open: Vec<usize> =
            (0..running.len()).filter(|at| !running[*at].settled && running[*at].tally.processes < upto).collect();
        if open.is_empty() {
            return None;
        }
        open.shuffle(random);
        let count = open.len();
        for at in open {
            if settings.interrupt.raised() {
                return Some(Stop::Interrupted);
            }
            if spent() {
                return Some(Stop::BudgetSpent);
            }
            let pair = &mut running[at];
            let Ok(plan) = &pair.plan else { continue };
            let process = pair.tally.processes;
            on_process(&pair.id, process, count);
            match runner.process(&pair.candidate.pair, plan, process) {
                Ok(samples) => pair.tally.absorb(&samples),
                Err(_) if settings.interrupt.raised() => return Some(Stop::Interrupted),
                Err((side, outcome)) => {
                    pair.plan = Err(rows::failure(&pair.id, side, &outcome));
                    pair.settled = true;
                }
            }
        }
    }
}

/// Every row that has an estimate or may get one: which pair, which phase.
fn members(running: &[Running<'_>]) -> Vec<(usize, Phase)> {
    let timed = running.iter().enumerate().filter(|(_, pair)| pair.plan.is_ok());
    timed
        .flat_map(|(at, pair)| pair.phases.iter().map(move |phase| (at, *phase)))
        .filter(|(at, phase)| running[*at].is_comparable(*phase))
        .filter(|(at, phase)| running[*at].tally.log_ratios.get(phase).is_some_and(|units| !units.is_empty()))
        .collect()
}

fn verdicts(running: &[Running<'_>], members: &[(usize, Phase)], looks: usize) -> Vec<Verdict> {
    let estimates: Vec<Option<(Estimate, f64)>> = members
        .iter()
        .map(|(at, phase)| {
            let tolerance = running[*at].candidate.tolerances.of(&metric_of(*phase));
            Estimate::of(&running[*at].tally.log_ratios[phase]).map(|estimate| (estimate, tolerance))
        })
        .collect();
    stats::family(&estimates, looks)
}

/// Closes the pairs of which every row is settled.
fn settle(running: &mut [Running<'_>], looks: usize) {
    let members = members(running);
    let verdicts = verdicts(running, &members, looks);
    for (at, pair) in running.iter_mut().enumerate().filter(|(_, pair)| pair.plan.is_ok()) {
        // With workers and without a single row there is nothing to wait for.
        let mut own = members.iter().zip(&verdicts).filter(|((of, _), _)| *of == at);
        pair.settled = pair.tally.processes > 0 && own.all(|(_, verdict)| *verdict != Verdict::Inconclusive);
    }
}

/// Compares the rows that seem to have changed once more, from nothing, with fresh workers. A change that does not show
/// again is none.
fn confirm(
    running: &[Running<'_>],
    rows: &mut [(usize, Row)],
    runner: &mut Pairs<'_>,
    settings: &Settings<'_>,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Option<Stop> {
    let has_changed = |at: usize, phase: Phase| {
        rows.iter().any(|(of, row)| *of == at && row.verdict.is_change() && row.metric == metric_of(phase))
    };
    let (places, mut fresh): (Vec<usize>, Vec<Running<'_>>) = running
        .iter()
        .enumerate()
        .map(|(at, pair)| (at, pair.afresh(|phase| has_changed(at, phase))))
        .filter(|(_, pair)| !pair.settled)
        .unzip();
    let stop = sample(&mut fresh, runner, settings, true, on_event);
    let seen: Vec<(usize, Row)> =
        rows::rows(&fresh, settings.looks().len()).into_iter().map(|(at, row)| (places[at], row)).collect();
    for (at, row) in rows.iter_mut().filter(|(_, row)| row.verdict.is_change()) {
        let again = seen.iter().find(|(of, again)| of == at && again.metric == row.metric).map(|(_, again)| again);
        if again.is_some_and(|again| again.verdict == row.verdict) {
            row.note = Some("confirmed by a fresh run".to_owned());
            continue;
        }
        let interval = again.and_then(|again| again.ci_low.zip(again.ci_high));
        let saw = interval.map(|(low, high)| format!(", which saw {} … {}", units::change(low), units::change(high)));
        row.note = Some(format!("{} not confirmed by a fresh run{}", row.verdict.name(), saw.unwrap_or_default()));
        row.verdict = Verdict::Inconclusive;
    }
    stop
}

mod rows;
#[cfg(test)]
mod tests;
