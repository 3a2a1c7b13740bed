//! Signs of life. The worker stores what it is doing into a shared page, and its parent looks at it from time to time: nobody
//! is woken for it, so it costs a store where a message would disturb what is being measured.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::MemfdFlags;
use wasiscope_ebpf_abi::Phase;

use super::limits::{self, Limit, LimitMet};
use super::shared::map_shared;
use wasiscope_sys::before_exec::inherited;
use wasiscope_sys::clock;

/// How much longer a pass may take while fuel is counted, which slows tight loops down by up to this factor.
pub const COUNTING_FUEL: u64 = 2;

/// The worker's side: what it stores.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat(&'static Shared);

/// The page, in words of which each is written whole.
#[derive(Debug, Default)]
#[repr(C)]
struct Shared {
    /// Passes that were begun.
    passes: AtomicU64,
    /// When the latest one was begun, on CLOCK_MONOTONIC.
    began_ns: AtomicU64,
    /// How many times as long as usual it may take.
    slowdown: AtomicU64,
    /// The phase it is in.
    phase: AtomicU64,
    /// The limits that its latest instance has met: see [`limits`].
    met: AtomicU64,
}

const WORDS: usize = size_of::<Shared>() / size_of::<u64>();

impl Heartbeat {
    /// Maps the page behind `fd`, an inherited descriptor, which is closed whatever the outcome.
    ///
    /// # Errors
    /// When the descriptor is not one of [`HeartbeatPage::fd`].
    pub fn mapped(fd: RawFd) -> io::Result<Self> {
        let fd = inherited(fd)?;
        // A mapping of less than that would end the process at its first store.
        if rustix::fs::fstat(&fd)?.st_size < i64::try_from(size_of::<Shared>()).unwrap_or(i64::MAX) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let base = map_shared(&fd, size_of::<Shared>())?;
        // SAFETY: the words were mapped, readable and writable, at the start of a page, and are never unmapped. Both sides
        // access them as whole words.
        Ok(Self(unsafe { &*base.cast::<Shared>() }))
    }

    /// One that nobody reads.
    pub fn private() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// A pass begins, which may take `slowdown` times the wall-clock limit.
    pub fn begin_pass(self, slowdown: u64) {
        self.0.began_ns.store(clock::monotonic_ns(), Ordering::Relaxed);
        self.0.slowdown.store(slowdown, Ordering::Relaxed);
        self.0.passes.fetch_add(1, Ordering::Release);
    }

    /// Notes that the worker is in this phase.
    #[inline]
    pub fn enter(self, phase: Phase) {
        self.0.phase.store(phase as u64, Ordering::Relaxed);
    }

    /// The phase that was noted last.
    pub fn phase(self) -> Phase {
        phase_of(self.0.phase.load(Ordering::Relaxed))
    }

    /// The guest has met a limit. May be called by a signal handler: all of it is atomic.
    pub fn meet(self, limit: Limit, phase: Phase) {
        // Who loses a race against a thread of the same guest tries again.
        let _ = self.0.met.try_update(Ordering::Relaxed, Ordering::Relaxed, |met| Some(limits::add(met, limit, phase)));
    }

    /// What is met from now on is met by another instance.
    pub fn forget_limits(self) {
        self.0.met.store(0, Ordering::Relaxed);
    }

    /// The limits that were met, with their phases.
    pub fn limits_met(self) -> Vec<LimitMet> {
        limits::met(self.0.met.load(Ordering::Relaxed))
    }

    /// From now on a write past the largest file that this process may make is noted here. The write itself fails as before.
    pub fn note_file_size_signals(self) {
        NOTED.store(std::ptr::from_ref(self.0).cast_mut(), Ordering::Release);
        let handler: extern "C" fn(libc::c_int) = note_file_size;
        // SAFETY: the handler only loads and stores atomics.
        unsafe { libc::signal(libc::SIGXFSZ, handler as libc::sighandler_t) };
    }
}

/// Where [`note_file_size`] notes it.
static NOTED: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn note_file_size(_: libc::c_int) {
    // SAFETY: null, or a page that is never unmapped.
    if let Some(shared) = unsafe { NOTED.load(Ordering::Acquire).as_ref() } {
        let heartbeat = Heartbeat(shared);
        heartbeat.meet(Limit::FileSize, heartbeat.phase());
    }
}

