//! The report and its renderings. Renders, never recomputes; knows nothing of wasmtime or aya.

pub mod comparison;
pub mod destination;
pub mod document;
pub mod json;
pub mod sizes;
pub mod table;

pub use document::Report;
