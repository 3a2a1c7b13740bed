//! Workers that take items from one queue, in turn.
//!
//! A pool runs twice, and its workers a third time without items, in [`hand_over`]. In the first run nobody reads the
//! clock between start and end: a reading is a call of the host that takes a quarter as long as an item or more, so
//! throughput would be that of the clock. What each worker has done is counted in this run. The second is for the
//! waits, which [`Watch`] times.

use core::cell::{Cell, RefCell};
use core::hint::black_box;

use heap::boxed::Box;
use heap::collections::VecDeque;
use heap::vec;
use heap::vec::Vec;

use super::executor::{Executor, Task, yield_now};
use super::hand_over::hand_over;
use super::watch::Watch;
use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, to_len};

/// Most workers in a pool.
pub const MAX_WORKERS: u64 = 1000;
/// How many items the greedy worker does before it yields.
pub const GREEDY_ITEMS: u64 = 50;
/// Steps of SplitMix64 per item, each on what came of the one before: a few hundred nanoseconds in all.
const ITEM_STEPS: u32 = 100;
/// About how many items are done in a run, whatever the workers: enough for 19 turns of each of [`MAX_WORKERS`].
const ITEMS: u64 = 20_000;
/// How many items are in the queue. One worker has one item at a time, so one would do; but then it would be no queue.
const QUEUE_ITEMS: usize = 16;

/// What came of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolFigures {
    /// From when one worker yields until the next one runs: 200 samples in the order in which they were taken, each the
    /// nanoseconds that [`HAND_OVERS_PER_SAMPLE`](super::HAND_OVERS_PER_SAMPLE) hand-overs took together.
    pub hand_overs_ns: Vec<u64>,
    /// Jain's index of the items that the workers did, in millionths: 1,000,000 if all did as many, and that divided by
    /// the number of workers if one did all.
    pub fairness_millionths: u64,
    /// The longest time that any worker waited between two of its turns, in nanoseconds, of those waits that were
    /// timed: one after the other, of all workers in turn.
    pub starvation_ns: u64,
    /// Items per second, of all workers together.
    pub throughput_per_s: u64,
}

/// Has `workers` workers take turns. Each does one item per turn, but the first [`GREEDY_ITEMS`] if it is `greedy`.
///
/// # Errors
/// If there is no worker or more than [`MAX_WORKERS`], or if the host could not read the clock.
pub fn pool<H: Host + ?Sized>(host: &mut H, workers: u64, greedy: bool) -> Result<PoolFigures, HostError> {
    if !(1..=MAX_WORKERS).contains(&workers) {
        return Err(HostError { operation: "making a pool of so many workers", errno: None });
    }
    let plan = Plan::new(workers, greedy);
    let untimed = Pool::<H>::new(plan, None)?;
    let executor = Executor::new(untimed.tasks());
    let start_ns = host.clock_ns()?;
    executor.run()?;
    let elapsed_ns = host.clock_ns()?.saturating_sub(start_ns);
    let items: Vec<u64> = untimed.items.iter().map(Cell::get).collect();

    let watch = Watch::new(host, items.len());
    Executor::new(Pool::new(plan, Some(&watch))?.tasks()).run()?;
    let starvation_ns = watch.longest_wait_ns();

    Ok(PoolFigures {
        hand_overs_ns: hand_over(host, items.len())?,
        fairness_millionths: jain_millionths(&items),
        starvation_ns,
        throughput_per_s: items.iter().sum::<u64>() * 1_000_000_000 / elapsed_ns.max(1),
    })
}

/// Jain's index in millionths, rounded: (Σx)² / (n Σx²). Where there is nothing, nobody got less than others.
///
/// Correct for sums up to four million, two hundred times what a pool comes to.
#[inline]
fn jain_millionths(items: &[u64]) -> u64 {
    let sum: u64 = items.iter().sum();
    let divisor = items.iter().map(|items| items * items).sum::<u64>() * items.len() as u64;
    (sum * sum * 1_000_000 + divisor / 2).checked_div(divisor).unwrap_or(1_000_000)
}

/// How long a run is.
#[derive(Clone, Copy, Debug)]
struct Plan {
    workers: u64,
    /// How many items the first worker does per turn.
    first_items: u64,
    /// How many turns there are, of all workers together.
    turns: u64,
}

impl Plan {
    /// Whole rounds of all workers: whoever takes turns strictly is perfectly fair. As many as make [`ITEMS`], so that
    /// neither more workers nor a greedy one make the run longer.
    #[inline]
    fn new(workers: u64, greedy: bool) -> Self {
        let first_items = if greedy { GREEDY_ITEMS } else { 1 };
        let rounds = ITEMS / (workers - 1 + first_items);
        Self { workers, first_items, turns: rounds * workers }
    }
}

