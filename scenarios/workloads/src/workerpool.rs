//! `workerpool`: a few workers and a queue, taking turns on one thread.
//!
//! To repeat it elsewhere: a producer and [`WORKERS`] workers are polled in turn, the producer first, until all are
//! done. The producer fills the queue up to [`QUEUE_JOBS`] jobs and gives up its turn; each of the `n` jobs has an
//! input from SplitMix64 and, drawn next, a number of rounds (1 to 8). A worker takes the oldest job, or gives up its
//! turn if there is none; after each round it gives up its turn. A round is one step of SplitMix64 from the value so
//! far. The check is the sum of the last values of all jobs, so that a scheduler may decide who does which job and when.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use heap::boxed::Box;
use heap::collections::VecDeque;

use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure};

/// How many workers share the queue.
pub const WORKERS: usize = 3;
/// Most jobs that wait at a time.
pub const QUEUE_JOBS: usize = 16;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "workerpool",
    summary: "Sends n jobs through a queue to three workers that take turns on one thread, as `async` functions under \
              an executor of a few lines. State machines that are entered through a table, a little queueing, and \
              very little work in between: the price of concurrency where there are no threads.",
    default_n: 30_000,
    run: |host, n| run(host, n),
};

/// Has `n` jobs done. The check is as the module says.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let pool = Pool::default();
        let mut tasks: [Pin<Box<dyn Future<Output = ()> + '_>>; 1 + WORKERS] =
            [Box::pin(pool.produce(n)), Box::pin(pool.work()), Box::pin(pool.work()), Box::pin(pool.work())];
        run_to_end(&mut tasks);
        Ok(pool.check.get())
    })
}

struct Job {
    input: u64,
    rounds: u32,
}

#[derive(Default)]
struct Pool {
    queue: RefCell<VecDeque<Job>>,
    closed: Cell<bool>,
    check: Cell<u64>,
}

impl Pool {
    async fn produce(&self, n: u64) {
        let mut random = SplitMix64::new(SEED);
        for _ in 0..n {
            while self.queue.borrow().len() == QUEUE_JOBS {
                give_up_turn().await;
            }
            let job = Job { input: random.next_u64(), rounds: 1 + random.below(8) };
            self.queue.borrow_mut().push_back(job);
        }
        self.closed.set(true);
    }

    async fn work(&self) {
        loop {
            let job = self.queue.borrow_mut().pop_front();
            match job {
                Some(job) => {
                    let value = compute(job).await;
                    self.check.update(|check| check.wrapping_add(value));
                }
                None if self.closed.get() => return,
                None => give_up_turn().await,
            }
        }
    }
}

async fn compute(job: Job) -> u64 {
    let mut value = job.input;
    for _ in 0..job.rounds {
        value = SplitMix64::new(value).next_u64();
        give_up_turn().await;
    }
    value
}

/// Is not ready when asked first, and ready when asked again.
async fn give_up_turn() {
    let mut asked = false;
    poll_fn(|_| if core::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Polls those that are not done in turn. Nobody waits for anything but a turn, so there is nothing to wake.
fn run_to_end(tasks: &mut [Pin<Box<dyn Future<Output = ()> + '_>>; 1 + WORKERS]) {
    let mut context = Context::from_waker(Waker::noop());
    let mut is_done = [false; 1 + WORKERS];
    while is_done.contains(&false) {
        for (task, is_done) in tasks.iter_mut().zip(&mut is_done) {
            *is_done = *is_done || task.as_mut().poll(&mut context).is_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the same tasks as Python generators.
    #[test]
    fn known_checks() {
        for (n, expected) in
            [(0, 0), (1, 0x3337_54c5_9e92_fd31), (1000, 0xc97f_beb3_2a4a_bebc), (30_000, 0x560f_6493_370f_a32e)]
        {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
