//! How long a worker may go on: a pass may take as long as the wall-clock limit says, and its heartbeat tells when one begins.

use std::time::{Duration, Instant};

use super::Stuck;
use wasiscope_sys::clock;
use wasiscope_worker::heartbeat::{Beat, HeartbeatPage};

/// How often a waiting parent looks at its worker.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// What is known of a worker's latest pass.
pub(super) struct Patience<'a> {
    page: &'a HeartbeatPage,
    wall: Duration,
    latest: Beat,
    /// When the latest pass began, or the latest message came.
    began: Instant,
    /// When it was first seen in the phase it is in.
    in_phase_since: Instant,
}

impl<'a> Patience<'a> {
    /// With a worker that has just been started.
    pub(super) fn new(page: &'a HeartbeatPage, wall: Duration) -> Self {
        let now = Instant::now();
        Self { page, wall, latest: Beat::NONE, began: now, in_phase_since: now }
    }

    /// How long to wait before looking again.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let deadline = self.began.checked_add(self.latest.limit(self.wall));
        deadline.map_or(POLL, |deadline| deadline.saturating_duration_since(now).min(POLL))
    }

    /// A message came, which is a sign of life like a new pass.
    pub(super) fn heard(&mut self) {
        self.began = Instant::now();
        self.in_phase_since = self.began;
    }

    /// The parent itself was stopped for so long (Ctrl-Z): the worker may have done anything meanwhile.
    pub(super) fn was_away(&mut self, away: Duration) {
        self.began = self.began.checked_add(away).unwrap_or(self.began);
    }

    /// Looks at the heartbeat; where the worker is stuck when its time is up.
    pub(super) fn look(&mut self) -> Option<Stuck> {
        let beat = self.page.read();
        let age = Duration::from_nanos(clock::monotonic_ns().saturating_sub(beat.began_ns));
        self.see(beat, Instant::now(), age)
    }

    /// What follows from a beat that is seen now, of a pass of this age.
    fn see(&mut self, beat: Beat, now: Instant, age: Duration) -> Option<Stuck> {
        if beat.passes != self.latest.passes {
            // It began between the last look and this one.
            self.began = now.checked_sub(age.min(POLL)).unwrap_or(now);
            self.in_phase_since = self.began;
        } else if beat.phase != self.latest.phase {
            self.in_phase_since = now;
        }
        self.latest = beat;
        let limit = beat.limit(self.wall);
        let in_phase = now.saturating_duration_since(self.in_phase_since);
        (now.saturating_duration_since(self.began) >= limit).then_some(Stuck { phase: beat.phase, in_phase, limit })
    }
}

#[cfg(test)]
mod tests {
    use wasiscope_ebpf_abi::Phase;

    use super::*;

    const WALL: Duration = Duration::from_secs(10);

    fn beat(passes: u64, slowdown: u32, phase: Phase) -> Beat {
        Beat { passes, began_ns: 0, slowdown, phase }
    }

    #[test]
    fn every_pass_has_the_whole_limit() {
        let page = HeartbeatPage::new().unwrap();
        let mut patience = Patience::new(&page, WALL);
        let start = patience.began;
        let mut at = |seconds, beat| patience.see(beat, start + Duration::from_secs(seconds), Duration::ZERO);
        assert_eq!(at(9, beat(1, 1, Phase::Compile)), None);
        assert_eq!(at(18, beat(2, 1, Phase::Run)), None);
        assert_eq!(at(27, beat(3, 2, Phase::Run)), None, "twice as long while fuel is counted");
        let stuck = at(47, beat(3, 2, Phase::Run));
        assert_eq!(stuck, Some(Stuck { phase: Phase::Run, in_phase: 2 * WALL, limit: 2 * WALL }));
    }

    #[test]
    fn what_counts_is_the_phase_it_is_in_at_the_end() {
        let page = HeartbeatPage::new().unwrap();
        let mut patience = Patience::new(&page, WALL);
        let start = patience.began;
        let mut at =
            |seconds, phase| patience.see(beat(1, 1, phase), start + Duration::from_secs(seconds), Duration::ZERO);
        assert_eq!(at(0, Phase::Compile), None);
        assert_eq!(at(6, Phase::Run), None);
        let stuck = at(10, Phase::Run);
        assert_eq!(stuck, Some(Stuck { phase: Phase::Run, in_phase: Duration::from_secs(4), limit: WALL }));
    }

    #[test]
    fn a_parent_that_was_stopped_does_not_take_it_out_on_the_worker() {
        let page = HeartbeatPage::new().unwrap();
        let mut patience = Patience::new(&page, WALL);
        let start = patience.began;
        patience.was_away(Duration::from_secs(3600));
        let stuck = patience.see(beat(0, 1, Phase::Run), start + Duration::from_secs(3605), Duration::ZERO);
        assert_eq!(stuck, None);
    }
}
