//! The mistake `mistake-abort` as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::mistakes::abort;

fn main() -> ExitCode {
    wasiscope_guest_std::run_mistake(abort)
}
