//! `cooperation`: what it costs to share one thread by yielding.
//!
//! No workload of the registry, because its result is not a check but what it has measured. A [`pool`] of workers and a
//! [`ping_pong`] run on an executor of futures such as embedded programs have: one thread, a queue of the tasks that
//! are to run, first in, first out, and wakers that put a task at its end. Nobody can be interrupted; who does not
//! yield makes all others wait.
//!
//! Everything measured lies between the marks, then the output follows in one piece, one line per value:
//! `measured NAME VALUE`, and `done` at its end. The names, in this order:
//!
//! * `hand_over`: nanoseconds from when one worker yields until the next one runs, the mean of 100 times; 200 lines
//! * `fairness`: Jain's index over the items that the workers did, 1 if all did as many; one line
//! * `starvation`: the longest time that any worker waited between two of its turns, in nanoseconds; one line
//! * `throughput`: items per second, of all workers together; one line
//! * `round_trip`: nanoseconds for one round of the ping-pong, the mean of 100 rounds; 100 lines
//!
//! What is not generic here is `inline`, and so compiled with the guests that use it. Compiled with this crate it would
//! share vectors and strings with the workloads, which are optimised by how much of the crate uses them: `json` grew.

mod executor;
mod hand_over;
mod ping_pong;
mod pool;
mod watch;

pub use hand_over::HAND_OVERS_PER_SAMPLE;
pub use ping_pong::{ROUNDS, ROUNDS_PER_SAMPLE, ping_pong};
pub use pool::{GREEDY_ITEMS, MAX_WORKERS, PoolFigures, pool};

use heap::string::String;
use heap::vec::Vec;

use crate::{Host, HostError, MARK_END, MARK_START, parse_n};

/// What to tell whoever gave arguments that [`Setup::parse`] does not know.
pub const USAGE: &str = "the arguments are a number of workers, 1 to 1000, and `fair` or `greedy`";

/// What kind of pool it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// How many workers there are: 1 to [`MAX_WORKERS`].
    pub workers: u64,
    /// Whether the first yields only after [`GREEDY_ITEMS`] items, in place of one.
    pub greedy: bool,
}

impl Setup {
    /// Reads the two arguments of the command: the workers in decimal, and `fair` or `greedy`. `None` if they are
    /// anything else.
    #[must_use]
    #[inline]
    pub fn parse(workers: &[u8], pool: &[u8]) -> Option<Self> {
        let workers = parse_n(workers).filter(|workers| (1..=MAX_WORKERS).contains(workers))?;
        let greedy = match pool {
            b"fair" => false,
            b"greedy" => true,
            _ => return None,
        };
        Some(Self { workers, greedy })
    }
}

/// Measures both, and prints what the module says.
///
/// # Errors
/// If the host could not mark, read the clock or print; or if `setup` has a number of workers that there cannot be.
pub fn run<H: Host + ?Sized>(host: &mut H, setup: Setup) -> Result<(), HostError> {
    host.mark(MARK_START)?;
    let figures = pool(host, setup.workers, setup.greedy)?;
    let round_trips_ns = ping_pong(host)?;
    host.mark(MARK_END)?;
    host.print(&output(&figures, &round_trips_ns))
}

/// All lines that are printed.
#[inline]
fn output(figures: &PoolFigures, round_trips_ns: &[u64]) -> String {
    let mut text = String::new();
    // The time of a hundred is the mean of one in hundredths.
    const { assert!(HAND_OVERS_PER_SAMPLE == 100 && ROUNDS_PER_SAMPLE == 100) };
    figures.hand_overs_ns.iter().for_each(|&ns| push_measured(&mut text, "hand_over", ns, 2));
    push_measured(&mut text, "fairness", figures.fairness_millionths, 6);
    push_measured(&mut text, "starvation", figures.starvation_ns, 0);
    push_measured(&mut text, "throughput", figures.throughput_per_s, 0);
    round_trips_ns.iter().for_each(|&ns| push_measured(&mut text, "round_trip", ns, 2));
    text.push_str("done\n");
    text
}

