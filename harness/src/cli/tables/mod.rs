//! Tables of what only the command line shows.

pub(crate) mod selftest;
pub(crate) mod snapshot;
pub(crate) mod soak;
