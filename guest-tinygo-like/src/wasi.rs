//! The calls of WASI preview 1 that the guests use, behind safe functions.
//!
//! A call that fails ends the program at once, with a message and exit code 1. That is what the guest would come to
//! anyway, and passing errors up to where it happens would be a quarter of the smallest guest.

use core::mem::MaybeUninit;

use crate::line::Line;

/// A file descriptor.
pub type Fd = u32;
type Errno = u16;

pub const STDOUT: Fd = 1;
const STDERR: Fd = 2;
/// The first preopened directory, in every runtime the descriptor after the standard streams.
const FIRST_PREOPEN: Fd = 3;

const ERRNO_SUCCESS: Errno = 0;
/// Stands for the error that a host owes us when it claims to have written nothing, or more than there was.
const ERRNO_IO: Errno = 29;
const CLOCK_MONOTONIC: u32 = 1;
const OFLAGS_CREAT: u16 = 1 << 0;
const OFLAGS_TRUNC: u16 = 1 << 3;
const RIGHT_FD_WRITE: u64 = 1 << 6;
const EXIT_FAILURE: u32 = 1;

/// `ciovec`: bytes to be written.
#[repr(C)]
struct ConstIoVec {
    buf: *const u8,
    buf_len: usize,
}

/// The imports themselves, named as in the specification.
mod imports {
    use super::{ConstIoVec, Errno, Fd};

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn args_sizes_get(argc: *mut usize, argv_buf_size: *mut usize) -> Errno;
        pub fn args_get(argv: *mut *mut u8, argv_buf: *mut u8) -> Errno;
        pub fn clock_time_get(id: u32, precision: u64, time: *mut u64) -> Errno;
        pub fn fd_write(fd: Fd, iovs: *const ConstIoVec, iovs_len: usize, nwritten: *mut usize) -> Errno;
        pub fn fd_close(fd: Fd) -> Errno;
        pub fn path_open(
            dir: Fd,
            dirflags: u32,
            path: *const u8,
            path_len: usize,
            oflags: u16,
            rights_base: u64,
            rights_inheriting: u64,
            fdflags: u16,
            opened: *mut Fd,
        ) -> Errno;
        pub fn proc_exit(code: u32) -> !;
    }
}

/// Ends the program unless `errno` is success.
fn require_success(operation: &str, errno: Errno) {
    if errno != ERRNO_SUCCESS {
        fail(operation, Some(errno));
    }
}

/// Ends the program, saying what failed.
pub fn fail(operation: &str, errno: Option<u16>) -> ! {
    let mut line = Line::new();
    if let Some(errno) = errno {
        line.prepend_number(errno.into(), 10, 1);
        line.prepend(" with errno ");
    }
    line.prepend(" failed");
    line.prepend(operation);
    line.prepend("error: ");
    complain(line.as_bytes());
    exit(EXIT_FAILURE)
}

/// Writes to standard error, as far as it can: what is said there, the exit code or the trap to come says as well.
pub fn complain(text: &[u8]) {
    let _ = fd_write_all(STDERR, text);
}

/// Writes all of `bytes`, in one call unless the host takes less than it is given.
pub fn write_all(operation: &str, fd: Fd, bytes: &[u8]) {
    require_success(operation, fd_write_all(fd, bytes));
}

fn fd_write_all(fd: Fd, mut bytes: &[u8]) -> Errno {
    while !bytes.is_empty() {
        let iov = ConstIoVec { buf: bytes.as_ptr(), buf_len: bytes.len() };
        let mut nwritten = 0;
        // SAFETY: the one vector describes `bytes`, which the host only reads, and the counter is a live local.
        let errno = unsafe { imports::fd_write(fd, &raw const iov, 1, &raw mut nwritten) };
        if errno != ERRNO_SUCCESS {
            return errno;
        }
        match bytes.split_at_checked(nwritten) {
            Some((_, rest)) if nwritten > 0 => bytes = rest,
            _ => return ERRNO_IO,
        }
    }
    ERRNO_SUCCESS
}

/// The number of arguments, the program's name included, and the bytes they take, their terminating NULs included.
pub fn args_sizes_get() -> (usize, usize) {
    let (mut argc, mut argv_buf_size) = (0, 0);
    // SAFETY: both pointers are to live locals that the host fills.
    let errno = unsafe { imports::args_sizes_get(&raw mut argc, &raw mut argv_buf_size) };
    require_success("args_sizes_get", errno);
    (argc, argv_buf_size)
}

/// Fills `argv` with pointers into `argv_buf`, and that with the arguments.
///
/// # Safety
/// The two must be valid for writes of as many pointers and bytes as [`args_sizes_get`] says.
pub unsafe fn args_get(argv: *mut *mut u8, argv_buf: *mut u8) {
    // SAFETY: what the call needs is what this function requires.
    let errno = unsafe { imports::args_get(argv, argv_buf) };
    require_success("args_get", errno);
}

/// Reads the monotonic clock, for the sake of the `precision` that whoever runs the guest gets to see.
pub fn mark(precision: u64) {
    let mut time = MaybeUninit::uninit();
    // SAFETY: the pointer is to a live local that the host may fill.
    let errno = unsafe { imports::clock_time_get(CLOCK_MONOTONIC, precision, time.as_mut_ptr()) };
    require_success("mark", errno);
}

/// Creates or truncates the file `path` in the first preopened directory, for writing.
pub fn create(path: &str) -> Fd {
    let mut fd = 0;
    // SAFETY: pointer and length describe `path`, which the host only reads, and the result is a live local.
    let errno = unsafe {
        imports::path_open(
            FIRST_PREOPEN,
            0,
            path.as_ptr(),
            path.len(),
            OFLAGS_CREAT | OFLAGS_TRUNC,
            RIGHT_FD_WRITE,
            0,
            0,
            &raw mut fd,
        )
    };
    require_success("create", errno);
    fd
}

/// Closes `fd`.
pub fn close(fd: Fd) {
    // SAFETY: the call touches no memory of the guest.
    require_success("close", unsafe { imports::fd_close(fd) });
}

/// Ends the program.
pub fn exit(code: u32) -> ! {
    // SAFETY: the call touches no memory of the guest, and nothing of the guest runs after it.
    unsafe { imports::proc_exit(code) }
}
