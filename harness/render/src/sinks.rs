//! The table of renderings. A new one is a file beside this one with its [`Sink`], and a line here: the command line takes its options
//! from the table.

use std::io;

use serde::Serialize;

use super::comparison;
#[cfg(feature = "html")]
use super::html::Page;
use super::junit::Junit;
#[cfg(feature = "parquet")]
use super::parquet::Samples;
use super::sink::{Out, RenderContext, Sink};
use super::table::{self, Style};
use super::telemetry::prometheus::Metrics;
use super::timeline::Timelines;
use super::{Report, Views};
use wasiscope_model::comparison::Comparison;

/// A document that can be rendered.
pub trait Document: Sized + 'static {
    /// The table: every rendering that goes into a file, in the order in which they are written.
    const SINKS: &'static [&'static dyn Sink<Self>];

    /// What a terminal, or a Markdown document, shows of it.
    fn text(&self, style: Style, views: Views) -> String;
}

impl Document for Report {
    const SINKS: &'static [&'static dyn Sink<Self>] = &[
        &Timelines,
        #[cfg(feature = "html")]
        &Page,
        #[cfg(feature = "parquet")]
        &Samples,
        &Junit,
        &Metrics,
    ];

    fn text(&self, style: Style, views: Views) -> String {
        table::render(self, style, views)
    }
}

impl Document for Comparison {
    const SINKS: &'static [&'static dyn Sink<Self>] = &[
        #[cfg(feature = "html")]
        &Page,
        &Junit,
    ];

    fn text(&self, style: Style, _views: Views) -> String {
        comparison::render(self, style)
    }
}

/// A document as tables. It has no option of its own: it goes to stdout.
#[derive(Clone, Copy, Debug)]
pub struct Tables(pub Style);

impl<D: Document> Sink<D> for Tables {
    fn name(&self) -> &'static str {
        match self.0 {
            Style::Plain => "table",
            Style::Markdown => "markdown",
        }
    }

    fn help(&self) -> &'static str {
        "Tables"
    }

    fn write(&self, document: &D, context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        out.write_all(document.text(self.0, context.views).as_bytes())
    }
}

/// A document as JSON, as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl<D: Document + Serialize> Sink<D> for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn help(&self) -> &'static str {
        "The document itself, as JSON"
    }

    fn write(&self, document: &D, _context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, document)?;
        out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;

    use serde_json::json;

    use super::*;
    use crate::conformance::Conformance;
    use crate::fixtures;
    use wasiscope_sys::destination::Destination;

    /// Every sink of the document has an option of its own, and what it writes may be replaced.
    fn hold<D: Document>(document: &D) {
        let folder = tempfile::tempdir().unwrap();
        let context = RenderContext { name: "report.json", views: &[] };
        let mut options = BTreeSet::new();
        for sink in D::SINKS {
            assert!(options.insert(sink.option()), "{}", sink.option());
            let path = folder.path().join(sink.option());
            sink.write(document, &context, &mut File::create(&path).unwrap()).unwrap();
            assert!(path.metadata().unwrap().len() > 0, "{}", sink.option());
            Destination::check(&path).unwrap_or_else(|error| panic!("{}: {error}", sink.option()));
        }
    }

    fn report() -> Report {
        fixtures::report(vec![fixtures::case("a/b/c", "00", &[1_000, 2_000])], None)
    }

    #[test]
    fn sinks_of_reports() {
        hold(&report());
        hold(&Conformance(report()));
    }

    #[test]
    fn sinks_of_comparisons() {
        let side = json!({"label": "a", "git": null, "machine": null, "tools": {}});
        let comparison: Comparison = serde_json::from_value(json!({
            "schema_version": 1, "wasiscope": "0.0.0", "base": side, "new": side, "verdict": "unchanged", "seed": 1,
            "confidence": 0.99, "interrupted": false, "budget_spent": false, "warnings": [], "facts": [], "rows": [],
        }))
        .unwrap();
        hold(&comparison);
    }
}
