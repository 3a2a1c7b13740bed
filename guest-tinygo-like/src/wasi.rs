//! The calls of WASI preview 1 that the guests use, behind safe functions.
//!
//! A call that fails ends the program at once, with a message and exit code 1. That is what the guest would come to
//! anyway, and passing errors up to where it happens would be a quarter of the smallest guest.

use core::mem::MaybeUninit;

use crate::line::Line;

/// A file descriptor.
pub type Fd = u32;
type Errno = u16;

pub const STDIN: Fd = 0;
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
const RIGHT_FD_READ: u64 = 1 << 1;
const RIGHT_FD_WRITE: u64 = 1 << 6;
const EVENT_TYPE_CLOCK: u8 = 0;
/// The precision asked for where nothing is meant by it; like that of std.
const PLAIN_PRECISION_NS: u64 = 1;
/// The bytes before each name in what `fd_readdir` writes, and where in them the next entry's cookie and the length of
/// the name are.
const DIRENT_BYTES: usize = 24;
const DIRENT_NAME_LEN: usize = 16;
const EXIT_FAILURE: u32 = 1;

/// `ciovec`: bytes to be written.
#[repr(C)]
struct ConstIoVec {
    buf: *const u8,
    buf_len: usize,
}

/// `iovec`: room for bytes to be read.
#[repr(C)]
struct IoVec {
    buf: *mut u8,
    buf_len: usize,
}

/// `subscription`, for the only kind of event that is waited for.
#[repr(C)]
struct ClockSubscription {
    userdata: u64,
    /// An `eventtype` in a byte, padded.
    event_type: u64,
    clock_id: u64,
    timeout_ns: u64,
    precision_ns: u64,
    /// Relative when zero.
    flags: u64,
}

/// `event`.
#[repr(C)]
struct Event {
    userdata: u64,
    error: Errno,
    event_type: u8,
    fd_nbytes: u64,
    fd_flags: u64,
}

/// The imports themselves, named as in the specification.
mod imports {
    use super::{ClockSubscription, ConstIoVec, Errno, Event, Fd, IoVec};

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn args_sizes_get(argc: *mut usize, argv_buf_size: *mut usize) -> Errno;
        pub fn args_get(argv: *mut *mut u8, argv_buf: *mut u8) -> Errno;
        pub fn clock_time_get(id: u32, precision: u64, time: *mut u64) -> Errno;
        pub fn fd_write(fd: Fd, iovs: *const ConstIoVec, iovs_len: usize, nwritten: *mut usize) -> Errno;
        pub fn fd_read(fd: Fd, iovs: *const IoVec, iovs_len: usize, nread: *mut usize) -> Errno;
        pub fn fd_readdir(fd: Fd, buf: *mut u8, buf_len: usize, cookie: u64, used: *mut usize) -> Errno;
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
        pub fn poll_oneoff(
            subscriptions: *const ClockSubscription,
            events: *mut Event,
            count: usize,
            happened: *mut usize,
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
///
/// This and [`args_get`] are `inline` because they have two callers, in different programs: else neither would be made
/// part of its caller, and a program would depend on what others do.
#[inline]
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
#[inline]
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

/// Reads the monotonic clock, in nanoseconds.
pub fn clock_ns() -> u64 {
    let mut time_ns = 0;
    // SAFETY: the pointer is to a live local that the host fills.
    let errno = unsafe { imports::clock_time_get(CLOCK_MONOTONIC, PLAIN_PRECISION_NS, &raw mut time_ns) };
    require_success("clock_ns", errno);
    time_ns
}

/// Waits until the monotonic clock has gone on by `duration_ns`.
pub fn sleep_ns(duration_ns: u64) {
    let subscription = ClockSubscription {
        userdata: 0,
        event_type: EVENT_TYPE_CLOCK.into(),
        clock_id: CLOCK_MONOTONIC.into(),
        timeout_ns: duration_ns,
        precision_ns: PLAIN_PRECISION_NS,
        flags: 0,
    };
    let mut event = Event { userdata: 0, error: ERRNO_SUCCESS, event_type: 0, fd_nbytes: 0, fd_flags: 0 };
    let mut happened = 0;
    // SAFETY: there is one subscription, which the host only reads, room for one event, and a live local counter; all
    // of them are laid out as WASI says.
    let errno = unsafe { imports::poll_oneoff(&raw const subscription, &raw mut event, 1, &raw mut happened) };
    require_success("sleep_ns", if errno == ERRNO_SUCCESS { event.error } else { errno });
}

/// Reads what is there into `buffer`, and says how many bytes that were: none at the end.
pub fn read(operation: &str, fd: Fd, buffer: &mut [u8]) -> usize {
    let iov = IoVec { buf: buffer.as_mut_ptr(), buf_len: buffer.len() };
    let mut nread = 0;
    // SAFETY: the one vector describes `buffer`, which the host may fill, and the counter is a live local.
    require_success(operation, unsafe { imports::fd_read(fd, &raw const iov, 1, &raw mut nread) });
    if nread > buffer.len() {
        fail(operation, Some(ERRNO_IO));
    }
    nread
}

/// Tells `visit` the name of everything in the first preopened directory, without `.` and `..`.
///
/// An entry that does not fit into what is left of `buffer` is asked for again, so the longest name must fit into it.
pub fn list(buffer: &mut [u8], visit: &mut dyn FnMut(&[u8])) {
    let mut cookie = 0;
    loop {
        let mut used = 0;
        // SAFETY: pointer and length describe `buffer`, which the host may fill, and the counter is a live local.
        let errno =
            unsafe { imports::fd_readdir(FIRST_PREOPEN, buffer.as_mut_ptr(), buffer.len(), cookie, &raw mut used) };
        require_success("list", errno);
        let Some(mut entries) = buffer.get(..used) else { fail("list", Some(ERRNO_IO)) };
        let is_last = used < buffer.len();
        let mut seen = 0;
        while let Some((next_cookie, name, rest)) = first_entry(entries) {
            if name != b"." && name != b".." {
                visit(name);
            }
            (cookie, entries) = (next_cookie, rest);
            seen += 1;
        }
        if is_last {
            return;
        }
        if seen == 0 {
            fail("list", Some(ERRNO_IO));
        }
    }
}

/// The first whole `dirent` with its name: the cookie of the one after it, the name, and what follows.
fn first_entry(entries: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (entry, rest) = entries.split_at_checked(DIRENT_BYTES)?;
    let cookie = u64::from_le_bytes(*entry.first_chunk()?);
    let name_len = u32::from_le_bytes(*entry[DIRENT_NAME_LEN..].first_chunk()?);
    let (name, rest) = rest.split_at_checked(usize::try_from(name_len).ok()?)?;
    Some((cookie, name, rest))
}

/// Creates or truncates the file `path` in the first preopened directory, for writing.
pub fn create(path: &str) -> Fd {
    open_at("create", path, OFLAGS_CREAT | OFLAGS_TRUNC, RIGHT_FD_WRITE)
}

/// Opens the file `path` in the first preopened directory, for reading.
pub fn open(path: &str) -> Fd {
    open_at("open", path, 0, RIGHT_FD_READ)
}

fn open_at(operation: &str, path: &str, oflags: u16, rights: u64) -> Fd {
    let mut fd = 0;
    // SAFETY: pointer and length describe `path`, which the host only reads, and the result is a live local.
    let errno =
        unsafe { imports::path_open(FIRST_PREOPEN, 0, path.as_ptr(), path.len(), oflags, rights, 0, 0, &raw mut fd) };
    require_success(operation, errno);
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
