//! Documents and their renderings, by the names under which the rest of this crate knows them.

pub use wasiscope_model::report as document;
pub use wasiscope_model::report::Report;
pub use wasiscope_render::*;
pub use wasiscope_sys::{destination, report_file as json};
