//! What the kernel programs count is exact: system calls, their durations, and whose they are. Needs privileges: each
//! test fails, rather than skips, when capture cannot be had; where it is not expected, the test filter leaves the
//! `live_…` tests out.

mod common;

use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use common::forked::{PAGE, board, calls, clock, collect, fork_worker, map, pwrites, require_live, run, touch, watch};
use wasiscope::before_exec::BeforeExec;
use wasiscope::capture::ebpf::{EbpfCapture, Options, PROGRAMS, enter_watched};
use wasiscope::capture::{Calls, Capture, CaptureError, KernelEvents, Ledger};
use wasiscope::worker::cell::PhaseCell;
use wasiscope_ebpf_abi::Phase;

/// Waits whose end the kernel did not trace are no loss of the programs'.
fn assert_nothing_lost(capture: &EbpfCapture) {
    let ledger = capture.ledger().expect("the ledger can be read");
    assert_eq!(Ledger { switches_unseen: 0, ..ledger }, Ledger::default());
}

#[test]
fn live_system_calls_are_charged_to_their_phase() {
    let mut capture = require_live();
    for (slot, count) in [(0, 0), (1, 1), (2, 7), (3, 1000), (64, 5)] {
        let events = watch(&mut capture, slot, |cell| {
            cell.enter(Phase::Run);
            pwrites(count);
        });
        assert_eq!(calls(&events, Phase::Run, "pwrite64").count, u64::from(count));
        assert!(events.get(&Phase::Run).is_none_or(|run| run.syscalls.keys().all(|name| name == "pwrite64")));
        assert!(events.get(&Phase::Init).is_none_or(|init| init.syscalls.is_empty()), "{events:?}");
        assert_eq!(
            calls(&events, Phase::Spawn, "mmap").count,
            1,
            "the cell is mapped before any phase of the worker's"
        );
        assert_eq!(calls(&events, Phase::Teardown, "exit_group"), Calls { count: 1, ..Calls::default() });
    }
    assert_nothing_lost(&capture);
}

#[test]
fn live_page_faults_are_exact() {
    let mut capture = require_live();
    for (slot, count) in [(0, 0), (1, 1), (2, 64), (3, 1000)] {
        let events = watch(&mut capture, slot, |cell| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages = map((count + 1) * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags);
            // The fork's own pages of code and stack fault in here, not in the part that is counted.
            touch(pages, 1);
            cell.enter(Phase::Link);
            cell.enter(Phase::Run);
            touch(pages.wrapping_add(PAGE), count);
        });
        assert_eq!(events.get(&Phase::Run).map_or(0, |run| run.user_faults()), count as u64, "{events:?}");
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
    assert_eq!(events[&Phase::Run].kernel_faults(), 1, "{events:?}");
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
    let latency_ns = calls(&events, Phase::Run, "nanosleep").latency_ns;
    // Sleeping longer than asked for is the machine's business, sleeping shorter would be ours.
    assert!(latency_ns.count == 1 && latency_ns.sum >= 50_000_000, "{latency_ns:?}");
    assert_eq!((latency_ns.min, latency_ns.max), (Some(latency_ns.sum), Some(latency_ns.sum)));
    let [(upper, 1)] = latency_ns.buckets[..] else { panic!("one call is in one bucket: {latency_ns:?}") };
    assert!(latency_ns.sum <= upper && upper - latency_ns.sum <= latency_ns.sum / 8, "{latency_ns:?}");
}

#[test]
fn live_a_call_belongs_to_the_phase_of_its_entry() {
    let mut capture = require_live();
    let worker = capture.open(0, "").expect("a slot can be opened");
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
    assert_eq!(calls(&events, Phase::Run, "read").count, 1);
    assert!(calls(&events, Phase::Run, "read").latency_ns.sum > 10_000_000, "{events:?}");
    assert_eq!(calls(&events, Phase::Trap, "read"), Calls::default());
}

#[test]
fn live_workers_at_the_same_time_are_kept_apart() {
    let mut capture = require_live();
    let slots = [(10, 300), (11, 400), (12, 500)];
    let pids = slots.map(|(slot, count)| {
        let worker = capture.open(slot, "").expect("a slot can be opened");
        fork_worker(&worker, |cell| {
            cell.enter(Phase::Run);
            pwrites(count);
        })
    });
    for ((slot, count), pid) in slots.into_iter().zip(pids) {
        let events = collect(&mut capture, slot, pid);
        assert_eq!(calls(&events, Phase::Run, "pwrite64").count, u64::from(count));
        let again = capture.collect(slot);
        assert_eq!(again.expect("collecting twice is harmless"), KernelEvents::new());
    }
}

