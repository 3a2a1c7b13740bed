//! Runs and what is made of them: workers started and judged, records summed up into reports, comparisons, histories, merged
//! reports, snapshots, trials of this very binary.
//!
//! [`execute`](execute::execute) is a run as a library call. It knows no command line and prints nothing.

pub mod budgets;
pub mod calibrate;
pub mod code;
pub mod compare;
pub mod conformance;
pub mod execute;
pub mod history;
pub mod journal;
pub mod merge;
pub mod prepare;
pub mod reference;
pub mod runner;
pub mod selftest;
pub mod snapshot;
pub mod soak;
pub mod summary;
