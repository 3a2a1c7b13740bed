//! Whatever a guest or the machine does, it is one row with a reason, and nothing is left: the trials of `wasiscope selftest` without capture.

mod common;

use common::trials::{guests_and_faults, not_tried, trials};

#[test]
fn every_guest_and_every_fault_ends_as_it_must() {
    let tried = trials(&["--capture", "off"]);
    assert!(tried.len() >= guests_and_faults().len(), "{}", tried.len());
    if rustix::process::geteuid().is_root() {
        assert_eq!(not_tried(&tried), ["clock-step"], "root can be put into any of them");
    }
}

#[test]
fn what_there_is_not_is_refused() {
    let output =
        std::process::Command::new(common::WASISCOPE).args(["selftest", "--only", "no-such"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("wasiscope selftest --list"));
}
