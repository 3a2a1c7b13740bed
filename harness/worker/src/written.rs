//! What a guest writes to its streams in one pass.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most bytes of one stream that are sent to the parent as text: what patterns are matched against, and what errors quote.
pub const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// Both streams of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Standard output.
    pub stdout: Written,
    /// Standard error.
    pub stderr: Written,
}

/// What was written to one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// How much.
    pub bytes: u64,
    /// SHA-256 of all of it, in hexadecimal digits.
    pub sha256: String,
    /// Its beginning, at most [`TEXT_LIMIT_BYTES`]. What is not UTF-8 is replaced.
    pub text: String,
}

impl Written {
    /// Of all bytes that were written.
    #[must_use]
    pub fn of(all: &[u8]) -> Self {
        let beginning = &all[..all.len().min(TEXT_LIMIT_BYTES)];
        Self {
            bytes: all.len() as u64,
            sha256: const_hex::encode(Sha256::digest(all)),
            text: String::from_utf8_lossy(beginning).into_owned(),
        }
    }

    /// Whether `text` is all that was written.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.bytes <= TEXT_LIMIT_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_everything_and_the_text_of_the_beginning() {
        let long = vec![b'a'; TEXT_LIMIT_BYTES + 5];
        let written = Written::of(&long);
        assert_eq!((written.bytes, written.text.len()), (long.len() as u64, TEXT_LIMIT_BYTES));
        assert!(!written.is_whole());
        assert_ne!(written.sha256, Written::of(&long[..TEXT_LIMIT_BYTES]).sha256);
        let nothing = Written::of(b"");
        assert_eq!(nothing.sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
