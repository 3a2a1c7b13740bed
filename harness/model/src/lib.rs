//! The documents of wasiscope, at the bottom of everything: records, reports, comparisons and histories, with the names, units and
//! words in them. Whatever makes, reads or shows a document depends on this crate.
//!
//! It does no input or output, computes no statistics, and knows nothing of engines, processes or kernel programs.

/// What wasiscope calls itself in documents.
pub const NAME: &str = "wasiscope";

pub mod capture;
pub mod code;
pub mod comparison;
pub mod engine;
pub mod events;
pub mod figures;
#[doc(hidden)]
pub mod fixtures;
pub mod history;
pub mod kernel_figures;
pub mod kind;
pub mod metrics;
pub mod names;
pub mod record;
pub mod report;
pub mod telemetry;
pub mod units;
pub mod work;
