//! The glue that makes a workload a WASI command on std: what an ordinary program would do, and the marks.

mod host;

pub use host::WasiHost;

use std::io::{self, Write as _};
use std::process::ExitCode;

use wasiscope_workloads::{HostError, parse_n};

const EXIT_FAILURE: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// Runs a workload as a command: `n` from the first argument, or `default_n` without one; the result on standard
/// output.
///
/// The exit code is 2 when the argument is no number and 1 when anything else fails.
pub fn run(
    name: &str,
    default_n: u64,
    workload: impl FnOnce(&mut WasiHost, u64) -> Result<u64, HostError>,
) -> ExitCode {
    let n = match std::env::args_os().nth(1) {
        None => default_n,
        Some(argument) => match parse_n(argument.as_encoded_bytes()) {
            Some(n) => n,
            None => return fail(EXIT_USAGE, "n must be a decimal number"),
        },
    };
    match workload(&mut WasiHost::default(), n) {
        Ok(check) => match writeln!(io::stdout(), "{name} n={n} check={check:016x}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(EXIT_FAILURE, error),
        },
        Err(error) => fail(EXIT_FAILURE, error),
    }
}

fn fail(code: u8, error: impl std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}
