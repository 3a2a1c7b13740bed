//! Signals, and requests to block devices.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wasiscope_ebpf_abi::Kind;

use crate::count::{Event, Moment, charge, now_ns, tell};
use crate::kernel::{argument, fact, field};
use crate::who::Watched;

/// Counts a signal that is delivered to the thread that runs here.
#[raw_tracepoint(tracepoint = "signal_deliver")]
pub fn signal_deliver(ctx: RawTracePointContext) -> i32 {
    let Some(watched) = Watched::current() else { return 0 };
    let Some(number) = argument(&ctx, fact!(arg_signal_number)) else { return 0 };
    let now = watched.now();
    charge(watched, now.phase, Event::once(Kind::Signal, number as u32));
    if now.traced {
        let (kind, phase, at_ns) = (Kind::Signal, now.phase, now_ns());
        tell(watched, true, Moment { kind, phase, at_ns, duration_ns: 0, id: number, detail: 0 });
    }
    0
}

/// Counts a request that the thread running here hands to a block device.
#[raw_tracepoint(tracepoint = "block_bio_queue")]
pub fn block_bio_queue(ctx: RawTracePointContext) -> i32 {
    let Some(watched) = Watched::current() else { return 0 };
    let Some(request) = argument(&ctx, fact!(arg_block_bio)) else { return 0 };
    // A device made of others hands clones on to them; the request was counted when it was whole.
    const CLONED: u16 = 1 << 1;
    if field::<u16>(request, fact!(at_bio_flags)).is_some_and(|flags| flags & CLONED != 0) {
        return 0;
    }
    let bytes = field::<u32>(request, fact!(at_bio_size)).unwrap_or(0);
    // The lowest eight bits are the operation (`REQ_OP_MASK`): 0 reads, 1 writes.
    let operation = field::<u32>(request, fact!(at_bio_operation)).map_or(2, |flags| (flags & 0xff).min(2));
    charge(watched, watched.now().phase, Event::bytes(Kind::BlockIo, operation, u64::from(bytes)));
    0
}
