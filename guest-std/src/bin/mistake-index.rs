//! The mistake `mistake-index` as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::mistakes::index;

fn main() -> ExitCode {
    wasiscope_guest_std::run_mistake(index)
}
