//! Getting the programs into the kernel, and what stands in the way.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::ptr::{from_mut, null_mut};

use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use procfs::FromRead;
use procfs::process::Status;

use super::super::CaptureError;
use super::super::btf::{Btf, BtfError, KERNEL_BTF};
use super::facts::{self, Found};
use super::with_causes;
use wasiscope_sys::machine::surroundings;

/// The programs, without a line of this machine: built by ci/build-ebpf.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ebpf/prebuilt/wasiscope.bpf.o"));

const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// What loading is to do otherwise than usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The kernel's BTF, when it is not to be had from the kernel itself.
    pub btf: Option<PathBuf>,
    /// Bytes of the ring buffer for single events, a power of two of pages; `None` when no iteration will be traced.
    pub trace_bytes: Option<u32>,
    /// Bytes of the ring buffer of a flow of events, likewise.
    pub pipeline_bytes: Option<u32>,
}

/// Creates the maps and prepares the programs for this kernel; without `may_follow`, for one on which switches are not seen.
pub(super) fn load_object(options: &Options, may_follow: bool) -> Result<(Ebpf, Found), CaptureError> {
    check_privileges(Status::from_file("/proc/thread-self/status").ok().map(|status| status.capeff))?;
    check_namespaces(&surroundings::namespaces())?;
    check_kernel()?;
    let btf = match &options.btf {
        Some(path) => Btf::from_file(path)
            .map_err(|error| CaptureError::Unavailable(format!("{}: {}", path.display(), with_causes(&error))))?,
        None => Btf::from_kernel().map_err(|error| no_btf(&error))?,
    };
    let mut found = facts::find(&btf).map_err(|error| {
        CaptureError::Unavailable(format!("cannot look at /proc/self/ns/pid ({error}): mount /proc"))
    })?;
    found.facts.follows_switches &= u32::from(may_follow);
    let mut loader = EbpfLoader::new();
    // The log is asked for only when the kernel refuses a program: its last words are the reason.
    loader.btf(None).verifier_log_level(VerifierLogLevel::VERBOSE).override_global("KERNEL", &found.facts, true);
    if let Some(bytes) = options.trace_bytes {
        loader.map_max_entries("EVENTS", bytes);
    }
    if let Some(bytes) = options.pipeline_bytes {
        loader.map_max_entries("PIPE_EVENTS", bytes);
    }
    let ebpf = loader
        .load(OBJECT)
        .map_err(|error| CaptureError::Unavailable(format!("the kernel refuses the maps: {}", with_causes(&error))))?;
    Ok((ebpf, found))
}

/// Refuses early and in plain words; loading would only say "Operation not permitted".
///
/// `effective` are the capabilities of this thread; without them the kernel's own refusal must do.
fn check_privileges(effective: Option<u64>) -> Result<(), CaptureError> {
    match effective {
        Some(mask) if mask & CAP_SYS_ADMIN == 0 && mask & (CAP_BPF | CAP_PERFMON) != CAP_BPF | CAP_PERFMON => {
            let own = std::env::current_exe().map_or("wasiscope".to_owned(), |path| path.display().to_string());
            let mend = format!("run as root, or `sudo setcap cap_bpf,cap_perfmon+ep {own}`");
            Err(CaptureError::Unavailable(format!("needs CAP_BPF and CAP_PERFMON: {mend}")))
        }
        _ => Ok(()),
    }
}

/// In a user namespace, capabilities are over what belongs to the namespace; the kernel does not.
fn check_namespaces(namespaces: &[String]) -> Result<(), CaptureError> {
    if namespaces.iter().any(|name| name == "user") {
        let why = "root of a user namespace, as in a rootless container, may not watch the kernel: run as root of the machine";
        return Err(CaptureError::Unavailable(why.to_owned()));
    }
    Ok(())
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

/// `BPF_OBJ_GET_INFO_BY_FD` of `bpf(2)`.
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// The beginning of `struct bpf_prog_info`, user space's stable interface; aya keeps this field to itself.
#[repr(C)]
struct ProgramInfo {
    before: [u64; 26],
    /// Of raw tracepoints since Linux 6.1, before which they cannot be left out so; 0 there.
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
        let refused = |mask| check_privileges(Some(mask)).is_err();
        assert!(refused(0));
        assert!(refused(0x80_0000_0000), "CAP_BPF alone cannot load tracing programs");
        assert!(!refused(0xc0_0000_0000));
        assert!(!refused(0x20_0000), "CAP_SYS_ADMIN includes both");
        assert!(check_privileges(None).is_ok());
        let text = check_privileges(Some(0)).unwrap_err().to_string();
        assert!(text.contains("setcap cap_bpf,cap_perfmon+ep"), "{text}");
    }

    #[test]
    fn the_object_is_aligned_and_names_every_program() {
        assert_eq!(OBJECT.as_ptr().addr() % 8, 0);
        for name in ["sys_enter", "page_fault_user", "sched_switch", "KERNEL", "EVENTS"] {
            assert!(OBJECT.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{name}");
        }
    }
}
