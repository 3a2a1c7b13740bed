//! What the kernel programs say of memory agrees with what was done, and with what the kernel itself has counted: faults
//! and where they fall, signals, bytes of address space. Needs privileges, as every `live_…` test.

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use common::btf_without;
use common::forked::{PAGE, board, calls, map, require_live, run, touch, usage, watch};
use wasiscope::capture::Capture;
use wasiscope::capture::ebpf::{EbpfCapture, Options};
use wasiscope::worker::cell::{MemoryRegion, PhaseCell};
use wasiscope_ebpf_abi::Phase;

const PRIVATE: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

#[test]
fn live_faults_agree_with_getrusage() {
    let mut capture = require_live();
    let board = board();
    let events = watch(&mut capture, 0, |cell| {
        let (by_user, by_kernel) = (map(5_000 * PAGE, READ_WRITE, PRIVATE), map(700 * PAGE, READ_WRITE, PRIVATE));
        let before = usage();
        cell.enter(Phase::Run);
        touch(by_user, 5_000);
        for page in 0..700 {
            // SAFETY: the kernel writes sixteen bytes into a page of the mapping.
            unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, by_kernel.add(page * PAGE)) };
        }
        cell.enter(Phase::Teardown);
        let after = usage();
        let faults = (after.ru_minflt - before.ru_minflt) + (after.ru_majflt - before.ru_majflt);
        board[0].store(faults.cast_unsigned(), Ordering::Relaxed);
    });
    let (run, usage) = (run(&events), board[0].load(Ordering::Relaxed));
    println!("{} in user mode, {} in the kernel, getrusage {usage}", run.user_faults(), run.kernel_faults());
    assert_eq!(run.kernel_faults(), 700);
    assert!((5_000..=5_010).contains(&run.user_faults()), "{run:?}");
    // Faults between the two readings of `usage` and the phase are few.
    assert!((run.user_faults() + run.kernel_faults()).abs_diff(usage) <= usage / 100, "{run:?}");
}

/// Tells the cell of a memory with a guard, as a worker does.
fn publish(cell: &PhaseCell, memory: *mut u8, accessible_pages: u64, reserved_pages: u64) {
    let (start, page) = (memory as u64, PAGE as u64);
    let accessible = start..start + accessible_pages * page;
    cell.publish_memories([MemoryRegion { accessible, guard_before: 0, reserved_end: start + reserved_pages * page }]);
}

#[test]
fn live_faults_fall_where_the_worker_says_its_memory_lies() {
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        let (memory, code) = (map(40 * PAGE, READ_WRITE, PRIVATE), map(8 * PAGE, READ_WRITE, PRIVATE));
        let elsewhere = map(3 * PAGE, READ_WRITE, PRIVATE);
        publish(cell, memory, 16, 40);
        cell.publish_code(code as u64..code as u64 + (8 * PAGE) as u64);
        cell.enter(Phase::Run);
        touch(memory, 16);
        touch(memory.wrapping_add(16 * PAGE), 4);
        touch(code, 5);
        touch(elsewhere, 3);
        // A memory that grows takes from its guard.
        cell.memory_grew(16 * PAGE as u64, 24 * PAGE as u64);
        touch(memory.wrapping_add(20 * PAGE), 4);
        cell.enter(Phase::Teardown);
    });
    let faults = run(&events).faults_user;
    assert_eq!((faults["linear_memory"], faults["guard"], faults["code"]), (20, 4, 5), "{faults:?}");
    // The fork's own pages of code and data fault in besides.
    assert!((3..13).contains(&faults["other"]), "{faults:?}");
}

/// Start of the guarded page, for the handler.
static GUARDED: AtomicU64 = AtomicU64::new(0);

extern "C" fn open_the_guard(_signal: libc::c_int) {
    let page = GUARDED.load(Ordering::Relaxed) as *mut libc::c_void;
    // SAFETY: opens the page that the test has mapped for this.
    unsafe { libc::mprotect(page, PAGE, READ_WRITE) };
}

