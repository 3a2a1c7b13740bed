//! Every case of a project's wasiscope scenarios as a test of its own, for `cargo nextest` and `cargo test`.
//!
//! A project has a test file of two lines, and `harness = false` for it in its manifest:
//!
//! ```ignore
//! //! Every case of every scenario under scenarios/ is a test.
//! wasiscope_test::scenarios!();
//! ```
//!
//! `SCENARIO::WORKLOAD/FLAVOUR/ENGINE` runs the case once and compares its facts with `snapshots/`. It measures no time, so many such
//! tests may run at once. `measured::…` is ignored unless asked for: it runs the case as its scenario says, with the kernel watched where
//! possible, and writes a report to `target/wasiscope/suite/`. Such tests must run one at a time.
//!
//! This crate has no engine. It starts the command `wasiscope`: the one that the variable [`COMMAND_VARIABLE`] names, else the one on PATH.
//! It knows nothing of scenarios or facts: `wasiscope suite` answers in JSON ([`PROTOCOL`]), and insta compares in this process, so that
//! `INSTA_UPDATE` and `cargo insta review` work as in any other test.

mod command;
mod suite;

/// For [`scenarios!`]: insta must take the user's package for the one that is tested.
#[doc(hidden)]
pub use insta;

use std::path::Path;
use std::process::ExitCode;

pub use command::{COMMAND_VARIABLE, PROTOCOL};
pub use suite::{CAPTURE_VARIABLE, Keep};

use command::Command;

/// The whole of a test file: a `main` that makes a test of every case of every scenario under `scenarios/`. With an argument, in a folder
/// relative to the package, for a project whose root is not that of the package.
#[macro_export]
macro_rules! scenarios {
    () => {
        $crate::scenarios!(".");
    };
    ($root:literal) => {
        fn main() -> std::process::ExitCode {
            let keep = |folder: &std::path::Path, name: &str, facts: &str| {
                let mut settings = $crate::insta::Settings::clone_current();
                settings.set_snapshot_path(folder);
                settings.set_prepend_module_to_snapshot(false);
                settings.set_omit_expression(true);
                settings.bind(|| $crate::insta::assert_snapshot!(name, facts));
            };
            let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            // Only in wasiscope's own package does cargo build the command for its tests.
            $crate::main(&package.join($root), option_env!("CARGO_BIN_EXE_wasiscope"), keep)
        }
    };
}

/// The `main` of [`scenarios!`]. `built` is the command that cargo built for the very package that is tested.
#[must_use]
pub fn main(root: &Path, built: Option<&str>, keep: Keep) -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    suite::quiet_expected_panics();
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let command = Command::find(&root, built);
    // From here insta finds the test file, where its path leads out of its package, and names it plainly in the snapshots' headers.
    // Where that cannot be done, the path there is a longer one.
    let _ = std::env::set_current_dir(&root);
    suite::run(&command, &arguments, keep).exit_code()
}
