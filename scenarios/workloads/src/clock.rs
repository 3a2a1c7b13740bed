//! `clock`: the shortest way out of the guest and back.

use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "clock",
    summary: "Reads the monotonic clock n times. The shortest call that a guest can make: through the engine's \
              trampoline into the host, which natively needs no system call, and back. What it costs beyond the clock \
              itself is what every call of the host costs.",
    default_n: 20_000,
    run: |host, n| run(host, n),
};

/// Reads the clock `n` times. The check is how many readings were not before the one before: n, if the clock is right.
///
/// # Errors
/// If the host could not read the clock or mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |host, n| {
        let (mut check, mut before_ns) = (0, 0);
        for _ in 0..n {
            let now_ns = host.clock_ns()?;
            check += u64::from(now_ns >= before_ns);
            before_ns = now_ns;
        }
        Ok(check)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reading_counts() {
        for n in [0, 1, 1000] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(n));
        }
    }
}
