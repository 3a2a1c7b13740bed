//! Reports.

use std::path::Path;

#[cfg(feature = "html")]
use super::markup;
use super::{has_no_tags, is_plain, survives_being_stored};
use crate::kinds;
#[cfg(feature = "html")]
use crate::report::html;
use crate::report::table::Style;
use crate::report::{Report, json, table, telemetry, timeline};

/// A report that is read is the same when it is written and read again, and can be shown in every way, with nothing of its text taken for
/// anything but text.
pub fn report(bytes: &[u8]) {
    match json::parse(Path::new("fuzzed.json"), bytes) {
        Ok(report) => {
            survives_being_stored(&report);
            can_be_shown(&report);
        }
        Err(error) => assert!(error.to_string().contains("fuzzed.json")),
    }
}

pub(super) fn can_be_shown(report: &Report) {
    is_plain(&table::render(report, Style::Plain, kinds::VIEWS));
    has_no_tags(&table::render(report, Style::Markdown, kinds::VIEWS));
    #[cfg(feature = "html")]
    markup::is_well_formed(&html::report_page(report, kinds::VIEWS));
    let mut trace = Vec::new();
    timeline::write(report, &mut trace).expect("memory takes everything");
    serde_json::from_slice::<serde_json::Value>(&trace).expect("a timeline is JSON");
    // It refuses what has no times that telemetry could have.
    if let Ok(all) = telemetry::of(report) {
        telemetry::prometheus::write(&all, &mut Vec::new()).expect("memory takes everything");
        #[cfg(feature = "otlp")]
        assert!(telemetry::otlp::requests(&all).len() <= all.len());
    }
}
