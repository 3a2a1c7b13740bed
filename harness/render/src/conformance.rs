//! The outcome of a conformance run: what did not end as its manifest says, and how many did.

use std::fmt::Write;
use std::io;

use serde::Serialize;

use super::Views;
use super::grid::{Grid, plain};
use super::junit::Junit;
use super::sink::{Out, RenderContext, Sink};
use super::sinks::Document;
use super::table::Style;
use wasiscope_model::record::Status;
use wasiscope_model::report::{CaseReport, Report};

/// The report of a conformance run. Its guests run once, so it has no samples to draw or to send.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Conformance(pub Report);

impl Document for Conformance {
    const SINKS: &'static [&'static dyn Sink<Self>] = &[&Junit];

    fn text(&self, style: Style, _views: Views) -> String {
        render(&self.0, style)
    }
}

impl Sink<Conformance> for Junit {
    fn name(&self) -> &'static str {
        Sink::<Report>::name(self)
    }

    fn help(&self) -> &'static str {
        "Also write every guest as a test in JUnit XML, for what shows test results in CI"
    }

    fn write(&self, conformance: &Conformance, context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        Sink::<Report>::write(self, &conformance.0, context, out)
    }
}

/// A table of the guests that failed or were skipped, and a line with the counts.
fn render(report: &Report, style: Style) -> String {
    let mut table = Grid::new(&["suite", "guest", "engine", "outcome", "why"]).align_left(&[0, 1, 2, 3, 4]);
    for scenario in &report.scenarios {
        for case in scenario.cases.iter().filter(|case| !passed(case)) {
            let detail = case.outcome.detail.as_deref().unwrap_or_default();
            table.add_row([
                scenario.name.clone(),
                case.workload.clone(),
                case.engine.clone(),
                case.outcome.status.name().to_owned(),
                detail.lines().next().unwrap_or_default().to_owned(),
            ]);
        }
    }
    let mut text = String::new();
    if let Some(table) = table.if_any() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{}\n", table.text(style));
    }
    let _ = writeln!(text, "{}", counts(report));
    plain(&text, style)
}

fn counts(report: &Report) -> String {
    let count = |is: &dyn Fn(&CaseReport) -> bool| report.cases().filter(|case| is(case)).count();
    let failed = count(&|case| !case.outcome.expected);
    let (known, skipped) = (count(&is_known), count(&|case| case.outcome.status == Status::Skipped));
    let mut parts = vec![format!("{} passed", count(&passed))];
    let others = [(failed, "failed"), (known, "failed as known"), (skipped, "skipped")];
    parts.extend(others.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let all = report.cases().count();
    format!("{all} {}: {}", if all == 1 { "guest" } else { "guests" }, parts.join(", "))
}

fn passed(case: &CaseReport) -> bool {
    case.outcome.expected && matches!(case.outcome.status, Status::Ok)
}

/// Listed as a known failure, and indeed failed.
fn is_known(case: &CaseReport) -> bool {
    case.outcome.expected && matches!(case.outcome.status, Status::Failed | Status::Timeout | Status::Trapped)
}
