//! `writes`: a known number of system calls, to calibrate what the kernel side counts.

use crate::fnv::Fnv1a;
use crate::{Host, HostError, Workload, measure};

/// The file it writes, in the preopened directory.
pub const FILE_NAME: &str = "writes.dat";

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "writes",
    summary: "Writes n single bytes to a file in the preopened directory, each with its own unbuffered write. Between \
              the marks there are exactly n writes and nothing else that enters the kernel on purpose, so it shows \
              whether the capture counts right, and what one system call costs through WASI.",
    default_n: 16,
    run: |host, n| run(host, n),
};

/// Writes `n` bytes, byte `i` being `b'a' + i % 26`. The check is the FNV-1a of the bytes written.
///
/// The file is created before the start mark and closed after the end mark.
///
/// # Errors
/// If the host could not create, write or close the file, or mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    host.create(FILE_NAME)?;
    let check = measure(host, n, |host, n| {
        let mut check = Fnv1a::new();
        for byte in (b'a'..=b'z').cycle().zip(0..n).map(|(byte, _)| byte) {
            host.write(&[byte])?;
            check.update(&[byte]);
        }
        Ok(check.finish())
    })?;
    host.close()?;
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CountingHost;

    /// Computed by an FNV-1a written in Python over the first n letters of the alphabet, repeated.
    #[test]
    fn known_checks() {
        for (n, expected) in [(0, 0xcbf2_9ce4_8422_2325), (16, 0x7ef4_6f6c_0508_6855), (100, 0x11b8_83c7_63d4_b4c1)] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }

    #[test]
    fn as_many_writes_as_asked_for() {
        let mut host = CountingHost::default();
        run(&mut host, 27).expect("a counting host accepts everything");
        assert_eq!((host.writes, host.prints), (27, 0));
    }
}
