//! The workloads: what the guests of every flavour compute, and what the harness computes natively to know the answer.
//!
//! A workload is a function of a size `n` that returns a 64-bit `check`. It lives in a module of its own, as
//! `run`, generic over the [`Host`] that its flavour gives it, and `WORKLOAD`, its entry in [`WORKLOADS`]. A guest
//! names the one `run` it needs, so that nothing else ends up in its binary; the harness goes through the registry.
//!
//! Every `run` has three steps: prepare, [`measure`], clean up. Only the second lies between the marks.
//!
//! Beside them are the [`mistakes`], which compute nothing and die.

#![no_std]

extern crate alloc as heap;

pub mod alloc;
pub mod blake3;
pub mod clock;
pub mod cooperation;
pub mod deflate;
pub mod dispatch;
pub mod events;
pub mod fib;
pub mod fileio;
pub mod fnv;
pub mod hashmap;
pub mod hello;
mod host;
pub mod json;
pub mod mandelbrot;
pub mod markdown;
pub mod matmul;
pub mod memcopy;
pub mod memgrow;
pub mod mistakes;
pub mod nbody;
pub mod regex;
pub mod sha256;
pub mod sleep;
pub mod sort;
pub mod spin;
pub mod splitmix;
pub mod stdio;
pub mod strings;
mod text;
pub mod workerpool;
pub mod writes;

pub use host::{CountingHost, Host, HostError, PAGE_BYTES};

use core::hint::black_box;

/// The upper seven bytes of every mark, `"WASISCO"` in ASCII; the lowest byte says which mark it is.
///
/// A guest marks by calling WASI's `clock_time_get` for the monotonic clock with a mark as the `precision`. To any
/// other runtime that is a hint about the wanted precision, which it ignores.
pub const MARK_MAGIC: u64 = 0x5741_5349_5343_4F00;
/// The measured part begins.
pub const MARK_START: u64 = MARK_MAGIC | 1;
/// The measured part has ended.
pub const MARK_END: u64 = MARK_MAGIC | 2;
/// The next thing the guest does is to fault on purpose.
pub const MARK_TRAP: u64 = MARK_MAGIC | 3;

/// One entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name in scenarios, and the name of its binary in every guest workspace.
    pub name: &'static str,
    /// What it does and what it stresses, as one paragraph.
    pub summary: &'static str,
    /// The size when none is given.
    pub default_n: u64,
    /// Runs it at size `n` and returns the check.
    pub run: fn(&mut dyn Host, u64) -> Result<u64, HostError>,
}

impl Workload {
    /// The check that every flavour must arrive at for size `n`, found by running the workload here and now.
    ///
    /// # Errors
    /// None that a correct workload can cause: a [`CountingHost`] refuses only misuse.
    pub fn expected_check(&self, n: u64) -> Result<u64, HostError> {
        (self.run)(&mut CountingHost::default(), n)
    }
}

/// Every workload, by name.
pub const WORKLOADS: &[Workload] = &[
    alloc::WORKLOAD,
    blake3::WORKLOAD,
    clock::WORKLOAD,
    deflate::WORKLOAD,
    dispatch::WORKLOAD,
    fib::WORKLOAD,
    fileio::WORKLOAD,
    hashmap::WORKLOAD,
    hello::WORKLOAD,
    json::WORKLOAD,
    mandelbrot::WORKLOAD,
    markdown::WORKLOAD,
    matmul::WORKLOAD,
    memcopy::WORKLOAD,
    memgrow::WORKLOAD,
    nbody::WORKLOAD,
    regex::WORKLOAD,
    sha256::WORKLOAD,
    sleep::WORKLOAD,
    sort::WORKLOAD,
    spin::WORKLOAD,
    stdio::WORKLOAD,
    strings::WORKLOAD,
    workerpool::WORKLOAD,
    writes::WORKLOAD,
];

/// Runs `work` between the start mark and the end mark, and returns its check.
///
/// The size goes in and the check comes out through [`black_box`], so the optimiser can neither begin the work before
/// the first mark nor leave some of it for after the second.
///
/// # Errors
/// Whatever `work` or the host's marks fail with. After a failure of `work` there is no end mark.
pub fn measure<H: Host + ?Sized>(
    host: &mut H,
    n: u64,
    work: impl FnOnce(&mut H, u64) -> Result<u64, HostError>,
) -> Result<u64, HostError> {
    host.mark(MARK_START)?;
    let check = black_box(work(host, black_box(n))?);
    host.mark(MARK_END)?;
    Ok(check)
}

