//! What differs between kernels, looked up in the running kernel's BTF.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use syscalls::Sysno;
use wasiscope_ebpf_abi::{CallClass, KernelFacts};

use super::super::btf::Btf;
use wasiscope_sys::clock;

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, since Linux 3.8).
const INITIAL_PID_NS: u64 = 0xEFFF_FFFC;

/// Where one of the facts goes.
type Place = fn(&mut KernelFacts) -> &mut u32;

/// One program and what it needs to know of the kernel.
pub(super) struct Program {
    name: &'static str,
    arguments: &'static [(&'static str, Place)],
    fields: &'static [Field],
}

/// A field of a kernel structure.
struct Field {
    structure: &'static str,
    path: &'static [&'static str],
    place: Place,
}

const TASK_PID: Field = Field { structure: "task_struct", path: &["pid"], place: |facts| &mut facts.at_task_pid };
const TASK_TGID: Field = Field { structure: "task_struct", path: &["tgid"], place: |facts| &mut facts.at_task_tgid };

/// Every program that has a tracepoint, which bears its name.
pub(super) const PROGRAMS: &[Program] = &[
    Program { name: "sys_enter", arguments: &[("id", |facts| &mut facts.arg_enter_id)], fields: &[] },
    Program { name: "sys_exit", arguments: &[("ret", |facts| &mut facts.arg_exit_ret)], fields: &[] },
    Program {
        name: "page_fault_user",
        arguments: &[("address", |facts| &mut facts.arg_fault_user_address)],
        fields: &[],
    },
    Program {
        name: "page_fault_kernel",
        arguments: &[("address", |facts| &mut facts.arg_fault_kernel_address)],
        fields: &[],
    },
    Program { name: "signal_deliver", arguments: &[("sig", |facts| &mut facts.arg_signal_number)], fields: &[] },
    Program {
        name: "sched_switch",
        arguments: &[
            ("preempt", |facts| &mut facts.arg_switch_preempt),
            ("prev", |facts| &mut facts.arg_switch_prev),
            ("next", |facts| &mut facts.arg_switch_next),
        ],
        fields: &[TASK_PID],
    },
    Program { name: "sched_wakeup", arguments: &[("p", |facts| &mut facts.arg_wakeup_task)], fields: &[TASK_PID] },
    Program {
        name: "sched_wakeup_new",
        arguments: &[("p", |facts| &mut facts.arg_wakeup_new_task)],
        fields: &[TASK_PID],
    },
    Program {
        name: "sched_migrate_task",
        arguments: &[("p", |facts| &mut facts.arg_migrate_task)],
        fields: &[TASK_PID],
    },
    Program {
        name: "sched_process_fork",
        arguments: &[("child", |facts| &mut facts.arg_fork_child)],
        fields: &[TASK_PID, TASK_TGID],
    },
    Program { name: "sched_process_exit", arguments: &[], fields: &[] },
    Program {
        name: "block_bio_queue",
        arguments: &[("bio", |facts| &mut facts.arg_block_bio)],
        fields: &[
            Field { structure: "bio", path: &["bi_iter", "bi_size"], place: |facts| &mut facts.at_bio_size },
            Field { structure: "bio", path: &["bi_opf"], place: |facts| &mut facts.at_bio_operation },
            Field { structure: "bio", path: &["bi_flags"], place: |facts| &mut facts.at_bio_flags },
        ],
    },
];

