//! The mistake `mistake-pointer` as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::mistakes::pointer;

fn main() -> ExitCode {
    wasiscope_guest_std::run_mistake(pointer)
}
