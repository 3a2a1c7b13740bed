//! What user space found out about this kernel, and reading what tracepoints hand over.

use core::arch::asm;
use core::ptr::read_volatile;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use wasiscope_ebpf_abi::{CALLS, CallClass, KernelFacts, MISSING};

/// Filled in before loading; see [`KernelFacts`].
#[unsafe(no_mangle)]
static KERNEL: KernelFacts = KernelFacts::UNKNOWN;

/// A field of [`KERNEL`], read so that the compiler does not take its first value for its only one.
macro_rules! fact {
    ($field:ident) => {{
        // SAFETY: a reference to the field of a static, which is frozen before any program runs.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::facts().$field) }
    }};
}
pub(crate) use fact;

/// What is to be looked at in the system call of this number.
#[inline(always)]
pub fn call_class(number: u32) -> u8 {
    let number = number as usize;
    if number >= CALLS {
        return CallClass::Plain as u8;
    }
    // SAFETY: an element of an array in a static, which is frozen before any program runs.
    unsafe { read_volatile(&raw const facts().calls[number]) }
}

/// For [`fact!`].
#[inline(always)]
pub fn facts() -> &'static KernelFacts {
    &KERNEL
}

/// The argument at `position`, which must come from a field of [`KERNEL`]; `None` when this kernel does not have it.
///
/// The verifier knows the position and drops the other arms, so that one past the last argument, which would make the
/// kernel refuse to attach, is never read.
#[inline(always)]
pub fn argument(ctx: &impl EbpfContext, position: u32) -> Option<u64> {
    match position {
        0 => Some(word::<0>(ctx)),
        1 => Some(word::<8>(ctx)),
        2 => Some(word::<16>(ctx)),
        3 => Some(word::<24>(ctx)),
        _ => None,
    }
}

/// Eight bytes of a context.
///
/// In assembly, because LLVM turns arms with plain loads into one load through a computed pointer, and the verifier
/// takes only constant offsets from the context ("dereference of modified ctx ptr").
#[inline(always)]
pub fn word<const OFFSET: usize>(ctx: &impl EbpfContext) -> u64 {
    let value: u64;
    // SAFETY: the context is an array of eight-byte words, and the verifier refuses to load or attach a program that
    // reads past its end.
    unsafe {
        asm!(
            "{value} = *(u64 *)({context} + {offset})",
            value = out(reg) value,
            context = in(reg) ctx.as_ptr(),
            offset = const OFFSET,
            options(readonly, nostack, preserves_flags),
        );
    }
    value
}

/// A field of a kernel structure; `None` when this kernel has no such field, or the structure is gone.
#[inline(always)]
pub fn field<T>(structure: u64, at: u32) -> Option<T> {
    if at == MISSING {
        return None;
    }
    // SAFETY: the helper checks the address itself, and any bytes are a valid number.
    unsafe { bpf_probe_read_kernel((structure + u64::from(at)) as *const T) }.ok()
}

/// Reads memory that others write meanwhile: once, and never torn.
///
/// # Safety
/// `pointer` must come from the kernel and be aligned.
#[inline(always)]
pub unsafe fn read_shared(pointer: *const u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { read_volatile(pointer) }
}