/// However fast the calls come, each is counted: as many as a processor can make in ten seconds.
#[test]
fn live_ten_seconds_of_calls_at_full_speed_are_counted_to_the_last() {
    const NS: u64 = 10_000_000_000;
    let mut capture = require_live();
    let board = board();
    let events = watch(&mut capture, 0, |cell| {
        let began_ns = clock(libc::CLOCK_MONOTONIC);
        let mut made = 0;
        cell.enter(Phase::Run);
        while clock(libc::CLOCK_MONOTONIC) - began_ns < NS {
            for _ in 0..1_000 {
                // SAFETY: takes nothing and cannot fail.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            made += 1_000;
        }
        cell.enter(Phase::Teardown);
        board[0].store(made, Ordering::Relaxed);
    });
    let made = board[0].load(Ordering::Relaxed);
    println!("{made} system calls in ten seconds");
    let counted = calls(&events, Phase::Run, "getppid");
    assert_eq!((counted.count, counted.latency_ns.count), (made, made));
    assert_eq!(counted.latency_ns.buckets.iter().map(|(_, count)| count).sum::<u64>(), made);
    assert_nothing_lost(&capture);
}

#[test]
fn live_calls_that_fail_are_counted_as_errors_too() {
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        cell.enter(Phase::Run);
        pwrites(7);
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::syscall(libc::SYS_getppid) };
    });
    assert_eq!((calls(&events, Phase::Run, "pwrite64").count, calls(&events, Phase::Run, "pwrite64").errors), (7, 7));
    assert_eq!((calls(&events, Phase::Run, "getppid").count, calls(&events, Phase::Run, "getppid").errors), (1, 0));
}

#[test]
fn live_a_call_that_death_interrupts_is_counted_once() {
    let mut capture = require_live();
    let worker = capture.open(0, "").expect("a slot can be opened");
    let pid = fork_worker(&worker, |cell| {
        let long = libc::timespec { tv_sec: 60, tv_nsec: 0 };
        cell.enter(Phase::Run);
        // SAFETY: reads a local variable.
        unsafe { libc::syscall(libc::SYS_nanosleep, &raw const long, null::<u8>()) };
    });
    thread::sleep(Duration::from_millis(50));
    let mut status = 0;
    // SAFETY: kills and reaps the worker forked above.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, &raw mut status, 0);
    }
    let events = capture.collect(0).expect("events can be collected");
    assert_eq!(calls(&events, Phase::Run, "nanosleep").count, 1);
    assert_eq!(run(&events).signals.get("SIGKILL"), Some(&1), "{events:?}");
}

#[test]
fn live_strangers_are_not_counted() {
    let mut capture = require_live();
    capture.open(0, "").expect("a slot can be opened");
    pwrites(100);
    assert!(Command::new("/bin/true").status().expect("a stranger can run").success());
    assert_eq!(capture.collect(0).expect("nobody has entered"), KernelEvents::new());
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
    assert_eq!(calls(&watch(&mut capture, 1, run), Phase::Run, "pwrite64").count, 3, "not 6: attached once");
}

#[test]
fn live_an_exec_keeps_the_cells_and_closes_the_rest() {
    let mut capture = require_live();
    let worker = capture.open(0, "").expect("a slot can be opened");
    let script = format!("test -e /proc/self/fd/{} && ! test -e /proc/self/fd/{}", worker.cells_fd, worker.watched_fd);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]);
    // SAFETY: the descriptors are the capture's, which outlives the spawning.
    unsafe { BeforeExec::default().then(move || enter_watched(&worker)) }.apply(&mut command);
    let mut child = command.spawn().expect("the worker starts");
    assert!(child.wait().expect("the worker ends").success(), "exactly the cells are inherited");
    let events = capture.collect(0).expect("events can be collected");
    assert_eq!(calls(&events, Phase::Spawn, "execve").count, 1, "{events:?}");
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
        EbpfCapture::load(&Options::default()).err()
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
    assert_eq!(programs.len(), PROGRAMS, "{programs:?}");
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