fn phase_of(word: u64) -> Phase {
    u8::try_from(word).ok().and_then(Phase::from_u8).unwrap_or(Phase::Outside)
}

/// What a worker was doing when its parent looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Passes that it had begun.
    pub passes: u64,
    /// When it began the latest one, on CLOCK_MONOTONIC.
    pub began_ns: u64,
    /// How many times as long as usual that one may take.
    pub slowdown: u32,
    /// The phase it was in.
    pub phase: Phase,
}

impl Beat {
    /// Before the worker has said anything.
    pub const NONE: Self = Self { passes: 0, began_ns: 0, slowdown: 1, phase: Phase::Spawn };

    /// How long its pass may take where an ordinary one may take `wall`.
    #[must_use]
    pub fn limit(&self, wall: Duration) -> Duration {
        wall.saturating_mul(self.slowdown)
    }
}

/// The parent's side. It reads by system calls and maps nothing, so a worker that cuts the page short does no harm.
#[derive(Debug)]
pub struct HeartbeatPage(File);

impl HeartbeatPage {
    /// A page for one worker.
    ///
    /// # Errors
    /// When the kernel has none to give.
    pub fn new() -> io::Result<Self> {
        let file = File::from(rustix::fs::memfd_create("wasiscope-heartbeat", MemfdFlags::CLOEXEC)?);
        file.set_len(size_of::<Shared>() as u64)?;
        Ok(Self(file))
    }

    /// What the worker is to inherit.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// What the worker is doing; [`Beat::NONE`] until it has begun a pass.
    #[must_use]
    pub fn read(&self) -> Beat {
        let Some([passes, began_ns, slowdown, phase, _]) = self.words() else { return Beat::NONE };
        if passes == 0 {
            return Beat { phase: phase_of(phase), ..Beat::NONE };
        }
        // No more than a worker of ours would say.
        let slowdown = u32::try_from(slowdown.clamp(1, COUNTING_FUEL)).unwrap_or(1);
        Beat { passes, began_ns, slowdown, phase: phase_of(phase) }
    }

    /// The limits that the worker's latest guest has met.
    #[must_use]
    pub fn limits_met(&self) -> Vec<LimitMet> {
        self.words().map_or_else(Vec::new, |[.., met]| limits::met(met))
    }

    fn words(&self) -> Option<[u64; WORDS]> {
        let mut bytes = [0; size_of::<Shared>()];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        let (words, _) = bytes.as_chunks();
        let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
        Some(std::array::from_fn(|_| words.next().unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{IntoRawFd, OwnedFd};

    use super::*;

    #[test]
    fn the_parent_reads_what_the_worker_stores() {
        let page = HeartbeatPage::new().unwrap();
        let heartbeat = Heartbeat::mapped(page.0.try_clone().unwrap().into_raw_fd()).unwrap();
        assert_eq!((page.read().passes, page.read().limit(Duration::from_secs(1))), (0, Duration::from_secs(1)));
        heartbeat.begin_pass(COUNTING_FUEL);
        heartbeat.enter(Phase::Compile);
        let beat = page.read();
        assert_eq!((beat.passes, beat.phase, beat.slowdown), (1, Phase::Compile, 2));
        assert!(beat.began_ns > 0 && heartbeat.phase() == Phase::Compile);
        heartbeat.begin_pass(1);
        assert_eq!((page.read().passes, page.read().slowdown), (2, 1));
    }

    #[test]
    fn a_worker_gone_astray_gets_no_more_time_and_does_no_harm() {
        let page = HeartbeatPage::new().unwrap();
        let heartbeat = Heartbeat::mapped(page.0.try_clone().unwrap().into_raw_fd()).unwrap();
        heartbeat.begin_pass(u64::MAX);
        assert_eq!(page.read().limit(Duration::from_secs(1)), Duration::from_secs(2));
        page.0.set_len(0).unwrap();
        assert_eq!(page.read(), Beat::NONE);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        assert!(Heartbeat::mapped(-1).is_err());
        let (reader, _writer) = io::pipe().unwrap();
        assert!(Heartbeat::mapped(OwnedFd::from(reader).into_raw_fd()).is_err());
    }
}
