//! A report as telemetry: one list of metrics with units and attributes, and its two forms, OTLP for OpenTelemetry and text for
//! Prometheus. `docs/telemetry.md` lists them.
//!
//! [`of`] makes the list, `otlp` and [`prometheus`] say it in their words, `receiver` knows where it goes, `send` brings it there.
//! What the report does not know is not in the list: nothing that is `null` becomes 0.

mod case;
mod catalogue;
mod kernel;
mod label;
mod labelled;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod prometheus;
#[cfg(feature = "otlp")]
pub mod receiver;
mod run;
#[cfg(feature = "otlp")]
pub mod send;

use std::collections::{BTreeMap, BTreeSet};

pub use catalogue::{Definition, Kind};
pub use label::{Label, Text};

use wasiscope_model::code::{Code, Coded};
use wasiscope_model::report::{Report, by_machine};
use wasiscope_stats as stats;

/// What one machine gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The machine, the commit, the versions: attributes of a resource, by OpenTelemetry's semantic conventions.
    pub resource: Vec<Label>,
    /// By name.
    pub metrics: BTreeMap<&'static str, Metric>,
}

/// One metric: points of one meaning, unit and kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, unit, kind and meaning.
    pub definition: &'static Definition,
    /// Its values, in the report's order.
    pub points: Vec<Point>,
}

/// One value, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What tells it from the others of its metric.
    pub labels: Vec<Label>,
    /// When the run was that it is from.
    pub time: Span,
    /// The value.
    pub value: Value,
}

/// From the start of a run to its end, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The start.
    pub start_ns: u64,
    /// The end.
    pub end_ns: u64,
}

/// A value, exactly as the report has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// A whole number that may be less than nothing.
    Whole(i64),
    /// Any number.
    Real(f64),
    /// How many of something lie where.
    Histogram(Histogram),
}

/// How many values lie between which bounds. Between two buckets that are apart lies an empty one, so that no bucket is wider than the
/// report's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many there are.
    pub count: u64,
    /// All of them added up; `None` where that is not known.
    pub sum: Option<f64>,
    /// The smallest, where that is known.
    pub min: Option<f64>,
    /// The largest, where that is known.
    pub max: Option<f64>,
    /// In ascending order, the largest value of a bucket and how many values are in it.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Values beyond the last bucket: those that the report counts and says no more of.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.count.saturating_sub(stats::total(self.buckets.iter().map(|(_, count)| *count)))
    }
}

/// Why a report cannot be told as metrics.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TelemetryError {
    /// A run has no place in time.
    #[error("the report's times cannot be told to others: {0}")]
    Time(String),
    /// Two values of one thing: of two receivers each would keep another.
    #[error("the report has two values of {metric} for the same thing ({labels}): it was put together by hand")]
    Twice {
        /// The metric.
        metric: &'static str,
        /// The attributes.
        labels: String,
    },
}

impl Coded for TelemetryError {
    fn code(&self) -> Code {
        Code::InvalidReport
    }
}

/// The metrics of a report: one entry for each machine.
///
/// # Errors
/// When the report contradicts itself: it has two values of one thing, or times that are none.
pub fn of(report: &Report) -> Result<Vec<Telemetry>, TelemetryError> {
    by_machine(report).iter().map(of_machine).collect()
}

fn of_machine(report: &Report) -> Result<Telemetry, TelemetryError> {
    let runs = run::runs(report)?;
    let mut metrics = Metrics::default();
    for run in &runs {
        run::add(&mut metrics, run);
        if let Some(reference) = run.reference {
            case::add(&mut metrics, run.time, &run.labels, reference);
        }
    }
    for scenario in &report.scenarios {
        let of_scenario = vec![label::text("wasiscope.scenario", &scenario.name)];
        let time = |source: Option<usize>| runs.get(source.unwrap_or(0)).map_or(runs[0].time, |run| run.time);
        for case in &scenario.cases {
            case::add(&mut metrics, time(case.source), &of_scenario, case);
        }
        for price in &scenario.prices {
            case::add_price(&mut metrics, time(price.source), &of_scenario, price);
        }
    }
    Ok(Telemetry { resource: run::resource(report), metrics: metrics.checked()? })
}

/// Metrics that are being collected.
#[derive(Default)]
struct Metrics(BTreeMap<&'static str, Metric>);

impl Metrics {
    fn add(&mut self, definition: &'static Definition, labels: Vec<Label>, time: Span, value: Value) {
        let metric = self.0.entry(definition.name).or_insert_with(|| Metric { definition, points: Vec::new() });
        metric.points.push(Point { labels, time, value });
    }

    fn checked(self) -> Result<BTreeMap<&'static str, Metric>, TelemetryError> {
        for metric in self.0.values() {
            let mut seen = BTreeSet::new();
            if let Some(twice) = metric.points.iter().find(|point| !seen.insert(&point.labels)) {
                let labels: Vec<String> = twice.labels.iter().map(Label::to_string).collect();
                return Err(TelemetryError::Twice { metric: metric.definition.name, labels: labels.join(", ") });
            }
        }
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests;
