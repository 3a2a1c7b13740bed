//! Figures over commits: reports that were kept by commit, as series of one metric of one case on one machine, and the steps in them.
//!
//! A fact is exact: every change of it is a step. A measurement is noisy: what counts as a step is for [`wasiscope_stats::steps`] to say, and a
//! lone spike is none. Times are divided by those of the reference case that ran among the same workers, because reports of
//! different days are of a machine in different moods: by its least disturbed samples, since its passes are long enough to be
//! interrupted where those of a short guest are not. Machines are never joined.

mod store;

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobMatcher;
use wasiscope_ebpf_abi::Phase;

use crate::compare::{Tolerances, medians};
use wasiscope_model::record::{TRAP_LATENCY, metric_of};
use wasiscope_model::report::Report;
use wasiscope_model::report::by_machine;
use wasiscope_model::report::{CaseReport, Measurement};
use wasiscope_stats as stats;

pub use wasiscope_model::history::{Commit, History, Point, SCHEMA_VERSION, Series, Shift};

pub use store::{Added, HistoryError, NOTES, Store, belongs_to};

/// Facts that are shown where nobody asked for others: what their details come to.
const HEADLINES: [&str; 5] = ["size.wasm", "size.native", "fuel", "memory.initial_pages", "memory.final_pages"];

/// Which series are wanted.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Cases whose id matches; all, when none is named.
    pub cases: Option<GlobMatcher>,
    /// Metrics or facts that match; the measurements and the headlines of facts, when none is named.
    pub metrics: Vec<GlobMatcher>,
}

impl Wanted {
    fn case(&self, id: &str) -> bool {
        self.cases.as_ref().is_none_or(|glob| glob.is_match(id))
    }

    fn metric(&self, metric: &str, unasked: bool) -> bool {
        if self.metrics.is_empty() { unasked } else { self.metrics.iter().any(|glob| glob.is_match(metric)) }
    }
}

/// What tells series apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    machine: String,
    scenario: String,
    case: String,
    metric: String,
}

/// The value of one report.
#[derive(Clone, Debug)]
struct Reading {
    commit: String,
    /// Which run it is of: one may be kept as it was and as a part of a merged report.
    run: String,
    value: f64,
    /// The guest and the time of the reference case.
    reference: Option<(String, f64)>,
    conditions: BTreeMap<String, String>,
}

/// Gathers series from reports, one report at a time: a thousand of them need not be in memory at once.
#[derive(Debug, Default)]
pub struct Gatherer {
    wanted: Wanted,
    readings: BTreeMap<Key, (String, bool, Vec<Reading>)>,
    /// When the first report of each commit began.
    started: BTreeMap<String, String>,
    /// Every case and every metric that there is, wanted or not: whoever misspells one is told.
    cases: BTreeSet<String>,
    metrics: BTreeSet<String>,
}

impl Gatherer {
    /// Of what is wanted.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Takes in what is wanted of a report of this commit.
    pub fn add(&mut self, commit: &str, report: &Report) {
        let started = self.started.entry(commit.to_owned()).or_insert_with(|| report.started_at.clone());
        if report.started_at < *started {
            started.clone_from(&report.started_at);
        }
        for report in by_machine(report) {
            let conditions = conditions(&report);
            for (scenario, case) in
                report.scenarios.iter().flat_map(|scenario| scenario.cases.iter().map(move |case| (scenario, case)))
            {
                self.cases.insert(case.id.clone());
                self.metrics.extend(case.facts.keys().cloned());
                self.metrics.extend(case.measurements.iter().map(|measurement| measurement.metric.clone()));
                if case.outcome.expected && self.wanted.case(&case.id) {
                    let run = run_of(&report, case);
                    let reading = |value: f64, reference| Reading {
                        commit: commit.to_owned(),
                        run: run.clone(),
                        value,
                        reference,
                        conditions: conditions.clone(),
                    };
                    let key = |metric: &str| Key {
                        machine: report.machine.label(),
                        scenario: scenario.name.clone(),
                        case: case.id.clone(),
                        metric: metric.to_owned(),
                    };
                    self.facts(case, &key, &reading);
                    self.measurements(case, report.reference_of(case), &key, &reading);
                }
            }
        }
    }

    fn facts(
        &mut self,
        case: &CaseReport,
        key: &dyn Fn(&str) -> Key,
        reading: &dyn Fn(f64, Option<(String, f64)>) -> Reading,
    ) {
        for (fact, value) in &case.facts {
            let Some(value) = value.as_f64() else { continue };
            if self.wanted.metric(fact, HEADLINES.contains(&fact.as_str())) {
                let (_, _, readings) = self.readings.entry(key(fact)).or_insert((String::new(), true, Vec::new()));
                push(readings, reading(value, None));
            }
        }
    }

