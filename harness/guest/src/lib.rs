//! Guests: where the project with their sources is, how they are built and kept by content, and what can be read from
//! their bytes.
//!
//! Nothing else compiles with cargo, go or tinygo. It runs no guest: it knows no engine.

pub mod executable;
pub mod guest;
pub mod module;
pub mod places;
