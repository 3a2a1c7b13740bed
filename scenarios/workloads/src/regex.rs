//! `regex`: patterns looked for in a log.
//!
//! To repeat it elsewhere: `generate` says how the text comes about. Find all matches, from left to right and without
//! overlap, of the [`PATTERNS`] as alternatives in this order.

use core::fmt::Write as _;
use core::hint::black_box;
use heap::string::String;

use regex_automata::meta::Regex;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::text::word;
use crate::{Host, HostError, Workload, measure};

/// A mail address, an IPv4 address, and a request that failed.
pub const PATTERNS: [&str; 3] =
    ["[a-z]+@[a-z]+[.](?:com|org|net)", "[0-9]{1,3}(?:[.][0-9]{1,3}){3}", "(?:GET|PUT) /[a-z/]* 5[0-9][0-9]"];

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "regex",
    summary: "Compiles three patterns into one automaton and finds all their matches in n lines of a generated log, \
              with regex-automata (a lazy DFA, no vector instructions). A little compiling, then a loop of one table \
              lookup per byte: unpredictable loads that depend on one another.",
    default_n: 4000,
    run: |host, n| run(host, n),
};

/// Searches `n` lines. The check takes in, word by word, each match's pattern, start and end.
///
/// The text is generated before the start mark.
///
/// # Errors
/// If the patterns could not be compiled, or the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let text = generate(n);
    measure(host, n, |_, _| {
        let mut check = Fnv1a::new();
        search(black_box(&text), |pattern, start, end| {
            for number in [pattern, start, end] {
                check.update_word(number as u64);
            }
        })?;
        Ok(check.finish())
    })
}

fn search(text: &str, mut found: impl FnMut(usize, usize, usize)) -> Result<(), HostError> {
    let regex =
        Regex::new_many(&PATTERNS).map_err(|_| HostError { operation: "compiling the patterns", errno: None })?;
    for one in regex.find_iter(text) {
        found(one.pattern().as_usize(), one.start(), one.end());
    }
    Ok(())
}

fn generate(n: u64) -> String {
    let mut random = SplitMix64::new(SEED);
    let mut text = String::new();
    for line in 0..n {
        let (user, host) = (word(&mut random), word(&mut random));
        let domain = ["com", "org", "net", "dev"][random.below(4) as usize % 4];
        let (a, b) = (random.below(256), random.below(256));
        let method = ["GET", "PUT", "POST"][random.below(3) as usize % 3];
        let path = word(&mut random);
        let status = 100 * (2 + random.below(4)) + random.below(20);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line:06} {user}@{host}.{domain} from 10.{a}.{b}.7: {method} /{path}/ {status}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python's `re`, with the patterns as one alternation, over the same text, generated in Python.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0xcbf2_9ce4_8422_2325),
            (1, 0x0bc0_e9e6_c97a_8fdf),
            (100, 0xc681_c5b8_99a7_6cce),
            (4000, 0xa142_2ea4_abc2_d835),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
