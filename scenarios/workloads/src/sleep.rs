//! `sleep`: time spent on nothing.

use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "sleep",
    summary: "Sleeps once, for n microseconds, and again only if the host wakes it too early. Off the processor for \
              nearly all of its time, it shows what the capture says about waiting, how late the runtime's timer is, \
              and how coarse: some count in whole milliseconds.",
    default_n: 2000,
    run: |host, n| run(host, n),
};

/// Sleeps for at least `n` microseconds. The check is `n`, once the clock says that they have passed.
///
/// # Errors
/// If the host could not sleep, read the clock or mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |host, n| {
        let end_ns = host.clock_ns()?.saturating_add(n.saturating_mul(1000));
        loop {
            match end_ns.saturating_sub(host.clock_ns()?) {
                0 => return Ok(n),
                left_ns => host.sleep_ns(left_ns)?,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CountingHost;

    #[test]
    fn it_ends_when_the_time_is_over() {
        let mut host = CountingHost::default();
        assert_eq!(run(&mut host, 1500), Ok(1500));
        assert!(host.clock_ns().expect("there is a clock") >= 1_500_000);
    }
}
