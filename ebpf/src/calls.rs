//! System calls: how often, how long, with what outcome, and what some of them ask for.
//!
//! These two programs run at every system call of a watched worker, so they are the cost of watching. As long as the thread
//! keeps its processor they look nothing up in a hash table: the CPU keeps what they need ([`Running`]).

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wasiscope_ebpf_abi::{
    Call, CallClass, Kind, MEMORY_ADVISED, MEMORY_MAPPED, MEMORY_PROTECTED, MEMORY_UNMAPPED, Running, UNFINISHED,
};

use crate::count::{Event, Moment, charge, charge_recent, now_ns, put_back, tell};
use crate::kernel::{argument, call_class, fact, field};
use crate::maps::HEAP_ENDS;
use crate::schedule::get;
use crate::who::{Watched, current_number, running, thread};

/// The largest number that is an error when a call returns its negative (`MAX_ERRNO`).
const MAX_ERRNO: i64 = 4095;

const PLAIN: u8 = CallClass::Plain as u8;
const NO_RETURN: u8 = CallClass::NoReturn as u8;
const MAP: u8 = CallClass::Map as u8;
const UNMAP: u8 = CallClass::Unmap as u8;
const PROTECT: u8 = CallClass::Protect as u8;
const ADVISE: u8 = CallClass::Advise as u8;
const REMAP: u8 = CallClass::Remap as u8;
const BREAK: u8 = CallClass::Break as u8;
const FUTEX: u8 = CallClass::Futex as u8;
const FUTEX_WAIT: u8 = CallClass::FutexWait as u8;
const SIGNAL_RETURN: u8 = CallClass::SignalReturn as u8;

/// Remembers what the thread has entered, and when. It is counted when it returns.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter(ctx: RawTracePointContext) -> i32 {
    let Some(running) = running() else { return 0 };
    let number = current_number();
    // SAFETY: this CPU's own element, which no other program changes while this one runs.
    let (kept, owner) = unsafe { ((*running).number, (*running).owner) };
    let watched = if kept == number {
        Watched { number, owner }
    } else {
        let Some(watched) = Watched::remembered_or_new(number) else { return 0 };
        if fact!(follows_switches) == 1 {
            keep(running, watched);
        }
        watched
    };
    let Some(call) = entered(&ctx, watched) else { return 0 };
    if fact!(follows_switches) == 1 {
        // SAFETY: as above.
        unsafe { (*running).call = call };
    } else if let Some(thread) = thread(number) {
        // SAFETY: the map's element of this very thread, which no other program writes.
        unsafe { (*thread).call = call };
    }
    0
}

/// From now on this CPU keeps what belongs to the thread that it runs.
#[inline(always)]
fn keep(running: *mut Running, watched: Watched) {
    // A thread that has changed its number by exec has not been put back under its old one.
    put_back(running);
    // SAFETY: this CPU's own element, which no other program changes while this one runs.
    unsafe {
        (*running).number = watched.number;
        (*running).owner = watched.owner;
        (*running).call = Call::NONE;
    }
}

/// The call that is being entered; `None` for one that is not, or that has been counted already.
#[inline(always)]
fn entered(ctx: &RawTracePointContext, watched: Watched) -> Option<Call> {
    // A number below zero is a call that a tracer has cancelled; one above 32 bits is none that a kernel has.
    let number = u32::try_from(argument(ctx, fact!(arg_enter_id))?).ok()?;
    let now = watched.now();
    let class = call_class(number);
    let mut asked = 0;
    if class != PLAIN {
        if class == NO_RETURN {
            charge(watched, now.phase, Event { bucket: UNFINISHED, ..Event::once(Kind::Syscall, number) });
            return None;
        }
        let registers = argument(ctx, fact!(arg_enter_regs));
        asked = registers.and_then(|registers| look_at(registers, class)).unwrap_or(0);
    }
    let (phase, traced) = (now.phase, u8::from(now.traced));
    Some(Call { entered_ns: now_ns(), argument: asked, number, phase, class, traced, padding: 0 })
}

/// Counts the call that returns, in the phase of its entry.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit(ctx: RawTracePointContext) -> i32 {
    let Some(running) = running() else { return 0 };
    let number = current_number();
    // SAFETY: this CPU's own element, which no other program changes while this one runs.
    let (kept, owner) = unsafe { ((*running).number, (*running).owner) };
    if kept == number {
        // SAFETY: as above.
        let call = unsafe { (*running).call };
        if call.entered_ns == 0 {
            return 0;
        }
        // SAFETY: as above.
        unsafe { (*running).call.entered_ns = 0 };
        let (watched, duration_ns) = (Watched { number, owner }, now_ns().saturating_sub(call.entered_ns));
        charge_recent(running, watched, call.phase, Event::lasting(Kind::Syscall, call.number, duration_ns));
        left(&ctx, watched, call, duration_ns);
        return 0;
    }
    // The thread has lost its processor meanwhile.
    let Some(thread) = thread(number) else { return 0 };
    // SAFETY: the map's element of this very thread, which no other program writes while it runs.
    if unsafe { (*thread).off_since_ns } != 0 {
        get(number, thread);
    }
    // SAFETY: the map's element of this very thread, which no other program writes.
    let (call, owner) = unsafe { ((*thread).call, (*thread).owner) };
    if call.entered_ns == 0 {
        return 0;
    }
    // SAFETY: as above.
    unsafe { (*thread).call.entered_ns = 0 };
    let (watched, duration_ns) = (Watched { number, owner }, now_ns().saturating_sub(call.entered_ns));
    charge(watched, call.phase, Event::lasting(Kind::Syscall, call.number, duration_ns));
    left(&ctx, watched, call, duration_ns);
    0
}

