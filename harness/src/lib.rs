//! wasiscope: what a WebAssembly guest really costs, with the kernel watched at the same time.
//!
//! Data flows one way: [`scenario`] → [`plan`] → [`guest`] → [`worker`] (driven by [`runner`], watched by [`capture`])
//! → [`record`] → [`summary`] → [`report`]. ARCHITECTURE.md says what each module may know.

pub use wasiscope_capture as capture;
pub use wasiscope_guest::{executable, guest, module, places};
pub use wasiscope_kinds as kinds;
pub use wasiscope_model::{names, record, units};
pub use wasiscope_scenario as scenario;
pub use wasiscope_scenario::plan;
pub use wasiscope_stats as stats;
pub use wasiscope_sys::{before_exec, clock, files, folder, git, interrupt, machine, privileges, scratch};

pub mod calibrate;
pub mod cli;
pub mod compare;
pub mod conformance;
pub mod execute;
pub mod history;
pub mod journal;
pub mod merge;
pub mod prepare;
#[doc(hidden)]
pub mod properties;
pub mod reference;
pub mod report;
pub mod runner;
pub mod selftest;
pub mod snapshot;
pub mod soak;
pub mod suite;
pub mod summary;
/// The worker, with its engine.
pub mod worker {
    pub use wasiscope_engines::*;
    pub use wasiscope_worker::*;
}
