//! `strings`: numbers and words put into lines of text.

use core::fmt::Write as _;
use heap::string::String;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::text::word;
use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "strings",
    summary: "Formats n lines with Rust's formatting machinery: a decimal, a hexadecimal, a binary and a fractional \
              number, two words with padding, a string with its escapes. Calls through trait objects, little loops \
              over digits, appending to a string piece by piece: what logging costs.",
    default_n: 4000,
    run: |host, n| run(host, n),
};

/// Formats `n` lines. The check is the FNV-1a of all of them, line feeds included.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let mut random = SplitMix64::new(SEED);
        let mut check = Fnv1a::new();
        let mut line = String::new();
        for number in 0..n {
            line.clear();
            format_line(number, &mut random, &mut line);
            check.update(line.as_bytes());
        }
        Ok(check.finish())
    })
}

fn format_line(number: u64, random: &mut SplitMix64, line: &mut String) {
    let (left, right) = (word(random), word(random));
    let (mask, bits) = (random.next_u64(), random.below(256));
    let share = 100.0 * random.fraction();
    // Writing to a string cannot fail.
    let _ =
        writeln!(line, "{number:>8} [{left:<8}|{right:^10}] {mask:#018x} {bits:08b} {share:.3}% {:?}", "\t\"\u{e9}\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python's formatting.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0xcbf2_9ce4_8422_2325),
            (1, 0x7e8a_45ae_c5be_158c),
            (1000, 0x5db6_ce1b_bfbc_98d0),
            (4000, 0x3660_f68e_f591_56a0),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
