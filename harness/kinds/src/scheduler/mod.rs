//! `kind: scheduler`: what happens when a guest sleeps, never yields, or is one of many.
//!
//! A case is an experiment ([`Experiment`]) and has no facts pass: its workers are like all others, unwatched and
//! watched in the same rounds, and send one iteration for each time they have done it, with what it measured by
//! metric. `worker/` has a file for each sort: guests that sleep, that never yield, that are many on a runtime of
//! tokio's, that have threads, that share their one thread among workers of their own (programs of the guests'
//! workspaces, which print what they measured). Everything happens in the phase `run`, so what the kernel charges
//! to it is theirs. Busy neighbours are processes of the same executable (`__busy`), started before a worker on its
//! processor and ended with it.

mod scenario;
mod tables;
mod worker;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use wasiscope_model::kind::Named;
use wasiscope_model::metrics::Metric;

use super::Kind;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    /// A guest that sleeps, again and again.
    Sleep {
        /// How long, in nanoseconds.
        duration_ns: u64,
        /// Whether another process wants the same processor meanwhile.
        busy: bool,
    },
    /// A guest that only reads the clock.
    Clock,
    /// A guest that never yields, stopped when its epoch is over.
    StopByEpoch {
        /// Nanoseconds of an epoch.
        tick_ns: u64,
    },
    /// A guest that never yields, stopped when its fuel is spent.
    StopByFuel,
    /// A guest that shares its one thread among workers of its own.
    Pool {
        /// How many workers.
        workers: u32,
        /// Whether one of them yields rarely.
        greedy: bool,
    },
    /// One guest with real threads on a shared memory.
    Threads(Together),
    /// Many guests on few threads, which yield because the engine makes them.
    Crowd {
        /// Guests that compute.
        guests: u32,
        /// Threads of the host.
        threads: u32,
        /// What makes them yield.
        yields: Yields,
    },
}

/// What threads of one guest do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Together {
    /// Two wake each other in turn.
    Wake,
    /// They want one lock, again and again.
    Lock,
    /// They share work that can be divided.
    Divide,
}

/// What makes a guest yield to others on its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Yields {
    /// The end of an epoch.
    Epoch,
    /// Fuel spent.
    Fuel,
}

/// How long guests sleep.
pub const SLEEPS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_micros(1),
    Duration::from_micros(50),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
];
/// How long epochs are.
pub const TICKS: [Duration; 3] = [Duration::from_micros(100), Duration::from_millis(1), Duration::from_millis(10)];
/// How many guests are a crowd.
pub const CROWDS: [u32; 4] = [1, 8, 64, 512];
/// How many workers share one guest.
pub const POOLS: [u32; 4] = [1, 8, 64, 1_000];
/// In how many of them one is greedy.
pub const GREEDY_POOLS: [u32; 2] = [8, 64];
/// The program with a pool, in the guests' workspaces.
pub const POOL_GUEST: &str = "cooperation";
/// On how many threads.
pub const THREADS: [u32; 2] = [1, 2];

/// The distance from the wanted end of a sleep to its end.
pub const OVERSLEEP: &str = "oversleep";
/// One reading of the clock.
pub const CLOCK_READ: &str = "clock.read";
/// The smallest step between two readings that differ.
pub const CLOCK_STEP: &str = "clock.step";
/// From the deadline to control in the host.
pub const PREEMPT: &str = "preempt";
/// From the call to control in the host: how long a guest that never yields has run.
pub const STOPPED_AFTER: &str = "stopped_after";
/// Jain's index of how far guests got in the same time: 1 for all the same, 1/n for one alone.
pub const FAIRNESS: &str = "fairness";
/// Work of all guests in a second, as a share of what one guest alone does.
pub const THROUGHPUT: &str = "throughput";
/// From the moment at which a guest that sleeps among computing ones should go on to the moment at which it does.
pub const LIGHT_LATENCY: &str = "light_latency";
/// From `memory.atomic.notify` on one thread to going on behind `memory.atomic.wait32` on the other.
pub const WAKE: &str = "wake";
/// One turn with a lock, on one thread and on two.
pub const LOCK: &str = "lock";
/// How much sooner divided work is done on two threads than on one.
pub const SPEED_UP: &str = "speed_up";
/// From one worker's yield to the next one's going on.
pub const HAND_OVER: &str = "hand_over";
/// A message and its answer between two workers.
pub const ROUND_TRIP: &str = "round_trip";
/// The longest that a worker waited for its turn.
pub const STARVATION: &str = "starvation";
/// What all workers of a guest do together.
pub const ITEMS: &str = "items_per_second";
/// Resident memory for each guest.
pub const MEMORY_EACH: &str = "memory.each";

