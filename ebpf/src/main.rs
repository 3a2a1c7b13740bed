//! The programs that wasiscope loads into the kernel: each counts one kind of event of the watched workers, charged
//! to the phase that the worker's cell shows at that moment.
//!
//! They run for every process of the machine, so the first thing each does is to turn strangers away. What differs
//! between kernels comes in through the read-only globals, which user space fills in before loading.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod charge;
mod maps;
mod who;

use core::arch::asm;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_ebpf::{EbpfContext, Global};
use wasiscope_ebpf_abi::{ARG_MISSING, InFlight, KIND_FAULT_KERNEL, KIND_FAULT_USER, KIND_SYSCALL};

use crate::charge::{add_time, charge};
use crate::maps::{IN_FLIGHT, note_map_full};
use crate::who::{thread, watched_cell};

/// Which argument of `sys_enter` is the system call's number.
#[unsafe(no_mangle)]
static ARG_SYS_ENTER_ID: Global<u32> = Global::new(ARG_MISSING);

/// Numbers of the system calls that never return, `exit` and `exit_group`: their threads would stay in flight for ever.
#[unsafe(no_mangle)]
static NR_EXIT: Global<u32> = Global::new(u32::MAX);
#[unsafe(no_mangle)]
static NR_EXIT_GROUP: Global<u32> = Global::new(u32::MAX);

/// Counts a system call at its entry and remembers when that was.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn sys_enter(ctx: RawTracePointContext) -> i32 {
    let Some(cell_index) = watched_cell() else { return 0 };
    let Some(number) = syscall_number(&ctx) else { return 0 };
    // A number below zero is a call that a tracer has cancelled; one above 32 bits is none that a kernel has.
    let Ok(id) = u32::try_from(number) else { return 0 };
    let Some(key) = charge(cell_index, KIND_SYSCALL, id) else { return 0 };
    if id == NR_EXIT.load() || id == NR_EXIT_GROUP.load() {
        return 0;
    }
    // SAFETY: the helper takes nothing and cannot fail.
    let entered_ns = unsafe { bpf_ktime_get_ns() };
    if IN_FLIGHT.insert(thread(), InFlight { key, entered_ns }, 0).is_err() {
        note_map_full();
    }
    0
}

/// Adds the time since its entry to the counter that the system call went to.
///
/// Only threads that `sys_enter` has let in are in the map, so nobody needs to be looked up first.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit(_ctx: RawTracePointContext) -> i32 {
    let thread = thread();
    // SAFETY: an entry is written and removed by its own thread alone, which is the one that runs here.
    let Some(&InFlight { key, entered_ns }) = (unsafe { IN_FLIGHT.get(thread) }) else { return 0 };
    // SAFETY: the helper takes nothing and cannot fail.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    add_time(&key, now_ns.saturating_sub(entered_ns));
    // Cannot fail: the entry was there a moment ago, and is this thread's.
    let _ = IN_FLIGHT.remove(thread);
    0
}

/// Counts a page fault taken in user mode.
#[raw_tracepoint(tracepoint = "page_fault_user")]
pub fn page_fault_user(_ctx: RawTracePointContext) -> i32 {
    if let Some(cell_index) = watched_cell() {
        charge(cell_index, KIND_FAULT_USER, 0);
    }
    0
}

/// Counts a page fault taken by the kernel on the worker's behalf.
#[raw_tracepoint(tracepoint = "page_fault_kernel")]
pub fn page_fault_kernel(_ctx: RawTracePointContext) -> i32 {
    if let Some(cell_index) = watched_cell() {
        charge(cell_index, KIND_FAULT_KERNEL, 0);
    }
    0
}

/// The system call's number, from the argument that user space found in the kernel's BTF.
///
/// The verifier knows the global's value and drops the other arms, so that a position past the last argument, which
/// would make the kernel refuse to attach, is never read.
#[inline(always)]
fn syscall_number(ctx: &RawTracePointContext) -> Option<i64> {
    match ARG_SYS_ENTER_ID.load() {
        0 => Some(argument::<0>(ctx)),
        1 => Some(argument::<1>(ctx)),
        2 => Some(argument::<2>(ctx)),
        3 => Some(argument::<3>(ctx)),
        _ => None,
    }
}

/// One argument of a tracepoint.
///
/// In assembly, because LLVM turns arms with plain loads into one load through a computed pointer, and the verifier
/// takes only constant offsets from the context ("dereference of modified ctx ptr").
#[inline(always)]
fn argument<const INDEX: usize>(ctx: &RawTracePointContext) -> i64 {
    let value: i64;
    // SAFETY: the context is an array of eight-byte arguments, and the verifier refuses to load or attach a program
    // that reads past the tracepoint's last one.
    unsafe {
        asm!(
            "{value} = *(u64 *)({context} + {offset})",
            value = out(reg) value,
            context = in(reg) ctx.as_ptr(),
            offset = const INDEX * size_of::<u64>(),
            options(readonly, nostack, preserves_flags),
        );
    }
    value
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses endless loops, so this only loads when nothing can panic.
    loop {}
}

// The kernel offers some helpers to GPL-compatible programs only. The sources are MIT OR Apache-2.0.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
