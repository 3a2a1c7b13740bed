//! Who is running: the watched worker or a stranger.

use aya_ebpf::Global;
use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_get_ns_current_pid_tgid;

use crate::maps::WATCHED;

/// Device and inode of wasiscope's pid namespace; inode 0 when that is the initial one, whose numbers cost less to get.
#[unsafe(no_mangle)]
static PID_NS_DEV: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static PID_NS_INO: Global<u64> = Global::new(0);

/// The phase cell of the current process, when it is watched.
#[inline(always)]
pub fn watched_cell() -> Option<u32> {
    let thread_group = thread_group()?;
    // SAFETY: the value is copied at once. Should user space remove the entry meanwhile, its worker is dead already.
    unsafe { WATCHED.get(thread_group) }.copied()
}

/// The current process as wasiscope would number it; `None` outside wasiscope's pid namespace.
#[inline(always)]
fn thread_group() -> Option<u32> {
    let inode = PID_NS_INO.load();
    if inode == 0 {
        return Some((bpf_get_current_pid_tgid() >> 32) as u32);
    }
    let mut numbers = bpf_pidns_info { pid: 0, tgid: 0 };
    // SAFETY: the helper fills in the 8 bytes it is given.
    let failed = unsafe {
        bpf_get_ns_current_pid_tgid(PID_NS_DEV.load(), inode, &raw mut numbers, size_of::<bpf_pidns_info>() as u32)
    };
    (failed == 0).then_some(numbers.tgid)
}

/// The current thread, as the kernel numbers it: unlike a namespace's number, unique on the machine.
#[inline(always)]
pub fn thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}
