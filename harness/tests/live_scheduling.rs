//! What the kernel programs say of scheduling agrees with what was done, and with what the kernel itself has counted:
//! switches, time off the processor and why, threads from their birth. Needs privileges, as every `live_…` test.

mod common;

use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use common::forked::{Hog, PAGE, board, calls, clock, map, pwrites, require_live, run, stay_on_last_cpu, usage, watch};
use wasiscope::capture::OffCpu;
use wasiscope_ebpf_abi::Phase;

fn sleep_ns(ns: i64) {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: ns };
    // SAFETY: reads a local variable.
    unsafe { libc::syscall(libc::SYS_nanosleep, &raw const pause, null::<u8>()) };
}

#[test]
fn live_switches_agree_with_getrusage() {
    let mut capture = require_live();
    let board = board();
    let hog = Hog::start();
    let events = watch(&mut capture, 0, |cell| {
        stay_on_last_cpu();
        let before = usage();
        cell.enter(Phase::Run);
        for _ in 0..500 {
            // Gives way to the hog, which the kernel counts as involuntary, since the thread stays runnable.
            // SAFETY: takes nothing and cannot fail.
            unsafe { libc::sched_yield() };
        }
        for _ in 0..300 {
            // Long enough that the timer cannot fire before the switch, as one of a microsecond now and then does.
            sleep_ns(200_000);
        }
        cell.enter(Phase::Teardown);
        let after = usage();
        board[0].store((after.ru_nvcsw - before.ru_nvcsw).cast_unsigned(), Ordering::Relaxed);
        board[1].store((after.ru_nivcsw - before.ru_nivcsw).cast_unsigned(), Ordering::Relaxed);
    });
    drop(hog);
    let (seen, voluntary, involuntary) =
        (run(&events).switches, board[0].load(Ordering::Relaxed), board[1].load(Ordering::Relaxed));
    println!("{seen:?}, getrusage {voluntary} and {involuntary}");
    assert!(seen.voluntary >= 300 && seen.involuntary > 0, "{seen:?}");
    // A preemption can fall between a reading of `usage` and the phase.
    assert!(seen.voluntary.abs_diff(voluntary) <= voluntary / 100, "{seen:?}");
    assert!(seen.involuntary.abs_diff(involuntary) <= 1 + involuntary / 100, "{seen:?}");
}

#[test]
fn live_two_that_compute_on_one_processor_wait_for_it() {
    const NS: u64 = 2_000_000_000;
    let mut capture = require_live();
    let board = board();
    let hog = Hog::start();
    let events = watch(&mut capture, 0, |cell| {
        stay_on_last_cpu();
        let (wall, cpu) = (clock(libc::CLOCK_MONOTONIC), clock(libc::CLOCK_THREAD_CPUTIME_ID));
        cell.enter(Phase::Run);
        while clock(libc::CLOCK_MONOTONIC) - wall < NS {
            std::hint::spin_loop();
        }
        cell.enter(Phase::Teardown);
        let waited = (clock(libc::CLOCK_MONOTONIC) - wall) - (clock(libc::CLOCK_THREAD_CPUTIME_ID) - cpu);
        board[0].store(waited, Ordering::Relaxed);
    });
    drop(hog);
    let (run, waited) = (run(&events), board[0].load(Ordering::Relaxed));
    println!("waited {waited} ns by its clocks; run queue {:?}", run.run_queue_ns);
    assert!(run.run_queue_ns.sum.abs_diff(waited) <= waited / 10, "{waited} ns by its clocks: {run:?}");
    assert_eq!(run.off_cpu_ns.runnable, run.run_queue_ns, "all of its time off the processor");
    assert_eq!(run.off_cpu_ns.blocked.sum, 0, "{run:?}");
}

#[test]
fn live_a_sleeper_is_blocked_for_as_long_as_it_sleeps() {
    const SLEEPS: u64 = 25;
    let mut capture = require_live();
    let board = board();
    let events = watch(&mut capture, 0, |cell| {
        cell.enter(Phase::Run);
        let mut inside = 0;
        for _ in 0..SLEEPS {
            let before = clock(libc::CLOCK_MONOTONIC);
            sleep_ns(20_000_000);
            inside += clock(libc::CLOCK_MONOTONIC) - before;
        }
        cell.enter(Phase::Teardown);
        board[0].store(inside, Ordering::Relaxed);
    });
    let (run, inside) = (run(&events), board[0].load(Ordering::Relaxed));
    println!("{inside} ns in its calls; blocked {:?}, runnable {:?}", run.off_cpu_ns.blocked, run.off_cpu_ns.runnable);
    let blocked = &run.off_cpu_ns.blocked;
    assert_eq!(blocked.count, SLEEPS, "{run:?}");
    assert!(blocked.min.is_some_and(|ns| ns >= 19_900_000), "{blocked:?}");
    // What it waited for the processor then is no sleep; the rest of the calls is microseconds.
    let asleep = inside - run.off_cpu_ns.runnable.sum;
    assert!(blocked.sum.abs_diff(asleep) <= asleep / 50, "{asleep} ns: {run:?}");
}

