//! `deflate`: text made small and large again.

use core::hint::black_box;
use heap::vec::Vec;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::text::word;
use crate::{Host, HostError, Workload, measure, to_len};

/// What most tools use when not told otherwise.
const LEVEL: u8 = 6;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "deflate",
    summary: "Compresses n bytes of generated words with DEFLATE at level 6 and decompresses them again, with \
              miniz_oxide. Hash chains over a 32 KiB window, byte-wise comparisons and copies, bits packed and \
              unpacked: loads that are hard to predict in about 300 KiB of tables.",
    default_n: 65536,
    run: |host, n| run(host, n),
};

/// Compresses and decompresses `n` bytes. The check is the FNV-1a of what came back, then, as a word, of the number of
/// bytes in between.
///
/// The text is generated before the start mark.
///
/// # Errors
/// If `n` bytes do not fit into memory, what was compressed could not be decompressed, or the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let text = generate(to_len(n)?);
    measure(host, n, |_, _| {
        let compressed = black_box(compress_to_vec(black_box(&text), LEVEL));
        let back = decompress_to_vec(&compressed).map_err(|_| HostError { operation: "decompressing", errno: None })?;
        let mut check = Fnv1a::new();
        check.update(&back);
        check.update_word(compressed.len() as u64);
        Ok(check.finish())
    })
}

/// Words, each followed by a space, cut to `len` bytes.
fn generate(len: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(SEED);
    let mut text = Vec::new();
    while text.len() < len {
        text.extend_from_slice(word(&mut random).as_bytes());
        text.push(b' ');
    }
    text.truncate(len);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text is held against its FNV-1a from Python; how short it becomes is miniz_oxide's own doing,
    /// but Python's `zlib` could read what it made at each of these sizes.
    #[test]
    fn known_checks() {
        for (n, text, compressed_bytes) in CASES {
            let mut check = Fnv1a::new();
            check.update(&generate(n));
            assert_eq!(check.finish(), text, "n = {n}");
            check.update_word(compressed_bytes);
            assert_eq!(WORKLOAD.expected_check(n as u64), Ok(check.finish()), "n = {n}");
        }
    }

    /// The size, the FNV-1a of the text, the size compressed.
    const CASES: [(usize, u64, u64); 4] = [
        (0, 0xcbf2_9ce4_8422_2325, 2),
        (1, 0xaf63_d84c_8601_e5c0, 3),
        (1000, 0x3698_f3c5_fc8d_12b9, 340),
        (65_536, 0xa608_d182_d6d2_5d6a, 13_330),
    ];

    /// What Python's `zlib` made of the first 200 bytes at its level 9, without a header.
    #[test]
    fn another_compressor_is_understood() {
        let compressed = [
            0x35, 0x8e, 0x51, 0x0e, 0xc4, 0x20, 0x08, 0x44, 0xaf, 0x32, 0x57, 0xa3, 0x96, 0xad, 0xa6, 0x0a, 0x06, 0x71,
            0x9b, 0xbd, 0x7d, 0x8d, 0xab, 0x1f, 0x84, 0xc9, 0xcc, 0xcb, 0x00, 0xcb, 0x95, 0x84, 0x51, 0x23, 0x35, 0xc6,
            0x93, 0x3c, 0x42, 0x7a, 0x39, 0xd8, 0x40, 0x72, 0x6e, 0x59, 0xf4, 0xec, 0x79, 0xa5, 0xae, 0x38, 0x8c, 0x24,
            0x44, 0x18, 0xb7, 0x9e, 0x7d, 0xac, 0xaa, 0xe6, 0x88, 0xda, 0x1c, 0x6e, 0x54, 0xd1, 0xa8, 0xd4, 0x41, 0x7f,
            0xd4, 0xfe, 0x66, 0xe1, 0xa2, 0xf6, 0x5b, 0x17, 0x02, 0x85, 0xc8, 0xbb, 0x37, 0xab, 0x56, 0x5c, 0x9d, 0x07,
            0x34, 0xe5, 0x6a, 0x5c, 0x05, 0x8f, 0xda, 0x3d, 0xa0, 0x65, 0x4e, 0xe0, 0x4b, 0xb9, 0x33, 0x52, 0xdb, 0xd9,
            0x18, 0xe1, 0x3c, 0x5f, 0x7d, 0x01,
        ];
        assert_eq!(decompress_to_vec(&compressed).expect("it is sound"), generate(200));
    }
}