/// Where system calls keep their first three arguments in `pt_regs`: a field's name, and bytes behind its place; and how
/// a perf event shows the registers.
struct Processor {
    registers: [(&'static str, u32); 3],
    perf_layout: u32,
}

#[cfg(target_arch = "x86_64")]
const PROCESSOR: Option<Processor> =
    Some(Processor { registers: [("di", 0), ("si", 0), ("dx", 0)], perf_layout: wasiscope_ebpf_abi::PERF_X86_64 });
#[cfg(target_arch = "aarch64")]
const PROCESSOR: Option<Processor> = Some(Processor {
    registers: [("regs", 0), ("regs", 8), ("regs", 16)],
    perf_layout: wasiscope_ebpf_abi::PERF_AARCH64,
});
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const PROCESSOR: Option<Processor> = None;

/// The programs that see when what a CPU keeps of a thread must be put back: when it loses the processor, when it dies.
pub(super) const FOLLOWING: [&str; 2] = ["sched_switch", "sched_process_exit"];

/// What was found out.
pub(super) struct Found {
    pub(super) facts: KernelFacts,
    /// Each program that has a tracepoint, with the reason why this kernel cannot have it.
    pub(super) programs: Vec<(&'static str, Option<String>)>,
    /// Why the arguments of system calls cannot be seen.
    pub(super) arguments: Option<String>,
}

/// Looks everything up.
pub(super) fn find(btf: &Btf) -> io::Result<Found> {
    let mut facts = KernelFacts { page_bytes: rustix::param::page_size() as u64, ..KernelFacts::UNKNOWN };
    (facts.pid_ns_dev, facts.pid_ns_ino) = pid_namespace()?;
    facts.clock_offset_ns = clock::namespace_offset_ns().cast_unsigned();
    let mut programs = Vec::new();
    for program in PROGRAMS {
        programs.push((program.name, look_up(btf, program, &mut facts).err()));
    }
    for (name, missing) in &mut programs {
        if *name == "sched_switch" && missing.is_none() {
            *missing = state_of_switched(btf, &mut facts).err();
        }
    }
    let follows = |needed: &&str| programs.iter().any(|(name, missing)| *name == *needed && missing.is_none());
    facts.follows_switches = u32::from(FOLLOWING.iter().all(follows));
    let arguments = registers(btf, &mut facts).err();
    classes(&mut facts);
    Ok(Found { facts, programs, arguments })
}

fn look_up(btf: &Btf, program: &Program, facts: &mut KernelFacts) -> Result<(), String> {
    let visible = parameters(btf, program.name)?;
    for (argument, place) in program.arguments {
        *place(facts) = position(&visible, program.name, argument)?;
    }
    for Field { structure, path, place } in program.fields {
        *place(facts) = offset(btf, structure, path)?;
    }
    Ok(())
}

/// The state of the thread that loses its processor is an argument since Linux 5.18; before, it is in the thread itself,
/// under the name `state` until 5.14.
fn state_of_switched(btf: &Btf, facts: &mut KernelFacts) -> Result<(), String> {
    if let Ok(at) = position(&parameters(btf, "sched_switch")?, "sched_switch", "prev_state") {
        facts.arg_switch_state = at;
        return Ok(());
    }
    facts.at_task_state =
        offset(btf, "task_struct", &["__state"]).or_else(|_| offset(btf, "task_struct", &["state"]))?;
    Ok(())
}

fn registers(btf: &Btf, facts: &mut KernelFacts) -> Result<(), String> {
    let Some(Processor { registers, perf_layout }) = PROCESSOR else {
        return Err(format!("where {} keeps the arguments of system calls is not known here", std::env::consts::ARCH));
    };
    facts.perf_layout = perf_layout;
    facts.arg_enter_regs = position(&parameters(btf, "sys_enter")?, "sys_enter", "regs")?;
    let [first, second, third] =
        registers.map(|(name, bytes)| Ok::<_, String>(offset(btf, "pt_regs", &[name])? + bytes));
    (facts.at_regs_first, facts.at_regs_second, facts.at_regs_third) = (first?, second?, third?);
    Ok(())
}

/// System calls in which more is looked at than the duration.
const CLASSES: [(&str, CallClass); 13] = [
    ("exit", CallClass::NoReturn),
    ("exit_group", CallClass::NoReturn),
    ("mmap", CallClass::Map),
    ("munmap", CallClass::Unmap),
    ("mprotect", CallClass::Protect),
    ("pkey_mprotect", CallClass::Protect),
    ("madvise", CallClass::Advise),
    ("mremap", CallClass::Remap),
    ("brk", CallClass::Break),
    ("futex", CallClass::Futex),
    ("futex_wait", CallClass::FutexWait),
    ("futex_waitv", CallClass::FutexWait),
    ("rt_sigreturn", CallClass::SignalReturn),
];

/// By the numbers that the `syscalls` crate knows for this processor; those it does not know, no kernel has on it.
fn classes(facts: &mut KernelFacts) {
    for (name, class) in CLASSES {
        let number = name.parse::<Sysno>().ok().and_then(|call| usize::try_from(call.id()).ok());
        if let Some(place) = number.and_then(|number| facts.calls.get_mut(number)) {
            *place = class as u8;
        }
    }
}

/// The arguments of a tracepoint as raw programs get to see them.
///
/// Two functions of each tracepoint have its arguments: `__traceiter_<name>` (Linux 5.10), and `__bpf_trace_<name>`,
/// which tracepoints of one event class share under the class's name. Both begin with a `__data` that programs do not
/// get to see.
fn parameters<'a>(btf: &'a Btf, tracepoint: &str) -> Result<Vec<&'a str>, String> {
    for prefix in ["__traceiter_", "__bpf_trace_"] {
        let found = btf.parameters(&format!("{prefix}{tracepoint}")).map_err(|error| error.to_string())?;
        if let Some(parameters) = found {
            return Ok(parameters.into_iter().skip(1).collect());
        }
    }
    Err(format!("this kernel has no tracepoint {tracepoint}"))
}

fn position(visible: &[&str], tracepoint: &str, argument: &str) -> Result<u32, String> {
    let at = visible.iter().position(|&name| name == argument).and_then(|at| u32::try_from(at).ok());
    at.ok_or_else(|| format!("this kernel's tracepoint {tracepoint} has no argument {argument}"))
}

fn offset(btf: &Btf, structure: &str, path: &[&str]) -> Result<u32, String> {
    let at = btf.offset(structure, path).map_err(|error| error.to_string())?;
    at.ok_or_else(|| format!("this kernel's struct {structure} has no field {}", path.join(".")))
}

/// Device and inode of this process's pid namespace as the kernel compares them, or zeroes for the initial one.
fn pid_namespace() -> io::Result<(u64, u64)> {
    let namespace = fs::metadata("/proc/self/ns/pid")?;
    if namespace.ino() == INITIAL_PID_NS {
        return Ok((0, 0));
    }
    Ok((kernel_device(namespace.dev()), namespace.ino()))
}

/// A device number as the kernel holds it (`MKDEV`: twelve bits, then twenty), from `stat`'s interleaved form.
fn kernel_device(device: u64) -> u64 {
    u64::from(libc::major(device)) << 20 | u64::from(libc::minor(device))
}

#[cfg(test)]
mod tests {
    use wasiscope_ebpf_abi::KERNEL_EVENTS;