#[test]
fn live_futex_waits_are_told_from_other_futex_calls() {
    const WAITS: u64 = 10;
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        let word = AtomicU32::new(0);
        let pause = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        cell.enter(Phase::Run);
        for _ in 0..WAITS {
            // SAFETY: waits, in vain, on a local variable; then wakes nobody.
            unsafe {
                let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
                libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 0, &raw const pause);
                libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1);
            }
        }
        cell.enter(Phase::Teardown);
    });
    let waits = run(&events).futex_waits_ns;
    assert_eq!((waits.count, calls(&events, Phase::Run, "futex").count), (WAITS, 2 * WAITS));
    assert!(waits.sum >= WAITS * 5_000_000, "{waits:?}");
}

/// How many calls a started thread makes before it ends.
const CALLS_OF_A_THREAD: u32 = 40;

extern "C" fn of_a_thread(_argument: *mut libc::c_void) -> libc::c_int {
    // Its creator changes the phase meanwhile.
    sleep_ns(20_000_000);
    pwrites(CALLS_OF_A_THREAD);
    0
}

/// Starts a thread and waits until it has ended. `start` and `wait` are done by the caller's thread right before.
fn with_a_thread(start: impl FnOnce(), wait: impl FnOnce()) {
    let stack = map(64 * PAGE, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let alive = AtomicU32::new(1);
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_CHILD_CLEARTID;
    start();
    // SAFETY: the thread has a stack of its own, and uses of the memory it shares nothing but `errno`, which nobody reads.
    let thread = unsafe {
        let top = stack.add(64 * PAGE).cast();
        let nothing = null_mut::<libc::c_void>();
        libc::clone(of_a_thread, top, flags, null_mut(), nothing, nothing, alive.as_ptr())
    };
    wait();
    while thread > 0 && alive.load(Ordering::Acquire) != 0 {
        // SAFETY: waits until the kernel has written 0 into a local variable, at the thread's end.
        unsafe { libc::syscall(libc::SYS_futex, alive.as_ptr(), libc::FUTEX_WAIT, 1, null::<libc::timespec>()) };
    }
}

#[test]
fn live_threads_are_followed_from_their_birth() {
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        with_a_thread(|| cell.enter(Phase::Init), || cell.enter(Phase::Run));
    });
    assert_eq!(events[&Phase::Init].tasks_created.threads, 1, "{events:?}");
    assert_eq!(calls(&events, Phase::Run, "pwrite64").count, u64::from(CALLS_OF_A_THREAD), "in the phase at that time");
    // Its sleep began in whichever phase it was started. Its creator had no processor as long: at first perhaps because others had it, which
    // is no waiting for the thread.
    let off = |of: fn(&OffCpu) -> u64| events.values().map(|phase| of(&phase.off_cpu_ns)).sum::<u64>();
    let (blocked, runnable) = (off(|off| off.blocked.sum), off(|off| off.runnable.sum));
    assert!(blocked >= 19_900_000, "it slept: {events:?}");
    assert!(blocked + runnable >= 2 * 19_900_000, "and its creator waited: {events:?}");
    let slept: u64 = [Phase::Init, Phase::Run].iter().map(|phase| calls(&events, *phase, "nanosleep").count).sum();
    assert_eq!(slept, 1, "{events:?}");
}

#[test]
fn live_threads_of_the_compiler_count_to_compilation_for_good() {
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        with_a_thread(|| cell.enter(Phase::Compile), || cell.enter(Phase::Run));
    });
    assert_eq!(calls(&events, Phase::Compile, "pwrite64").count, u64::from(CALLS_OF_A_THREAD), "{events:?}");
    assert_eq!(calls(&events, Phase::Run, "pwrite64").count, 0, "{events:?}");
}

#[test]
fn live_processes_are_counted_and_not_followed() {
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        cell.enter(Phase::Run);
        // SAFETY: the child makes system calls only, and is reaped.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                pwrites(100);
                libc::_exit(0);
            }
            libc::waitpid(child, null_mut(), 0);
        }
    });
    let run = run(&events);
    assert_eq!((run.tasks_created.processes, run.tasks_created.threads), (1, 0), "{run:?}");
    assert_eq!(calls(&events, Phase::Run, "pwrite64").count, 0, "{run:?}");
}

#[test]
fn live_moves_between_processors_are_counted() {
    // SAFETY: fills in and reads a local set.
    let allowed: Vec<usize> = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
    };
    assert!(allowed.len() > 1, "this test needs two processors");
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        let go_to = |cpu: usize| {
            // SAFETY: hands over a local set.
            unsafe {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(cpu, &mut set);
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
            }
        };
        go_to(allowed[0]);
        cell.enter(Phase::Run);
        for round in 0..20 {
            go_to(allowed[(round + 1) % 2]);
        }
        cell.enter(Phase::Teardown);
    });
    assert_eq!(run(&events).migrations, 20, "{events:?}");
}
