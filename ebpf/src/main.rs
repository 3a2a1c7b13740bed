//! The programs that wasiscope loads into the kernel: each counts one kind of event of the watched workers, charged
//! to the phase that the worker's cell shows at that moment.
//!
//! They run for every process of the machine, so the first thing each does is to turn strangers away. What differs
//! between kernels comes in through one read-only global, which user space fills in before loading.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod calls;
mod count;
mod faults;
mod kernel;
mod maps;
mod others;
mod pipeline;
mod schedule;
mod who;

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
