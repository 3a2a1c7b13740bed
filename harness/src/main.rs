//! The `wasiscope` command: parse, call one verb, print the error, exit.

use std::process::ExitCode;

use wasiscope::cli::{self, Cli};
use wasiscope::kinds;
use wasiscope::worker;

fn main() -> ExitCode {
    if let Some(exit) = worker::serve_if_asked(kinds::WORKERS) {
        return exit;
    }
    let exit = Cli::of_command_line().run().unwrap_or_else(|error| {
        cli::say(&cli::shown(&error));
        cli::Exit::of(&error)
    });
    exit.into()
}
