//! Two tasks that send a number to and fro.

use core::cell::Cell;
use core::future::poll_fn;
use core::hint::black_box;
use core::task::{Context, Poll, Waker};

use heap::boxed::Box;
use heap::vec;
use heap::vec::Vec;

use super::executor::{Executor, Task};
use crate::{Host, HostError};

/// How many rounds are timed together: one alone takes hardly longer than it takes to read the clock.
pub const ROUNDS_PER_SAMPLE: u64 = 100;
const SAMPLES: usize = 100;
/// How many rounds there are.
pub const ROUNDS: u64 = ROUNDS_PER_SAMPLE * SAMPLES as u64;

/// Has two tasks exchange a number [`ROUNDS`] times through two channels with room for one. A round is to send it, to
/// be put aside until the other has it and has answered, and to receive the answer: two hand-overs.
///
/// Gives 100 samples in the order in which they were taken, each the nanoseconds that [`ROUNDS_PER_SAMPLE`] rounds
/// took together.
///
/// # Errors
/// If the host could not read the clock.
pub fn ping_pong<H: Host + ?Sized>(host: &mut H) -> Result<Vec<u64>, HostError> {
    let (times_ns, count) = exchange(host)?;
    black_box(count);
    Ok(times_ns)
}

/// As above, and how often the number has been sent, which is what it counts.
fn exchange<H: Host + ?Sized>(host: &mut H) -> Result<(Vec<u64>, u64), HostError> {
    let (ping, pong) = (Channel::default(), Channel::default());
    let mut times_ns = Vec::with_capacity(SAMPLES);
    let mut count = 0;
    let first = async {
        let mut before_ns = host.clock_ns()?;
        for _ in 0..SAMPLES {
            for _ in 0..ROUNDS_PER_SAMPLE {
                ping.send(count + 1).await;
                count = pong.receive().await;
            }
            let now_ns = host.clock_ns()?;
            times_ns.push(now_ns.saturating_sub(before_ns));
            before_ns = now_ns;
        }
        Ok(())
    };
    let second = async {
        for _ in 0..ROUNDS {
            let count = ping.receive().await;
            pong.send(count + 1).await;
        }
        Ok(())
    };
    let tasks: Vec<Task<'_>> = vec![Box::pin(first), Box::pin(second)];
    Executor::new(tasks).run()?;
    Ok((times_ns, count))
}

/// Room for one number on its way from one task to one other.
#[derive(Default)]
struct Channel {
    value: Cell<Option<u64>>,
    /// Who waits: the receiver while there is nothing, or the sender while there is no room, so never both.
    waiting: Cell<Option<Waker>>,
}

impl Channel {
    /// Waits until there is room, and puts `value` there.
    #[inline]
    async fn send(&self, value: u64) {
        poll_fn(|context| {
            if self.value.get().is_some() {
                return self.wait(context);
            }
            self.value.set(Some(value));
            self.wake();
            Poll::Ready(())
        })
        .await;
    }

    /// Waits until there is something, and takes it.
    #[inline]
    async fn receive(&self) -> u64 {
        poll_fn(|context| {
            let Some(value) = self.value.take() else { return self.wait(context) };
            self.wake();
            Poll::Ready(value)
        })
        .await
    }

    fn wait<T>(&self, context: &Context<'_>) -> Poll<T> {
        self.waiting.set(Some(context.waker().clone()));
        Poll::Pending
    }

    #[inline]
    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;
    use crate::CountingHost;

    #[test]
    fn every_round_is_played() {
        let (times_ns, count) = exchange(&mut CountingHost::default()).expect("the host refuses nothing");
        // Sent once to and once fro.
        assert_eq!(count, 2 * ROUNDS);
        // The clock of this host goes on by one whenever it is read, and it is read once for each sample.
        assert_eq!(times_ns, [1; SAMPLES]);
    }

    #[test]
    fn a_sender_waits_for_room() {
        let channel = Channel::default();
        let events = RefCell::new(Vec::new());
        let sender = async {
            for value in 1..=3 {
                channel.send(value).await;
                events.borrow_mut().push(("sent", value));
            }
            Ok(())
        };
        let receiver = async {
            for _ in 0..3 {
                let value = channel.receive().await;
                events.borrow_mut().push(("received", value));
            }
            Ok(())
        };
        let tasks: Vec<Task<'_>> = vec![Box::pin(sender), Box::pin(receiver)];
        assert_eq!(Executor::new(tasks).run(), Ok(()));
        let expected = [("sent", 1), ("received", 1), ("sent", 2), ("received", 2), ("sent", 3), ("received", 3)];
        assert_eq!(events.into_inner(), expected);
    }
}
