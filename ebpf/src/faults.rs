//! Page faults, by the kind of region in which the address lies.

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{perf_event, raw_tracepoint};
use aya_ebpf::programs::{PerfEventContext, RawTracePointContext};
use wasiscope_ebpf_abi::{Kind, PERF_AARCH64, PERF_X86_64, REGIONS};

use crate::count::{Event, Moment, charge, now_ns, tell};
use crate::kernel::{argument, fact, read_shared, word};
use crate::who::Watched;

/// Counts a page fault taken in user mode.
#[raw_tracepoint(tracepoint = "page_fault_user")]
pub fn page_fault_user(ctx: RawTracePointContext) -> i32 {
    fault(Kind::FaultUser, argument(&ctx, fact!(arg_fault_user_address)));
    0
}

/// Counts a page fault taken by the kernel on the worker's behalf.
#[raw_tracepoint(tracepoint = "page_fault_kernel")]
pub fn page_fault_kernel(ctx: RawTracePointContext) -> i32 {
    fault(Kind::FaultKernel, argument(&ctx, fact!(arg_fault_kernel_address)));
    0
}

/// Counts either, where the kernel has no tracepoints for them: a software perf event of period 1.
#[perf_event]
pub fn page_fault(ctx: PerfEventContext) -> i32 {
    let Some((user, address)) = origin(&ctx) else { return 0 };
    fault(if user { Kind::FaultUser } else { Kind::FaultKernel }, Some(address));
    0
}

#[inline(always)]
fn fault(kind: Kind, address: Option<u64>) {
    let Some(watched) = Watched::current() else { return };
    let region = address.map_or(0, |address| region(watched, address));
    let now = watched.now();
    charge(watched, now.phase, Event::once(kind, region));
    if now.traced {
        let (phase, at_ns, id) = (now.phase, now_ns(), address.unwrap_or(0));
        tell(watched, true, Moment { kind, phase, at_ns, duration_ns: 0, id, detail: i64::from(region) });
    }
}

/// The kind of the worker's first region that holds the address; 0 when none does.
#[inline(always)]
fn region(watched: Watched, address: u64) -> u32 {
    let Some(cell) = watched.cell() else { return 0 };
    for index in 0..REGIONS {
        // SAFETY: the map's element. The worker writes its regions on the thread that faults, or a fault of another
        // thread may see one half written, and be taken for one of no region.
        let (start, end, kind) = unsafe {
            let region = &raw const (*cell).regions[index];
            (
                read_shared(&raw const (*region).start),
                read_shared(&raw const (*region).end),
                read_shared(&raw const (*region).kind),
            )
        };
        if start <= address && address < end {
            return kind as u32;
        }
    }
    0
}

/// Whether the fault was taken in user mode, and its address, from `struct bpf_perf_event_data`: the registers, eight
/// bytes of period, eight bytes of address.
#[inline(always)]
fn origin(ctx: &impl EbpfContext) -> Option<(bool, u64)> {
    match fact!(perf_layout) {
        // `cs` is the 18th of 21 registers; its lowest two bits are the privilege level.
        PERF_X86_64 => Some((word::<136>(ctx) & 3 == 3, word::<176>(ctx))),
        // `pstate` is the 34th of 34 registers; its lowest four bits are 0 in user mode.
        PERF_AARCH64 => Some((word::<264>(ctx) & 0xf == 0, word::<280>(ctx))),
        _ => None,
    }
}