#[test]
fn live_a_guarded_page_costs_one_signal_and_two_faults() {
    const TIMES: u64 = 50;
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        let memory = map(2 * PAGE, libc::PROT_NONE, PRIVATE);
        publish(cell, memory, 1, 2);
        let guard = memory.wrapping_add(PAGE);
        GUARDED.store(guard as u64, Ordering::Relaxed);
        let handler: extern "C" fn(libc::c_int) = open_the_guard;
        // SAFETY: the handler makes one system call.
        unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
        cell.enter(Phase::Run);
        for _ in 0..TIMES {
            touch(guard, 1);
            // SAFETY: takes the page of the test's mapping away again.
            unsafe {
                libc::madvise(guard.cast(), PAGE, libc::MADV_DONTNEED);
                libc::mprotect(guard.cast(), PAGE, libc::PROT_NONE);
            }
        }
        cell.enter(Phase::Teardown);
    });
    let run = run(&events);
    assert_eq!(run.signals.get("SIGSEGV"), Some(&TIMES), "{run:?}");
    // The access that is refused, and the same again, which finds no page yet.
    assert_eq!(run.faults_user["guard"], 2 * TIMES, "{run:?}");
}

#[test]
fn live_signals_are_counted_by_name() {
    let sent = [(libc::SIGBUS, 3), (libc::SIGFPE, 4), (libc::SIGILL, 5), (libc::SIGTRAP, 6), (libc::SIGUSR1, 7)];
    extern "C" fn nothing(_signal: libc::c_int) {}
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        let handler: extern "C" fn(libc::c_int) = nothing;
        for (signal, _) in sent {
            // SAFETY: the handler does nothing.
            unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        }
        cell.enter(Phase::Run);
        for (signal, count) in sent {
            for _ in 0..count {
                // SAFETY: sends this very process a signal that it handles.
                unsafe { libc::kill(libc::getpid(), signal) };
            }
        }
        cell.enter(Phase::Teardown);
    });
    let signals = run(&events).signals;
    assert_eq!(signals.values().sum::<u64>(), 25, "{signals:?}");
    for (name, count) in [("SIGBUS", 3), ("SIGFPE", 4), ("SIGILL", 5), ("SIGTRAP", 6), ("SIGUSR1", 7)] {
        assert_eq!(signals.get(name), Some(&count), "{name}");
    }
}

#[test]
fn live_bytes_of_address_space_are_those_that_were_asked_for() {
    const P: u64 = PAGE as u64;
    let mut capture = require_live();
    let events = watch(&mut capture, 0, |cell| {
        // So that the first answer of `brk` is known, as ld.so does in every program.
        // SAFETY: asks where the heap ends.
        let heap_end = unsafe { libc::syscall(libc::SYS_brk, 0) };
        cell.enter(Phase::Run);
        // SAFETY: system calls on mappings that are made here, and one that fails; the heap grows and shrinks again by
        // pages that nobody uses meanwhile.
        unsafe {
            let null = std::ptr::null_mut::<libc::c_void>();
            // A byte more than three pages are four.
            let base = libc::mmap(null, 3 * PAGE + 1, READ_WRITE, PRIVATE, -1, 0);
            libc::mprotect(base, 2 * PAGE, libc::PROT_READ);
            libc::madvise(base, 4 * PAGE, libc::MADV_DONTNEED);
            // The last two pages, which have the same protection, become seven, and then one.
            let tail = base.cast::<u8>().add(2 * PAGE).cast();
            let moved = libc::mremap(tail, 2 * PAGE, 7 * PAGE, libc::MREMAP_MAYMOVE);
            let moved = libc::mremap(moved, 7 * PAGE, PAGE, libc::MREMAP_MAYMOVE);
            libc::munmap(moved, PAGE);
            libc::munmap(base, 2 * PAGE);
            // Fails, so nothing is mapped.
            libc::mmap(null, 9 * PAGE, READ_WRITE, libc::MAP_PRIVATE, -1, 0);
            libc::syscall(libc::SYS_brk, heap_end + 20 * PAGE as i64);
            libc::syscall(libc::SYS_brk, heap_end);
        }
        cell.enter(Phase::Teardown);
    });
    let memory = run(&events).memory;
    assert_eq!(memory.mapped_bytes, (4 + 5 + 20) * P, "mmap, mremap, brk: {memory:?}");
    assert_eq!(memory.unmapped_bytes, (6 + 1 + 2 + 20) * P, "mremap, munmap twice, brk: {memory:?}");
    assert_eq!((memory.protected_bytes, memory.advised_bytes), (2 * P, 4 * P), "{memory:?}");
    assert_eq!((calls(&events, Phase::Run, "mmap").count, calls(&events, Phase::Run, "mmap").errors), (2, 1));
}

