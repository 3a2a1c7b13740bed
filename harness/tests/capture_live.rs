//! What the kernel programs count is exact. Needs privileges: each test fails, rather than skips, when capture cannot
//! be had; where it is not expected, the test filter leaves the `live_…` tests out.
//!
//! The watched workers are forks of the test that never exec, so that every system call and fault of theirs is known.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::ptr::{null, null_mut};
use std::thread;
use std::time::{Duration, Instant};

use wasiscope::capture::ebpf::{EbpfCapture, enter_watched};
use wasiscope::capture::{Capture, CaptureError, KernelEvents, Ledger, Tally, WatchedWorker};
use wasiscope::worker::cell::PhaseCell;
use wasiscope_ebpf_abi::Phase;

/// A loaded and armed capture.
fn require_live() -> EbpfCapture {
    let mut capture = EbpfCapture::load().unwrap_or_else(|reason| panic!("live capture is required here: {reason}"));
    capture.arm().unwrap_or_else(|reason| panic!("live capture is required here: {reason}"));
    for program in capture.programs().expect("programs can be listed") {
        assert_eq!(program.unavailable, None, "{}", program.name);
    }
    capture
}

/// Forks a worker that enters itself, maps its cell, does `work`, and leaves. `work` must neither allocate nor panic.
fn fork_worker(worker: &WatchedWorker, work: impl FnOnce(&PhaseCell)) -> libc::pid_t {
    // SAFETY: the child runs nothing but system calls and `work` before it leaves.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: the descriptors are the capture's, inherited a moment ago.
        let entered = unsafe { enter_watched(worker) };
        let cell = entered.and_then(|()| PhaseCell::mapped(worker.cells_fd, worker.cell_index, worker.slot));
        let status = match &cell {
            Ok(cell) => {
                cell.enter(Phase::Init);
                work(cell);
                cell.enter(Phase::Teardown);
                0
            }
            Err(_) => 1,
        };
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(status) };
    }
    pid
}

fn collect(capture: &mut EbpfCapture, slot: u32, pid: libc::pid_t) -> KernelEvents {
    let mut status = 0;
    // SAFETY: writes to a local variable.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((reaped, status), (pid, 0), "the worker failed");
    capture.collect(slot, u32::try_from(pid).expect("pids are positive")).expect("events can be collected")
}

fn watch(capture: &mut EbpfCapture, slot: u32, work: impl FnOnce(&PhaseCell)) -> KernelEvents {
    let worker = capture.open(slot).expect("a slot can be opened");
    let pid = fork_worker(&worker, work);
    collect(capture, slot, pid)
}

/// Makes exactly `count` system calls of a kind that nothing else makes here. They fail, which costs the same entry.
fn pwrites(count: u32) {
    for _ in 0..count {
        // SAFETY: an invalid descriptor and no bytes.
        unsafe { libc::pwrite64(-1, null(), 0, 0) };
    }
}

fn tally(events: &KernelEvents, phase: Phase, name: &str) -> Tally {
    events.get(&phase).and_then(|events| events.syscalls.get(name)).copied().unwrap_or_default()
}

#[test]
fn live_system_calls_are_charged_to_their_phase() {
    let mut capture = require_live();
    for (slot, count) in [(0, 0), (1, 1), (2, 7), (3, 1000), (64, 5)] {
        let events = watch(&mut capture, slot, |cell| {
            cell.enter(Phase::Run);
            pwrites(count);
        });
        assert_eq!(tally(&events, Phase::Run, "pwrite64").count, u64::from(count));
        assert!(events.get(&Phase::Run).is_none_or(|run| run.syscalls.keys().all(|name| name == "pwrite64")));
        assert!(events.get(&Phase::Init).is_none_or(|init| init.syscalls.is_empty()), "{events:?}");
        assert_eq!(
            tally(&events, Phase::Spawn, "mmap").count,
            1,
            "the cell is mapped before any phase of the worker's"
        );
        assert_eq!(tally(&events, Phase::Teardown, "exit_group"), Tally { count: 1, total_ns: 0 });
    }
    assert_eq!(capture.ledger().expect("the ledger can be read"), Ledger::default());
}

