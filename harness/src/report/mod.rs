//! The report and its renderings. Renders, never recomputes; knows nothing of wasmtime or aya.

pub mod comparison;
pub mod conformance;
pub mod destination;
pub(crate) mod fixtures;
pub mod grid;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
mod kernel;
pub mod parquet;
pub mod selftest;
pub mod sink;
pub mod sinks;
pub mod sizes;
pub mod snapshot;
pub mod soak;
pub mod table;
pub mod telemetry;
pub mod timeline;
mod view;

pub use view::{Titled, View, Views};
pub use wasiscope_model::report as document;
pub use wasiscope_model::report::Report;
