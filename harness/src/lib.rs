//! wasiscope: what a WebAssembly guest really costs, with the kernel watched at the same time.
//!
//! Data flows one way: [`scenario`] → [`plan`] → [`guest`] → [`worker`] (driven by [`runner`], watched by [`capture`])
//! → [`record`] → [`summary`] → [`report`]. ARCHITECTURE.md says what each crate may know.

pub use wasiscope_capture as capture;
pub use wasiscope_guest::{executable, guest, module, places};
pub use wasiscope_kinds as kinds;
pub use wasiscope_model::{names, record, units};
pub use wasiscope_run::{
    calibrate, compare, conformance, execute, history, journal, merge, prepare, reference, runner, selftest, snapshot,
    soak, summary,
};
pub use wasiscope_scenario as scenario;
pub use wasiscope_scenario::plan;
pub use wasiscope_stats as stats;
pub use wasiscope_sys::{before_exec, clock, files, folder, git, interrupt, machine, privileges, scratch};

/// Codes of errors.
pub mod code {
    pub use wasiscope_model::code::*;
    pub use wasiscope_model::fail;
    pub use wasiscope_run::code::code_of;
}
pub mod cli;
#[doc(hidden)]
pub mod properties;
pub mod report;
pub mod suite;
/// The worker, with its engine.
pub mod worker {
    pub use wasiscope_engines::*;
    pub use wasiscope_worker::*;
}
