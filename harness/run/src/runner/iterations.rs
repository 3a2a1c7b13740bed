//! From the messages of a worker to its record.

use wasiscope_kinds as kinds;
use wasiscope_model::code::Code;
use wasiscope_model::metrics;
use wasiscope_model::record::{Outcome, ProcessRecord, Status};
use wasiscope_scenario::plan::Case;
use wasiscope_worker::Message;

use super::judge::{judge, judge_death};
use super::known::Known;
use super::workers::{Death, WorkerRun};

/// Moves the good iterations into the record and says how the worker as a whole ended.
pub(super) fn take_iterations(run: &WorkerRun, case: &Case, known: &Known, record: &mut ProcessRecord) -> Outcome {
    let mut outcome = None;
    for message in &run.messages {
        let Message::Iteration(iteration) = message else { continue };
        for phase in &iteration.entered {
            *record.entered.entry(*phase).or_default() += 1;
        }
        let judged = judge(case, &iteration.into(), known.check.as_deref());
        if !judged.expected {
            // A wrong answer is never timed as right.
            outcome = Some(judged);
            break;
        }
        // A report with such a figure could not be read.
        let mut measured = iteration.measured.iter().filter(|(_, samples)| samples.iter().any(|sample| *sample < 0.0));
        if let Some((metric, _)) = measured.next() {
            let detail = format!("negative sample from worker: {metric}");
            outcome = Some(Outcome::because(Status::Failed, Code::InvalidSample, detail));
            break;
        }
        // Nobody would know its unit.
        let rows = kinds::of(case.kind).metrics();
        if let Some((metric, _)) = iteration.measured.iter().find(|(metric, _)| metrics::find(rows, metric).is_none()) {
            let detail = format!("unknown metric from worker: `kind: {}` has no row for {metric}", case.kind);
            outcome = Some(Outcome::because(Status::Failed, Code::InvalidSample, detail));
            break;
        }
        for timed in &iteration.timed {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of durations")]
            let nearest_ns = timed.mean_ns().round() as u64;
            record.samples.entry(timed.phase).or_default().push(nearest_ns);
        }
        for (metric, samples) in &iteration.measured {
            record.measured.entry(metric.clone()).or_default().extend(samples);
        }
        for (name, count) in &iteration.counts {
            let sum = record.counts.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (metric, spread) in &iteration.spreads {
            record.spreads.entry(metric.clone()).or_default().merge(spread);
        }
        for (metric, bytes) in &iteration.memory {
            record.memory.entry(metric.clone()).or_default().push(*bytes);
        }
        record.preemptions.extend(iteration.preemptions);
        outcome = Some(judged);
    }
    match outcome {
        Some(outcome) if !outcome.expected || run.death.is_none() => outcome,
        // Interrupted: what was measured stands.
        Some(outcome) if run.death == Some(Death::Interrupted) => outcome,
        _ => judge_death(run, case),
    }
}
