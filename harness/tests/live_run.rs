//! The kernel's side of a whole run is exact: what the guest asked for is what is counted, in its phase.
//!
//! These tests need root and live capture (see .config/nextest.toml); without them they fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{Run, file, guest, root, syscalls};
use serde_json::Value;

const PROCESSES: u64 = 2;
const ITERATIONS: u64 = 3;

fn watched(folder: tempfile::TempDir, arguments: &[&str]) -> Run {
    let fixed = ["--capture", "on", "--processes", "2", "--iterations", "3"];
    let run = Run::in_folder(folder, &[arguments, &fixed].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.report();
    assert_eq!(report["capture"]["status"], "live");
    assert_eq!(
        report["capture"]["ledger"],
        serde_json::json!({"map_full": 0, "recursion_missed": 0, "ring_dropped": 0})
    );
    run
}

/// `k` writes in each `run`, and not one elsewhere between entry and teardown.
fn assert_writes(case: &Value, k: u64) {
    let id = &case["id"];
    assert_eq!(case["kernel"]["phases"]["run"]["iterations"], PROCESSES * ITERATIONS, "{id}");
    assert_eq!(syscalls(case, "run", "write"), k * PROCESSES * ITERATIONS, "{id}: writes in run for k = {k}");
    assert_eq!(syscalls(case, "init", "write"), 0, "{id}: writes in init");
    assert_eq!(syscalls(case, "teardown", "write"), 0, "{id}: writes in teardown");
    // Opening the file is one system call on the guest's own thread: no other thread is woken for it.
    assert_eq!(syscalls(case, "init", "openat2"), PROCESSES * ITERATIONS, "{id}: opens in init");
    assert_eq!(syscalls(case, "init", "futex"), 0, "{id}: hand-overs in init");
    // Between the marks there is nothing else.
    assert_eq!(syscalls(case, "run", ""), k * PROCESSES * ITERATIONS, "{id}: all calls in run for k = {k}");
}

#[test]
fn live_k_writes_are_k_system_calls_in_both_flavours() {
    for k in [0, 1, 7, 100] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("name: k\nworkloads: [{{name: writes, n: {k}}}]\nflavours: [tinygo-like, std]\n");
        let path = file(&folder, "k.yaml", text);
        let run = watched(folder, &[&path]);
        for flavour in ["tinygo-like", "std"] {
            assert_writes(&run.case(&format!("writes/{flavour}/cranelift")), k);
        }
    }
}

#[test]
fn live_k_writes_are_k_system_calls_in_a_guest_written_by_hand() {
    let guest = root().join("harness/tests/data/writes.wat");
    for k in ["0", "1", "7", "100"] {
        let run = watched(tempfile::tempdir().unwrap(), &[guest.to_str().unwrap(), "--arg", k]);
        assert_writes(&run.case("writes/custom/cranelift"), k.parse().unwrap());
    }
}

#[test]
fn live_a_guest_without_marks_has_all_of_start_in_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "plain.wasm", guest("(memory.grow (i32.const 3)) drop"));
    let case = watched(folder, &[&path]).case("plain/custom/cranelift");
    let phases = case["kernel"]["phases"].as_object().unwrap();
    assert!(!phases.contains_key("init") && phases.contains_key("run"), "{phases:?}");
}

#[test]
fn live_every_phase_of_the_startup_scenario_is_seen() {
    let run = watched(tempfile::tempdir().unwrap(), &["startup", "--only", "hello/*/cranelift"]);
    for flavour in ["tinygo-like", "std"] {
        let case = run.case(&format!("hello/{flavour}/cranelift"));
        assert!(case["observer_ratio"].as_f64().is_some_and(|ratio| ratio > 0.0));
        for phase in ["engine", "compile", "deserialize", "link", "instantiate.cold", "instantiate", "init", "run"] {
            assert_eq!(case["kernel"]["phases"][phase]["iterations"], PROCESSES * ITERATIONS, "{phase}");
        }
        assert_eq!(case["kernel"]["phases"]["spawn"]["iterations"], PROCESSES);
        // One exec each, and none after.
        assert_eq!(syscalls(&case, "spawn", "execve"), PROCESSES);
        assert_eq!(syscalls(&case, "compile", "execve"), 0);
        // A memory image is made once per module, when it is first instantiated.
        assert_eq!(syscalls(&case, "instantiate.cold", "memfd_create"), PROCESSES * ITERATIONS);
        assert_eq!(syscalls(&case, "instantiate", "memfd_create"), 0);
        assert!(case["kernel"]["phases"]["spawn"]["faults"]["user"].as_u64().is_some_and(|faults| faults > 0));
    }
    let programs = run.report()["capture"]["programs"].as_array().unwrap().clone();
    let enter = programs.iter().find(|program| program["name"] == "sys_enter").expect("the program is listed");
    assert!(enter["run_count"].as_u64().is_some_and(|count| count > 0), "{enter}");
    assert!(enter["mean_ns"].as_f64().is_some_and(|mean| mean > 0.0), "{enter}");
}

#[test]
fn live_without_privileges_everything_but_the_kernel_side_works() {
    let folder = tempfile::tempdir().unwrap();
    // Somewhere that nobody can reach: the checkout may lie in a home of root.
    let copy = folder.path().join("wasiscope");
    std::fs::copy(common::WASISCOPE, &copy).unwrap();
    let guest = file(&folder, "mine.wasm", guest(""));
    open_to_all(folder.path());
    let as_nobody = |capture: &str| {
        std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&copy)
            .args(["run", &guest, "--capture", capture, "--processes", "1", "--iterations", "2", "--out"])
            .arg(folder.path().join(format!("{capture}.json")))
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let auto = as_nobody("auto");
    let (stdout, stderr) = (String::from_utf8_lossy(&auto.stdout), String::from_utf8_lossy(&auto.stderr));
    assert_eq!(auto.status.code(), Some(0), "{stderr}");
    assert!(stdout.contains("capture: unavailable (needs CAP_BPF and CAP_PERFMON"), "{stdout}");
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("auto.json")).unwrap()).unwrap();
    assert_eq!(report["capture"]["status"], "unavailable");
    assert_eq!(report["scenarios"][0]["cases"][0]["outcome"]["status"], "ok");

    let on = as_nobody("on");
    let stderr = String::from_utf8_lossy(&on.stderr);
    assert_eq!(on.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("setcap"), "the mend is named: {stderr}");
    assert!(!folder.path().join("on.json").exists());
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}