/// The size as a number of things in memory.
///
/// # Errors
/// If it is more than an address can say.
fn to_len(n: u64) -> Result<usize, HostError> {
    usize::try_from(n).map_err(|_| HostError { operation: "making room for n things", errno: None })
}

/// Reads a size as a guest is given it: decimal digits and nothing else. `None` if it is not that, or above `u64`.
#[must_use]
pub fn parse_n(argument: &[u8]) -> Option<u64> {
    if argument.is_empty() {
        return None;
    }
    argument.iter().try_fold(0u64, |n, &byte| {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        // Not `checked_mul`: in wasm that takes a 128-bit multiplication, half as large as the smallest guest.
        let fits = digit <= 9 && n <= (u64::MAX - digit) / 10;
        fits.then(|| n * 10 + digit)
    })
}

#[cfg(test)]
mod tests {
    use heap::string::String;

    use super::*;

    /// Notes the order in which a workload asks for things: `<` start, `>` end, `i` standard input, `p` print,
    /// `c` create, `o` open, `r` read, `w` write, `x` close, `l` list, `t` clock, `z` sleep, `g` grow, `!` the mark
    /// of a fault to come.
    #[derive(Default)]
    pub(crate) struct Recorder {
        pub(crate) events: String,
        host: CountingHost,
    }

    impl Recorder {
        fn note(&mut self, event: char) -> &mut CountingHost {
            self.events.push(event);
            &mut self.host
        }
    }

    impl Host for Recorder {
        fn mark(&mut self, mark: u64) -> Result<(), HostError> {
            match mark {
                MARK_START => self.note('<').mark(mark),
                MARK_END => self.note('>').mark(mark),
                MARK_TRAP => self.note('!').mark(mark),
                other => panic!("an unexpected mark: {other:#x}"),
            }
        }
        fn read_stdin(&mut self, buffer: &mut [u8]) -> Result<usize, HostError> {
            self.note('i').read_stdin(buffer)
        }
        fn write_stdout(&mut self, bytes: &[u8]) -> Result<(), HostError> {
            self.note('p').write_stdout(bytes)
        }
        fn create(&mut self, name: &str) -> Result<(), HostError> {
            self.note('c').create(name)
        }
        fn open(&mut self, name: &str) -> Result<(), HostError> {
            self.note('o').open(name)
        }
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HostError> {
            self.note('r').read(buffer)
        }
        fn write(&mut self, bytes: &[u8]) -> Result<(), HostError> {
            self.note('w').write(bytes)
        }
        fn close(&mut self) -> Result<(), HostError> {
            self.note('x').close()
        }
        fn list(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<(), HostError> {
            self.note('l').list(visit)
        }
        fn clock_ns(&mut self) -> Result<u64, HostError> {
            self.note('t').clock_ns()
        }
        fn sleep_ns(&mut self, duration_ns: u64) -> Result<(), HostError> {
            self.note('z').sleep_ns(duration_ns)
        }
        fn grow(&mut self) -> Result<&mut [u8], HostError> {
            self.note('g').grow()
        }
    }

    #[test]
    fn only_the_work_lies_between_the_marks() {
        for workload in WORKLOADS {
            let expected = match workload.name {
                "clock" => "<tt>",
                "fileio" => "<cwxcwxcxcxcxcxcxcxorrxorrxorxorxorxorxorxorxl>",
                "hello" => "<pp>",
                "memgrow" => "<gg>",
                "sleep" => "<ttzt>",
                "stdio" => "<i>",
                "writes" => "c<ww>x",
                _ => "<>",
            };
            let mut recorder = Recorder::default();
            (workload.run)(&mut recorder, 2).expect("the recorder refuses nothing");
            assert_eq!(recorder.events, expected, "{}", workload.name);
        }
    }

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(WORKLOADS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn marks_spell_the_magic() {
        assert_eq!(&MARK_MAGIC.to_be_bytes(), b"WASISCO\0");
    }

    #[test]
    fn a_size_is_decimal_digits_and_nothing_else() {
        assert_eq!(parse_n(b"0"), Some(0));
        assert_eq!(parse_n(b"00065536"), Some(65536));
        assert_eq!(parse_n(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"18446744073709551616", b"+1", b"-1", b"1 ", b"0x10", b"1k", b"\xff"] {
            assert_eq!(parse_n(wrong), None, "{wrong:?}");
        }
    }
}