#[test]
fn live_page_faults_are_exact() {
    const PAGE: usize = 4096;

    #[inline(never)]
    fn touch(pages: *mut u8, count: usize) {
        for page in 0..count {
            // SAFETY: the caller has mapped that many pages.
            unsafe { pages.add(page * PAGE).write_volatile(1) };
        }
    }

    let mut capture = require_live();
    for (slot, count) in [(0, 0), (1, 1), (2, 64), (3, 1000)] {
        let events = watch(&mut capture, slot, |cell| {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: the kernel chooses the address.
            let pages = unsafe { libc::mmap(null_mut(), (count + 1) * PAGE, protection, flags, -1, 0) };
            // SAFETY: advises about the mapping just made.
            unsafe { libc::madvise(pages, (count + 1) * PAGE, libc::MADV_NOHUGEPAGE) };
            let pages = pages.cast::<u8>();
            // The fork's own pages of code and stack fault in here, not in the part that is counted.
            touch(pages, 1);
            cell.enter(Phase::Link);
            cell.enter(Phase::Run);
            touch(pages.wrapping_add(PAGE), count);
        });
        assert_eq!(events.get(&Phase::Run).map_or(0, |run| run.faults_user), count as u64, "{events:?}");
    }
}

#[test]
fn live_faults_inside_system_calls_are_the_kernels() {
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        // SAFETY: one fresh page, at an address that the kernel chooses.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let page = libc::mmap(null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            cell.enter(Phase::Run);
            libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, page);
        }
    });
    assert_eq!(events[&Phase::Run].faults_kernel, 1, "{events:?}");
}

#[test]
fn live_durations_are_those_of_the_calls() {
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        let pause = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        cell.enter(Phase::Run);
        // SAFETY: reads a local variable.
        unsafe { libc::syscall(libc::SYS_nanosleep, &raw const pause, null::<u8>()) };
    });
    let Tally { count, total_ns } = tally(&events, Phase::Run, "nanosleep");
    assert_eq!(count, 1);
    assert!((50_000_000..80_000_000).contains(&total_ns), "{total_ns} ns");
}

#[test]
fn live_a_call_belongs_to_the_phase_of_its_entry() {
    let mut capture = require_live();
    let worker = capture.open(0).expect("a slot can be opened");
    let cells = io::pipe().expect("a pipe");
    let read_end = std::os::fd::AsRawFd::as_raw_fd(&cells.0);
    let pid = fork_worker(&worker, |cell| {
        let mut byte = 0_u8;
        cell.enter(Phase::Run);
        // SAFETY: reads one byte into a local variable.
        unsafe { libc::read(read_end, (&raw mut byte).cast(), 1) };
    });
    // The worker's thread waits in `read`; meanwhile its cell is moved on, as another thread of it would.
    thread::sleep(Duration::from_millis(50));
    // SAFETY: duplicates a descriptor that the capture keeps open.
    let cells_fd = unsafe { libc::fcntl(worker.cells_fd, libc::F_DUPFD_CLOEXEC, 0) };
    PhaseCell::mapped(cells_fd, worker.cell_index, worker.slot).expect("the cell can be mapped").enter(Phase::Trap);
    io::Write::write_all(&mut &cells.1, b"x").expect("the worker listens");
    let events = collect(&mut capture, 0, pid);
    assert_eq!(tally(&events, Phase::Run, "read").count, 1);
    assert!(tally(&events, Phase::Run, "read").total_ns > 10_000_000, "{events:?}");
    assert_eq!(tally(&events, Phase::Trap, "read"), Tally::default());
}

#[test]
fn live_workers_at_the_same_time_are_kept_apart() {
    let mut capture = require_live();
    let slots = [(10, 300), (11, 400), (12, 500)];
    let pids = slots.map(|(slot, count)| {
        let worker = capture.open(slot).expect("a slot can be opened");
        fork_worker(&worker, |cell| {
            cell.enter(Phase::Run);
            pwrites(count);
        })
    });
    for ((slot, count), pid) in slots.into_iter().zip(pids) {
        let events = collect(&mut capture, slot, pid);
        assert_eq!(tally(&events, Phase::Run, "pwrite64").count, u64::from(count));
        let again = capture.collect(slot, u32::try_from(pid).expect("pids are positive"));
        assert_eq!(again.expect("collecting twice is harmless"), KernelEvents::new());
    }
}

#[test]
fn live_strangers_are_not_counted() {
    let mut capture = require_live();
    capture.open(0).expect("a slot can be opened");
    pwrites(100);
    assert!(Command::new("/bin/true").status().expect("a stranger can run").success());
    assert_eq!(capture.collect(0, std::process::id()).expect("nobody has entered"), KernelEvents::new());
}

