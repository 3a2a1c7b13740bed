//! The experiment `cooperation` as a `no_std` command.

#![no_std]
#![no_main]

use wasiscope_guest_tinygo_like::run_experiment;
use wasiscope_guest_tinygo_like::workloads::cooperation::{Setup, USAGE, run};

/// What a WASI runtime calls to run the program.
#[unsafe(no_mangle)]
pub extern "C" fn _start() {
    run_experiment(USAGE, Setup::parse, run);
}
