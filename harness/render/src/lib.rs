//! Renderings of documents: tables, pages, timelines, Parquet, JUnit, OpenTelemetry, Prometheus. Each is a sink, and `sinks.rs` has the
//! table of them.
//!
//! It renders and never recomputes. It knows no engine, no kernel program, and no kind of scenario: how the scenarios of a kind are shown
//! is for its [`View`] to say.
//!
//! Features, all on by default: `html` has the pages, `parquet` the table of samples, `otlp` what sends metrics. A sink of a feature that is
//! off is not in the table, so nothing offers it.

pub mod comparison;
pub mod conformance;
#[doc(hidden)]
pub mod fixtures;
pub mod grid;
pub mod history;
#[cfg(feature = "html")]
pub mod html;
pub mod junit;
pub mod kernel;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod sink;
pub mod sinks;
pub mod sizes;
pub mod table;
pub mod telemetry;
pub mod timeline;
mod view;

pub use view::{Titled, View, Views};
pub use wasiscope_model::report as document;
pub use wasiscope_model::report::Report;
