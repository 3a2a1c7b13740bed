//! The trials that the kernel's side has a part in, with the kernel watched; and what privileges a run keeps while it does. Needs privileges,
//! as every `live_…` test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::process::Stdio;

use common::trials::trials;
use common::{command, file, guest, wait_until};
use rustix::thread::CapabilitySet;

#[test]
fn live_trials_hold_while_the_kernel_is_watched() {
    for only in ["{a-million-marks,endless-loop,file-bomb,memory-bomb}", "{worker-killed,run-killed,no-tracefs,no-btf}"]
    {
        let tried = trials(&["--capture", "on", "--only", only]);
        assert_eq!(tried.len(), 4, "{tried:?}");
        assert!(tried.iter().all(|trial| trial["held"] == "yes"), "{tried:?}");
    }
}

/// The permitted capabilities of every thread of a process.
fn capabilities(pid: u32) -> Vec<CapabilitySet> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let status = threads.map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default());
    let line = |status: String, name: &str| status.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let set = |text: String| CapabilitySet::from_bits_retain(u64::from_str_radix(text.trim(), 16).unwrap());
    status.filter_map(|status| line(status, "CapPrm:")).map(set).collect()
}

#[test]
fn live_a_run_keeps_what_watching_needs_and_its_workers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "endless.wasm", guest("(loop (br 0))"));
    let mut command = command(&folder);
    command.args([&path, "--capture", "on", "--wall", "60s"]).env("SECRET", "a token of this CI");
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let children = || fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id())).unwrap_or_default();
    let mut worker = 0;
    wait_until("a worker has given up its capabilities", || {
        worker = children().split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        worker != 0
            && fs::read_to_string(format!("/proc/{worker}/status"))
                .is_ok_and(|status| status.contains("NoNewPrivs:\t1"))
    });
    wait_until("all of them", || capabilities(worker).iter().all(|set| set.is_empty()));
    assert_eq!(
        fs::read(format!("/proc/{worker}/environ")).unwrap(),
        b"",
        "nothing of the environment is a guest's business"
    );
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    assert!(limits.lines().any(|line| line.starts_with("Max core file size") && line.contains(" 0 ")), "{limits}");

    let dangerous = CapabilitySet::SYS_ADMIN
        | CapabilitySet::SYS_MODULE
        | CapabilitySet::SYS_PTRACE
        | CapabilitySet::SYS_RAWIO
        | CapabilitySet::SETUID
        | CapabilitySet::NET_ADMIN;
    let kept = capabilities(run.id());
    assert!(!kept.is_empty());
    for set in kept {
        assert!(set.contains(CapabilitySet::BPF), "{set:?}");
        assert!(!set.intersects(dangerous), "{set:?}");
    }
    run.kill().unwrap();
    run.wait().unwrap();
}
