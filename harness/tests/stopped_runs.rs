//! A run that is stopped keeps what it measured and leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{command, wait_until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

/// Stands for the report of an earlier run.
const GOOD: &str = "{\"schema_version\": 1}";

/// A run that would take minutes, once it has recorded its first samples.
fn long_run(folder: &tempfile::TempDir) -> Child {
    let child = command(folder)
        .args(["startup", "--capture", "off", "--only", "hello/tinygo-like/*", "--processes", "10000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let records = folder.path().join("report.records.partial.jsonl");
    wait_until("samples are recorded", || {
        fs::read_to_string(&records).is_ok_and(|text| text.contains("\"record\":\"process\",\"case\":0,"))
    });
    child
}

/// The children of `parent` that run the worker's verb.
fn workers_of(parent: u32) -> Vec<u32> {
    let is_worker = |path: &Path| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let parent_of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parent_of == Some(parent)
            && fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.contains("__worker"))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| is_worker(&entry.path()));
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[test]
fn ctrl_c_writes_what_was_measured_and_exits_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let child = long_run(&folder);
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("interrupted"));
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true);
    let case = &report["scenarios"][0]["cases"][0];
    assert!(case["measurements"].as_array().is_some_and(|metrics| !metrics.is_empty()), "{case}");
}

#[test]
fn ctrl_c_in_the_middle_of_a_check_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: t\nkind: traps\nparts: [matrix]\nengines: [cranelift]\nshare: full\n";
    let path = common::file(&folder, "t.yaml", text);
    let child = command(&folder)
        .args([&path, "--capture", "off", "--only", "atomic-updates/*"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // First come the facts of the reference case.
    let records = folder.path().join("report.records.partial.jsonl");
    wait_until("the check has begun", || {
        fs::read_to_string(&records).is_ok_and(|text| text.ends_with('\n')) && !workers_of(child.id()).is_empty()
    });
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["scenarios"][0]["cases"][0]["outcome"]["status"], "skipped");
}

#[test]
fn kill_9_takes_the_worker_along_and_leaves_whole_records() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("report.json"), GOOD).unwrap();
    let mut child = long_run(&folder);
    let mut workers = Vec::new();
    wait_until("a worker runs", || {
        workers = workers_of(child.id());
        !workers.is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    };
    wait_until("the worker is gone", || workers.iter().all(gone));
    assert_eq!(fs::read_to_string(folder.path().join("report.json")).unwrap(), GOOD);
    let records = fs::read_to_string(folder.path().join("report.records.partial.jsonl")).unwrap();
    let whole = records.lines().filter(|line| serde_json::from_str::<wasiscope::record::Record>(line).is_ok()).count();
    assert!(whole >= 2, "facts and at least one process");
}

/// What a signal to each process of a group does, and the same signal to one of them besides, as `timeout` sends them.
#[test]
fn two_signals_at_once_are_one_request_and_nothing_is_left() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("g.wat"), common::spin(100_000)).unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        for round in 0..5_u64 {
            let mut command = Command::new(common::WASISCOPE);
            command.args(["run", "g.wat", "--capture", "off", "--processes", "10000", "--out", "report.json"]);
            let child = start(command.current_dir(root.path()));
            let journal = root.path().join("report.records.partial.jsonl");
            wait_until("samples are recorded", || {
                fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"record\":\"process\",\"case\":0,"))
            });
            let group = Pid::from_child(&child);
            kill_process_group(group, signal).unwrap();
            std::thread::sleep(Duration::from_millis(round * 50));
            kill_process(group, signal).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
            let report = fs::read(root.path().join("report.json")).unwrap();
            let report: Value = serde_json::from_slice(&report).unwrap();
            assert_eq!(report["interrupted"], true);
            assert!(!journal.exists(), "the journal has its final name");
            assert_eq!(scratch_folders(root.path()), [] as [String; 0]);
            fs::remove_file(root.path().join("report.json")).unwrap();
        }
    }
}

/// A command in a process group of its own.
fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap()
}

/// Folders of runs below a project.
fn scratch_folders(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("target/wasiscope")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("work-")).collect()
}

