//! wasiscope measured by itself, on this machine: how often it raises an alarm over nothing (A/A), and how small a
//! slowdown it finds, in what time.

use std::time::{Duration, Instant};

use serde::Serialize;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::compare::live::{self, Candidate, Event, Processes};
use crate::compare::{Differences, Tolerances};
use crate::runner::{Pair, Pairs, Prepared};
use wasiscope_ebpf_abi::Phase;
use wasiscope_model::record::metric_of;
use wasiscope_stats::{self as stats, Estimate, Verdict};
use wasiscope_sys::interrupt::Interrupt;

/// Processes of each A/A comparison.
pub const AA_PROCESSES: u32 = 10;
/// Passes of each side in a process.
pub const ITERATIONS: u32 = 10;
/// Time that a trial of the power may take.
pub const TRIAL_BUDGET: Duration = Duration::from_secs(30);
/// Slowdowns that are injected.
pub const SLOWDOWNS: [f64; 4] = [0.005, 0.01, 0.02, 0.05];

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// The guest against itself.
    pub false_alarms: Vec<FalseAlarms>,
    /// The guest against slower ones.
    pub power: Vec<Power>,
    /// Nanoseconds of the guest's `run`.
    pub run_ns: f64,
    /// Seconds that it took.
    pub duration_s: f64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// How often identical code was called different.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FalseAlarms {
    /// What was tested: a metric, or the comparison as a whole.
    pub what: String,
    /// Whether the tolerances counted; without them every difference is an alarm.
    pub with_tolerance: bool,
    /// Comparisons.
    pub comparisons: u64,
    /// Those that said regressed or improved.
    pub alarms: u64,
    /// 95 % interval of the rate.
    pub rate_interval: (f64, f64),
}

/// How often a slowdown was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Power {
    /// By how much the new side was slower, 0.01 for 1 %.
    pub slowdown: f64,
    /// Trials.
    pub trials: u64,
    /// Those that said regressed, and confirmed it.
    pub found: u64,
    /// 95 % interval of the rate.
    pub rate_interval: (f64, f64),
    /// Median seconds of a trial.
    pub seconds: f64,
    /// Median of the change that was estimated.
    pub estimate: f64,
}

/// How much to do.
pub struct Effort {
    /// A/A comparisons.
    pub comparisons: u32,
    /// Trials of each slowdown.
    pub trials: u32,
    /// Decides every order.
    pub seed: u64,
    /// Asks to stop.
    pub interrupt: Interrupt,
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// An A/A comparison begins: which, of how many.
    Comparison(u32, u32),
    /// A trial begins: the slowdown, which trial, of how many.
    Trial(f64, u32, u32),
}

/// Calibrates with a guest whose work is proportional to its argument. `slower_by` gives the guest with that much more
/// work.
pub fn calibrate(
    slower_by: &dyn Fn(f64) -> Prepared,
    runner: &mut Pairs<'_>,
    effort: &Effort,
    on_step: &mut dyn FnMut(Step),
) -> anyhow::Result<Calibration> {
    let began = Instant::now();
    let candidate = |slowdown: f64| {
        let pair = Pair { base: slower_by(0.0), new: slower_by(slowdown) };
        [Candidate::new(pair, Tolerances::default())]
    };
    let same = candidate(0.0);
    let mut comparisons = Vec::new();
    for index in 0..effort.comparisons {
        on_step(Step::Comparison(index, effort.comparisons));
        let done = live::compare(&same, runner, &aa_settings(effort, index), &mut |_: Event<'_>| {});
        if effort.interrupt.raised() {
            break;
        }
        if let Some(row) = done.rows.iter().find(|row| row.is_of_whole_case()) {
            anyhow::bail!("the guest cannot be timed: {}", row.note.as_deref().unwrap_or_default());
        }
        comparisons.push(done);
    }
    let mut power = Vec::new();
    for slowdown in SLOWDOWNS {
        if effort.trials > 0 && !effort.interrupt.raised() {
            power.extend(trials(&candidate(slowdown), slowdown, runner, effort, on_step));
        }
    }
    let run = metric_of(Phase::Run);
    let runs: Vec<f64> = comparisons
        .iter()
        .flat_map(|done| &done.rows)
        .filter(|row| row.metric == run)
        .filter_map(|row| row.base)
        .collect();
    Ok(Calibration {
        false_alarms: false_alarms(&comparisons),
        power,
        run_ns: stats::median(&runs).unwrap_or_default(),
        duration_s: began.elapsed().as_secs_f64(),
        interrupted: effort.interrupt.raised(),
    })
}

fn aa_settings(effort: &Effort, index: u32) -> live::Settings<'static> {
    live::Settings {
        processes: Processes::Exactly(AA_PROCESSES),
        iterations: ITERATIONS,
        time_identical: true,
        confirm: false,
        wants: &|_| true,
        seed: effort.seed.wrapping_add(u64::from(index)),
        budget: None,
        interrupt: effort.interrupt.clone(),
    }
}

