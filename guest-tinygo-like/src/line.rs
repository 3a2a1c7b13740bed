//! A line of text, put together without core's formatting, which alone would be larger than the smallest guest.

/// The longest line there is room for; a power of two, so that an index reduced by it needs no check.
const CAPACITY_BYTES: usize = 128;
/// The longest name that fits into a result line, beside two numbers of twenty and sixteen digits and the words.
pub const MAX_NAME_BYTES: usize = CAPACITY_BYTES - "\n".len() - 16 - " check=".len() - 20 - " n=".len();

/// A line that is written from its end to its beginning, because that is the order in which digits come.
pub struct Line {
    bytes: [u8; CAPACITY_BYTES],
    start: usize,
}

impl Line {
    /// The line feed alone.
    pub const fn new() -> Self {
        Self { bytes: [b'\n'; CAPACITY_BYTES], start: CAPACITY_BYTES - 1 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start % CAPACITY_BYTES..]
    }

    /// Puts `text` before what is there.
    pub fn prepend(&mut self, text: &str) {
        for byte in text.bytes().rev() {
            self.prepend_byte(byte);
        }
    }

    /// Puts `number` before what is there, with at least `min_digits` digits.
    pub fn prepend_number(&mut self, mut number: u64, radix: u64, min_digits: usize) {
        let mut digits = 0;
        while number > 0 || digits < min_digits {
            let [digit, ..] = (number % radix).to_le_bytes();
            self.prepend_byte(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
            number /= radix;
            digits += 1;
        }
    }

    /// A line too long would begin to overwrite its end; `MAX_NAME_BYTES` keeps that from happening.
    fn prepend_byte(&mut self, byte: u8) {
        self.start = self.start.wrapping_sub(1) % CAPACITY_BYTES;
        self.bytes[self.start] = byte;
    }
}
