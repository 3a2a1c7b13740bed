//! Instructions between the guest's marks, counted by Valgrind's callgrind, under which the whole worker runs then. Spoken
//! to by client requests: a sequence of instructions that does nothing anywhere else (valgrind.h). The crates for it
//! need Valgrind's headers and libclang where wasiscope is built; three requests are not worth that.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this worker counts. Marks of other workers do not even ask.
static COUNTING: AtomicBool = AtomicBool::new(false);

/// `VG_USERREQ__RUNNING_ON_VALGRIND`.
const RUNNING_ON_VALGRIND: usize = 0x1001;
/// `VG_USERREQ__DUMP_STATS`, the first of callgrind's own requests (`'C' 'T'`).
const DUMP_STATS: usize = 0x4354_0000;
/// `VG_USERREQ__TOGGLE_COLLECT`.
const TOGGLE_COLLECT: usize = 0x4354_0002;

/// Begins or ends counting, in a worker that counts.
#[inline]
pub fn toggle() {
    if COUNTING.load(Ordering::Relaxed) {
        request(TOGGLE_COLLECT);
    }
}

/// Whether this process runs under Valgrind.
pub fn is_there() -> bool {
    request(RUNNING_ON_VALGRIND) != 0
}

/// Lets marks begin and end counting, or no longer.
pub fn count_between_marks(counts: bool) {
    COUNTING.store(counts, Ordering::Relaxed);
}

/// Writes what was counted since the last time into a file.
pub fn dump() {
    request(DUMP_STATS);
}

/// Makes one request without arguments. Outside Valgrind the answer is 0.
#[cfg(target_arch = "x86_64")]
fn request(code: usize) -> usize {
    let arguments = [code, 0, 0, 0, 0, 0];
    let mut answer = 0_usize;
    // SAFETY: rotating rdi by 128 bits in all and exchanging rbx with itself change nothing; Valgrind, which knows the
    // sequence, reads the six words behind rax and writes rdx.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") answer,
        );
    }
    answer
}

/// The sequence differs by processor; this one is not known here.
#[cfg(not(target_arch = "x86_64"))]
fn request(_: usize) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_valgrind_a_request_does_nothing() {
        assert!(!is_there());
        toggle();
        dump();
    }
}