fn trials(
    candidate: &[Candidate],
    slowdown: f64,
    runner: &mut Pairs<'_>,
    effort: &Effort,
    on_step: &mut dyn FnMut(Step),
) -> Option<Power> {
    let run = metric_of(Phase::Run);
    let (mut found, mut seconds, mut estimates) = (0, Vec::new(), Vec::new());
    for trial in 0..effort.trials {
        on_step(Step::Trial(slowdown, trial, effort.trials));
        let began = Instant::now();
        let elapsed = || began.elapsed();
        let settings = live::Settings {
            processes: Processes::UntilSettled,
            confirm: true,
            wants: &|metric| metric == run,
            // Half to find it, half to confirm it.
            budget: Some((&elapsed as &dyn Fn() -> Duration, TRIAL_BUDGET / 2)),
            ..aa_settings(effort, trial)
        };
        let done = live::compare(candidate, runner, &settings, &mut |_: Event<'_>| {});
        if effort.interrupt.raised() {
            break;
        }
        found += u64::from(done.rows.iter().any(|row| row.verdict == Verdict::Regressed));
        seconds.push(began.elapsed().as_secs_f64());
        estimates.extend(done.rows.iter().filter_map(|row| row.ratio).map(|ratio| ratio - 1.0));
    }
    let trials = seconds.len() as u64;
    Some(Power {
        slowdown,
        trials,
        found,
        rate_interval: rate_interval(found, trials),
        seconds: stats::median(&seconds)?,
        estimate: stats::median(&estimates)?,
    })
}

/// Alarms by metric with tolerance zero, where every metric is a family of its own, and by comparison as users see it:
/// its rows corrected together, with and without their tolerances.
fn false_alarms(comparisons: &[Differences]) -> Vec<FalseAlarms> {
    let total = comparisons.len() as u64;
    let tally = |what: &str, with_tolerance: bool, alarms: usize| FalseAlarms {
        what: what.to_owned(),
        with_tolerance,
        comparisons: total,
        alarms: alarms as u64,
        rate_interval: rate_interval(alarms as u64, total),
    };
    let estimates = |done: &Differences, metric: Option<&str>| -> Vec<Option<(Estimate, f64)>> {
        let wanted = done.rows.iter().filter(|row| metric.is_none_or(|metric| row.metric == metric));
        wanted.map(|row| Estimate::of(&row.log_ratios).map(|estimate| (estimate, 0.0))).collect()
    };
    let alarmed = |metric: Option<&str>| {
        let alarms = |done: &&Differences| stats::family(&estimates(done, metric), 1).iter().any(|v| v.is_change());
        comparisons.iter().filter(alarms).count()
    };
    let mut metrics: Vec<&str> =
        comparisons.iter().take(1).flat_map(|done| &done.rows).map(|row| row.metric.as_str()).collect();
    metrics.dedup();
    let mut rows: Vec<FalseAlarms> = metrics.iter().map(|metric| tally(metric, false, alarmed(Some(metric)))).collect();
    rows.push(tally("comparison", false, alarmed(None)));
    let as_users_see = comparisons.iter().filter(|done| done.rows.iter().any(|row| row.verdict.is_change())).count();
    rows.push(tally("comparison", true, as_users_see));
    rows
}

/// The interval of Clopper and Pearson for a rate, at 95 %.
fn rate_interval(hits: u64, trials: u64) -> (f64, f64) {
    const TAIL: f64 = 0.025;
    let quantile = |a: u64, b: u64, probability: f64| {
        Beta::new(a as f64, b as f64).map_or(f64::NAN, |beta| beta.inverse_cdf(probability))
    };
    let low = if hits == 0 { 0.0 } else { quantile(hits, trials - hits + 1, TAIL) };
    let high = if hits == trials { 1.0 } else { quantile(hits + 1, trials - hits, 1.0 - TAIL) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_the_textbooks_intervals() {
        let (low, high) = rate_interval(0, 300);
        assert_eq!(low, 0.0);
        assert!((high - 0.012_22).abs() < 1e-4, "{high}");
        let (low, high) = rate_interval(19, 20);
        assert!((low - 0.751_3).abs() < 1e-3 && (high - 0.998_7).abs() < 1e-3, "{low} {high}");
        assert_eq!(rate_interval(20, 20).1, 1.0);
    }
}
