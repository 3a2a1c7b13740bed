//! The experiment `cooperation` as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::cooperation::{Setup, USAGE, run};

fn main() -> ExitCode {
    wasiscope_guest_std::run_experiment(USAGE, Setup::parse, run)
}
