//! What differs between kernels, and what this one allows.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::{from_mut, null_mut};

use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use syscalls::Sysno;
use wasiscope_ebpf_abi::ARG_MISSING;

use super::super::CaptureError;
use super::super::btf::{Btf, BtfError, KERNEL_BTF};
use super::with_causes;

/// The programs, without a line of this machine: built by ci/build-ebpf.
static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../ebpf/prebuilt/wasiscope.bpf.o"));

/// Every program with its tracepoint's name, and the name of the argument that it reads.
const PROGRAMS: [(&str, Option<&str>); 4] =
    [("sys_enter", Some("id")), ("sys_exit", None), ("page_fault_user", None), ("page_fault_kernel", None)];

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, since Linux 3.8).
const INITIAL_PID_NS: u64 = 0xEFFF_FFFC;

const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Each program's name with the reason why this kernel cannot have it.
pub(super) type Missing = Vec<(&'static str, Option<String>)>;

/// Creates the maps and prepares the programs for this kernel.
pub(super) fn load_object() -> Result<(Ebpf, Missing), CaptureError> {
    check_privileges(fs::read_to_string("/proc/thread-self/status").ok().as_deref())?;
    check_kernel()?;
    let btf = Btf::from_kernel().map_err(|error| no_btf(&error))?;
    let mut id_position = ARG_MISSING;
    let mut missing = Missing::new();
    for (name, argument) in PROGRAMS {
        match position(&btf, name, argument) {
            Ok(Some(found)) => {
                id_position = found;
                missing.push((name, None));
            }
            Ok(None) => missing.push((name, None)),
            Err(reason) => missing.push((name, Some(reason))),
        }
    }
    let (device, inode) = pid_namespace().map_err(|error| {
        CaptureError::Unavailable(format!("cannot look at /proc/self/ns/pid ({error}): mount /proc"))
    })?;
    let (exit, exit_group) = (number(Sysno::exit), number(Sysno::exit_group));
    let ebpf = EbpfLoader::new()
        .btf(None)
        .verifier_log_level(VerifierLogLevel::DISABLE)
        .override_global("ARG_SYS_ENTER_ID", &id_position, true)
        .override_global("NR_EXIT", &exit, true)
        .override_global("NR_EXIT_GROUP", &exit_group, true)
        .override_global("PID_NS_DEV", &device, true)
        .override_global("PID_NS_INO", &inode, true)
        .load(OBJECT)
        .map_err(|error| CaptureError::Unavailable(format!("the kernel refuses the maps: {}", with_causes(&error))))?;
    Ok((ebpf, missing))
}

/// Refuses early and in plain words; loading would only say "Operation not permitted".
///
/// `status` is that of `/proc/thread-self/status`; without it the kernel's own refusal must do.
fn check_privileges(status: Option<&str>) -> Result<(), CaptureError> {
    let effective = status
        .and_then(|status| status.lines().find_map(|line| line.strip_prefix("CapEff:")))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    match effective {
        Some(mask) if mask & CAP_SYS_ADMIN == 0 && mask & (CAP_BPF | CAP_PERFMON) != CAP_BPF | CAP_PERFMON => {
            let text = "needs CAP_BPF and CAP_PERFMON: run as root, or `sudo setcap cap_bpf,cap_perfmon+ep <binary>`";
            Err(CaptureError::Unavailable(text.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Asks `bpf(2)` for nothing, which a kernel that has it answers with "invalid argument".
fn check_kernel() -> Result<(), CaptureError> {
    // SAFETY: a size of 0 makes the kernel read nothing.
    let result = unsafe { libc::syscall(libc::SYS_bpf, 0, null_mut::<u8>(), 0) };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS) if result < 0 => Err(CaptureError::Unavailable(
            "this kernel has no bpf(2): use one built with CONFIG_BPF_SYSCALL".to_owned(),
        )),
        Some(libc::EPERM) if result < 0 => Err(CaptureError::Unavailable(
            "bpf(2) is forbidden here despite the capabilities: in a container, allow it in the seccomp profile \
             (`--privileged`), and use the host's user namespace"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

fn no_btf(error: &BtfError) -> CaptureError {
    CaptureError::Unavailable(match error {
        BtfError::Read(cause) if cause.kind() == io::ErrorKind::NotFound => {
            format!("this kernel shows no {KERNEL_BTF}: use one built with CONFIG_DEBUG_INFO_BTF, and mount /sys")
        }
        error => format!("{KERNEL_BTF}: {}", with_causes(error)),
    })
}

/// Where `tracepoint` passes `argument` to raw programs; `None` when none is asked for and the tracepoint is there.
///
/// Two functions of each tracepoint have its arguments: `__traceiter_<name>` (Linux 5.10), and `__bpf_trace_<name>`,
/// which tracepoints of one event class share under the class's name. Both begin with a `__data` that programs do not
/// get to see.
fn position(btf: &Btf, tracepoint: &str, argument: Option<&str>) -> Result<Option<u32>, String> {
    for prefix in ["__traceiter_", "__bpf_trace_"] {
        let Some(parameters) = btf.parameters(&format!("{prefix}{tracepoint}")).map_err(|error| error.to_string())?
        else {
            continue;
        };
        let Some(argument) = argument else { return Ok(None) };
        let mut visible = parameters.iter().skip(1);
        return match visible.position(|&name| name == argument).and_then(|at| u32::try_from(at).ok()) {
            Some(at) => Ok(Some(at)),
            None => Err(format!("this kernel's tracepoint {tracepoint} has no argument {argument}")),
        };
    }
    Err(format!("this kernel has no tracepoint {tracepoint}"))
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

fn number(syscall: Sysno) -> u32 {
    u32::try_from(syscall.id()).unwrap_or(u32::MAX)
}

/// `BPF_OBJ_GET_INFO_BY_FD` of `bpf(2)`.
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// The beginning of `struct bpf_prog_info`, user space's stable interface; aya keeps this field to itself.
#[repr(C)]
struct ProgramInfo {
    before: [u64; 26],
    /// Since Linux 5.12; older kernels leave it 0.
    recursion_misses: u64,
}

#[repr(C)]
struct GetInfo {
    program_fd: u32,
    info_length: u32,
    info: u64,
}

/// How often the kernel skipped a program because it was running on that CPU already.
pub(super) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut info = ProgramInfo { before: [0; 26], recursion_misses: 0 };
    let mut attributes = GetInfo {
        program_fd: u32::try_from(program.as_raw_fd()).map_err(invalid)?,
        info_length: u32::try_from(size_of::<ProgramInfo>()).map_err(invalid)?,
        info: from_mut(&mut info).expose_provenance() as u64,
    };
    // SAFETY: the kernel writes at most `info_length` bytes into `info`. Its fields before are zero, so it follows no
    // pointer in them.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, from_mut(&mut attributes), size_of::<GetInfo>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info.recursion_misses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_privileges_name_the_mend() {
        let refused = |mask: &str| check_privileges(Some(&format!("Name:\tx\nCapEff:\t{mask}\n"))).is_err();
        assert!(refused("0000000000000000"));
        assert!(refused("0000008000000000"), "CAP_BPF alone cannot load tracing programs");
        assert!(!refused("000000c000000000"));
        assert!(!refused("0000000000200000"), "CAP_SYS_ADMIN includes both");
        assert!(!refused("what is this"));
        assert!(check_privileges(None).is_ok());
        let text = check_privileges(Some("CapEff:\t0\n")).unwrap_err().to_string();
        assert!(text.contains("setcap cap_bpf,cap_perfmon+ep"), "{text}");
    }

    #[test]
    fn devices_are_recoded() {
        assert_eq!(kernel_device(4), 4);
        assert_eq!(kernel_device(libc::makedev(8, 17)), 8 << 20 | 17);
        assert_eq!(kernel_device(libc::makedev(0, 0x12345)), 0x12345);
    }

    #[test]
    fn the_object_is_aligned_and_names_every_program() {
        assert_eq!(OBJECT.as_ptr().addr() % 8, 0);
        for (name, _) in PROGRAMS {
            assert!(OBJECT.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{name}");
        }
    }
}
