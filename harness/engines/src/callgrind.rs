//! Instructions between the guest's marks, counted by Valgrind's callgrind, under which the whole worker runs then. Spoken
//! to by client requests: a sequence of instructions that does nothing anywhere else (valgrind.h). The crates for it
//! need Valgrind's headers and libclang where wasiscope is built; three requests are not worth that.

use std::sync::atomic::{AtomicBool, Ordering};

use super::pass::Worker;
use wasiscope_worker::protocol::Message;

/// Whether this worker counts. Marks of other workers do not even ask.
static COUNTING: AtomicBool = AtomicBool::new(false);

/// Counted passes; a count is a fact only when it repeats.
const PASSES: u32 = 2;

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

/// Makes a few passes; callgrind leaves a file for each.
pub fn count(worker: &Worker) -> wasmtime::Result<Message> {
    if request(RUNNING_ON_VALGRIND) == 0 {
        wasmtime::bail!("instructions are counted under valgrind, on x86-64");
    }
    let (linked, _) = worker.linked()?;
    // The first pass still finds things to set up.
    worker.warm(&linked, 1)?;
    COUNTING.store(true, Ordering::Relaxed);
    let mut last = worker.warm(&linked, 1)?;
    request(DUMP_STATS);
    for _ in 1..PASSES {
        last = worker.warm(&linked, 1)?;
        request(DUMP_STATS);
    }
    COUNTING.store(false, Ordering::Relaxed);
    Ok(Message::Iteration(last))
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
        assert_eq!(request(RUNNING_ON_VALGRIND), 0);
        toggle();
    }
}