    fn measurements(
        &mut self,
        case: &CaseReport,
        reference: Option<&CaseReport>,
        key: &dyn Fn(&str) -> Key,
        reading: &dyn Fn(f64, Option<(String, f64)>) -> Reading,
    ) {
        for measurement in &case.measurements {
            let metric = &measurement.metric;
            let Some(value) = typical(measurement).filter(|_| self.wanted.metric(metric, true)) else { continue };
            let is_time_of_guest = metric.starts_with("phase.") || metric == TRAP_LATENCY;
            let reference = reference.filter(|_| is_time_of_guest).and_then(reference_time);
            let unit = measurement.unit.clone();
            let (_, _, readings) = self.readings.entry(key(metric)).or_insert((unit, false, Vec::new()));
            push(readings, reading(value, reference));
        }
    }

    /// Every case that was met, wanted or not.
    #[must_use]
    pub fn cases(&self) -> &BTreeSet<String> {
        &self.cases
    }

    /// Every metric and fact that was met.
    #[must_use]
    pub fn metrics(&self) -> &BTreeSet<String> {
        &self.metrics
    }

    /// The series over commits in this order, the oldest first. Reports of commits that are not among them are left out; without
    /// any order, commits follow each other as their first reports did.
    #[must_use]
    pub fn history(self, mainline: Option<&[(String, String)]>) -> History {
        let mut started: Vec<(&String, &String)> = self.started.iter().map(|(commit, at)| (at, commit)).collect();
        started.sort();
        let by_start: Vec<(String, String)> =
            started.iter().map(|(_, commit)| ((*commit).clone(), String::new())).collect();
        let order = mainline.unwrap_or(&by_start);
        let is_measured = |(commit, _): &&(String, String)| self.started.contains_key(commit);
        let commits: Vec<Commit> = order.iter().filter(is_measured).map(commit_of).collect();
        let places: BTreeMap<&str, usize> =
            commits.iter().enumerate().map(|(index, commit)| (commit.id.as_str(), index)).collect();
        let strangers = self.started.keys().filter(|commit| !places.contains_key(commit.as_str())).count();
        let mut left_out = Vec::new();
        if strangers > 0 {
            left_out.push(format!("reports of {strangers} commits that this branch has not grown by (first parents)"));
        }
        let series = self.readings.iter().filter_map(|(key, (unit, exact, readings))| {
            let series = series(key, unit, *exact, readings, &places);
            (!series.points.is_empty()).then_some(series)
        });
        let series: Vec<Series> = series.collect();
        History { schema_version: SCHEMA_VERSION, unmeasured: unmeasured(order, &places), series, commits, left_out }
    }
}

/// A run by when it began, and its seed.
fn run_of(report: &Report, case: &CaseReport) -> String {
    match case.source.and_then(|source| report.sources.get(source)) {
        Some(source) => format!("{} {}", source.started_at, source.seed),
        None => format!("{} {}", report.started_at, report.seed),
    }
}

fn push(readings: &mut Vec<Reading>, reading: Reading) {
    let is_known = |known: &Reading| known.commit == reading.commit && known.run == reading.run;
    if !readings.iter().any(is_known) {
        readings.push(reading);
    }
}

fn commit_of((id, subject): &(String, String)) -> Commit {
    Commit { id: id.clone(), subject: subject.clone() }
}

fn unmeasured(order: &[(String, String)], places: &BTreeMap<&str, usize>) -> BTreeMap<usize, Vec<Commit>> {
    let mut unmeasured = BTreeMap::new();
    let mut waiting: Vec<Commit> = Vec::new();
    for commit in order {
        match places.get(commit.0.as_str()) {
            Some(index) => {
                let between = std::mem::take(&mut waiting);
                // What came before the first report could not have been measured by it.
                if *index > 0 && !between.is_empty() {
                    unmeasured.insert(*index, between);
                }
            }
            None => waiting.push(commit_of(commit)),
        }
    }
    unmeasured
}

fn conditions(report: &Report) -> BTreeMap<String, String> {
    let tools = report.tools.iter().filter_map(|(tool, version)| Some((tool.clone(), version.clone()?)));
    let kernel = report.machine.kernel.clone().map(|kernel| ("kernel".to_owned(), kernel));
    let wasiscope = ("wasiscope".to_owned(), report.wasiscope.clone());
    tools.chain(kernel).chain([wasiscope]).collect()
}

