//! Guests are the same bytes wherever the checkout lies, and are built again when a source changes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{WASISCOPE, copy_guests, root};

/// `wasiscope build` from the checkout `root`: names and hashes. Of a guest with functions whose order once followed from
/// where the checkout lay.
fn build(root: &Path, scenario: &Path) -> Vec<(String, String)> {
    let output = Command::new(WASISCOPE).arg("build").arg(scenario).arg("--root").arg(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let columns = |line: &str| line.split("  ").map(str::to_owned).collect::<Vec<_>>();
    text.lines().map(columns).map(|columns| (columns[0].clone(), columns[2].clone())).collect()
}

#[test]
fn the_place_of_the_checkout_does_not_matter_and_its_sources_do() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("another place");
    copy_guests(&elsewhere);
    let scenario = folder.path().join("two.yaml");
    fs::write(&scenario, "name: two\nworkloads: [dispatch]\nflavours: [tinygo-like, std]\n").unwrap();
    let (here, there) = (build(&root(), &scenario), build(&elsewhere, &scenario));
    assert_eq!(here.len(), 2);
    assert_eq!(here, there);

    let source = elsewhere.join("scenarios/workloads/src/dispatch.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("state.rotate_left(7)", "state.rotate_left(9)")).unwrap();
    let changed = build(&elsewhere, &scenario);
    assert!(here.iter().zip(&changed).all(|(before, after)| before.1 != after.1), "{here:?} {changed:?}");
}
