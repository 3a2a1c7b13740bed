//! The signals that a trap comes from, as this process sees them: the other witness beside the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use wasmtime::Store;
use wasmtime::unix::StoreExt;

/// The signals since the last look.
#[derive(Debug, Default)]
pub(super) struct Signals {
    count: AtomicU64,
    number: AtomicI32,
    address: AtomicU64,
}

/// What was seen of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many.
    pub(super) count: u64,
    /// The last one's number.
    pub(super) number: i32,
    /// The address that it is about.
    pub(super) address: u64,
}

impl Signals {
    /// Looks on, for as long as the store lives; wasmtime handles them as ever.
    pub(super) fn of<T: 'static>(store: &mut Store<T>) -> Arc<Self> {
        let signals = Arc::new(Self::default());
        let seen = Arc::clone(&signals);
        let handler = move |number: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void| {
            seen.count.fetch_add(1, Ordering::Relaxed);
            seen.number.store(number, Ordering::Relaxed);
            // SAFETY: the kernel hands a valid `siginfo_t` to every handler; for signals of faults it has an address.
            let address = unsafe { (*info).si_addr() };
            seen.address.store(address as u64, Ordering::Relaxed);
            // Not dealt with: the next handler is wasmtime's own.
            false
        };
        // SAFETY: the handler stores three words and does nothing else, which may be done in a signal handler.
        unsafe { store.set_signal_handler(handler) };
        signals
    }

    /// What has been since the last call.
    pub(super) fn take(&self) -> Seen {
        Seen {
            count: self.count.swap(0, Ordering::Relaxed),
            number: self.number.load(Ordering::Relaxed),
            address: self.address.load(Ordering::Relaxed),
        }
    }
}
