//! The glue that makes a workload a command on std: what an ordinary program would do, and the marks.
//!
//! As a WASI command it is a guest. Built for the machine itself it is the native baseline: the same program with files
//! in the current directory, which says on standard error when it reached its marks.

mod host;
#[cfg_attr(target_os = "wasi", path = "platform/wasi.rs")]
#[cfg_attr(not(target_os = "wasi"), path = "platform/native.rs")]
mod platform;

pub use host::StdHost;

use std::io::{self, Write as _};
use std::process::ExitCode;

use wasiscope_workloads::{HostError, parse_n};

const EXIT_FAILURE: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_NO_EFFECT: u8 = 3;

/// Runs a workload as a command: `n` from the first argument, or `default_n` without one; the result on standard
/// output. Natively a line follows on standard error: `marks start=<ns> end=<ns>`, of `CLOCK_MONOTONIC`.
///
/// The exit code is 2 when the argument is no number and 1 when anything else fails.
pub fn run(name: &str, default_n: u64, workload: impl FnOnce(&mut StdHost, u64) -> Result<u64, HostError>) -> ExitCode {
    let n = match std::env::args_os().nth(1) {
        None => default_n,
        Some(argument) => match parse_n(argument.as_encoded_bytes()) {
            Some(n) => n,
            None => return fail(EXIT_USAGE, "n must be a decimal number"),
        },
    };
    let mut host = StdHost::default();
    match workload(&mut host, n) {
        Ok(check) => match writeln!(io::stdout(), "{name} n={n} check={check:016x}").and_then(|()| host.report_marks())
        {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(EXIT_FAILURE, error),
        },
        Err(error) => fail(EXIT_FAILURE, error),
    }
}

/// Makes a mistake as a command, of which the program is expected to die.
///
/// The exit code is 3 when it is still there afterwards, and 1 if what came before the mistake failed.
pub fn run_mistake(mistake: impl FnOnce(&mut StdHost) -> Result<(), HostError>) -> ExitCode {
    match mistake(&mut StdHost::default()) {
        Ok(()) => fail(EXIT_NO_EFFECT, "the mistake had no effect"),
        Err(error) => fail(EXIT_FAILURE, error),
    }
}

/// Runs an experiment as a command: `parse` makes of the first two arguments what it needs; it prints its results
/// itself. Natively the line with the marks follows on standard error.
///
/// The exit code is 2, with `usage` on standard error, when the arguments are others, and 1 when anything else fails.
pub fn run_experiment<S>(
    usage: &str,
    parse: impl FnOnce(&[u8], &[u8]) -> Option<S>,
    experiment: impl FnOnce(&mut StdHost, S) -> Result<(), HostError>,
) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let two = arguments.next().zip(arguments.next());
    let Some(setup) = two.and_then(|(first, second)| parse(first.as_encoded_bytes(), second.as_encoded_bytes())) else {
        return fail(EXIT_USAGE, usage);
    };
    let mut host = StdHost::default();
    if let Err(error) = experiment(&mut host, setup) {
        return fail(EXIT_FAILURE, error);
    }
    host.report_marks().map_or_else(|error| fail(EXIT_FAILURE, error), |()| ExitCode::SUCCESS)
}

fn fail(code: u8, error: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}
