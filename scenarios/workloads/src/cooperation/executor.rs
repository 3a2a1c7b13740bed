//! A cooperative executor: tasks on one thread, which run in the order in which they were woken.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll, Waker};

use heap::boxed::Box;
use heap::sync::Arc;
use heap::task::Wake;
use heap::vec::Vec;

use crate::HostError;

/// What the executor runs. The first that fails ends all of them.
pub type Task<'a> = Pin<Box<dyn Future<Output = Result<(), HostError>> + 'a>>;

/// Tasks, and which of them are to run next.
pub struct Executor<'a> {
    /// By index; `None` once a task is done.
    tasks: Vec<Option<Task<'a>>>,
    wakers: Vec<Waker>,
    queue: Arc<RunQueue>,
}

impl<'a> Executor<'a> {
    /// Takes the tasks, all of them to run once, in this order.
    #[inline]
    pub fn new(tasks: Vec<Task<'a>>) -> Self {
        let queue = Arc::new(RunQueue::new(tasks.len()));
        let waker = |index| Waker::from(Arc::new(Handle { index, queue: Arc::clone(&queue) }));
        let wakers: Vec<Waker> = (0..tasks.len()).map(waker).collect();
        wakers.iter().for_each(Waker::wake_by_ref);
        Self { tasks: tasks.into_iter().map(Some).collect(), wakers, queue }
    }

    /// Runs until all tasks are done.
    ///
    /// # Errors
    /// That of the first task to fail; or when those that are left all wait and nobody is there to wake them.
    #[inline]
    pub fn run(mut self) -> Result<(), HostError> {
        while let Some(index) = self.queue.pop() {
            // A task that is done may have been woken nevertheless.
            let (Some(place), Some(waker)) = (self.tasks.get_mut(index), self.wakers.get(index)) else { continue };
            let Some(task) = place else { continue };
            if let Poll::Ready(outcome) = task.as_mut().poll(&mut Context::from_waker(waker)) {
                *place = None;
                outcome?;
            }
        }
        if self.tasks.iter().any(Option::is_some) {
            return Err(HostError { operation: "waking the tasks that are left", errno: None });
        }
        Ok(())
    }
}

/// Lets all tasks run that were woken before, then goes on.
#[inline]
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if core::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What a waker is made of: whose it is, and where to say so.
struct Handle {
    index: usize,
    queue: Arc<RunQueue>,
}

impl Wake for Handle {
    #[inline]
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    #[inline]
    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.push(self.index);
    }
}

/// The indexes of the tasks that are to run, the one woken first in front: a ring with room for each of them once.
///
/// There is one thread. The atomics are for the compiler, since a waker may go anywhere, and are read and written like
/// ordinary memory: from several threads a wake-up could get lost, and nothing worse.
struct RunQueue {
    ring: Box<[AtomicUsize]>,
    /// Whether a task is in the ring, by its index: to be woken twice is to run once.
    is_queued: Box<[AtomicBool]>,
    /// The place in front.
    first: AtomicUsize,
    /// How many there are.
    len: AtomicUsize,
}

impl RunQueue {
    #[inline]
    fn new(tasks: usize) -> Self {
        Self {
            ring: (0..tasks).map(|_| AtomicUsize::new(0)).collect(),
            is_queued: (0..tasks).map(|_| AtomicBool::new(false)).collect(),
            first: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn push(&self, index: usize) {
        let Some(is_queued) = self.is_queued.get(index) else { return };
        if is_queued.load(Relaxed) {
            return;
        }
        is_queued.store(true, Relaxed);
        let len = self.len.load(Relaxed);
        if let Some(place) = self.ring.get(self.wrapped(self.first.load(Relaxed) + len)) {
            place.store(index, Relaxed);
            self.len.store(len + 1, Relaxed);
        }
    }

    #[inline]
    fn pop(&self) -> Option<usize> {
        let len = self.len.load(Relaxed).checked_sub(1)?;
        let first = self.first.load(Relaxed);
        let index = self.ring.get(first)?.load(Relaxed);
        self.first.store(self.wrapped(first + 1), Relaxed);
        self.len.store(len, Relaxed);
        self.is_queued.get(index)?.store(false, Relaxed);
        Some(index)
    }

    /// The place in the ring, of one that is less than twice around. Without the division of a remainder, which would
    /// take longer than all the rest.
    #[inline]
    fn wrapped(&self, place: usize) -> usize {
        if place < self.ring.len() { place } else { place - self.ring.len() }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::{Cell, RefCell};
    use heap::string::String;
    use heap::vec;

    use super::*;

    #[test]
    fn tasks_take_turns_in_the_order_of_waking() {
        let order = RefCell::new(String::new());
        let say = |name: char, turns: usize| {
            let order = &order;
            async move {
                for _ in 0..turns {
                    order.borrow_mut().push(name);
                    yield_now().await;
                }
                Ok(())
            }
        };
        let tasks: Vec<Task<'_>> = vec![Box::pin(say('a', 3)), Box::pin(say('b', 1)), Box::pin(say('c', 2))];
        assert_eq!(Executor::new(tasks).run(), Ok(()));
        assert_eq!(order.into_inner(), "abcaca");
    }

    #[test]
    fn the_first_error_ends_all() {
        let error = HostError { operation: "test", errno: Some(7) };
        let others = Cell::new(0);
        let endless = async {
            loop {
                others.update(|turns| turns + 1);
                yield_now().await;
            }
        };
        let failing = async {
            yield_now().await;
            Err(error)
        };
        let tasks: Vec<Task<'_>> = vec![Box::pin(endless), Box::pin(failing)];
        assert_eq!(Executor::new(tasks).run(), Err(error));
        assert_eq!(others.get(), 2);
    }

    #[test]
    fn waiting_for_nobody_is_an_error() {
        let tasks: Vec<Task<'_>> = vec![Box::pin(async { Ok(()) }), Box::pin(core::future::pending())];
        assert!(Executor::new(tasks).run().is_err());
    }

    #[test]
    fn to_be_woken_twice_is_to_run_once() {
        let polls = Cell::new(0);
        let task = poll_fn(|context| {
            polls.update(|polls| polls + 1);
            if polls.get() == 3 {
                return Poll::Ready(Ok(()));
            }
            let waker = context.waker().clone();
            context.waker().wake_by_ref();
            waker.wake();
            Poll::Pending
        });
        let mut kept = None;
        let keeper = poll_fn(|context| {
            kept = Some(context.waker().clone());
            Poll::Ready(Ok(()))
        });
        let tasks: Vec<Task<'_>> = vec![Box::pin(task), Box::pin(keeper)];
        assert_eq!(Executor::new(tasks).run(), Ok(()));
        assert_eq!(polls.get(), 3);
        // Nobody listens to this one any more, but it is still a waker.
        kept.expect("the keeper has run").wake();
    }
}