/// A run that waits for a crate to be built, by a cargo that takes ten minutes; with the process that builds.
fn building(root: &Path, is_stubborn: bool) -> (Child, Pid) {
    let trap = if is_stubborn { "trap '' INT TERM" } else { "" };
    let metadata = r#"{"packages": [{"name": "a", "version": "0.1.0", "id": "a", "dependencies": [], "features": {}, "manifest_path": "Cargo.toml",
        "targets": [{"kind": ["bin"], "crate_types": ["bin"], "name": "a", "src_path": "src/main.rs"}]}],
        "workspace_members": [], "resolve": null, "workspace_root": "/", "target_directory": "/", "version": 1}"#;
    let script = format!(
        "#!/bin/sh\n{trap}\ncase $1 in metadata) echo '{metadata}';; *) echo $$ >started.new; mv started.new started; sleep 600;; esac\n"
    );
    let cargo = root.join("bin/cargo");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(&cargo, script).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.join("app")).unwrap();
    fs::write(root.join("app/Cargo.toml"), "[package]\nname = \"a\"\n").unwrap();
    fs::write(root.join("s.yaml"), "name: s\ncargo: {dir: app, bin: a}\n").unwrap();
    let path = format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(common::WASISCOPE);
    command.args(["run", "s.yaml", "--capture", "off"]).env("PATH", path);
    let child = start(command.current_dir(root));
    wait_until("the crate is being built", || root.join("app/started").exists());
    let builder: i32 = fs::read_to_string(root.join("app/started")).unwrap().trim().parse().unwrap();
    (child, Pid::from_raw(builder).unwrap())
}

#[test]
fn a_signal_ends_a_build_and_what_it_has_started() {
    let root = tempfile::tempdir().unwrap();
    let (child, builder) = building(root.path(), false);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(scratch_folders(root.path()), [] as [String; 0]);
    wait_until("the builder and its children are gone", || kill_process_group(builder, Signal::KILL).is_err());
}

#[test]
fn a_signal_after_a_second_ends_it_at_once_and_the_next_run_clears_up() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("g.wat"), common::spin(100)).unwrap();
    let (child, builder) = building(root.path(), true);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(scratch_folders(root.path()).len(), 1, "it is still at it");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output();
    let _ = kill_process_group(builder, Signal::KILL);
    assert_eq!(output.unwrap().status.code(), Some(130));
    let mut next = Command::new(common::WASISCOPE);
    next.args(["run", "g.wat", "--capture", "off", "--processes", "1", "--iterations", "1"]);
    assert!(next.current_dir(root.path()).output().unwrap().status.success());
    assert_eq!(scratch_folders(root.path()), [] as [String; 0]);
}

#[test]
fn other_verbs_that_run_guests_end_in_order_too() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.wat"), common::spin(10_000_000)).unwrap();
    fs::write(root.path().join("b.wat"), common::spin(10_100_000)).unwrap();
    let compare =
        ["compare", "a.wat", "b.wat", "--capture", "off", "--format", "json", "--processes", "1000", "--budget", "1h"];
    let soak = ["soak", "a.wat", "--capture", "off", "--processes", "10000"];
    for arguments in [&compare[..], &soak] {
        let child = start(Command::new(common::WASISCOPE).args(arguments).current_dir(root.path()));
        wait_until("a worker runs", || !workers_below(child.id()).is_empty());
        let group = Pid::from_child(&child);
        // Only the process itself, as `kill` does, and once more.
        kill_process(group, Signal::TERM).unwrap();
        kill_process(group, Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(scratch_folders(root.path()), [] as [String; 0], "{arguments:?}");
        if arguments[0] == "compare" {
            let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(comparison["interrupted"], true);
        }
    }
}

#[test]
fn a_bisection_and_a_calibration_end_in_order_too() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("scenarios")).unwrap();
    fs::write(root.path().join("scenarios/s.yaml"), "name: s\nwasm: g.wat\n").unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    for passes in [10_000_000, 11_000_000] {
        fs::write(root.path().join("scenarios/g.wat"), common::spin(passes)).unwrap();
        git(&["add", "scenarios"]);
        git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "change"]);
    }
    let checkout = common::root();
    let bisect = ["bisect", "HEAD~1", "HEAD", "--case", "g/custom/cranelift", "--metric", "phase.run"];
    let calibrate = ["calibrate", "--format", "json", "--root", checkout.to_str().unwrap()];
    for arguments in [&bisect[..], &calibrate] {
        let child = start(Command::new(common::WASISCOPE).args(arguments).current_dir(root.path()));
        wait_until("a worker runs", || !workers_of(child.id()).is_empty());
        kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(scratch_folders(root.path()), [] as [String; 0], "{arguments:?}");
        if arguments[0] == "calibrate" {
            let calibration: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(calibration["interrupted"], true);
        }
    }
    let worktrees = Command::new("git").current_dir(root.path()).args(["worktree", "list"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&worktrees.stdout).lines().count(), 1, "no worktree is left");
}

/// Workers of a process, or of its children.
fn workers_below(parent: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    workers_of(parent).into_iter().chain(children.flat_map(workers_of)).collect()
}
