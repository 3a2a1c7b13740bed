//! Whatever kills wasiscope while it watches, nothing of it stays: no program, map, link or pin in the kernel, no worker.
//! Needs privileges, as every `live_…` test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::{command, file, wait_until};
use rand::RngExt;

/// What a process holds in the kernel, by the numbers that the kernel gives out.
#[derive(Debug, Default, PartialEq)]
struct Held {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    links: BTreeSet<u32>,
}

impl Held {
    /// By process `pid`.
    fn by(pid: u32) -> Self {
        let mut held = Self::default();
        let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
        for info in files.filter_map(|file| fs::read_to_string(file.path()).ok()) {
            for line in info.lines() {
                let Some((name, number)) = line.split_once(':') else { continue };
                let Ok(number) = number.trim().parse() else { continue };
                match name {
                    "prog_id" => held.programs.insert(number),
                    "map_id" => held.maps.insert(number),
                    "link_id" => held.links.insert(number),
                    _ => false,
                };
            }
        }
        held
    }

    /// What of programs and links is still there.
    fn running(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let programs: BTreeSet<u32> =
            aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id()).collect();
        let links: BTreeSet<u32> = aya::programs::loaded_links().filter_map(Result::ok).map(|link| link.id()).collect();
        (&self.programs & &programs, &self.links & &links)
    }

    /// What of it is still there.
    fn left(&self) -> Self {
        let (programs, links) = self.running();
        let maps: BTreeSet<u32> = aya::maps::loaded_maps().filter_map(Result::ok).map(|map| map.id()).collect();
        Self { programs, maps: &self.maps & &maps, links }
    }
}

/// Processes that were started in this folder, as workers are by a run in it.
fn processes_in(folder: &Path) -> Vec<String> {
    let in_folder = |path: &Path| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder);
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| in_folder(&entry.path()));
    processes.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

fn pins() -> usize {
    fs::read_dir("/sys/fs/bpf").map_or(0, Iterator::count)
}

/// Waits until the kernel has freed what a dead process held, and looks at maps once, when they must be gone: those of a program go a grace
/// period after it.
///
/// Looking opens each map of the machine for a moment, and a program array that is opened while the kernel clears it (Linux 6.18) keeps a reference
/// that nobody gives back: a test that looked again and again made the leak that it found.
fn nothing_is_left(held: &Held) {
    wait_until("no program and no link", || held.running() == Default::default());
    thread::sleep(Duration::from_secs(1));
    assert_eq!(held.left(), Held::default());
}

#[test]
fn live_a_run_killed_at_any_moment_leaves_nothing() {
    let pins_before = pins();
    let mut most = 0;
    for round in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(&folder)
            .args(["startup", "--capture", "on", "--only", "hello/tinygo-like/*", "--processes", "10000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if round == 0 {
            // At least once while it measures.
            let journal = folder.path().join("report.records.partial.jsonl");
            wait_until("samples are recorded", || {
                fs::read_to_string(&journal).is_ok_and(|text| text.contains("process"))
            });
        }
        let delay = Duration::from_millis(rand::rng().random_range(0..1_500));
        thread::sleep(delay);
        let held = Held::by(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        println!("after {delay:?}: held {held:?}");
        most = most.max(held.programs.len());
        nothing_is_left(&held);
        let place = fs::canonicalize(folder.path()).unwrap();
        wait_until("the workers are gone", || processes_in(&place).is_empty());
    }
    assert_eq!(pins(), pins_before, "pins");
    assert!(most >= 12, "the kernel was watched when some of the runs were killed: {most}");
}

/// A flow of events is under way in the process that is given back.
fn flowing(folder: &tempfile::TempDir) -> std::process::Child {
    let scenario = "name: flows\nkind: pipeline\nparts: [rates]\nflavours: [tinygo-like]\nengines: [cranelift]\nprocesses: 100\niterations: 1\n";
    let scenario = file(folder, "flows.yaml", scenario);
    let mut command = command(folder);
    command.arg(&scenario).args(["--capture", "on"]).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    // The programs of the capture are there from the beginning; those of a flow are four more, and attached by links of their own.
    wait_until("a flow", || Held::by(child.id()).links.len() >= 2 && processes_in(folder.path()).len() >= 3);
    child
}

#[test]
fn live_a_flow_of_events_that_is_killed_leaves_nothing() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = flowing(&folder);
        let held = Held::by(child.id());
        assert!(held.programs.len() >= 4, "{held:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        nothing_is_left(&held);
        wait_until("no worker and no generator", || processes_in(folder.path()).is_empty());
    }
}

#[test]
fn live_a_flow_of_events_that_is_told_to_end_detaches_in_order_and_keeps_what_it_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = flowing(&folder);
    // Until one worker is done, there is nothing to keep.
    let journal = folder.path().join("report.records.partial.jsonl");
    wait_until("a record", || fs::read_to_string(&journal).is_ok_and(|text| text.contains("events.generated")));
    let held = Held::by(child.id());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(held.running(), Default::default(), "of maps the memory alone is freed later");
    nothing_is_left(&held);
    assert_eq!(processes_in(&fs::canonicalize(folder.path()).unwrap()), [] as [String; 0]);
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true);
}
