//! A document as JUnit XML, which CI systems show as tests: each scenario a suite and each case a test, or each row of a comparison.
//! Times in such files have milliseconds; medians to the nanosecond are properties of a test.

use std::io;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Tests, TestCase, TestCaseStatus, TestSuite};
use wasiscope_ebpf_abi::Phase;

use super::comparison;
use super::sink::{Out, RenderContext, Sink};
use wasiscope_model::comparison::{Comparison, Row, State};
use wasiscope_model::record::{Failure, Status, TRAP_LATENCY, metric_of};
use wasiscope_model::report::{CaseReport, CheckOverhead, Report, by_machine};
use wasiscope_model::units;
use wasiscope_stats::Verdict;

/// What the file calls all of it. Files that begin so may be replaced.
const NAME: &str = "wasiscope";

/// A report or a comparison as JUnit XML.
#[derive(Clone, Copy, Debug)]
pub struct Junit;

impl Sink<Report> for Junit {
    fn name(&self) -> &'static str {
        "junit"
    }

    fn help(&self) -> &'static str {
        "Also write every case as a test in JUnit XML, for what shows test results in CI"
    }

    fn write(&self, report: &Report, _context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        let mut tests = Tests::new(NAME);
        tests.set_time(Duration::try_from_secs_f64(report.duration_s).unwrap_or_default());
        let machines = by_machine(report);
        for of_machine in &machines {
            let on = if machines.len() > 1 { format!(" on {}", of_machine.machine.label()) } else { String::new() };
            for scenario in &of_machine.scenarios {
                let mut suite = TestSuite::new(text(&format!("{}{on}", scenario.name)));
                suite.add_test_cases(scenario.cases.iter().map(case));
                suite.add_test_cases(scenario.prices.iter().map(price));
                tests.add_test_suite(suite);
            }
        }
        tests.serialize(out).map_err(io::Error::other)
    }
}

impl Sink<Comparison> for Junit {
    fn name(&self) -> &'static str {
        Sink::<Report>::name(self)
    }

    fn help(&self) -> &'static str {
        "Also write every row as a test in JUnit XML, for what shows test results in CI: a regression is a failure, as is another answer"
    }

    fn write(&self, comparison: &Comparison, _context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        let mut tests = Tests::new(NAME);
        let mut suites: Vec<TestSuite> = Vec::new();
        for row in &comparison.rows {
            let name = text(&suite_of(row));
            let at = suites.iter().position(|suite| suite.name.as_str() == name).unwrap_or_else(|| {
                suites.push(TestSuite::new(name));
                suites.len() - 1
            });
            suites[at].add_test_case(of_row(row, comparison.confidence));
        }
        tests.add_test_suites(suites);
        tests.serialize(out).map_err(io::Error::other)
    }
}

fn case(case: &CaseReport) -> TestCase {
    let detail = case.outcome.detail.as_deref().unwrap_or_default();
    let status = match case.outcome.status {
        status if !case.outcome.expected => {
            let mut status = failure(status.name(), detail);
            if !case.failures.is_empty() {
                status.set_description(text(&failures(case)));
            }
            status
        }
        Status::Skipped => skipped(detail),
        // A trap that is expected is what the case is for.
        Status::Ok | Status::Trapped | Status::Failed | Status::Timeout => TestCaseStatus::success(),
    };
    // A guest that traps may have no `run`.
    let timed = [metric_of(Phase::Run), metric_of(Phase::Trap), TRAP_LATENCY.to_owned()];
    let median = |metric: &String| {
        let measured = case.measurements.iter().find(|measurement| measurement.metric == *metric);
        measured.map(|measurement| measurement.summary.median)
    };
    let mut test = test(&case.id, status, timed.iter().find_map(median));
    for measurement in &case.measurements {
        let median = format!("{} {}", measurement.summary.median, measurement.unit);
        test.add_property((text(&measurement.metric), text(&median)));
    }
    test
}

/// What was not as it must be, each in a line.
fn failures(case: &CaseReport) -> String {
    let line = |Failure { what, expected, got, .. }: &Failure| format!("{what}: expected {expected}, got {got}");
    case.failures.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What a check costs has no bound, so it fails only with one of its two sides.
fn price(price: &CheckOverhead) -> TestCase {
    let note = price.note.as_deref().unwrap_or_default();
    let status = match price.ratio {
        _ if price.failed => failure(Status::Failed.name(), note),
        None => skipped(note),
        Some(_) => TestCaseStatus::success(),
    };
    test(&format!("{} against {}", price.case, price.base), status, price.checked_ns)
}

fn of_row(row: &Row, confidence: f64) -> TestCase {
    let note = comparison::note(row);
    let status = match row.state() {
        _ if row.failed || row.verdict == Verdict::Regressed => {
            failure(row.state().name(), &said(row, &note, confidence))
        }
        State::Compared(Verdict::Inconclusive) => skipped(&format!("inconclusive: {}", said(row, &note, confidence))),
        State::OnlyIn(_) => skipped(&format!("{}: {note}", row.state().name())),
        _ => TestCaseStatus::success(),
    };
    let name = if row.is_of_whole_case() { row.case.clone() } else { format!("{} {}", row.case, row.metric) };
    test(&name, status, row.new.filter(|_| row.unit == "ns"))
}

/// The change with its interval, and the note.
fn said(row: &Row, note: &str, confidence: f64) -> String {
    let change = row.ratio.zip(row.ci_low.zip(row.ci_high)).map(|(ratio, (low, high))| {
        let [ratio, low, high] = [ratio, low, high].map(units::change);
        format!("{ratio} ({:.0} % interval {low} … {high})", confidence * 100.0)
    });
    change.into_iter().chain((!note.is_empty()).then(|| note.to_owned())).collect::<Vec<_>>().join("; ")
}

fn suite_of(row: &Row) -> String {
    let scenario = row.scenario.as_deref().unwrap_or("comparison");
    row.machine.as_ref().map_or_else(|| scenario.to_owned(), |machine| format!("{scenario} on {machine}"))
}

/// Text as XML can hold it: control characters are shown as in tables, the two others that it forbids are replaced.
fn text(text: &str) -> String {
    units::printable(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

fn test(name: &str, status: TestCaseStatus, time_ns: Option<f64>) -> TestCase {
    let mut test = TestCase::new(text(name), status);
    if let Some(time) = time_ns.and_then(|ns| Duration::try_from_secs_f64(ns / 1e9).ok()) {
        test.set_time(time);
    }
    test
}

fn failure(kind: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(text(message));
    status
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(text(reason));
    status
}
