//! Watched workers that are forks of the test and never exec, so that every system call and fault of theirs is known.

use std::io;
use std::ptr::{null, null_mut};
use std::sync::atomic::AtomicU64;

use wasiscope::capture::ebpf::{EbpfCapture, Options, enter_watched};
use wasiscope::capture::{Calls, Capture, KernelEvents, PhaseEvents, WatchedWorker};
use wasiscope::worker::cell::PhaseCell;
use wasiscope_ebpf_abi::Phase;

pub const PAGE: usize = 4096;

/// A loaded and armed capture.
pub fn require_live() -> EbpfCapture {
    let capture = EbpfCapture::load(&Options::default());
    let mut capture = capture.unwrap_or_else(|reason| panic!("live capture is required here: {reason}"));
    capture.arm().unwrap_or_else(|reason| panic!("live capture is required here: {reason}"));
    for program in capture.programs().expect("programs can be listed") {
        assert_eq!(program.unavailable, None, "{}", program.name);
    }
    capture
}

/// Forks a worker that enters itself, maps its cell, does `work`, and leaves. `work` must neither allocate nor panic.
pub fn fork_worker(worker: &WatchedWorker, work: impl FnOnce(&PhaseCell)) -> libc::pid_t {
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

pub fn collect(capture: &mut EbpfCapture, slot: u32, pid: libc::pid_t) -> KernelEvents {
    let mut status = 0;
    // SAFETY: writes to a local variable.
    let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((reaped, status), (pid, 0), "the worker failed");
    capture.collect(slot).expect("events can be collected")
}

pub fn watch(capture: &mut EbpfCapture, slot: u32, work: impl FnOnce(&PhaseCell)) -> KernelEvents {
    let worker = capture.open(slot, "").expect("a slot can be opened");
    let pid = fork_worker(&worker, work);
    collect(capture, slot, pid)
}

/// Makes exactly `count` system calls of a kind that nothing else makes here. They fail, which costs the same entry.
pub fn pwrites(count: u32) {
    for _ in 0..count {
        // SAFETY: an invalid descriptor and no bytes.
        unsafe { libc::pwrite64(-1, null(), 0, 0) };
    }
}

pub fn calls(events: &KernelEvents, phase: Phase, name: &str) -> Calls {
    events.get(&phase).and_then(|events| events.syscalls.get(name)).cloned().unwrap_or_default()
}

/// What was charged to `run`.
pub fn run(events: &KernelEvents) -> PhaseEvents {
    events.get(&Phase::Run).cloned().unwrap_or_default()
}

/// Numbers that a worker can write and the test read afterwards.
pub fn board() -> &'static [AtomicU64; 16] {
    // SAFETY: a new mapping, shared with children, never unmapped, and large enough.
    unsafe { &*map(PAGE, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS).cast() }
}

/// A mapping of small pages at an address of the kernel's choice.
pub fn map(bytes: usize, protection: libc::c_int, flags: libc::c_int) -> *mut u8 {
    // SAFETY: no memory in use is replaced.
    let base = unsafe { libc::mmap(null_mut(), bytes, protection, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    // SAFETY: advice on the mapping made above. Kernels without huge pages refuse it, which is as good.
    unsafe { libc::madvise(base, bytes, libc::MADV_NOHUGEPAGE) };
    base.cast()
}

/// Writes one byte into each page.
#[inline(never)]
pub fn touch(pages: *mut u8, count: usize) {
    for page in 0..count {
        // SAFETY: the caller has mapped that many pages.
        unsafe { pages.add(page * PAGE).write_volatile(1) };
    }
}

/// What the kernel itself has counted of this process so far.
pub fn usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::uninit();
    // SAFETY: the kernel fills in all of it.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

/// A clock in nanoseconds.
pub fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to a local variable.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// Keeps the calling process on the last processor.
pub fn stay_on_last_cpu() {
    // SAFETY: both sets are local, and any bits are a set.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed);
        let last = (0..libc::CPU_SETSIZE as usize).rfind(|cpu| libc::CPU_ISSET(*cpu, &allowed)).unwrap_or(0);
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(last, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
    }
}

/// A process that computes on the last processor until it is dropped.
pub struct Hog(libc::pid_t);

impl Hog {
    pub fn start() -> Self {
        // SAFETY: the child computes until it is killed, by the drop below or with this process.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "{}", io::Error::last_os_error());
        if pid == 0 {
            // SAFETY: makes one system call.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            stay_on_last_cpu();
            loop {
                std::hint::spin_loop();
            }
        }
        Self(pid)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // SAFETY: kills and reaps the child that was started here.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, null_mut(), 0);
        }
    }
}
