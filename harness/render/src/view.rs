//! How the scenarios of a kind are shown.

use wasiscope_model::kind::Named;

use super::grid::Grid;
use super::table::Style;
use wasiscope_model::report::ScenarioReport;

/// A table with what it is about.
pub type Titled = (&'static str, Grid);

/// How the scenarios of a kind are shown.
pub trait View: Named + Sync {
    /// Tables of a whole scenario; `None` where its cases are shown one by one. Where the capture lost something (not `exact`),
    /// counts are lower bounds.
    fn tables(&self, _scenario: &ScenarioReport, _exact: bool) -> Option<Vec<Titled>> {
        None
    }

    /// What a text says below these tables.
    fn below(&self, _scenario: &ScenarioReport, _style: Style) -> String {
        String::new()
    }
}

/// The views of all kinds.
pub type Views = &'static [&'static dyn View];
