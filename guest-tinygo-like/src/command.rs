//! The course of a command: read the argument, run the workload, print the result. Or make a mistake.

use wasiscope_workloads::{HostError, parse_n};

use crate::host::WasiHost;
use crate::line::Line;
use crate::{arguments, wasi};

const EXIT_USAGE: u32 = 2;
const EXIT_NO_EFFECT: u32 = 3;

/// Runs a workload as a command: `n` from the first argument, or `default_n` without one; the result on standard
/// output.
///
/// Does not return if anything fails: it exits with 2 when the argument is no number and with 1 otherwise.
pub fn run(name: &str, default_n: u64, workload: impl FnOnce(&mut WasiHost, u64) -> Result<u64, HostError>) {
    let Some(n) = arguments::first().map_or(Some(default_n), parse_n) else {
        wasi::complain(b"error: n must be a decimal number\n");
        wasi::exit(EXIT_USAGE)
    };
    match workload(&mut WasiHost::default(), n) {
        Ok(check) => print_result(name, n, check),
        Err(error) => wasi::fail(error.operation, error.errno),
    }
}

/// Makes a mistake as a command, of which the program is expected to die.
///
/// Does not return: it exits with 3 when it is still there afterwards, and with 1 if what came before the mistake
/// failed.
pub fn run_mistake(mistake: impl FnOnce(&mut WasiHost) -> Result<(), HostError>) -> ! {
    match mistake(&mut WasiHost::default()) {
        Ok(()) => {
            wasi::complain(b"error: the mistake had no effect\n");
            wasi::exit(EXIT_NO_EFFECT)
        }
        Err(error) => wasi::fail(error.operation, error.errno),
    }
}

/// Runs an experiment as a command: `parse` makes of the first two arguments what it needs; it prints its results
/// itself.
///
/// Does not return if anything fails: it exits with 2 and says `usage` when the arguments are others, and with 1
/// otherwise.
pub fn run_experiment<S>(
    usage: &str,
    parse: impl FnOnce(&[u8], &[u8]) -> Option<S>,
    experiment: impl FnOnce(&mut WasiHost, S) -> Result<(), HostError>,
) {
    let setup = match arguments::all()[..] {
        [_, first, second, ..] => parse(first, second),
        _ => None,
    };
    let Some(setup) = setup else {
        for part in ["error: ", usage, "\n"] {
            wasi::complain(part.as_bytes());
        }
        wasi::exit(EXIT_USAGE)
    };
    if let Err(error) = experiment(&mut WasiHost::default(), setup) {
        wasi::fail(error.operation, error.errno);
    }
}

fn print_result(name: &str, n: u64, check: u64) {
    let mut line = Line::new();
    line.prepend_number(check, 16, 16);
    line.prepend(" check=");
    line.prepend_number(n, 10, 1);
    line.prepend(" n=");
    line.prepend(name);
    wasi::write_all("print", wasi::STDOUT, line.as_bytes());
}
