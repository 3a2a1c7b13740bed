//! The mistake `mistake-allocation` as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::mistakes::allocation;

fn main() -> ExitCode {
    wasiscope_guest_std::run_mistake(allocation)
}
