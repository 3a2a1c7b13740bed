//! The `alloc` workload as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::alloc::{WORKLOAD, run};

fn main() -> ExitCode {
    wasiscope_guest_std::run(WORKLOAD.name, WORKLOAD.default_n, run)
}
