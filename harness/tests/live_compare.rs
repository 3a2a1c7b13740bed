//! What the kernel did otherwise stands beside the time that has changed. Needs root and a kernel with eBPF.

mod common;

use std::process::Command;

use common::{WASISCOPE, file};
use serde_json::Value;

/// A guest that touches so many pages of its memory.
fn toucher(pages: u32) -> String {
    format!(
        "(module (memory (export \"memory\") 1) (func (export \"_start\") (local $page i32)
          (drop (memory.grow (i32.const 64)))
          (loop $next
            (i32.store (i32.mul (local.get $page) (i32.const 4096)) (local.get $page))
            (br_if $next (i32.lt_u (local.tee $page (i32.add (local.get $page) (i32.const 1))) (i32.const {pages}))))))"
    )
}

#[test]
fn live_what_got_slower_by_page_faults_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (base, new) = (file(&folder, "base.wat", toucher(256)), file(&folder, "new.wat", toucher(512)));
    let wanted = ["--metric", "phase.run", "--processes", "10", "--capture", "on", "--out", "comparison.json"];
    let mut command = Command::new(WASISCOPE);
    command.current_dir(folder.path()).args(["compare", &base, &new, "--fail-on", "never", "--seed", "1"]).args(wanted);
    let output = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let json = std::fs::read(folder.path().join("comparison.json")).unwrap();
    let comparison: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(comparison["verdict"], "regressed", "{stdout}");
    let rows = comparison["kernel"].as_array().unwrap();
    let is_faults = |row: &&Value| row["phase"] == "run" && row["what"] == "user faults";
    let faults = rows.iter().find(is_faults).unwrap_or_else(|| panic!("{rows:?}"));
    // Each page is touched once, in instances that are all new; the code's and the stack's own pages come once in a worker.
    let (base, new) = (faults["base"].as_f64().unwrap(), faults["new"].as_f64().unwrap());
    assert!((256.0..257.0).contains(&base) && (512.0..513.0).contains(&new), "{stdout}");
    assert!(stdout.contains("the kernel, for one iteration"), "{stdout}");
}
