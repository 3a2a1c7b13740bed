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

use common::{command, wait_until};
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

    /// What of it is still there.
    fn left(&self) -> Self {
        let programs: BTreeSet<u32> =
            aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id()).collect();
        let maps: BTreeSet<u32> = aya::maps::loaded_maps().filter_map(Result::ok).map(|map| map.id()).collect();
        let links: BTreeSet<u32> = aya::programs::loaded_links().filter_map(Result::ok).map(|link| link.id()).collect();
        Self { programs: &self.programs & &programs, maps: &self.maps & &maps, links: &self.links & &links }
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
        // The kernel frees programs a grace period after their last user.
        wait_until("programs, maps and links are gone", || held.left() == Held::default());
        let place = fs::canonicalize(folder.path()).unwrap();
        wait_until("the workers are gone", || processes_in(&place).is_empty());
    }
    assert_eq!(pins(), pins_before, "pins");
    assert!(most >= 12, "the kernel was watched when some of the runs were killed: {most}");
}
