//! wasiscope: what a WebAssembly guest really costs, with the kernel watched at the same time.
//!
//! Data flows one way: [`scenario`] → [`plan`] → [`guest`] → [`worker`] (driven by [`runner`], watched by [`capture`])
//! → [`record`] → [`summary`] → [`report`]. ARCHITECTURE.md says what each module may know.

/// For [`scenarios!`]: the project's own snapshots are asserted by it.
#[doc(hidden)]
pub use insta;

pub mod calibrate;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod conformance;
pub mod executable;
pub mod files;
pub mod folder;
pub mod git;
pub mod guest;
pub mod history;
pub mod interrupt;
pub mod journal;
pub mod machine;
pub mod merge;
pub mod module;
pub mod names;
pub mod pipeline;
pub mod places;
pub mod plan;
pub mod prepare;
pub mod privileges;
#[doc(hidden)]
pub mod properties;
pub mod record;
pub mod reference;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod schedule;
pub mod scratch;
pub mod selftest;
pub mod snapshot;
pub mod soak;
pub mod stats;
pub mod suite;
pub mod summary;
pub mod traps;
pub mod units;
pub mod worker;
