//! Words for generated text.

use crate::splitmix::SplitMix64;

/// All in lower case, none longer than eight letters.
const WORDS: [&str; 32] = [
    "the", "of", "and", "to", "in", "is", "that", "for", "with", "memory", "engine", "module", "table", "stack",
    "page", "guest", "host", "clock", "kernel", "cache", "branch", "loop", "value", "result", "report", "sample",
    "trap", "scope", "phase", "worker", "file", "number",
];

/// One of the words, each as likely as any other.
pub fn word(random: &mut SplitMix64) -> &'static str {
    WORDS[random.below(32) as usize % WORDS.len()]
}