impl Experiment {
    /// The first part of a case's id.
    #[must_use]
    pub fn workload(self) -> String {
        match self {
            Self::Sleep { duration_ns, busy } => {
                let busy = if busy { "-busy" } else { "" };
                format!("sleep-{}{busy}", short(duration_ns))
            }
            Self::Clock => "clock".to_owned(),
            Self::StopByEpoch { tick_ns } => format!("stop-epoch-{}", short(tick_ns)),
            Self::StopByFuel => "stop-fuel".to_owned(),
            Self::Pool { workers, greedy } => format!("pool-{workers}-{}", behaviour(greedy)),
            Self::Threads(together) => format!("threads-{}", together.name()),
            Self::Crowd { guests, threads, yields } => format!("crowd-{guests}-{}-{threads}t", yields.name()),
        }
    }

    /// The name of one of its metrics: with the duration that it is about, where there is one.
    #[must_use]
    pub fn metric(self, name: &str) -> String {
        match self {
            Self::Sleep { duration_ns, .. } => format!("{name}.{}", short(duration_ns)),
            Self::StopByEpoch { tick_ns } => format!("{name}.{}", short(tick_ns)),
            Self::StopByFuel => format!("{name}.fuel"),
            Self::Clock | Self::Pool { .. } | Self::Threads(_) | Self::Crowd { .. } => name.to_owned(),
        }
    }

    /// The guest that it runs, where that is not one of the catalogue's kind, in every flavour.
    #[must_use]
    pub const fn guest(self) -> &'static str {
        match self {
            Self::Pool { .. } => "",
            Self::Sleep { .. } | Self::Clock => SLEEPER,
            Self::StopByEpoch { .. } | Self::StopByFuel => SPINNER,
            Self::Threads(_) => THREADED,
            Self::Crowd { .. } => WORKER,
        }
    }

    /// What the guest is told.
    #[must_use]
    pub fn arguments(self) -> Vec<String> {
        match self {
            Self::Pool { workers, greedy } => vec![workers.to_string(), behaviour(greedy).to_owned()],
            _ => Vec::new(),
        }
    }

    /// Whether it needs a processor beside that of its guest.
    #[must_use]
    pub const fn needs_processors(self) -> bool {
        matches!(self, Self::StopByEpoch { .. } | Self::Threads(_) | Self::Crowd { .. })
    }

    /// Processes that want the same processor.
    #[must_use]
    pub const fn neighbours(self) -> u32 {
        match self {
            Self::Sleep { busy, .. } => busy as u32,
            _ => 0,
        }
    }
}

impl Together {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wake, Self::Lock, Self::Divide];

    /// The name in case ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Lock => "lock",
            Self::Divide => "divide",
        }
    }
}

impl Yields {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Epoch, Self::Fuel];

    /// The name in case ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Fuel => "fuel",
        }
    }
}

/// The kind of scenario.
#[derive(Debug)]
pub struct Scheduler;

impl Named for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }
}

impl Kind for Scheduler {
    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }
}

const METRICS: &[Metric] = &[
    Metric::lower(OVERSLEEP, "ns"),
    Metric::lower(CLOCK_READ, "ns"),
    Metric::lower(CLOCK_STEP, "ns"),
    Metric::lower(PREEMPT, "ns"),
    Metric::lower(STOPPED_AFTER, "ns"),
    Metric::higher(FAIRNESS, "index"),
    Metric::higher(THROUGHPUT, "ratio"),
    Metric::lower(LIGHT_LATENCY, "ns"),
    Metric::lower(WAKE, "ns"),
    Metric::lower(LOCK, "ns"),
    Metric::higher(SPEED_UP, "ratio"),
    Metric::lower(HAND_OVER, "ns"),
    Metric::lower(ROUND_TRIP, "ns"),
    Metric::lower(STARVATION, "ns"),
    Metric::higher(ITEMS, "1/s"),
    Metric::lower(MEMORY_EACH, "bytes"),
];

const fn behaviour(greedy: bool) -> &'static str {
    if greedy { "greedy" } else { "fair" }
}

/// `1ms`, `50us`, `0`.
fn short(duration_ns: u64) -> String {
    match duration_ns {
        0 => "0".to_owned(),
        ns if ns.is_multiple_of(1_000_000) => format!("{}ms", ns / 1_000_000),
        ns if ns.is_multiple_of(1_000) => format!("{}us", ns / 1_000),
        ns => format!("{ns}ns"),
    }
}

/// Jain's index of fairness (Jain, Chiu, Hawe 1984): (Σx)² / (n·Σx²). `None` when nobody got anywhere.
#[must_use]
pub fn jain(shares: &[f64]) -> Option<f64> {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), share| (sum + share, squares + share * share));
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

