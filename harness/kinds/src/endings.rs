//! How cases ended that have nothing to show in a table.

use std::fmt::Write;

use wasiscope_model::record::Status;
use wasiscope_model::report::ScenarioReport;

/// A paragraph for each case that was skipped or did not end as expected.
pub(crate) fn without_figures(scenario: &ScenarioReport) -> String {
    let mut text = String::new();
    for case in scenario.cases.iter().filter(|case| !case.outcome.expected || case.outcome.status == Status::Skipped) {
        let detail = case.outcome.detail.as_deref().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {}: {detail}\n", case.outcome.status.name(), case.id);
    }
    text
}
