//! What differs between kernels and processors, found out by user space before the programs are loaded.

/// Marks an argument or a field that this kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// The programs' one read-only global, `KERNEL`. The verifier knows its values and drops the code for other kernels.
///
/// `arg_…` are positions of tracepoint arguments, `at_…` offsets of fields in bytes; each may be [`MISSING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct KernelFacts {
    /// Device of wasiscope's pid namespace.
    pub pid_ns_dev: u64,
    /// Its inode; 0 for the initial one, whose numbers cost less to get.
    pub pid_ns_ino: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// By how much CLOCK_MONOTONIC is ahead of the kernel's own in the time namespace of the workers; it wraps where it is behind.
    pub clock_offset_ns: u64,
    /// How a perf event shows where a page fault came from: [`PERF_X86_64`] or [`PERF_AARCH64`].
    pub perf_layout: u32,
    /// 1 when it will be seen that threads lose their processor, and so what CPUs keep of them can be put back in time.
    pub follows_switches: u32,
    /// `sys_enter`: the registers.
    pub arg_enter_regs: u32,
    /// `sys_enter`: the call's number.
    pub arg_enter_id: u32,
    /// `sys_exit`: what the call returns.
    pub arg_exit_ret: u32,
    /// `sched_switch`: whether it happens against the thread's will.
    pub arg_switch_preempt: u32,
    /// `sched_switch`: the thread that loses the processor.
    pub arg_switch_prev: u32,
    /// `sched_switch`: the thread that gets it.
    pub arg_switch_next: u32,
    /// `sched_switch`: the state of the one that loses it (Linux 5.18; before, only the thread itself tells).
    pub arg_switch_state: u32,
    /// `sched_wakeup`: the thread.
    pub arg_wakeup_task: u32,
    /// `sched_wakeup_new`: the thread.
    pub arg_wakeup_new_task: u32,
    /// `sched_migrate_task`: the thread.
    pub arg_migrate_task: u32,
    /// `sched_process_fork`: the new thread.
    pub arg_fork_child: u32,
    /// `signal_deliver`: the signal's number.
    pub arg_signal_number: u32,
    /// `page_fault_user`: the address.
    pub arg_fault_user_address: u32,
    /// `page_fault_kernel`: the address.
    pub arg_fault_kernel_address: u32,
    /// `block_bio_queue`: the request.
    pub arg_block_bio: u32,
    /// In `task_struct`: the thread's number.
    pub at_task_pid: u32,
    /// In `task_struct`: the process's number.
    pub at_task_tgid: u32,
    /// In `task_struct`: its state.
    pub at_task_state: u32,
    /// In `pt_regs`: the first argument of a system call.
    pub at_regs_first: u32,
    /// In `pt_regs`: the second.
    pub at_regs_second: u32,
    /// In `pt_regs`: the third.
    pub at_regs_third: u32,
    /// In `bio`: how many bytes.
    pub at_bio_size: u32,
    /// In `bio`: what is to be done with them.
    pub at_bio_operation: u32,
    /// In `bio`: its flags.
    pub at_bio_flags: u32,
    /// The [`CallClass`] of each system call as a number, by the call's number.
    pub calls: [u8; CALLS],
}

/// System calls that have a class; those of larger numbers are [`CallClass::Plain`].
pub const CALLS: usize = 512;

/// What is to be looked at in a system call besides its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CallClass {
    /// Nothing.
    Plain = 0,
    /// It never returns: `exit`, `exit_group`.
    NoReturn = 1,
    /// `mmap`, by its length.
    Map = 2,
    /// `munmap`, by its length.
    Unmap = 3,
    /// `mprotect` and `pkey_mprotect`, by their length.
    Protect = 4,
    /// `madvise`, by its length.
    Advise = 5,
    /// `mremap`, by how much longer the mapping gets.
    Remap = 6,
    /// `brk`, by how far the end of the heap moves.
    Break = 7,
    /// `futex`, by its operation.
    Futex = 8,
    /// `futex_wait` and `futex_waitv`.
    FutexWait = 9,
    /// `rt_sigreturn`, which returns what the interrupted call did, and so never an error of its own.
    SignalReturn = 10,
}

/// `perf_layout` of x86-64.
pub const PERF_X86_64: u32 = 1;
/// `perf_layout` of 64-bit Arm.
pub const PERF_AARCH64: u32 = 2;

impl KernelFacts {
    /// Nothing known: every program that needs something does nothing.
    pub const UNKNOWN: Self = Self {
        pid_ns_dev: 0,
        pid_ns_ino: 0,
        page_bytes: 4096,
        clock_offset_ns: 0,
        perf_layout: MISSING,
        follows_switches: 0,
        arg_enter_regs: MISSING,
        arg_enter_id: MISSING,
        arg_exit_ret: MISSING,
        arg_switch_preempt: MISSING,
        arg_switch_prev: MISSING,
        arg_switch_next: MISSING,
        arg_switch_state: MISSING,
        arg_wakeup_task: MISSING,
        arg_wakeup_new_task: MISSING,
        arg_migrate_task: MISSING,
        arg_fork_child: MISSING,
        arg_signal_number: MISSING,
        arg_fault_user_address: MISSING,
        arg_fault_kernel_address: MISSING,
        arg_block_bio: MISSING,
        at_task_pid: MISSING,
        at_task_tgid: MISSING,
        at_task_state: MISSING,
        at_regs_first: MISSING,
        at_regs_second: MISSING,
        at_regs_third: MISSING,
        at_bio_size: MISSING,
        at_bio_operation: MISSING,
        at_bio_flags: MISSING,
        calls: [CallClass::Plain as u8; CALLS],
    };
}