    use super::super::watcher::PERF_PAGE_FAULT;
    use super::*;

    #[test]
    fn devices_are_recoded() {
        assert_eq!(kernel_device(4), 4);
        assert_eq!(kernel_device(libc::makedev(8, 17)), 8 << 20 | 17);
        assert_eq!(kernel_device(libc::makedev(0, 0x12345)), 0x12345);
    }

    #[test]
    fn calls_have_the_classes_of_their_names() {
        let mut facts = KernelFacts::UNKNOWN;
        classes(&mut facts);
        let class = |call: Sysno| facts.calls[usize::try_from(call.id()).unwrap()];
        assert_eq!(class(Sysno::mmap), CallClass::Map as u8);
        assert_eq!(class(Sysno::exit_group), CallClass::NoReturn as u8);
        assert_eq!(class(Sysno::futex_waitv), CallClass::FutexWait as u8);
        assert_eq!(class(Sysno::write), CallClass::Plain as u8);
    }

    #[test]
    fn the_programs_of_every_event_are_loaded() {
        let is_loaded = |name: &&str| PROGRAMS.iter().any(|program| program.name == *name) || *name == PERF_PAGE_FAULT;
        for event in KERNEL_EVENTS {
            assert!(event.seen_by.programs().iter().all(is_loaded), "{}", event.name);
        }
    }

    #[test]
    fn a_missing_argument_names_tracepoint_and_argument() {
        let error = position(&["preempt", "prev", "next"], "sched_switch", "prev_state").unwrap_err();
        assert_eq!(error, "this kernel's tracepoint sched_switch has no argument prev_state");
        assert_eq!(position(&["preempt", "prev", "next"], "sched_switch", "next"), Ok(2));
    }
}
