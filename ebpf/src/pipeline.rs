//! Events for wasm handlers: system calls of one process, written into a ring buffer as they return.
//!
//! What writes them can be changed while they flow: `pipeline_exit` only finds out that there is something to write and then
//! calls, through a program array, whichever of the two stages has its turn. A link of a raw tracepoint cannot be updated, a program array can,
//! and between two looks into it no event is lost or written twice.

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id};
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, ProgramArray, RingBuf};
use aya_ebpf::programs::RawTracePointContext;
use wasiscope_ebpf_abi::{
    JOINT_ENTRIES, JOINT_KERNEL, JointMetrics, PIPELINE_CALLS, Pending, PipelineControl, PipelineEvent, ReaderState,
};

use crate::count::now_ns;
use crate::kernel::{argument, fact, read_shared};
use crate::maps::MMAPABLE;
use crate::who::thread_group;

/// Whose calls, and which.
#[map]
static PIPE_CONTROL: Array<PipelineControl> = Array::with_max_entries(1, 0);

/// The events. User space makes it larger.
#[map]
static PIPE_EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// The metrics that all sides share.
#[map]
static PIPE_JOINT: PerCpuArray<JointMetrics> = PerCpuArray::with_max_entries(JOINT_ENTRIES, 0);

/// Calls that have not returned, by thread as the kernel numbers it.
#[map]
static PIPE_PENDING: HashMap<u32, Pending> = HashMap::with_max_entries(1024, 0);

/// What `pipeline_exit` hands on: the programs of one tail call run on one CPU, one after the other.
#[map]
static PIPE_HANDED_ON: PerCpuArray<PipelineEvent> = PerCpuArray::with_max_entries(1, 0);

/// The stage that has its turn.
#[map]
static PIPE_STAGE: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Which generation each of the two stages is.
#[map]
static PIPE_GENERATION: Array<u32> = Array::with_max_entries(2, 0);

/// What the reader says of itself; it maps the array and writes.
#[map]
static PIPE_READER: Array<ReaderState> = Array::with_max_entries(1, MMAPABLE);

/// Remembers when the call was entered.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn pipeline_enter(ctx: RawTracePointContext) -> i32 {
    let Some(control) = PIPE_CONTROL.get_ptr_mut(0) else { return 0 };
    if !is_of_generator(control) {
        return 0;
    }
    let Some(call) = argument(&ctx, fact!(arg_enter_id)).and_then(|id| u32::try_from(id).ok()) else { return 0 };
    if !is_wanted(control, call) {
        return 0;
    }
    let pending = Pending { entered_ns: now_ns(), call, padding: 0 };
    let thread = bpf_get_current_pid_tgid() as u32;
    match PIPE_PENDING.get_ptr_mut(thread) {
        // SAFETY: the map's element of this very thread, which no other program writes.
        Some(of_thread) => unsafe { *of_thread = pending },
        // Without room the call is nobody's: it is neither generated nor lost.
        None => drop(PIPE_PENDING.insert(thread, pending, 0)),
    }
    0
}

/// Whether the process that runs here is the one whose calls are wanted.
#[inline(always)]
fn is_of_generator(control: *mut PipelineControl) -> bool {
    let process = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the map's element, of words that are written whole.
    let (wanted, generator) = unsafe { ((*control).wanted, (*control).generator) };
    if wanted == 0 {
        return false;
    }
    if generator != 0 {
        return generator == process;
    }
    if thread_group() != Some(wanted) {
        return false;
    }
    // SAFETY: as above.
    unsafe { (*control).generator = process };
    true
}

#[inline(always)]
fn is_wanted(control: *const PipelineControl, call: u32) -> bool {
    if call as usize >= PIPELINE_CALLS {
        return false;
    }
    // SAFETY: a word of the map's element, within bounds.
    let word = unsafe { (*control).calls[call as usize / 64] };
    word >> (call % 64) & 1 == 1
}

