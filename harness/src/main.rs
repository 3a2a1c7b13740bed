//! The `wasiscope` command: parse, call one verb, print the error, exit.

use std::process::ExitCode;

use clap::Parser;
use wasiscope::cli::{self, Cli};
use wasiscope::worker;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // Before anything else is set up: what a worker does here is charged to its phase `spawn`.
    if arguments.get(1).is_some_and(|verb| verb == worker::VERB) {
        return match worker::main(&arguments[2..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if arguments.get(1).is_some_and(|verb| verb == worker::BUSY_VERB) {
        worker::busy(&arguments[2..]);
    }
    let exit = Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        cli::Exit::of(&error)
    });
    exit.into()
}
