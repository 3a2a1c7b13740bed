//! FNV-1a with 64 bits: the check of workloads whose result is a sequence of bytes.

const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of the bytes seen so far.
#[derive(Clone, Copy, Debug)]
pub struct Fnv1a(u64);

impl Fnv1a {
    /// The hash of no bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }

    /// Goes on with a whole `word` in one step, where the result is many words and hashing each byte of them would be
    /// much of the work: xor, times the prime of FNV-1a, and rotated left by 29 so that high bits reach low ones.
    ///
    /// From here on the hash is no longer FNV-1a.
    pub const fn update_word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(PRIME).rotate_left(29);
    }

    /// The hash of all bytes seen.
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for Fnv1a {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors from the test suite of the authors' reference code (`test_fnv.c`).
    #[test]
    fn reference_vectors() {
        for (input, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut hash = Fnv1a::new();
            hash.update(input.as_bytes());
            assert_eq!(hash.finish(), expected, "{input:?}");
        }
    }

    /// Computed by the same three operations written in Python.
    #[test]
    fn whole_words() {
        let mut hash = Fnv1a::new();
        hash.update_word(0);
        hash.update_word(u64::MAX);
        assert_eq!(hash.finish(), 0xa3e6_1544_439d_5cfb);
    }
}
