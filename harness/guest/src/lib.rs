//! Guests: where the project with their sources is, how they are built and kept by content, and what their bytes alone say.
//!
//! It is the only caller of cargo, go and tinygo, and it runs no guest: it knows no engine.

pub mod executable;
pub mod guest;
pub mod module;
pub mod places;