/// The median of what is typical of each process, which is that of its faster half, as in comparisons: what else ran on the machine
/// shows in the slower one.
fn typical(measurement: &Measurement) -> Option<f64> {
    let warm = |process: &Vec<f64>| process.iter().skip(measurement.warm_up).copied().collect::<Vec<f64>>();
    let of_process = |process: &Vec<f64>| stats::typical_log(&warm(process)).map(f64::exp);
    let typical: Vec<f64> = measurement.samples.iter().filter_map(of_process).collect();
    // Where it is not less that is better, or a sample is 0, the plain median.
    if measurement.direction != "lower_is_better" || typical.is_empty() {
        return stats::median(&medians(measurement)?);
    }
    stats::median(&typical)
}

fn reference_time(reference: &CaseReport) -> Option<(String, f64)> {
    let run = metric_of(Phase::Run);
    let measurement = reference.measurements.iter().find(|measurement| measurement.metric == run)?;
    let fastest = |process: &Vec<f64>| process.iter().copied().reduce(f64::min);
    let fastest: Vec<f64> = measurement.samples.iter().filter_map(fastest).collect();
    let time = stats::median(&fastest)?;
    Some((reference.artifact.as_ref()?.sha256.clone(), time)).filter(|(_, time)| *time > 0.0)
}

fn series(key: &Key, unit: &str, exact: bool, readings: &[Reading], places: &BTreeMap<&str, usize>) -> Series {
    let mut readings: Vec<(usize, &Reading)> = readings
        .iter()
        .filter_map(|reading| places.get(reading.commit.as_str()).map(|place| (*place, reading)))
        .collect();
    readings.sort_by_key(|(place, _)| *place);
    let usual = usual_reference(&readings);
    let value = |reading: &Reading| match (usual, &reading.reference) {
        (Some(usual), Some((_, time))) => reading.value / time * usual,
        _ => reading.value,
    };
    let points: Vec<Point> = readings
        .chunk_by(|(one, _), (other, _)| one == other)
        .filter_map(|of_commit| {
            let values: Vec<f64> = of_commit.iter().map(|(_, reading)| value(reading)).collect();
            let (commit, last) = of_commit.last()?;
            let conditions = last.conditions.clone();
            let value = stats::median(&values).filter(|value| value.is_finite())?;
            Some(Point { commit: *commit, value, reports: values.len(), conditions })
        })
        .collect();
    let steps = if exact { changes(&points) } else { shifts(&points, Tolerances::default().of(&key.metric)) };
    Series {
        machine: key.machine.clone(),
        scenario: key.scenario.clone(),
        case: key.case.clone(),
        metric: key.metric.clone(),
        unit: unit.to_owned(),
        exact,
        normalised: usual.is_some(),
        points,
        steps,
    }
}

/// The typical time of the reference case, if it is the same guest in all reports.
fn usual_reference(readings: &[(usize, &Reading)]) -> Option<f64> {
    let references: Option<Vec<&(String, f64)>> =
        readings.iter().map(|(_, reading)| reading.reference.as_ref()).collect();
    let references = references?;
    let guest = &references.first()?.0;
    let same = references.iter().all(|(of, _)| of == guest);
    let times: Vec<f64> = references.iter().map(|(_, time)| *time).collect();
    stats::median(&times).filter(|_| same)
}

/// Of facts, every change.
fn changes(points: &[Point]) -> Vec<Shift> {
    let pairs = points.windows(2).enumerate();
    pairs
        .filter(|(_, pair)| pair[0].value != pair[1].value)
        .map(|(index, pair)| Shift {
            at: index + 1,
            before: pair[0].value,
            after: pair[1].value,
            p: None,
            besides: besides(&pair[0], &pair[1]),
        })
        .collect()
}

/// Of measurements, lasting shifts.
fn shifts(points: &[Point], tolerance: f64) -> Vec<Shift> {
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let steps = stats::steps(&values, tolerance).into_iter();
    steps
        .map(|step| Shift {
            at: step.at,
            before: step.before,
            after: step.after,
            p: Some(step.p),
            besides: besides(&points[step.at - 1], &points[step.at]),
        })
        .collect()
}

fn besides(before: &Point, after: &Point) -> Vec<String> {
    let names =
        before.conditions.keys().chain(after.conditions.keys().filter(|name| !before.conditions.contains_key(*name)));
    let value = |point: &Point, name: &String| point.conditions.get(name).map_or("none", String::as_str).to_owned();
    names
        .map(|name| (name, value(before, name), value(after, name)))
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| format!("{name} {before} → {after}"))
        .collect()
}

#[cfg(test)]
mod tests;
