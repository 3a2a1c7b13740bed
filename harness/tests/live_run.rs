//! The kernel's side of a whole run is exact: what the guest asked for is what is counted, in its phase.
//!
//! These tests need root and live capture (see .config/nextest.toml); without them they fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{Run, file, guest, root, syscalls};
use serde_json::Value;
use wasiscope::capture::ebpf::PROGRAMS;
use wasiscope::code::Code;

const PROCESSES: u64 = 2;
const ITERATIONS: u64 = 3;

fn watched(folder: tempfile::TempDir, arguments: &[&str]) -> Run {
    let fixed = ["--capture", "on", "--processes", "2", "--iterations", "3"];
    let run = Run::in_folder(folder, &[arguments, &fixed].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.report();
    assert_eq!(report["capture"]["status"], "live");
    for loss in ["map_full", "recursion_missed", "ring_dropped"] {
        assert_eq!(report["capture"]["ledger"][loss], 0, "{loss}");
    }
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
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert_eq!(programs.len(), PROGRAMS, "{programs:?}");
    assert!(readme.contains(&format!("\n  {PROGRAMS} kernel programs attached\n")), "README.md shows another number");
    assert!(programs.iter().all(|program| program["run_count"].is_null()), "costs are counted when they are asked for");
}

#[test]
fn live_costs_of_the_programs_come_from_a_pass_of_their_own() {
    let run = watched(tempfile::tempdir().unwrap(), &["writes", "--only", "writes/std/*", "--capture-cost"]);
    // The counts are those of the watched workers alone.
    let n = PROCESSES * ITERATIONS;
    assert_eq!(run.case("writes/std/cranelift")["kernel"]["phases"]["run"]["iterations"], n);
    let programs = run.report()["capture"]["programs"].as_array().unwrap().clone();
    for name in ["sys_enter", "sys_exit", "sched_switch", "page_fault_user"] {
        let program = programs.iter().find(|program| program["name"] == name).expect("the program is listed");
        assert!(program["run_count"].as_u64().is_some_and(|count| count > 0), "{program}");
        assert!(program["mean_ns"].as_f64().is_some_and(|mean| mean > 0.0), "{program}");
    }
    assert!(run.stdout().contains("in a pass of its own"), "{}", run.stdout());
}

#[test]
fn live_a_timeline_of_a_guest_without_marks_has_its_calls_in_run() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.json").to_str().unwrap().to_owned();
    let path = file(&folder, "plain.wasm", guest("(drop (memory.grow (i32.const 3)))"));
    let _run = watched(folder, &[&path, "--trace", &trace]);
    let text = std::fs::read_to_string(&trace).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    assert_eq!(events.iter().filter(|event| event["cat"] == "phase" && event["name"] == "run").count(), 1, "{text}");
    assert!(!text.contains("\"phase\":\"init\""), "as in the tables: {text}");
}

/// Phases and what lies outside of them together are all that a worker did.
#[test]
fn live_every_event_of_a_worker_is_in_a_phase_or_outside() {
    let run = watched(tempfile::tempdir().unwrap(), &["writes", "--only", "writes/std/*"]);
    let case = run.case("writes/std/cranelift");
    let outside = &case["kernel"]["outside"];
    assert_eq!(outside["iterations"], PROCESSES, "counted by worker");
    // The messages to the parent, and the end.
    assert!(outside["syscalls"]["write"]["count"].as_u64().is_some_and(|count| count >= PROCESSES * ITERATIONS));
    let ends = |name: &str| outside["syscalls"][name]["count"].as_u64().unwrap_or(0);
    assert_eq!(ends("exit_group"), PROCESSES, "{outside}");
    // The sleeping thread of the runtime.
    assert!(outside["created"]["threads"].as_u64().is_some_and(|count| count >= PROCESSES), "{outside}");
}

/// Reading far past the memory: without marks, in the measured part, behind it, and behind a mark that announces it.
const TRAPPING: [&str; 4] = [
    "(drop (i32.load (i32.const 0x7fff0000)))",
    "(drop (call $clock (i32.const 1) (i64.const 0x5741534953434f01) (i32.const 0)))
     (drop (i32.load (i32.const 0x7fff0000)))",
    "(drop (call $clock (i32.const 1) (i64.const 0x5741534953434f01) (i32.const 0)))
     (drop (call $clock (i32.const 1) (i64.const 0x5741534953434f02) (i32.const 0)))
     (drop (i32.load (i32.const 0x7fff0000)))",
    "(drop (call $clock (i32.const 1) (i64.const 0x5741534953434f01) (i32.const 0)))
     (drop (call $clock (i32.const 1) (i64.const 0x5741534953434f03) (i32.const 0)))
     (drop (i32.load (i32.const 0x7fff0000)))",
];

