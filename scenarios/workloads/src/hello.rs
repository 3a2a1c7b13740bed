//! `hello`: the smallest program that does something.

use crate::fnv::Fnv1a;
use crate::{Host, HostError, Workload, measure};

const LINE: &str = "hello, world\n";

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "hello",
    summary: "Prints `hello, world` n times, each line with its own write. Nearly all of its cost is that of being a \
              program at all: the size of the binary, compiling it, instantiating it, and the runtime's start.",
    default_n: 1,
    run: |host, n| run(host, n),
};

/// Prints the line `n` times. The check is the FNV-1a of all bytes printed, line feeds included.
///
/// # Errors
/// If the host could not print or mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |host, n| {
        let mut check = Fnv1a::new();
        for _ in 0..n {
            host.print(LINE)?;
            check.update(LINE.as_bytes());
        }
        Ok(check.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by an FNV-1a written in Python over `b"hello, world\n" * n`.
    #[test]
    fn known_checks() {
        assert_eq!(WORKLOAD.expected_check(0), Ok(0xcbf2_9ce4_8422_2325));
        assert_eq!(WORKLOAD.expected_check(1), Ok(0xe60e_7ee6_4882_9675));
    }
}
