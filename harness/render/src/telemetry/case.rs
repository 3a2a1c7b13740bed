//! What a report says of one case.

use serde_json::Value as Json;

use super::catalogue;
use super::label::{self, Label};
use super::labelled::{Labelled, buckets};
use super::{Histogram, Metrics, Span, Value, kernel};
use wasiscope_model::metrics::HAND_OVER_ERRORS;
use wasiscope_model::report::{CaseReport, CheckOverhead, Measurement, Spread};
use wasiscope_stats as stats;

/// Everything about one case. `context` is what it belongs to: a scenario, or a run whose reference it is.
pub(crate) fn add(metrics: &mut Metrics, time: Span, context: &[Label], case: &CaseReport) {
    let mut of_case = Labelled::new(metrics, time, context);
    of_case.label([
        label::text("wasiscope.workload", &case.workload),
        label::text("wasiscope.flavour", &case.flavour),
        label::text("wasiscope.engine", &case.engine),
    ]);
    let outcome = label::text("wasiscope.outcome", case.outcome.status.name());
    of_case.add(&catalogue::CASE_EXPECTED, [outcome], Value::Count(case.outcome.expected.into()));
    let disturbance = case.disturbance.as_ref();
    let throttled = disturbance.and_then(|of| of.throttled);
    let numbers = [
        (&catalogue::CASE_N, case.n.map(Value::Count)),
        (&catalogue::CASE_OBSERVER, case.observer_ratio.map(Value::Real)),
        (&catalogue::CASE_PREEMPTIONS, disturbance.and_then(|of| of.preemptions_per_iteration).map(Value::Real)),
        (&catalogue::CASE_STEAL, disturbance.and_then(|of| of.steal_ratio).map(Value::Real)),
        (&catalogue::CASE_THROTTLED_PERIODS, throttled.map(|of| Value::Count(of.periods))),
        (&catalogue::CASE_THROTTLED_TIME, throttled.map(|of| Value::Count(of.time_us.saturating_mul(1_000)))),
    ];
    for (definition, value) in numbers {
        of_case.add_known(definition, [], value);
    }
    // What is there by reason is not there a second time as their sum.
    let is_sum = |name: &str, fact: &Json| {
        let by_reason = format!("{name}.");
        name == HAND_OVER_ERRORS && fact.is_number() && case.facts.keys().any(|other| other.starts_with(&by_reason))
    };
    for (name, fact) in case.facts.iter().filter(|(name, fact)| !is_sum(name, fact)) {
        add_fact(&mut of_case, name, fact);
    }
    for measurement in &case.measurements {
        add_measurement(&mut of_case, measurement);
    }
    for (phase, figures) in case.kernel.iter().flat_map(|kernel| &kernel.phases) {
        kernel::add(&mut of_case, phase, figures);
    }
    if let Some(outside) = case.kernel.as_ref().and_then(|kernel| kernel.outside.as_ref()) {
        kernel::add(&mut of_case, wasiscope_ebpf_abi::Phase::Outside.name(), outside);
    }
}

/// What checks cost one workload.
pub(crate) fn add_price(metrics: &mut Metrics, time: Span, context: &[Label], price: &CheckOverhead) {
    let mut of_price = Labelled::new(metrics, time, context);
    of_price.label([
        label::text("wasiscope.case", &price.case),
        label::text("wasiscope.base", &price.base),
        label::text("wasiscope.metric", &price.metric),
    ]);
    of_price.add(&catalogue::PRICE_EXPECTED, [], Value::Count((!price.failed).into()));
    for (side, value) in [("base", price.base_ns), ("checked", price.checked_ns)] {
        let side = label::text("wasiscope.side", side);
        of_price.add_known(&catalogue::PRICE_TIME, [side], value.map(Value::Real));
    }
    for (statistic, value) in [("ratio", price.ratio), ("ci_low", price.ci_low), ("ci_high", price.ci_high)] {
        of_price.add_known(&catalogue::PRICE_RATIO, [statistic_of(statistic)], value.map(Value::Real));
    }
}

fn statistic_of(name: &str) -> Label {
    label::text("wasiscope.statistic", name)
}

