//! System calls: how often, how long, with what outcome, and what some of them ask for.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wasiscope_ebpf_abi::{Kind, MEMORY_ADVISED, MEMORY_MAPPED, MEMORY_PROTECTED, MEMORY_UNMAPPED, UNFINISHED};

use crate::count::{Event, Moment, charge, now_ns, tell};
use crate::kernel::{argument, fact, field};
use crate::who::Watched;

/// The largest number that is an error when a call returns its negative (`MAX_ERRNO`).
const MAX_ERRNO: i64 = 4095;

/// Remembers what the thread has entered, and when. It is counted when it returns.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter(ctx: RawTracePointContext) -> i32 {
    let Some(watched) = Watched::current_or_new() else { return 0 };
    let Some(number) = argument(&ctx, fact!(arg_enter_id)) else { return 0 };
    // A number below zero is a call that a tracer has cancelled; one above 32 bits is none that a kernel has.
    let Ok(number) = u32::try_from(number) else { return 0 };
    let phase = watched.now().phase;
    if number == fact!(nr_exit) || number == fact!(nr_exit_group) {
        charge(watched, phase, Event { bucket: UNFINISHED, ..Event::once(Kind::Syscall, number) });
        return 0;
    }
    let looked_at = argument(&ctx, fact!(arg_enter_regs)).and_then(|registers| look_at(registers, number)).unwrap_or(0);
    // SAFETY: the map's element of this very thread, which no other program writes.
    unsafe {
        (*watched.thread).call_number = number;
        (*watched.thread).call_phase = phase;
        (*watched.thread).call_argument = looked_at;
        (*watched.thread).call_entered_ns = now_ns();
    }
    0
}

/// Counts the call that returns, in the phase of its entry.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit(ctx: RawTracePointContext) -> i32 {
    let Some(watched) = Watched::current() else { return 0 };
    // SAFETY: the map's element of this very thread.
    let thread = unsafe { *watched.thread };
    if thread.call_entered_ns == 0 {
        return 0;
    }
    let duration_ns = now_ns().saturating_sub(thread.call_entered_ns);
    // SAFETY: as above.
    unsafe { (*watched.thread).call_entered_ns = 0 };
    let (number, phase) = (thread.call_number, thread.call_phase);
    charge(watched, phase, Event::lasting(Kind::Syscall, number, duration_ns));
    let returned = argument(&ctx, fact!(arg_exit_ret)).map_or(0, |value| value as i64);
    if (-MAX_ERRNO..0).contains(&returned) {
        charge(watched, phase, Event::once(Kind::SyscallError, number));
    } else {
        memory(watched, phase, number, thread.call_argument, returned as u64);
    }
    if is_futex_wait(number, thread.call_argument) {
        charge(watched, phase, Event::lasting(Kind::FutexWait, 0, duration_ns));
    }
    if watched.now().traced {
        let at_ns = thread.call_entered_ns;
        let id = u64::from(number);
        tell(watched, true, Moment { kind: Kind::Syscall, phase, at_ns, duration_ns, id, detail: returned });
    }
    0
}

/// What is remembered of a call's arguments; `None` for most calls.
#[inline(always)]
fn look_at(registers: u64, number: u32) -> Option<u64> {
    let takes_length_second = number == fact!(nr_mmap)
        || number == fact!(nr_munmap)
        || number == fact!(nr_mprotect)
        || number == fact!(nr_pkey_mprotect)
        || number == fact!(nr_madvise);
    if takes_length_second || number == fact!(nr_futex) {
        return field(registers, fact!(at_regs_second));
    }
    if number == fact!(nr_brk) {
        return field(registers, fact!(at_regs_first));
    }
    if number == fact!(nr_mremap) {
        let (before, after) =
            (field::<u64>(registers, fact!(at_regs_second))?, field::<u64>(registers, fact!(at_regs_third))?);
        return Some(whole_pages(after).wrapping_sub(whole_pages(before)));
    }
    None
}

/// The kernel works in whole pages.
#[inline(always)]
fn whole_pages(bytes: u64) -> u64 {
    let page = fact!(page_bytes);
    bytes.wrapping_add(page - 1) & !(page - 1)
}

/// Counts the bytes of address space that a successful call was about.
#[inline(always)]
fn memory(watched: Watched, phase: u32, number: u32, asked: u64, returned: u64) {
    let what = if number == fact!(nr_mmap) {
        MEMORY_MAPPED
    } else if number == fact!(nr_munmap) {
        MEMORY_UNMAPPED
    } else if number == fact!(nr_mprotect) || number == fact!(nr_pkey_mprotect) {
        MEMORY_PROTECTED
    } else if number == fact!(nr_madvise) {
        MEMORY_ADVISED
    } else if number == fact!(nr_brk) {
        heap(watched, phase, asked, returned);
        return;
    } else if number == fact!(nr_mremap) {
        grown(watched, phase, asked as i64);
        return;
    } else {
        return;
    };
    charge(watched, phase, Event::bytes(Kind::Memory, what, whole_pages(asked)));
}

/// `brk` answers with the end of the heap; by how much it moved is what was mapped or unmapped.
#[inline(always)]
fn heap(watched: Watched, phase: u32, asked: u64, end: u64) {
    // SAFETY: the map's element of this very thread, which no other program writes.
    let before = unsafe { (*watched.thread).heap_end };
    // SAFETY: as above.
    unsafe { (*watched.thread).heap_end = end };
    // A question, as the first call of every program is: what was known is of the program before.
    if asked == 0 || before == 0 || before == end {
        return;
    }
    grown(watched, phase, end.wrapping_sub(before) as i64);
}

/// Counts bytes that came, or went when there are fewer than none.
#[inline(always)]
fn grown(watched: Watched, phase: u32, bytes: i64) {
    let what = if bytes < 0 { MEMORY_UNMAPPED } else { MEMORY_MAPPED };
    charge(watched, phase, Event::bytes(Kind::Memory, what, bytes.unsigned_abs()));
}

/// Whether the call waits on a futex: `FUTEX_WAIT`, `FUTEX_LOCK_PI`, `FUTEX_WAIT_BITSET`, `FUTEX_WAIT_REQUEUE_PI`,
/// `FUTEX_LOCK_PI2`, whatever flags (from 128 on) go with them; or one of the newer calls.
#[inline(always)]
fn is_futex_wait(number: u32, argument: u64) -> bool {
    const WAITING: u64 = 1 << 0 | 1 << 6 | 1 << 9 | 1 << 11 | 1 << 13;
    if number == fact!(nr_futex) {
        let operation = argument & 0x7f;
        return operation < 64 && WAITING >> operation & 1 == 1;
    }
    number == fact!(nr_futex_wait) || number == fact!(nr_futex_waitv)
}
