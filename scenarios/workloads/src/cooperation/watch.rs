//! How long the workers of a pool wait between their turns.

use core::cell::{Cell, RefCell};

use crate::{Host, HostError};

/// Times one wait after the other, each of another worker, from the first to the last and again.
///
/// So the clock is read where a wait begins and where it ends and never between, and no wait is longer because it is
/// watched: two readings in every turn would make it longer by half. Of the time that passes, all but two turns of a
/// round is within a wait that is timed; and since nobody can pass another, all wait about as long, and what holds one
/// up holds up all.
pub struct Watch<'h, H: ?Sized> {
    host: RefCell<&'h mut H>,
    workers: usize,
    /// Whose wait is timed, or is to be timed next.
    watched: Cell<usize>,
    /// When that wait began, if it has.
    since_ns: Cell<Option<u64>>,
    longest_wait_ns: Cell<u64>,
}

impl<'h, H: Host + ?Sized> Watch<'h, H> {
    /// For a pool of so many workers.
    pub fn new(host: &'h mut H, workers: usize) -> Self {
        Self {
            host: RefCell::new(host),
            workers,
            watched: Cell::new(0),
            since_ns: Cell::new(None),
            longest_wait_ns: Cell::new(0),
        }
    }

    /// To be called first thing in a turn.
    ///
    /// # Errors
    /// If the host could not read the clock.
    pub fn arrive(&self, worker: usize) -> Result<(), HostError> {
        if worker == self.watched.get()
            && let Some(since_ns) = self.since_ns.take()
        {
            let wait_ns = self.now_ns()?.saturating_sub(since_ns);
            self.longest_wait_ns.update(|longest_ns| longest_ns.max(wait_ns));
            self.watched.set(if worker + 1 < self.workers { worker + 1 } else { 0 });
        }
        Ok(())
    }

    /// To be called last thing in a turn.
    ///
    /// # Errors
    /// If the host could not read the clock.
    pub fn leave(&self, worker: usize) -> Result<(), HostError> {
        if worker == self.watched.get() {
            self.since_ns.set(Some(self.now_ns()?));
        }
        Ok(())
    }

    /// The longest wait that was timed and has ended, in nanoseconds; 0 if there is none.
    pub fn longest_wait_ns(&self) -> u64 {
        self.longest_wait_ns.get()
    }

    fn now_ns(&self) -> Result<u64, HostError> {
        self.host.borrow_mut().clock_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CountingHost;

    /// The longest wait of so many workers that take turns, where each turn takes what `turn_ns` says of it, and a
    /// reading of the clock one nanosecond.
    fn longest_wait_ns(workers: usize, turns: usize, turn_ns: impl Fn(usize) -> u64) -> u64 {
        let mut host = CountingHost::default();
        let watch = Watch::new(&mut host, workers);
        for turn in 0..turns {
            let worker = turn % workers;
            watch.arrive(worker).expect("the host refuses nothing");
            watch.host.borrow_mut().sleep_ns(turn_ns(turn)).expect("the host refuses nothing");
            watch.leave(worker).expect("the host refuses nothing");
        }
        watch.longest_wait_ns()
    }

    #[test]
    fn a_wait_is_from_one_turn_to_the_next() {
        // Nobody comes twice.
        assert_eq!(longest_wait_ns(10, 10, |_| 100), 0);
        // Nothing but the hand-over from itself to itself.
        assert_eq!(longest_wait_ns(1, 10, |_| 100), 1);
        // The turns of the nine others, in which nobody reads the clock.
        assert_eq!(longest_wait_ns(10, 100, |_| 100), 9 * 100 + 1);
    }

    #[test]
    fn the_longest_wait_counts() {
        // The first worker waits less than those who wait for it.
        let greedy = |turn| if turn % 10 == 0 { 5000 } else { 100 };
        assert_eq!(longest_wait_ns(10, 20, greedy), 9 * 100 + 1);
        assert_eq!(longest_wait_ns(10, 100, greedy), 5000 + 8 * 100 + 1);
        // One of them was held up once, in the middle of somebody's wait.
        assert_eq!(longest_wait_ns(10, 100, |turn| if turn == 57 { 7000 } else { 100 }), 7000 + 8 * 100 + 1);
    }

    #[test]
    fn every_worker_is_watched() {
        let mut host = CountingHost::default();
        let watch = Watch::new(&mut host, 3);
        // Worker 2 is passed over in the end while the others take turns.
        for worker in [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 0, 1, 2] {
            watch.arrive(worker).expect("the host refuses nothing");
            watch.host.borrow_mut().sleep_ns(100).expect("the host refuses nothing");
            watch.leave(worker).expect("the host refuses nothing");
        }
        // Its wait is the third to be timed: it begins with the third time that the worker leaves.
        assert_eq!(watch.longest_wait_ns(), 6 * 100 + 1);
    }
}
