//! Threads: their births and deaths, when they lose a processor, why, and how long they wait for the next.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wasiscope_ebpf_abi::{Kind, LEDGER_SWITCH_UNSEEN, MISSING, Owner, Phase, Thread, UNFINISHED};

use crate::count::{Event, Moment, charge, now_ns, put_back, tell};
use crate::kernel::{argument, fact, field};
use crate::maps::{THREADS, note_loss};
use crate::who::{Watched, current_number, remember, running, thread};

/// `id` of a switch or of time off the processor.
const OF_ITS_OWN_WILL: u32 = 0;
const AGAINST_ITS_WILL: u32 = 1;
const BLOCKED: u32 = 0;
const RUNNABLE: u32 = 1;

/// Follows a thread from its birth. A new process is counted and not followed.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn sched_process_fork(ctx: RawTracePointContext) -> i32 {
    let Some(parent) = Watched::current() else { return 0 };
    let Some(child) = argument(&ctx, fact!(arg_fork_child)) else { return 0 };
    let Some(number) = field::<u32>(child, fact!(at_task_pid)) else { return 0 };
    let Some(thread_group) = field::<u32>(child, fact!(at_task_tgid)) else { return 0 };
    let phase = parent.now().phase;
    let same_process = thread_group == (bpf_get_current_pid_tgid() >> 32) as u32;
    charge(parent, phase, Event::once(Kind::Birth, u32::from(!same_process)));
    if same_process {
        // Cranelift's threads go to sleep when compilation has ended already; it is compilation that they cost.
        let home = if phase == Phase::Compile as u8 { u32::from(phase) } else { 0 };
        let owner = Owner { home, ..parent.owner };
        remember(number, Thread { off_phase: u32::from(phase), ..Thread::of(owner) });
    }
    0
}

/// Puts what this CPU keeps of a thread back into the tables; returns what is remembered of the thread, now up to date.
///
/// The call goes through the map and is never returned by value. In an `Option<Call>` that is `None` the call's bytes are
/// uninitialised, LLVM may read them all the same, and kernels before 6.3 refuse a program that reads stack it has not written.
#[inline(always)]
fn let_go(number: u32) -> Option<*mut Thread> {
    let thread = thread(number);
    let Some(running) = running() else { return thread };
    // SAFETY: this CPU's own element, which no other program changes while this one runs.
    let kept = unsafe { (*running).number };
    if kept == 0 {
        return thread;
    }
    put_back(running);
    // SAFETY: as above.
    unsafe { (*running).number = 0 };
    // A thread that execs becomes its process's first and takes on that number.
    if kept == number
        && let Some(thread) = thread
    {
        // SAFETY: as above, and the map's element of the thread that runs here, which no other program writes.
        unsafe { (*thread).call = (*running).call };
    }
    thread
}

/// Forgets a thread; a system call that it will never come out of is counted now.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn sched_process_exit(_ctx: RawTracePointContext) -> i32 {
    let number = current_number();
    let Some(thread) = let_go(number) else { return 0 };
    // SAFETY: the map's element of this very thread, which no other program writes.
    let (owner, entered_ns, call, phase) =
        unsafe { ((*thread).owner, (*thread).call.entered_ns, (*thread).call.number, (*thread).call.phase) };
    if entered_ns != 0 {
        charge(Watched { number, owner }, phase, Event { bucket: UNFINISHED, ..Event::once(Kind::Syscall, call) });
    }
    // Cannot fail: the entry was there a moment ago, and is this thread's.
    let _ = THREADS.remove(number);
    0
}

/// One thread loses a processor and another one gets it.
#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn sched_switch(ctx: RawTracePointContext) -> i32 {
    let previous = current_number();
    if let Some(thread) = let_go(previous) {
        lose(&ctx, previous, thread);
    }
    let next = argument(&ctx, fact!(arg_switch_next)).and_then(|next| field::<u32>(next, fact!(at_task_pid)));
    if let Some(number) = next
        && let Some(thread) = thread(number)
    {
        get(number, thread);
    }
    0
}