/// A guest that sleeps, or reads the clock, and keeps what the clock said: `sleep(times, nanoseconds)` puts `times` pairs of
/// readings of 64 bits each behind the first page, before and after each sleep; `clock(times)` single ones.
pub const SLEEPER: &str = r#"(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "_start"))
  ;; One subscription at 0: a clock, monotonic, relative; its answer at 64, the number of answers at 128.
  (func (export "sleep") (param $times i32) (param $ns i64)
    (local $at i32)
    (i32.store8 (i32.const 8) (i32.const 0))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (local.get $ns))
    (local.set $at (i32.const 65536))
    (loop $again
      (drop (call $clock (i32.const 1) (i64.const 1) (local.get $at)))
      (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)) (then unreachable))
      (drop (call $clock (i32.const 1) (i64.const 1) (i32.add (local.get $at) (i32.const 8))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
  (func (export "clock") (param $times i32)
    (local $at i32)
    (local.set $at (i32.const 65536))
    (loop $again
      (drop (call $clock (i32.const 1) (i64.const 1) (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))
"#;

/// Where the sleeper's readings lie.
pub const READINGS_AT: usize = 65536;

/// A guest that never yields: `spin`, and `mark_and_spin`, which says first that it begins.
pub const SPINNER: &str = r#"(module
  (import "host" "mark" (func $mark))
  (func $spin (export "spin") (loop $again (br $again)))
  (func (export "mark_and_spin") (call $mark) (call $spin)))
"#;

/// One of many: `work(slot)` counts for ever in its own line of a memory that all share; `wait` mostly waits.
pub const WORKER: &str = r#"(module
  (import "host" "counts" (memory 2 2 shared))
  (import "host" "wait" (func $wait))
  (memory (export "memory") 1)
  (func (export "work") (param $slot i32)
    (local $at i32)
    (local.set $at (i32.mul (local.get $slot) (i32.const 64)))
    (loop $again
      (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (i64.const 1)))
      (br $again)))
  (func (export "wait") (loop $again (call $wait) (br $again))))
"#;

/// A guest with threads, by the ABI of wasi-threads: the host gives `thread-spawn`, each thread begins in `wasi_thread_start`.
///
/// `wake(rounds)` puts the nanoseconds of each round, two wake-ups, behind the first page; `lock(turns, threads)` and
/// `divide(work, threads)` give nanoseconds. The count behind the lock is given by `counted`.
pub const THREADED: &str = r#"(module
  (import "host" "memory" (memory 4 4 shared))
  (import "host" "now" (func $now (result i64)))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  ;; Words, each on a line of its own: ping at 0, pong at 64, the lock at 128, what it guards at 192, threads done at 256.
  (func $wait_for (param $at i32) (param $value i32)
    (local $seen i32)
    (loop $again
      (if (i32.ne (local.tee $seen (i32.atomic.load (local.get $at))) (local.get $value))
        (then
          (drop (memory.atomic.wait32 (local.get $at) (local.get $seen) (i64.const -1)))
          (br $again)))))
  (func $set (param $at i32) (param $value i32)
    (i32.atomic.store (local.get $at) (local.get $value))
    (drop (memory.atomic.notify (local.get $at) (i32.const 1))))
  (func $pong (param $rounds i32)
    (local $round i32)
    (loop $next
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (call $wait_for (i32.const 0) (local.get $round))
      (call $set (i32.const 64) (local.get $round))
      (br_if $next (i32.lt_u (local.get $round) (local.get $rounds)))))
  (func $count (param $turns i32)
    (loop $next
      (loop $again
        (if (i32.atomic.rmw.cmpxchg (i32.const 128) (i32.const 0) (i32.const 1))
          (then
            (drop (memory.atomic.wait32 (i32.const 128) (i32.const 1) (i64.const -1)))
            (br $again))))
      ;; Not atomic: the lock is what makes it right.
      (i32.store (i32.const 192) (i32.add (i32.load (i32.const 192)) (i32.const 1)))
      (call $set (i32.const 128) (i32.const 0))
      (br_if $next (local.tee $turns (i32.sub (local.get $turns) (i32.const 1))))))
  (global $sink (mut i32) (i32.const 0))
  (func $work (param $steps i32)
    (local $value i32)
    (local.set $value (i32.const 1))
    (loop $next
      (local.set $value (i32.mul (i32.xor (local.get $value) (local.get $steps)) (i32.const 0x9E3779B1)))
      (br_if $next (local.tee $steps (i32.sub (local.get $steps) (i32.const 1)))))
    (global.set $sink (local.get $value)))
  ;; What a thread does is in the upper byte of its argument, how often in the others.
  (func (export "wasi_thread_start") (param $thread i32) (param $what i32)
    (local $times i32)
    (local.set $times (i32.and (local.get $what) (i32.const 0xFFFFFF)))
    (block $done
      (block $divide
        (block $lock
          (block $wake (br_table $wake $lock $divide (i32.shr_u (local.get $what) (i32.const 24))))
          (call $pong (local.get $times))
          (br $done))
        (call $count (local.get $times))
        (br $done))
      (call $work (i32.mul (local.get $times) (i32.const 1024))))
    (drop (i32.atomic.rmw.add (i32.const 256) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 256) (i32.const 1))))
  (func $begin (param $what i32) (param $times i32)
    (i32.atomic.store (i32.const 256) (i32.const 0))
    (if (i32.lt_s (call $spawn (i32.or (i32.shl (local.get $what) (i32.const 24)) (local.get $times))) (i32.const 0))
      (then unreachable)))
  (func (export "wake") (param $rounds i32)
    (local $round i32) (local $from i64)
    (i32.atomic.store (i32.const 0) (i32.const 0))
    (i32.atomic.store (i32.const 64) (i32.const 0))
    (call $begin (i32.const 0) (local.get $rounds))
    (loop $next
      (local.set $round (i32.add (local.get $round) (i32.const 1)))
      (local.set $from (call $now))
      (call $set (i32.const 0) (local.get $round))
      (call $wait_for (i32.const 64) (local.get $round))
      (i64.store (i32.add (i32.const 65528) (i32.mul (local.get $round) (i32.const 8)))
        (i64.sub (call $now) (local.get $from)))
      (br_if $next (i32.lt_u (local.get $round) (local.get $rounds))))
    (call $wait_for (i32.const 256) (i32.const 1)))
  (func (export "lock") (param $turns i32) (param $threads i32) (result i64)
    (local $from i64)
    (i32.store (i32.const 192) (i32.const 0))
    (local.set $from (call $now))
    (if (i32.gt_u (local.get $threads) (i32.const 1))
      (then (call $begin (i32.const 1) (local.get $turns))))
    (call $count (local.get $turns))
    (if (i32.gt_u (local.get $threads) (i32.const 1))
      (then (call $wait_for (i32.const 256) (i32.const 1))))
    (i64.sub (call $now) (local.get $from)))
  (func (export "counted") (result i32) (i32.atomic.load (i32.const 192)))
  (func (export "divide") (param $work i32) (param $threads i32) (result i64)
    (local $from i64)
    (local.set $from (call $now))
    (if (i32.gt_u (local.get $threads) (i32.const 1))
      (then
        (local.set $work (i32.shr_u (local.get $work) (i32.const 1)))
        (call $begin (i32.const 2) (local.get $work))))
    (call $work (i32.mul (local.get $work) (i32.const 1024)))
    (if (i32.gt_u (local.get $threads) (i32.const 1))
      (then (call $wait_for (i32.const 256) (i32.const 1))))
    (i64.sub (call $now) (local.get $from))))
