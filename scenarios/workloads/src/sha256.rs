//! `sha256`: integer arithmetic and nothing else.
//!
//! To repeat it elsewhere: start SplitMix64 at [`SEED`]; each step gives eight bytes, least significant first; the
//! stream is the first `n` bytes of that (the last step is cut if `n` is no multiple of eight). Hash it with SHA-256
//! in pieces of [`PIECE_BYTES`], generating each piece just before it is hashed, the last one shorter if need be. The
//! check is the first eight bytes of the digest, read as a big-endian number: its first sixteen hex digits.

use sha2::{Digest, Sha256};

use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure};

/// How much is generated and hashed at a time; a multiple of the generator's eight bytes.
pub const PIECE_BYTES: usize = 4096;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "sha256",
    summary: "Generates n bytes from a fixed seed and hashes them with SHA-256, 4 KiB at a time. Integer arithmetic on \
              a few kilobytes of memory, without system calls or allocation: what it costs is the quality of the \
              engine's code.",
    default_n: 65536,
    run: |host, n| run(host, n),
};

/// Hashes `n` bytes of the stream. The check is the first eight bytes of the digest, big-endian.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let [a, b, c, d, e, f, g, h, ..] = digest(n);
        Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    })
}

fn digest(n: u64) -> [u8; 32] {
    let mut random = SplitMix64::new(SEED);
    let mut hash = Sha256::new();
    let mut piece = [0; PIECE_BYTES];
    let mut remaining_bytes = n;
    while remaining_bytes > 0 {
        let len = usize::try_from(remaining_bytes).map_or(PIECE_BYTES, |bytes| bytes.min(PIECE_BYTES));
        random.fill(&mut piece[..len]);
        hash.update(&piece[..len]);
        remaining_bytes -= len as u64;
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python's hashlib over a SplitMix64 written in Python, except n = 0, which is the well-known
    /// digest of no bytes. The sizes are the edges of a step and of a piece, the default, and a large one.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0xe3b0_c442_98fc_1c14),
            (1, 0x620b_fdaa_346b_088f),
            (13, 0xfb62_b16c_41e2_a831),
            (4096, 0xa99e_c801_1030_9847),
            (4097, 0x8afe_8405_9cfe_365f),
            (65_536, 0x6b8c_bb36_231d_f1fc),
            (1_000_003, 0x2ba2_3ef4_a6a2_85f6),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