/// Finds out what returned, and lets the stage write it.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn pipeline_exit(ctx: RawTracePointContext) -> i32 {
    let Some(control) = PIPE_CONTROL.get_ptr_mut(0) else { return 0 };
    let current = bpf_get_current_pid_tgid();
    // SAFETY: the map's element, of words that are written whole.
    if unsafe { (*control).wanted == 0 || (*control).generator != (current >> 32) as u32 } {
        return 0;
    }
    let thread = current as u32;
    let Some(pending) = PIPE_PENDING.get_ptr_mut(thread) else { return 0 };
    // SAFETY: the map's element of this very thread, which no other program writes.
    let Pending { entered_ns, call, .. } = unsafe { *pending };
    if entered_ns == 0 {
        return 0;
    }
    // SAFETY: as above.
    unsafe { (*pending).entered_ns = 0 };
    let (Some(handed_on), Some(joint)) = (PIPE_HANDED_ON.get_ptr_mut(0), PIPE_JOINT.get_ptr_mut(JOINT_KERNEL)) else {
        return 0;
    };
    let at_ns = now_ns();
    let returned = argument(&ctx, fact!(arg_exit_ret)).unwrap_or(0) as i64;
    // SAFETY: this CPU's own elements. Tracepoints of system calls do not interrupt each other.
    unsafe {
        (*joint).events_generated += 1;
        *handed_on = PipelineEvent {
            sequence: (*joint).events_generated,
            at_ns,
            duration_ns: at_ns.saturating_sub(entered_ns),
            returned,
            thread,
            call,
            cpu: bpf_get_smp_processor_id(),
            generation: 0,
        };
    }
    // SAFETY: the stages are programs of this type, and this one ends here if the call succeeds.
    unsafe { PIPE_STAGE.tail_call(&ctx, 0) };
    // Nobody has a turn.
    // SAFETY: as above.
    unsafe { (*joint).events_lost += 1 };
    0
}

/// One of the two that take turns.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn pipeline_stage_a(_ctx: RawTracePointContext) -> i32 {
    write(0);
    0
}

/// The other.
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn pipeline_stage_b(_ctx: RawTracePointContext) -> i32 {
    write(1);
    0
}

#[inline(always)]
fn write(stage: u32) {
    let Some(handed_on) = PIPE_HANDED_ON.get_ptr(0) else { return };
    let Some(control) = PIPE_CONTROL.get_ptr(0) else { return };
    // SAFETY: the map's element, a word that is written whole.
    let generation = PIPE_GENERATION.get_ptr(stage).map_or(0, |generation| unsafe { *generation });
    let Some(mut room) = PIPE_EVENTS.reserve::<PipelineEvent>(0) else {
        if let Some(joint) = PIPE_JOINT.get_ptr_mut(JOINT_KERNEL) {
            // SAFETY: this CPU's own element. Tracepoints of system calls do not interrupt each other.
            unsafe { (*joint).events_lost += 1 };
        }
        return;
    };
    // SAFETY: this CPU's own element, written by `pipeline_exit` just before.
    room.write(PipelineEvent { generation, ..unsafe { *handed_on } });
    // SAFETY: the map's element, a word that is written whole.
    let wake = unsafe { (*control).wake };
    room.submit(match wake {
        PipelineControl::WAKE_CAUGHT_UP => 0,
        PipelineControl::WAKE_ASLEEP if is_asleep() => u64::from(BPF_RB_FORCE_WAKEUP),
        _ => u64::from(BPF_RB_NO_WAKEUP),
    });
}

/// Whether the reader sleeps. To wake one that does not costs ten times what the rest of an event does.
#[inline(always)]
fn is_asleep() -> bool {
    // SAFETY: the array's element, aligned as the type says; the reader may write it at any time, so it is read once.
    PIPE_READER.get_ptr(0).is_some_and(|reader| unsafe { read_shared(&raw const (*reader).asleep) } != 0)
}

/// How the shared metrics lie in memory, for user space to compare with its own idea before anything is attached: the object's BTF describes the
/// types of globals.
#[used]
#[unsafe(no_mangle)]
static PIPE_LAYOUT: JointMetrics = JointMetrics {
    events_generated: 0,
    events_lost: 0,
    wasm_exec_count: 0,
    bpf_to_wasm_err: 0,
    probe_latency_count: 0,
    probe_latency_us: 0,
    probe_latency_rest_ns: 0,
    probe_latency_max_ns: 0,
};
