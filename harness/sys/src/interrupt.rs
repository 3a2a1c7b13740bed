//! Ctrl-C (SIGINT) and SIGTERM ask the run to stop in order. One that follows within a second is taken for the same request: `timeout`
//! and some shells signal both the process and its group. A later one ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock;

/// How long a further signal counts as the same request.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Exit status of a process that was ended at once.
const FORCED: i32 = 130;

/// Whether a signal has asked this process to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether a signal has asked this process to stop, for what is too deep to be told.
#[must_use]
pub fn is_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Set once the user wants the run to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that the signals SIGINT and SIGTERM raise.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let raised = Self::default();
        let request = Arc::new(Request::default());
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let (flag, request) = (Arc::clone(&raised.0), Arc::clone(&request));
            let handler = move || match request.at(clock::monotonic_ns()) {
                Asked::First => {
                    flag.store(true, Ordering::Relaxed);
                    ASKED.store(true, Ordering::Relaxed);
                }
                Asked::Again => {}
                Asked::Insisting => signal_hook::low_level::exit(FORCED),
            };
            // SAFETY: the handler only reads a clock, uses atomics and calls `_exit`, all of which a signal handler may do.
            unsafe { signal_hook::low_level::register(signal, handler)? };
        }
        Ok(raised)
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks the run to stop, as a signal would.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// When the run was first asked to stop, in nanoseconds; 0 before that.
#[derive(Debug, Default)]
struct Request(AtomicU64);

/// What a signal means.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    First,
    /// The same request once more.
    Again,
    /// The user does not want to wait.
    Insisting,
}

impl Request {
    fn at(&self, now_ns: u64) -> Asked {
        match self.0.compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Asked::First,
            Err(first_ns) if Duration::from_nanos(now_ns.saturating_sub(first_ns)) < SAME_REQUEST => Asked::Again,
            Err(_) => Asked::Insisting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_within_a_second_is_the_same_request() {
        let (request, second) = (Request::default(), 1_000_000_000);
        assert_eq!(request.at(5), Asked::First);
        assert_eq!(request.at(5), Asked::Again);
        assert_eq!(request.at(4 + second), Asked::Again);
        assert_eq!(request.at(5 + second), Asked::Insisting);
    }
}