/// One run of a pool: what its workers share.
struct Pool<'w, 'h, H: ?Sized> {
    plan: Plan,
    /// What is to be done. Never empty: what comes of an item is the next one at its end.
    queue: RefCell<VecDeque<u64>>,
    turns: Cell<u64>,
    /// How many items each worker has done.
    items: Vec<Cell<u64>>,
    watch: Option<&'w Watch<'h, H>>,
}

impl<'w, 'h, H: Host + ?Sized> Pool<'w, 'h, H> {
    fn new(plan: Plan, watch: Option<&'w Watch<'h, H>>) -> Result<Self, HostError> {
        let mut random = SplitMix64::new(SEED);
        Ok(Self {
            plan,
            queue: RefCell::new((0..QUEUE_ITEMS).map(|_| random.next_u64()).collect()),
            turns: Cell::new(0),
            items: vec![Cell::new(0); to_len(plan.workers)?],
            watch,
        })
    }

    /// The workers, about to begin.
    fn tasks(&self) -> Vec<Task<'_>> {
        let task = |(worker, items)| -> Task<'_> {
            let items_per_turn = if worker == 0 { self.plan.first_items } else { 1 };
            Box::pin(self.work(worker, items, items_per_turn))
        };
        self.items.iter().enumerate().map(task).collect()
    }

    /// A worker, which takes turns for as long as there are any, whoever took the others.
    async fn work(&self, worker: usize, items: &Cell<u64>, items_per_turn: u64) -> Result<(), HostError> {
        loop {
            let turn = self.turns.get();
            if turn == self.plan.turns {
                return Ok(());
            }
            self.turns.set(turn + 1);
            if let Some(watch) = self.watch {
                watch.arrive(worker)?;
            }
            for _ in 0..items_per_turn {
                self.do_item();
                items.update(|items| items + 1);
            }
            if let Some(watch) = self.watch {
                watch.leave(worker)?;
            }
            yield_now().await;
        }
    }

    /// Takes the oldest item, works, and leaves what came of it.
    fn do_item(&self) {
        let mut queue = self.queue.borrow_mut();
        if let Some(item) = queue.pop_front() {
            let mut value = black_box(item);
            for _ in 0..ITEM_STEPS {
                value = SplitMix64::new(value).next_u64();
            }
            queue.push_back(black_box(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CountingHost;

    fn figures(workers: u64, greedy: bool) -> PoolFigures {
        pool(&mut CountingHost::default(), workers, greedy).expect("the host refuses nothing")
    }

    #[test]
    fn who_takes_turns_strictly_is_perfectly_fair() {
        for workers in [1, 2, 10, 16, 17, 64, 999, 1000] {
            assert_eq!(figures(workers, false).fairness_millionths, 1_000_000, "{workers} workers");
        }
    }

    /// With one worker that does 50 items for each one of the others the index follows from the definition.
    #[test]
    fn a_greedy_worker_is_unfair() {
        for (workers, expected) in [(1, 1_000_000), (2, 519_992), (10, 138_741), (64, 77_845), (1000, 314_490)] {
            let fairness = figures(workers, true).fairness_millionths;
            assert_eq!(fairness, expected, "{workers} workers");
        }
    }

    #[test]
    fn runs_are_about_as_long_for_any_number_of_workers() {
        for greedy in [false, true] {
            for workers in 1..=MAX_WORKERS {
                let plan = Plan::new(workers, greedy);
                let rounds = plan.turns / workers;
                assert_eq!(plan.turns % workers, 0);
                assert!(rounds >= 19);
                let items = rounds * (workers - 1 + plan.first_items);
                assert!((19_000..=ITEMS).contains(&items), "{workers} workers do {items} items");
            }
        }
    }

    #[test]
    fn throughput_is_items_per_second() {
        // The clock of this host says that a run without readings takes one nanosecond.
        assert_eq!(figures(10, false).throughput_per_s, ITEMS * 1_000_000_000);
    }

    #[test]
    fn there_is_no_pool_of_nobody_or_of_a_crowd() {
        for workers in [0, MAX_WORKERS + 1, u64::MAX] {
            assert!(pool(&mut CountingHost::default(), workers, false).is_err());
        }
    }

    #[test]
    fn the_index_is_that_of_jain() {
        assert_eq!(jain_millionths(&[]), 1_000_000);
        assert_eq!(jain_millionths(&[0, 0]), 1_000_000);
        assert_eq!(jain_millionths(&[7]), 1_000_000);
        assert_eq!(jain_millionths(&[1, 0, 0, 0]), 250_000);
        // 36 / 42, which ends in …142857….
        assert_eq!(jain_millionths(&[1, 2, 3]), 857_143);
        assert_eq!(jain_millionths(&[4_000_000]), 1_000_000);
    }
}
