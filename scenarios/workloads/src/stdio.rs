//! `stdio`: from standard input to standard output.

use heap::vec;

use crate::fnv::Fnv1a;
use crate::{Host, HostError, Workload, measure};

/// Most bytes of one read.
pub const BLOCK_BYTES: usize = 4096;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "stdio",
    summary: "Copies standard input to standard output until n bytes are through or the input ends, up to 4 KiB at a \
              time. It costs the runtime's way to its streams, twice for each block. The check is that of the bytes \
              copied; with an empty input, which a guest gets unless it is given another, it is that of none, and \
              what is left is one read that finds the end.",
    default_n: 65536,
    run: |host, n| run(host, n),
};

/// Copies up to `n` bytes. The check is the FNV-1a of them.
///
/// Nothing is added to them, so the result's line begins where they end.
///
/// # Errors
/// If the host could not read, write or mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let mut block = vec![0; BLOCK_BYTES];
    measure(host, n, |host, n| {
        let mut check = Fnv1a::new();
        let mut remaining_bytes = n;
        while remaining_bytes > 0 {
            let wanted = usize::try_from(remaining_bytes).map_or(BLOCK_BYTES, |bytes| bytes.min(BLOCK_BYTES));
            let len = host.read_stdin(&mut block[..wanted])?;
            if len == 0 {
                break;
            }
            host.write_stdout(&block[..len])?;
            check.update(&block[..len]);
            remaining_bytes -= len as u64;
        }
        Ok(check.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The FNV-1a of no bytes, from its authors' reference code.
    #[test]
    fn an_empty_input_is_copied() {
        for n in [0, 1, WORKLOAD.default_n] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(0xcbf2_9ce4_8422_2325));
        }
    }
}
