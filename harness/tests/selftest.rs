//! Whatever a guest or the machine does, it is one row with a reason, and nothing is left: the trials of `wasiscope selftest` without capture.

mod common;

use common::trials::{guests_and_faults, not_tried, trials};
use wasiscope::code::Code;

#[test]
fn every_guest_and_every_fault_ends_as_it_must() {
    let tried = trials(&["--capture", "off"]);
    assert!(tried.len() >= guests_and_faults().len(), "{}", tried.len());
    if rustix::process::geteuid().is_root() {
        assert_eq!(not_tried(&tried), ["clock-step"], "root can be put into any of them");
    }
}

#[test]
fn an_unknown_trial_is_an_error() {
    let output =
        std::process::Command::new(common::WASISCOPE).args(["selftest", "--only", "no-such"]).output().unwrap();
    common::fails_with(&output, Code::NothingMatches, &["wasiscope selftest --list"]);
}