/// A guest that traps, as the only case of a scenario that expects it.
fn trapping(engine: &str, body: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "oob.wasm", guest(body));
    let scenario = format!("name: oob\nwasm: oob.wasm\nengines: [{engine}]\nexpect: {{outcome: trapped}}\n");
    let path = file(&folder, "oob.yaml", scenario);
    watched(folder, &[&path]).case(&format!("oob/custom/{engine}"))
}

#[test]
fn live_a_trap_at_a_guard_page_is_one_signal_and_with_explicit_checks_none() {
    for (engine, signals) in [("cranelift", PROCESSES * ITERATIONS), ("cranelift-checked", 0)] {
        for body in TRAPPING {
            let case = trapping(engine, body);
            let trap = &case["kernel"]["phases"]["trap"];
            assert_eq!(trap["iterations"], PROCESSES * ITERATIONS, "{engine}: {body}: {case}");
            assert_eq!(trap["signals"]["SIGSEGV"], signals, "{engine}: {body}: {trap}");
            assert_eq!(trap["faults"]["user_by_region"]["guard"].as_u64().unwrap_or(0), signals, "{engine}: {body}");
            let measured = case["measurements"].as_array().unwrap();
            assert!(measured.iter().any(|measurement| measurement["metric"] == "phase.trap"), "with their time");
        }
    }
}

#[test]
fn live_a_guest_that_sleeps_is_blocked_in_run() {
    let run = watched(tempfile::tempdir().unwrap(), &["kernel", "--only", "sleep/*"]);
    for flavour in ["tinygo-like", "std"] {
        let case = run.case(&format!("sleep/{flavour}/cranelift"));
        let phase = &case["kernel"]["phases"]["run"];
        let asked_us = case["n"].as_u64().unwrap();
        let blocked_us = phase["off_cpu_ns"]["blocked"].as_u64().unwrap() / 1_000 / (PROCESSES * ITERATIONS);
        assert!(blocked_us >= asked_us * 98 / 100, "{flavour}: {blocked_us} of {asked_us} µs: {phase}");
        assert!(phase["switches"]["voluntary"].as_u64().is_some_and(|count| count > 0), "{flavour}: {phase}");
    }
}

#[test]
fn live_threads_that_compile_count_to_compile() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        &folder,
        "parallel.yaml",
        "name: parallel\nworkloads: [{name: json, n: 10}]\nflavours: [std]\nengines: [cranelift-parallel]\n",
    );
    let case = watched(folder, &[&path]).case("json/std/cranelift-parallel");
    let phases = case["kernel"]["phases"].as_object().unwrap();
    assert!(phases["compile"]["created"]["threads"].as_u64().is_some_and(|count| count >= PROCESSES), "{phases:?}");
    for (name, phase) in phases.iter().filter(|(name, _)| *name != "compile") {
        assert_eq!(phase["created"]["threads"], 0, "{name}");
        assert_eq!(syscalls(&case, name, "futex"), 0, "{name}: hand-overs between compiling threads are compilation");
    }
}

#[test]
fn live_a_timeline_holds_phases_calls_and_faults_of_one_iteration() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.json").to_str().unwrap().to_owned();
    let run = watched(folder, &["writes", "--trace", &trace]);
    let document: Value = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
    assert_eq!(document["otherData"]["events_lost"], 0);
    let events = document["traceEvents"].as_array().unwrap();
    let cases = run.report()["scenarios"][0]["cases"].as_array().unwrap().len() as u64;
    for process in 1..=cases {
        let of_case: Vec<&Value> = events.iter().filter(|event| event["pid"] == process).collect();
        let named = |name: &str| of_case.iter().filter(|event| event["name"] == name).copied().collect::<Vec<_>>();
        let bounds = |event: &Value| {
            let start = event["ts"].as_f64().unwrap();
            (start, start + event["dur"].as_f64().unwrap())
        };
        let [run] = named("run")[..] else { panic!("one run: {of_case:?}") };
        let (start, end) = bounds(run);
        let writes = named("pwrite64");
        let inside = writes.iter().filter(|write| {
            let (from, to) = bounds(write);
            start <= from && to <= end && write["tid"] == run["tid"]
        });
        assert_eq!(inside.count(), 16, "the scenario's n: each call lies in its phase, on its thread");
        assert!(
            writes.iter().filter(|write| write["args"]["phase"] == "run").all(|write| write["args"]["returned"] == 1)
        );
        for phase in ["engine", "compile", "link", "instantiate", "init", "teardown"] {
            assert_eq!(named(phase).len(), 1, "{phase}");
        }
        assert!(!named("page fault").is_empty());
    }
}