/// A fact that is a number; what is not has no place among metrics.
fn add_fact(of: &mut Labelled<'_>, name: &str, fact: &Json) {
    for (definition, by) in catalogue::PLAIN_FACTS {
        let Some(rest) = name.strip_prefix(definition.name) else { continue };
        match (by, rest.strip_prefix('.'), fact) {
            (_, None, Json::Number(number)) if rest.is_empty() => return of.add_known(definition, [], value(number)),
            (Some(by), Some(reason), Json::Number(number)) => {
                return of.add_known(definition, [label::text(by, reason)], value(number));
            }
            (Some(by), None, Json::Object(table)) if rest.is_empty() => {
                for (reason, number) in table.iter().filter_map(|(reason, count)| Some((reason, count.as_number()?))) {
                    of.add_known(definition, [label::text(by, reason)], value(number));
                }
                return;
            }
            _ => {}
        }
    }
    let Json::Number(number) = fact else { return };
    let is_size = name.starts_with("size.") || name.ends_with("bytes");
    let definition = if is_size { &catalogue::FACT_SIZE } else { &catalogue::FACT };
    of.add_known(definition, [label::text("wasiscope.fact", name)], value(number));
}

fn value(number: &serde_json::Number) -> Option<Value> {
    let whole = || number.as_i64().map(Value::Whole);
    number.as_u64().map(Value::Count).or_else(whole).or_else(|| number.as_f64().map(Value::Real))
}

/// The statistics of a measurement, each by the name of its field in the report, and its spread.
///
/// Gauges and not OTLP's own summaries: those have quantiles, but no interval and no deviation, and are not to be used for what is new.
fn add_measurement(of: &mut Labelled<'_>, measurement: &Measurement) {
    let metric = label::text("wasiscope.metric", &measurement.metric);
    let by_unit = catalogue::BY_UNIT.iter().find(|(unit, ..)| *unit == measurement.unit);
    let [.., (_, number, numbers)] = catalogue::BY_UNIT;
    let (definition, spread_definition) =
        by_unit.map_or((number, numbers), |(_, statistics, spread)| (*statistics, *spread));
    // Its unit is no metric's own, so it says it.
    let unit = by_unit.is_none().then(|| label::text("wasiscope.unit", &measurement.unit));
    let mut of_measurement = of.within([metric.clone()].into_iter().chain(unit));

    let summary = &measurement.summary;
    let spread = measurement.spread.as_ref();
    let statistics = [
        ("median", Some(summary.median)),
        ("ci_low", summary.ci_low),
        ("ci_high", summary.ci_high),
        ("min", Some(summary.min)),
        ("max", Some(summary.max)),
        ("mad", Some(summary.mad)),
        ("p95", Some(summary.p95)),
        ("spread.p50", spread.map(|spread| spread.p50)),
        ("spread.p90", spread.map(|spread| spread.p90)),
        ("spread.p99", spread.map(|spread| spread.p99)),
        ("spread.max", spread.map(|spread| spread.max)),
        ("spread.watched_mean", spread.and_then(|spread| spread.watched_mean)),
    ];
    for (statistic, value) in statistics {
        of_measurement.add_known(definition, [statistic_of(statistic)], value.map(Value::Real));
    }
    if let Some(spread) = spread {
        let plain = catalogue::PLAIN_MEASUREMENTS.into_iter().find(|plain| plain.name == measurement.metric);
        let value = Value::Histogram(histogram(spread, &measurement.samples));
        match plain {
            Some(plain) => of.add(plain, [], value),
            None => of_measurement.add(spread_definition, [], value),
        }
    }
    // Numbers of other things than the metric's unit.
    let mut counted = |definition, number: usize| of.add(definition, [metric.clone()], Value::Count(number as u64));
    counted(&catalogue::SAMPLES, summary.n);
    counted(&catalogue::PROCESSES, summary.processes);
}

/// The spread of samples. Its buckets are of samples cut to whole numbers: where there are others, the last that belongs to a bucket
/// lies just below the next whole number, and that is the bound.
fn histogram(spread: &Spread, samples: &[Vec<f64>]) -> Histogram {
    let all = || samples.iter().flatten().copied();
    // Rounded up, they are at most the bound.
    let is_whole = spread.sum.is_some() || all().all(|sample| sample.fract() == 0.0);
    let bound = |upper: u64| if is_whole { upper as f64 } else { upper as f64 + 1.0 };
    let count = stats::total(spread.buckets.iter().map(|(_, count)| *count));
    // Only of all samples the sum is that of the spread; a report may have kept fewer.
    let sum = spread.sum.or_else(|| (all().count() as u64 == count).then(|| all().sum()));
    let max = (count > 0).then_some(spread.max);
    Histogram { count, sum, min: None, max, buckets: buckets(&spread.buckets, bound) }
}
