//! The kinds of scenario, a folder for each.

pub mod pipeline;
pub mod scheduler;
pub mod traps;
