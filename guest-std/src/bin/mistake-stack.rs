//! The mistake `mistake-stack` as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::mistakes::stack;

fn main() -> ExitCode {
    wasiscope_guest_std::run_mistake(stack)
}
