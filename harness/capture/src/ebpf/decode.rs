//! From what the programs wrote to what it means.

use syscalls::Sysno;
use wasiscope_ebpf_abi::{Counter, CounterKey, CounterOf, EventId, Kind, Phase, TraceEvent, UNFINISHED};

use super::super::{KernelEvents, Traced, TracedEvent, region_name};
use wasiscope_model::events::Charged;

/// Adds one counter to the phase it was charged to.
pub fn add(events: &mut KernelEvents, key: CounterKey, counter: Counter) {
    let CounterOf { cell_index: _, phase: phase_number, kind, bucket, id } = key.parts();
    let Some(kind) = Kind::from_u8(kind) else { return };
    let id = u32::from(id);
    let name = name(kind, id);
    events.entry(phase(phase_number)).or_default().add(&Charged { kind, id, name: &name, bucket, counter });
}

/// Adds a system call that its thread never came out of, which the kernel programs could not count.
pub fn add_unfinished(events: &mut KernelEvents, phase_number: u8, call_number: u32) {
    let (kind, counter) = (Kind::Syscall, Counter { count: 1, ..Counter::default() });
    let name = call_name(call_number);
    let charged = Charged { kind, id: call_number, name: &name, bucket: UNFINISHED, counter };
    events.entry(phase(phase_number)).or_default().add(&charged);
}

/// What an `id` is called; empty where it is no name.
fn name(kind: Kind, id: u32) -> String {
    match kind.event().id {
        EventId::Call => call_name(id),
        EventId::Signal => signal_name(id),
        EventId::Region => region_name(id).to_owned(),
        EventId::Part | EventId::Nothing => String::new(),
    }
}

/// One event of a traced iteration; `None` for a kind that is never told of.
pub fn traced(event: &TraceEvent) -> Option<TracedEvent> {
    let number = u32::try_from(event.id).unwrap_or(u32::MAX);
    let what = match Kind::from_u8(event.kind)? {
        Kind::Syscall => {
            Traced::Call { name: call_name(number), duration_ns: event.duration_ns, returned: event.detail }
        }
        Kind::OffCpu => {
            Traced::OffCpu { blocked_ns: event.id, runnable_ns: event.duration_ns.saturating_sub(event.id) }
        }
        kind @ (Kind::FaultUser | Kind::FaultKernel) => Traced::Fault {
            user: kind == Kind::FaultUser,
            address: event.id,
            region: region_name(u32::try_from(event.detail).unwrap_or(0)).to_owned(),
        },
        Kind::Signal => Traced::Signal { name: signal_name(number) },
        _ => return None,
    };
    let name = event.name.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(TracedEvent {
        at_ns: event.at_ns,
        thread: event.thread,
        thread_name: (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned()),
        phase: phase(event.phase),
        what,
    })
}

/// A byte that is no phase can only come from a worker gone astray; its events are kept, charged to nobody.
fn phase(number: u8) -> Phase {
    Phase::from_u8(number).unwrap_or(Phase::Outside)
}

fn call_name(number: u32) -> String {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    known.map_or_else(|| format!("syscall_{number}"), |known| known.name().to_owned())
}