#[test]
fn live_a_disarmed_capture_counts_nothing_and_can_be_armed_again() {
    let mut capture = require_live();
    let run = |cell: &PhaseCell| {
        cell.enter(Phase::Run);
        pwrites(3);
    };
    capture.arm().expect("arming twice is harmless");
    capture.disarm().expect("programs detach");
    capture.disarm().expect("disarming twice is harmless");
    assert_eq!(watch(&mut capture, 0, run), KernelEvents::new());
    capture.arm().expect("programs attach again");
    assert_eq!(tally(&watch(&mut capture, 1, run), Phase::Run, "pwrite64").count, 3, "not 6: attached once");
}

#[test]
fn live_an_exec_keeps_the_cells_and_closes_the_rest() {
    let mut capture = require_live();
    let worker = capture.open(0).expect("a slot can be opened");
    let script = format!("test -e /proc/self/fd/{} && ! test -e /proc/self/fd/{}", worker.cells_fd, worker.watched_fd);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]);
    // SAFETY: the descriptors are the capture's, which outlives the spawning.
    unsafe { command.pre_exec(move || enter_watched(&worker)) };
    let mut child = command.spawn().expect("the worker starts");
    assert!(child.wait().expect("the worker ends").success(), "exactly the cells are inherited");
    let events = capture.collect(0, child.id()).expect("events can be collected");
    assert_eq!(tally(&events, Phase::Spawn, "execve").count, 1, "{events:?}");
}

#[test]
fn live_costs_are_counted_on_demand() {
    let mut capture = require_live();
    let uncounted = capture.programs().expect("programs can be listed");
    assert!(uncounted.iter().all(|program| program.run_count.is_none() && program.mean_ns.is_none()));
    let guard = capture.count_costs().expect("root may count");
    watch(&mut capture, 0, |cell| {
        cell.enter(Phase::Run);
        pwrites(10_000);
    });
    drop(guard);
    for program in capture.programs().expect("programs can be listed") {
        println!("{program:?}");
        if program.name.starts_with("sys_") {
            assert!(program.run_count.is_some_and(|count| count >= 10_000), "{program:?}");
            assert!(program.mean_ns.is_some_and(|ns| (1.0..100_000.0).contains(&ns)), "{program:?}");
        }
    }
}

#[test]
fn live_without_privileges_says_what_to_do() {
    // Credentials belong to threads where the C library does not spread them, so the other tests keep theirs.
    let refusal = thread::spawn(|| {
        // SAFETY: gives up this thread's privileges.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
        EbpfCapture::load().err()
    });
    match refusal.join().expect("loading does not panic") {
        Some(CaptureError::Unavailable(reason)) => {
            println!("{reason}");
            assert!(reason.contains("run as root") && reason.contains("setcap cap_bpf,cap_perfmon+ep"), "{reason}");
        }
        other => panic!("nobody may load programs: {other:?}"),
    }
}

#[test]
fn live_a_killed_process_leaves_no_program() {
    let mut helper = Command::new(std::env::current_exe().expect("this test has a file"))
        .args(["--exact", "live_helper_stays_armed_until_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the helper starts");
    let output = BufReader::new(helper.stdout.take().expect("its output is piped"));
    assert!(output.lines().map_while(Result::ok).any(|line| line.contains("armed and waiting")), "the helper failed");
    let programs = program_ids_of(helper.id());
    assert_eq!(programs.len(), 4, "{programs:?}");
    assert!(programs.iter().all(|id| loaded_ids().contains(id)));
    helper.kill().expect("it can be killed");
    helper.wait().expect("it dies");
    // The kernel frees programs a grace period after their last user.
    let deadline = Instant::now() + Duration::from_secs(5);
    while programs.iter().any(|id| loaded_ids().contains(id)) {
        assert!(Instant::now() < deadline, "{programs:?} are still loaded");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "started, and killed, by live_a_killed_process_leaves_no_program"]
fn live_helper_stays_armed_until_killed() {
    let _capture = require_live();
    println!("armed and waiting");
    thread::sleep(Duration::from_secs(60));
}

/// Programs that process `pid` holds, by their kernel-wide number.
fn program_ids_of(pid: u32) -> Vec<u32> {
    let mut ids: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .expect("the process lives")
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|info| info.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok()))
        .collect();
    // A program and its link each name it.
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn loaded_ids() -> Vec<u32> {
    aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id()).collect()
}
