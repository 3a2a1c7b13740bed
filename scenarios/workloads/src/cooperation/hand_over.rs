//! What it takes to get from one worker to the next.

use core::cell::{Cell, RefCell};

use heap::boxed::Box;
use heap::vec::Vec;

use super::executor::{Executor, Task, yield_now};
use crate::{Host, HostError};

/// How many hand-overs are timed together. Reading the clock takes several times as long as handing over, and not as
/// long in every flavour: times of single hand-overs would tell of little else.
pub const HAND_OVERS_PER_SAMPLE: u64 = 100;
const SAMPLES: usize = 200;

/// Has `workers` workers do nothing but yield. From when one yields until the next one runs is a hand-over.
///
/// Gives 200 samples in the order in which they were taken, each the nanoseconds that [`HAND_OVERS_PER_SAMPLE`] took
/// together; none if there are no workers.
///
/// # Errors
/// If the host could not read the clock.
pub fn hand_over<H: Host + ?Sized>(host: &mut H, workers: usize) -> Result<Vec<u64>, HostError> {
    let relay = Relay {
        host: RefCell::new(host),
        left_in_sample: Cell::new(0),
        before_ns: Cell::new(None),
        times_ns: RefCell::new(Vec::with_capacity(SAMPLES)),
        is_over: Cell::new(false),
    };
    let task = |_| -> Task<'_> { Box::pin(relay.take_part()) };
    Executor::new((0..workers).map(task).collect()).run()?;
    Ok(relay.times_ns.into_inner())
}

/// What the workers share.
struct Relay<'h, H: ?Sized> {
    host: RefCell<&'h mut H>,
    /// How many hand-overs are still to come before the one with which the next sample ends.
    left_in_sample: Cell<u64>,
    /// When the last sample ended, once one has begun.
    before_ns: Cell<Option<u64>>,
    times_ns: RefCell<Vec<u64>>,
    is_over: Cell<bool>,
}

impl<H: Host + ?Sized> Relay<'_, H> {
    async fn take_part(&self) -> Result<(), HostError> {
        while !self.is_over.get() {
            match self.left_in_sample.get().checked_sub(1) {
                Some(left) => self.left_in_sample.set(left),
                None => self.end_sample()?,
            }
            yield_now().await;
        }
        Ok(())
    }

    fn end_sample(&self) -> Result<(), HostError> {
        let now_ns = self.host.borrow_mut().clock_ns()?;
        let mut times_ns = self.times_ns.borrow_mut();
        if let Some(before_ns) = self.before_ns.replace(Some(now_ns)) {
            times_ns.push(now_ns.saturating_sub(before_ns));
        }
        self.is_over.set(times_ns.len() == SAMPLES);
        self.left_in_sample.set(HAND_OVERS_PER_SAMPLE - 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CountingHost;

    #[test]
    fn the_clock_is_read_once_per_sample() {
        for workers in [1, 2, 99, 100, 101, 1000] {
            let times_ns = hand_over(&mut CountingHost::default(), workers).expect("the host refuses nothing");
            // The clock of this host goes on by one whenever it is read.
            assert_eq!(times_ns, [1; SAMPLES], "{workers} workers");
        }
    }
}