fn signal_name(number: u32) -> String {
    let known = i32::try_from(number).ok().and_then(signal_hook::low_level::signal_name);
    known.map_or_else(|| format!("signal_{number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use wasiscope_ebpf_abi::{MEMORY_PROTECTED, bucket_of};

    use super::*;

    fn key(phase: u8, kind: Kind, id: u32, bucket: u16) -> CounterKey {
        let id = u16::try_from(id).unwrap();
        CounterKey::new(CounterOf { cell_index: 1, phase, kind: kind as u8, bucket, id })
    }

    fn number(call: Sysno) -> u32 {
        u32::try_from(call.id()).unwrap()
    }

    #[test]
    fn counters_go_to_their_phase_under_their_name() {
        let mut events = KernelEvents::new();
        let counter = Counter { count: 2, total: 30, min: 14, max: 16 };
        let run = Phase::Run as u8;
        for (kind, id, bucket) in [
            (Kind::Syscall, number(Sysno::write), bucket_of(15)),
            (Kind::Syscall, 60_000, bucket_of(15)),
            (Kind::Syscall, number(Sysno::exit), UNFINISHED),
            (Kind::SyscallError, number(Sysno::write), 0),
            (Kind::FaultUser, 1, 0),
            (Kind::Signal, 11, 0),
            (Kind::Signal, 99, 0),
            (Kind::Switch, 0, 0),
            (Kind::Switch, 1, 0),
            (Kind::Migration, 0, 0),
            (Kind::RunQueue, 0, bucket_of(15)),
            (Kind::OffCpu, 1, bucket_of(15)),
            (Kind::FutexWait, 0, bucket_of(15)),
            (Kind::Memory, MEMORY_PROTECTED, 0),
            (Kind::Birth, 0, 0),
            (Kind::BlockIo, 1, 0),
        ] {
            add(&mut events, key(run, kind, id, bucket), counter);
        }
        add(&mut events, key(Phase::Init as u8, Kind::FaultKernel, 5, 0), counter);
        let run = &events[&Phase::Run];
        let write = &run.syscalls["write"];
        assert_eq!((write.count, write.errors, write.latency_ns.sum), (2, 2, 30));
        assert_eq!((write.latency_ns.min, write.latency_ns.max), (Some(14), Some(16)));
        assert_eq!(run.syscalls["syscall_60000"].count, 2);
        assert_eq!((run.syscalls["exit"].count, run.syscalls["exit"].latency_ns.count), (2, 0));
        assert_eq!((run.faults_user["linear_memory"], run.kernel_faults()), (2, 0));
        assert_eq!((run.signals["SIGSEGV"], run.signals["signal_99"]), (2, 2));
        assert_eq!((run.switches.voluntary, run.switches.involuntary, run.migrations), (2, 2, 2));
        assert_eq!((run.run_queue_ns.sum, run.futex_waits_ns.sum), (30, 30));
        assert_eq!((run.off_cpu_ns.blocked.sum, run.off_cpu_ns.runnable.sum), (0, 30));
        assert_eq!((run.memory.protected_bytes, run.tasks_created.threads, run.block_io.written_bytes), (30, 2, 30));
        assert_eq!(events[&Phase::Init].faults_kernel["stack"], 2);
    }

    #[test]
    fn counters_stay_at_the_largest_number_there_is() {
        let mut events = KernelEvents::new();
        let most = Counter { count: u64::MAX, total: u64::MAX, min: 0, max: u64::MAX };
        for kind in [Kind::Syscall, Kind::FaultUser, Kind::Migration, Kind::Memory, Kind::BlockIo] {
            (0..2).for_each(|_| add(&mut events, key(Phase::Run as u8, kind, 0, 0), most));
        }
        let run = &events[&Phase::Run];
        assert_eq!((run.user_faults(), run.migrations, run.memory.mapped_bytes), (u64::MAX, u64::MAX, u64::MAX));
        assert_eq!((run.block_io.reads, run.syscalls["read"].count), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_phase_that_nobody_writes_is_charged_to_nobody() {
        let mut events = KernelEvents::new();
        add(&mut events, key(200, Kind::FaultUser, 0, 0), Counter { count: 1, ..Counter::default() });
        assert_eq!(events[&Phase::Outside].user_faults(), 1);
    }

    #[test]
    fn single_events_are_told_in_words() {
        let event = TraceEvent {
            at_ns: 5,
            duration_ns: 30,
            id: 10,
            detail: 1,
            thread: 7,
            slot: 1,
            name: *b"main\0\0\0\0\0\0\0\0\0\0\0\0",
            kind: Kind::OffCpu as u8,
            phase: Phase::Run as u8,
            padding: [0; 6],
        };
        let told = traced(&event).unwrap();
        assert_eq!(told.what, Traced::OffCpu { blocked_ns: 10, runnable_ns: 20 });
        assert_eq!((told.at_ns, told.thread, told.phase), (5, 7, Phase::Run));
        assert_eq!(told.thread_name.as_deref(), Some("main"));
        let fault = TraceEvent { kind: Kind::FaultUser as u8, name: [0; 16], ..event };
        let told = traced(&fault).unwrap();
        assert_eq!(told.what, Traced::Fault { user: true, address: 10, region: "linear_memory".into() });
        assert_eq!(told.thread_name, None);
        assert_eq!(traced(&TraceEvent { kind: Kind::Migration as u8, ..event }), None);
    }
}