/// What else there is to say of a call that has returned.
#[inline(always)]
fn left(ctx: &RawTracePointContext, watched: Watched, call: Call, duration_ns: u64) {
    let Call { entered_ns, argument: asked, number, phase, class, traced, padding: _ } = call;
    let returned = argument(ctx, fact!(arg_exit_ret)).map_or(0, |value| value as i64);
    let failed = (-MAX_ERRNO..0).contains(&returned) && class != SIGNAL_RETURN;
    if failed {
        charge(watched, phase, Event::once(Kind::SyscallError, number));
    }
    if class != PLAIN {
        if !failed {
            memory(watched, phase, class, asked, returned as u64);
        }
        if class == FUTEX_WAIT || class == FUTEX && waits(asked) {
            charge(watched, phase, Event::lasting(Kind::FutexWait, 0, duration_ns));
        }
    }
    if traced != 0 {
        let (kind, id) = (Kind::Syscall, u64::from(number));
        tell(watched, true, Moment { kind, phase, at_ns: entered_ns, duration_ns, id, detail: returned });
    }
}

/// What is remembered of the arguments of a call of this class.
#[inline(always)]
fn look_at(registers: u64, class: u8) -> Option<u64> {
    match class {
        MAP | UNMAP | PROTECT | ADVISE | FUTEX => field(registers, fact!(at_regs_second)),
        BREAK => field(registers, fact!(at_regs_first)),
        REMAP => {
            let before = field::<u64>(registers, fact!(at_regs_second))?;
            let after = field::<u64>(registers, fact!(at_regs_third))?;
            Some(whole_pages(after).wrapping_sub(whole_pages(before)))
        }
        _ => None,
    }
}

/// The kernel works in whole pages.
#[inline(always)]
fn whole_pages(bytes: u64) -> u64 {
    let page = fact!(page_bytes);
    bytes.wrapping_add(page - 1) & !(page - 1)
}

/// Counts the bytes of address space that a successful call was about.
#[inline(always)]
fn memory(watched: Watched, phase: u8, class: u8, asked: u64, returned: u64) {
    let what = match class {
        MAP => MEMORY_MAPPED,
        UNMAP => MEMORY_UNMAPPED,
        PROTECT => MEMORY_PROTECTED,
        ADVISE => MEMORY_ADVISED,
        REMAP => {
            grown(watched, phase, asked as i64);
            return;
        }
        BREAK => {
            heap(watched, phase, asked, returned);
            return;
        }
        _ => return,
    };
    charge(watched, phase, Event::bytes(Kind::Memory, what, whole_pages(asked)));
}

/// `brk` answers with the end of the heap; by how much it moved is what was mapped or unmapped.
#[inline(always)]
fn heap(watched: Watched, phase: u8, asked: u64, end: u64) {
    let Some(heap_end) = HEAP_ENDS.get_ptr_mut(watched.owner.cell_index) else { return };
    // SAFETY: an element of the array. The kernel lets one thread of a process at a time move the heap's end.
    let before = unsafe { *heap_end };
    // SAFETY: as above.
    unsafe { *heap_end = end };
    // A question, as the first call of every program is: what was known is of the program before.
    if asked == 0 || before == 0 || before == end {
        return;
    }
    grown(watched, phase, end.wrapping_sub(before) as i64);
}

/// Counts bytes that came, or went when there are fewer than none.
#[inline(always)]
fn grown(watched: Watched, phase: u8, bytes: i64) {
    let what = if bytes < 0 { MEMORY_UNMAPPED } else { MEMORY_MAPPED };
    charge(watched, phase, Event::bytes(Kind::Memory, what, bytes.unsigned_abs()));
}

/// Whether the operation of `futex` waits: `FUTEX_WAIT`, `FUTEX_LOCK_PI`, `FUTEX_WAIT_BITSET`, `FUTEX_WAIT_REQUEUE_PI`,
/// `FUTEX_LOCK_PI2`, whatever flags (from 128 on) go with them.
#[inline(always)]
fn waits(argument: u64) -> bool {
    const WAITING: u64 = 1 << 0 | 1 << 6 | 1 << 9 | 1 << 11 | 1 << 13;
    let operation = argument & 0x7f;
    operation < 64 && WAITING >> operation & 1 == 1
}