#[inline(always)]
fn lose(ctx: &RawTracePointContext, number: u32, thread: *mut Thread) {
    // SAFETY: the map's element of the thread that runs here.
    let watched = Watched { number, owner: unsafe { (*thread).owner } };
    let phase = watched.now().phase;
    let preempted = argument(ctx, fact!(arg_switch_preempt)).is_some_and(|preempted| preempted as u8 != 0);
    // As the kernel itself counts in `__schedule`: whoever is not runnable any more has given the processor away.
    let voluntary = !preempted && state(ctx) != 0;
    let will = if voluntary { OF_ITS_OWN_WILL } else { AGAINST_ITS_WILL };
    charge(watched, phase, Event::once(Kind::Switch, will));
    let now_ns = now_ns();
    // SAFETY: as above. Nobody wakes it before this switch is over.
    unsafe {
        if (*thread).off_since_ns != 0 {
            note_loss(LEDGER_SWITCH_UNSEEN);
        }
        (*thread).off_phase = u32::from(phase);
        (*thread).off_since_ns = now_ns;
        (*thread).woken_ns = if voluntary { 0 } else { now_ns };
    }
}

/// The state of the thread that loses the processor; 0 is runnable.
#[inline(always)]
fn state(ctx: &RawTracePointContext) -> u32 {
    if fact!(arg_switch_state) != MISSING {
        return argument(ctx, fact!(arg_switch_state)).unwrap_or(0) as u32;
    }
    let previous = argument(ctx, fact!(arg_switch_prev));
    previous.and_then(|previous| field::<u32>(previous, fact!(at_task_state))).unwrap_or(0)
}

/// The thread has a processor again. Told by the switch itself; or by the return of the system call in which it was
/// blocked, since now and then the tracepoint is not reached (seen on Linux 6.18, under load).
#[inline(always)]
pub fn get(number: u32, thread: *mut Thread) {
    let now_ns = now_ns();
    // SAFETY: the map's element. The thread is about to run here, so nobody else writes it.
    let (owner, off_since_ns, woken_ns, phase) =
        unsafe { ((*thread).owner, (*thread).off_since_ns, (*thread).woken_ns, (*thread).off_phase as u8) };
    // SAFETY: as above.
    unsafe {
        (*thread).off_since_ns = 0;
        (*thread).woken_ns = 0;
    }
    let watched = Watched { number, owner };
    // A new thread has not been off before; it waits since it was woken for the first time.
    let since_ns = if off_since_ns == 0 { woken_ns } else { off_since_ns };
    if since_ns == 0 {
        return;
    }
    let runnable_ns = if woken_ns == 0 { 0 } else { now_ns.saturating_sub(woken_ns) };
    let off_ns = now_ns.saturating_sub(since_ns);
    let blocked_ns = off_ns.saturating_sub(runnable_ns);
    if woken_ns != 0 {
        charge(watched, phase, Event::lasting(Kind::RunQueue, 0, runnable_ns));
        charge(watched, phase, Event::lasting(Kind::OffCpu, RUNNABLE, runnable_ns));
    }
    if woken_ns != since_ns {
        charge(watched, phase, Event::lasting(Kind::OffCpu, BLOCKED, blocked_ns));
    }
    if watched.now().traced {
        let moment =
            Moment { kind: Kind::OffCpu, phase, at_ns: since_ns, duration_ns: off_ns, id: blocked_ns, detail: 0 };
        tell(watched, false, moment);
    }
}

/// A thread becomes runnable.
#[raw_tracepoint(tracepoint = "sched_wakeup")]
pub fn sched_wakeup(ctx: RawTracePointContext) -> i32 {
    woken(argument(&ctx, fact!(arg_wakeup_task)));
    0
}

/// A thread becomes runnable for the first time.
#[raw_tracepoint(tracepoint = "sched_wakeup_new")]
pub fn sched_wakeup_new(ctx: RawTracePointContext) -> i32 {
    woken(argument(&ctx, fact!(arg_wakeup_new_task)));
    0
}

#[inline(always)]
fn woken(task: Option<u64>) {
    let number = task.and_then(|task| field::<u32>(task, fact!(at_task_pid)));
    let Some(thread) = number.and_then(thread) else { return };
    // SAFETY: the map's element. A thread that is being woken does not run, so it does not write this itself; should it
    // be running all the same, the time is overwritten when it loses the processor.
    unsafe {
        if (*thread).woken_ns == 0 {
            (*thread).woken_ns = now_ns();
        }
    }
}

/// A thread is moved to another processor.
#[raw_tracepoint(tracepoint = "sched_migrate_task")]
pub fn sched_migrate_task(ctx: RawTracePointContext) -> i32 {
    let task = argument(&ctx, fact!(arg_migrate_task));
    let number = task.and_then(|task| field::<u32>(task, fact!(at_task_pid)));
    if let Some(watched) = number.and_then(Watched::remembered) {
        charge(watched, watched.now().phase, Event::once(Kind::Migration, 0));
    }
    0
}
