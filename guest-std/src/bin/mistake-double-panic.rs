//! The mistake `mistake-double-panic` as a command on std.

use std::process::ExitCode;

use wasiscope_workloads::mistakes::double_panic;

fn main() -> ExitCode {
    wasiscope_guest_std::run_mistake(double_panic)
}
