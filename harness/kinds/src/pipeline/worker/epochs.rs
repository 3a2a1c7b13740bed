//! Epochs of a thread's own processor time. By the clock on the wall a handler that waits for a processor would be cut off for what its
//! neighbours do: beside busy processes that happened to one good handler in a million events.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// Increments an engine's epoch until it is dropped.
pub(super) struct Epochs {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Epochs {
    /// An epoch passes when the thread that calls this has computed for `length`. At most one passes in that time on the wall, so between
    /// two of them lies at least `length` of processor time.
    ///
    /// # Errors
    /// When the system does not say how long a thread has computed.
    pub(super) fn start(engine: &Engine, length: Duration) -> io::Result<Self> {
        let clock = ThreadClock::of_this_thread()?;
        let mut last = clock.now()?;
        let over = Arc::new(AtomicBool::new(false));
        let (engine, stop) = (engine.clone(), Arc::clone(&over));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(length);
                // The thread is gone when its clock is; nothing is left to be cut off.
                let Ok(now) = clock.now() else { return };
                if now.saturating_sub(last) >= length {
                    engine.increment_epoch();
                    last = now;
                }
            }
        });
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It ends within an epoch; that it panicked would have been seen.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// How long one thread has computed, for others to read.
#[derive(Clone, Copy)]
struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    fn of_this_thread() -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread is alive, and the clock's number is written into a local variable.
        match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } {
            0 => Ok(Self(clock)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    fn now(self) -> io::Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time is written into a local variable; for a thread that is gone the call fails.
        if unsafe { libc::clock_gettime(self.0, &raw mut time) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Ok(Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Instance, Module, Store, Trap, TypedFunc};

    use super::*;

    const LENGTH: Duration = Duration::from_millis(20);

    fn loops_while(endless: bool) -> (Engine, Store<()>, TypedFunc<i32, ()>, i32) {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).expect("an engine");
        let text = r#"(module (func (export "f") (param i32) (loop (br_if 0 (local.get 0)))))"#;
        let module = Module::new(&engine, text).expect("a module");
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(2);
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let function = instance.get_typed_func(&mut store, "f").expect("it is exported");
        (engine, store, function, i32::from(endless))
    }

    #[test]
    fn whoever_waits_is_not_cut_off() {
        let (engine, mut store, function, argument) = loops_while(false);
        let _epochs = Epochs::start(&engine, LENGTH).expect("threads have clocks");
        thread::sleep(10 * LENGTH);
        function.call(&mut store, argument).expect("it has hardly computed");
    }

    #[test]
    fn whoever_computes_without_end_is() {
        let (engine, mut store, function, argument) = loops_while(true);
        let _epochs = Epochs::start(&engine, LENGTH).expect("threads have clocks");
        let error = function.call(&mut store, argument).expect_err("it never returns");
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }
}