#[test]
fn live_bytes_read_past_the_cache_are_block_io() {
    const BYTES: usize = 1 << 20;
    let mut capture = require_live();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let path = folder.path().join("data");
    std::fs::write(&path, vec![7; BYTES]).expect("a file");
    let file = std::fs::File::options().read(true).custom_flags(libc::O_DIRECT).open(&path);
    let file = file.expect("this disk can be read past the cache");
    file.sync_all().expect("it can be synced");
    let fd = file.as_raw_fd();
    let events = watch(&mut capture, 0, |cell| {
        let buffer = map(BYTES, READ_WRITE, PRIVATE);
        cell.enter(Phase::Run);
        // SAFETY: reads into the mapping made above.
        unsafe { libc::pread(fd, buffer.cast(), BYTES, 0) };
        cell.enter(Phase::Teardown);
    });
    let io = run(&events).block_io;
    assert!(io.reads > 0 && io.read_bytes == BYTES as u64, "{io:?}");
    assert_eq!((io.writes, io.written_bytes), (0, 0));
}

/// A capture on a kernel that has no such tracepoints.
fn without(tracepoints: &[&str]) -> EbpfCapture {
    let btf = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(btf.path(), btf_without(tracepoints)).expect("it can be written");
    let options = Options { btf: Some(btf.path().to_owned()), ..Options::default() };
    let mut capture = EbpfCapture::load(&options).unwrap_or_else(|reason| panic!("live capture is required: {reason}"));
    capture.arm().expect("the other programs attach");
    capture
}

/// What 64-bit Arm does, which has no tracepoints for page faults.
#[test]
fn live_without_their_tracepoints_faults_are_counted_by_a_perf_event() {
    let mut capture = without(&["page_fault_user", "page_fault_kernel"]);
    let names: Vec<String> = capture.programs().unwrap().into_iter().map(|program| program.name).collect();
    assert!(names.contains(&"page_fault".to_owned()) && !names.contains(&"page_fault_user".to_owned()), "{names:?}");
    for slot in 0..2 {
        let events = watch(&mut capture, slot, |cell| {
            let (memory, by_kernel) = (map(1_000 * PAGE, READ_WRITE, PRIVATE), map(PAGE, READ_WRITE, PRIVATE));
            publish(cell, memory, 1_000, 1_000);
            cell.enter(Phase::Run);
            touch(memory, 1_000);
            // SAFETY: the kernel writes sixteen bytes into the mapping made above.
            unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, by_kernel) };
            cell.enter(Phase::Teardown);
        });
        let run = run(&events);
        assert_eq!((run.faults_user["linear_memory"], run.kernel_faults()), (1_000, 1), "{run:?}");
        // Detached and attached again.
        capture.disarm().expect("programs detach");
        capture.arm().expect("programs attach");
    }
}

#[test]
fn live_a_missing_tracepoint_is_named_and_the_rest_goes_on() {
    let mut capture = without(&["signal_deliver", "sched_wakeup"]);
    for program in capture.programs().unwrap() {
        let reason = format!("this kernel has no tracepoint {}", program.name);
        let is_masked = ["signal_deliver", "sched_wakeup"].contains(&program.name.as_str());
        assert_eq!(program.unavailable, is_masked.then_some(reason), "{}", program.name);
    }
    let events = watch(&mut capture, 0, |cell| {
        cell.enter(Phase::Run);
        common::forked::pwrites(5);
    });
    assert_eq!(calls(&events, Phase::Run, "pwrite64").count, 5);
}

/// Calls that block are the hard part when nobody sees that the thread loses its processor.
#[test]
fn live_calls_are_counted_without_seeing_switches_too() {
    let mut capture = without(&["sched_switch"]);
    let events = watch(&mut capture, 0, |cell| {
        cell.enter(Phase::Run);
        for _ in 0..20 {
            common::forked::pwrites(50);
            let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            // SAFETY: reads a local variable.
            unsafe { libc::syscall(libc::SYS_nanosleep, &raw const pause, std::ptr::null::<u8>()) };
        }
    });
    let (writes, sleeps) = (calls(&events, Phase::Run, "pwrite64"), calls(&events, Phase::Run, "nanosleep"));
    assert_eq!((writes.count, writes.latency_ns.count), (1_000, 1_000));
    assert_eq!((sleeps.count, sleeps.latency_ns.count), (20, 20));
    assert!(sleeps.latency_ns.min.is_some_and(|ns| ns >= 1_000_000), "{sleeps:?}");
}