#[test]
fn live_what_a_kernel_lacks_is_named_and_the_rest_of_the_report_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let btf = file(&folder, "btf", common::btf_without(&["sched_switch"]));
    let output = common::command(&folder)
        .env("WASISCOPE_BTF", &btf)
        .args(["writes", "--only", "writes/std/*", "--capture", "on", "--processes", "2", "--iterations", "3"])
        .output()
        .unwrap();
    let run = Run { folder, output };
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let case = run.case("writes/std/cranelift");
    assert_eq!(syscalls(&case, "run", "write"), 16 * PROCESSES * ITERATIONS);
    let phase = &case["kernel"]["phases"]["run"];
    assert!(phase["switches"].is_null() && phase["off_cpu_ns"].is_null() && phase["run_queue_ns"].is_null(), "{phase}");
    assert_eq!(phase["signals"]["SIGSEGV"], 0);
    let reason = "this kernel has no tracepoint sched_switch";
    assert!(run.stdout().contains(reason), "{}", run.stdout());
    let doctor = std::process::Command::new(common::WASISCOPE).arg("doctor").env("WASISCOPE_BTF", &btf).output();
    let doctor = String::from_utf8(doctor.unwrap().stdout).unwrap();
    assert!(doctor.contains(reason), "{doctor}");
}

/// A worker that has started its guest, of a run by `nobody` or root.
fn status_of_a_worker(run: &mut std::process::Command) -> String {
    let mut child = run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut status = String::new();
    common::wait_until("a worker has run its guest for a while", || {
        let pids = std::fs::read_to_string(&children).unwrap_or_default();
        let Some(pid) = pids.split_whitespace().next() else { return false };
        // A sleeping thread beside the guest's: the runtime has been started, so the guest is on its way.
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        threads > 1 && status.contains("CapEff")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    status
}

fn assert_powerless(status: &str) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set}: {status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn live_a_worker_of_root_has_no_privileges() {
    let folder = tempfile::tempdir().unwrap();
    let endless = file(&folder, "endless.wasm", guest("(loop $again (br $again))"));
    for capture in ["on", "off"] {
        assert_powerless(&status_of_a_worker(common::command(&folder).args([&endless, "--capture", capture])));
    }
}

/// Root without capabilities is bound by file permissions; what the run names is opened before they go.
#[test]
fn live_guests_in_a_home_that_only_its_owner_may_enter_run_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let inside = home.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("data"), "42").unwrap();
    let path = file(&home, "mine.wasm", guest(""));
    for place in [home.path(), &inside, Path::new(&path)] {
        std::os::unix::fs::chown(place, Some(65534), Some(65534)).unwrap();
    }
    use std::os::unix::fs::PermissionsExt;
    for (place, mode) in [(home.path(), 0o700), (Path::new(&path), 0o600)] {
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let granted = format!("{}::/data", inside.display());
    let run = watched(tempfile::tempdir().unwrap(), &[&path, "--dir", &granted, "--stdin", &path]);
    assert_eq!(run.case("mine/custom/cranelift")["outcome"]["status"], "ok");
}

#[test]
fn live_a_binary_with_the_two_capabilities_watches_for_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("wasiscope");
    std::fs::copy(common::WASISCOPE, &copy).unwrap();
    let guest = file(&folder, "mine.wasm", guest(""));
    open_to_all(folder.path());
    let set = std::process::Command::new("setcap").arg("cap_bpf,cap_perfmon+ep").arg(&copy).status();
    assert!(set.expect("setcap is installed").success());
    let output = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&copy)
        .args(["run", &guest, "--capture", "on", "--processes", "2", "--iterations", "2", "--out"])
        .arg(folder.path().join("report.json"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let run = Run { folder, output };
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert_eq!(run.report()["capture"]["status"], "live");
    let case = run.case("mine/custom/cranelift");
    assert_eq!(syscalls(&case, "spawn", "execve"), 2);
    assert!(case["measurements"].as_array().unwrap().iter().any(|m| m["metric"] == "memory.touched"), "{case}");
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

    let doctor = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&copy)
        .arg("doctor")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout);
    let (sudo, setcap) =
        (format!("sudo {}", copy.display()), format!("setcap cap_bpf,cap_perfmon+ep {}", copy.display()));
    assert!(doctor.contains(&sudo) && doctor.contains(&setcap), "both ways, with this very binary: {doctor}");

    let on = as_nobody("on");
    common::fails_with(&on, Code::CaptureUnavailable, &["setcap"]);
    assert!(!folder.path().join("on.json").exists());
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}
