//! Command lines.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::cli::Cli;

/// A command line is read, or refused with status 2 and a reason, or answered by help with status 0. Words are separated by NUL bytes, which no
/// argument can hold.
pub fn arguments(bytes: &[u8]) {
    let words = bytes.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned());
    let words: Vec<_> = std::iter::once("wasiscope".into()).chain(words).collect();
    if let Err(answer) = Cli::parse_words(&words) {
        assert!(matches!(answer.exit_code(), 0 | 2), "status {}", answer.exit_code());
        assert!(!answer.to_string().is_empty(), "no reason");
    }
}