"#;

/// Bytes of the memory that all workers share: a line of 64 for each of the largest crowd, and for the one that waits.
pub const COUNT_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_can_be_read() {
        for text in [SLEEPER, SPINNER, WORKER, THREADED] {
            wat::parse_str(text).expect("valid text");
        }
    }

    #[test]
    fn cases_and_metrics_bear_their_durations() {
        let sleep = Experiment::Sleep { duration_ns: 50_000, busy: true };
        assert_eq!((sleep.workload(), sleep.metric(OVERSLEEP)), ("sleep-50us-busy".into(), "oversleep.50us".into()));
        let stop = Experiment::StopByEpoch { tick_ns: 10_000_000 };
        assert_eq!((stop.workload(), stop.metric(PREEMPT)), ("stop-epoch-10ms".into(), "preempt.10ms".into()));
        let crowd = Experiment::Crowd { guests: 8, threads: 2, yields: Yields::Fuel };
        assert_eq!((crowd.workload(), crowd.metric(FAIRNESS)), ("crowd-8-fuel-2t".into(), "fairness".into()));
    }

    #[test]
    fn jains_index_is_one_for_equals_and_one_nth_for_one_alone() {
        assert_eq!(jain(&[5.0; 7]), Some(1.0));
        assert_eq!(jain(&[3.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!(jain(&[0.0, 0.0]), None);
        let greedy = jain(&[10.0, 1.0, 1.0, 1.0]).expect("somebody got somewhere");
        assert!((greedy - 169.0 / 412.0).abs() < 1e-12);
    }
}
