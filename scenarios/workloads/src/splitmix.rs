//! SplitMix64: the source of reproducible input, chosen because any language can repeat it in five lines.

/// Where the input of every workload starts: `"WASISCOP"` in ASCII.
pub const SEED: u64 = 0x5741_5349_5343_4F50;

/// The generator of Steele, Lea and Flood (2014), with the constants of Vigna's `splitmix64.c`.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// Starts from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `bound`: the upper 32 of the next 64 bits, times `bound`, divided by 2³².
    pub const fn below(&mut self, bound: u32) -> u32 {
        let product = (self.next_u64() >> 32) * bound as u64;
        let [_, _, _, _, a, b, c, d] = product.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// The next number in [0, 1): the upper 53 of the next 64 bits, divided by 2⁵³, so without rounding.
    pub const fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `bytes`, each step giving eight of them, least significant first; the last step is cut if need be.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for eight in bytes.chunks_mut(8) {
            eight.copy_from_slice(&self.next_u64().to_le_bytes()[..eight.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widely published output of `splitmix64.c` for the seed 1234567.
    #[test]
    fn reference_vector() {
        let mut random = SplitMix64::new(1_234_567);
        for expected in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ] {
            assert_eq!(random.next_u64(), expected);
        }
    }

    /// Computed from the vector above by the same rules written in Python.
    #[test]
    fn derived_numbers() {
        assert_eq!(SplitMix64::new(1_234_567).below(100), 35);
        assert_eq!((SplitMix64::new(1_234_567).fraction() * 1e5).to_bits(), 35007.95420214081f64.to_bits());
        let mut bytes = [0; 11];
        SplitMix64::new(1_234_567).fill(&mut bytes);
        assert_eq!(bytes, [0x85, 0xfc, 0x08, 0xfb, 0x17, 0xd0, 0x9e, 0x59, 0xa5, 0x0f, 0x54]);
    }
}