/// Adds a line with `value`, whose last `decimals` digits lie behind the point.
#[inline]
fn push_measured(text: &mut String, name: &str, value: u64, decimals: usize) {
    text.push_str("measured ");
    text.push_str(name);
    text.push(' ');
    push_decimal(text, value, decimals);
    text.push('\n');
}

/// Adds `value` in units of 10^-`decimals`, with that many digits behind the point, of which there is none without.
/// Not by core's formatting, which would be larger than all the rest, and because all flavours shall print alike.
#[inline]
fn push_decimal(text: &mut String, mut value: u64, decimals: usize) {
    // In the order in which division gives them, the last digit first.
    let mut digits = Vec::new();
    while value > 0 || digits.len() <= decimals {
        let [digit, ..] = (value % 10).to_le_bytes();
        digits.push(b'0' + digit);
        value /= 10;
    }
    for (place, &digit) in digits.iter().enumerate().rev() {
        text.push(char::from(digit));
        if place == decimals && decimals > 0 {
            text.push('.');
        }
    }
}

#[cfg(test)]
mod tests {
    use heap::vec;

    use super::*;
    use crate::tests::Recorder;

    fn decimal(value: u64, decimals: usize) -> String {
        let mut text = String::new();
        push_decimal(&mut text, value, decimals);
        text
    }

    #[test]
    fn numbers_are_printed_with_fixed_places() {
        assert_eq!(decimal(0, 0), "0");
        assert_eq!(decimal(1_234_567, 0), "1234567");
        assert_eq!(decimal(u64::MAX, 0), "18446744073709551615");
        assert_eq!(decimal(0, 6), "0.000000");
        assert_eq!(decimal(7, 6), "0.000007");
        assert_eq!(decimal(998_123, 6), "0.998123");
        assert_eq!(decimal(1_000_000, 6), "1.000000");
        assert_eq!(decimal(12_345, 2), "123.45");
        assert_eq!(decimal(100, 2), "1.00");
    }

    #[test]
    fn arguments_are_a_number_and_a_word() {
        assert_eq!(Setup::parse(b"1", b"fair"), Some(Setup { workers: 1, greedy: false }));
        assert_eq!(Setup::parse(b"1000", b"greedy"), Some(Setup { workers: 1000, greedy: true }));
        for (workers, pool) in
            [("0", "fair"), ("1001", "fair"), ("", "fair"), ("-1", "fair"), ("8", ""), ("8", "Fair"), ("fair", "8")]
        {
            assert_eq!(Setup::parse(workers.as_bytes(), pool.as_bytes()), None, "{workers} {pool}");
        }
    }

    #[test]
    fn output_comes_in_one_piece_after_the_marks() {
        let mut recorder = Recorder::default();
        run(&mut recorder, Setup { workers: 8, greedy: true }).expect("the recorder refuses nothing");
        let clock_readings = recorder.events.strip_prefix('<').and_then(|events| events.strip_suffix(">p"));
        assert!(clock_readings.is_some_and(|events| events.chars().all(|event| event == 't')), "{}", recorder.events);
    }

    #[test]
    fn every_value_has_a_line() {
        let figures = PoolFigures {
            hand_overs_ns: vec![3104, 40],
            fairness_millionths: 998_123,
            starvation_ns: 2048,
            throughput_per_s: 3_000_000,
        };
        let lines = [
            "measured hand_over 31.04",
            "measured hand_over 0.40",
            "measured fairness 0.998123",
            "measured starvation 2048",
            "measured throughput 3000000",
            "measured round_trip 93.41",
            "measured round_trip 0.05",
            "done",
            "",
        ];
        assert_eq!(output(&figures, &[9341, 5]), lines.join("\n"));
    }
}
