//! Ctrl-C and SIGTERM ask the run to stop; a second one ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // The order matters: a second signal finds the flag set by the first and exits.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&raised.0))?;
            signal_hook::flag::register(signal, Arc::clone(&raised.0))?;
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
