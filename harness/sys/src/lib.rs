//! What wasiscope asks of the machine it runs on: clocks, Ctrl-C, privileges, files and folders, git, and what the machine is.
//!
//! It knows nothing of guests or scenarios, and runs no engine: the version of one is only passed through to the list of tools. Whatever
//! calls the operating system for more than one crate belongs here.

pub mod before_exec;
pub mod clock;
pub mod destination;
pub mod files;
pub mod folder;
pub mod git;
pub mod interrupt;
pub mod machine;
pub mod privileges;
pub mod report_file;
pub mod scratch;
pub mod socket;
