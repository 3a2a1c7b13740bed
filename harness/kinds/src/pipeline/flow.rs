//! Which flows of events there are, and the handlers that misbehave on purpose.

use serde::{Deserialize, Serialize};
use wasiscope_capture::pipeline::{Calls, Wake};

use super::Reason;

/// One flow of events through a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flow {
    /// Calls in a second; `None` for as many as the generator can.
    pub per_second: Option<u32>,
    /// How many calls are made in one iteration.
    pub events: u32,
    /// How often the kernel program is swapped meanwhile, and the handler.
    pub swaps: u32,
    /// The calls that become events.
    pub calls: Calls,
    /// What handles them.
    pub handler: Handler,
    /// The maps that it may read.
    pub maps: Maps,
    /// When the reader is woken.
    pub wake: Wake,
    /// Most events that are put into the guest's memory at once.
    pub batch: u32,
}

/// What handles the events of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handler {
    /// A guest of the catalogue's workspaces, which does its work.
    Good,
    /// One that a scenario brings along: what it does is counted, and whatever it is it has not failed.
    Own,
    /// One that traps at some events.
    Traps,
    /// One that never comes back from some.
    Loops,
    /// One that takes long for some.
    Slow,
    /// One that says of some that it cannot handle them.
    Refuses,
    /// One that asks the host for what it must not have: places outside of its memory, huge lengths, handles that it was never given.
    Wild,
}

/// Maps of the flow that a handler can be let read, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Maps(u8);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantedMap {
    /// The joint metrics: an array for each CPU, with an entry of the kernel's and one of the host's.
    Joint,
    /// Calls that have not returned: a table by thread.
    Pending,
}

impl GrantedMap {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Joint, Self::Pending];

    /// The name in scenarios and for guests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::Pending => "pending",
        }
    }
}

impl Maps {
    /// These.
    #[must_use]
    pub fn of(maps: &[GrantedMap]) -> Self {
        Self(maps.iter().fold(0, |bits, map| bits | 1 << *map as u8))
    }

    /// Whether the map of this name is among them.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        GrantedMap::ALL.into_iter().any(|map| map.name() == name && self.0 & 1 << map as u8 != 0)
    }
}

/// Rates at which the latency of events is taken.
pub const RATES: [u32; 3] = [10_000, 50_000, 200_000];
/// How long the generator keeps a rate.
const SECONDS: u32 = 1;
/// Calls of a flood, which goes as fast as it can.
const FLOOD: u32 = 1_000_000;
/// Calls of a flow in which everything is swapped: some seconds of them.
const SWAPPED: u32 = 300_000;
/// Their rate.
const SWAPPED_PER_SECOND: u32 = 100_000;
/// How often.
pub const SWAPS: u32 = 100;
/// Calls of a flow whose handler misbehaves.
const MISHANDLED: u32 = 20_000;
/// Their rate.
const MISHANDLED_PER_SECOND: u32 = 20_000;
/// One of so many events is mishandled.
pub const MISHANDLES_EVERY: u32 = 1_000;
/// Handlers that never come back are rarer: each costs a whole deadline.
pub const LOOPS_EVERY: u32 = 5_000;

/// The program that handles events, in the guests' workspaces.
pub const HANDLER_GUEST: &str = "events";

/// Bytes of the ring buffer: 75,000 events with their headers, a third of a second at the highest rate.
pub const RING_BYTES: u32 = 4 << 20;
/// Most events at once where nothing else is said. docs/pipeline.md has the figures that chose it, and [`Wake::Asleep`].
pub const BATCH: u32 = 256;
/// The batches that are compared.
pub const BATCHES: [u32; 3] = [1, 16, 256];

impl Flow {
    const fn plain(calls: Calls) -> Self {
        Self {
            per_second: None,
            events: 0,
            swaps: 0,
            calls,
            handler: Handler::Good,
            maps: Maps(1),
            wake: Wake::Asleep,
            batch: BATCH,
        }
    }

    /// At a rate.
    #[must_use]
    pub const fn at(per_second: u32, calls: Calls) -> Self {
        let events = per_second * SECONDS;
        Self { per_second: Some(per_second), events, ..Self::plain(calls) }
    }

    /// As fast as it goes.
    #[must_use]
    pub const fn flood(calls: Calls) -> Self {
        Self { per_second: None, events: FLOOD, ..Self::plain(calls) }
    }

    /// With everything swapped meanwhile.
    #[must_use]
    pub const fn swapped(calls: Calls) -> Self {
        let per_second = Some(SWAPPED_PER_SECOND);
        Self { per_second, events: SWAPPED, swaps: SWAPS, ..Self::plain(calls) }
    }

    /// With a handler that misbehaves.
    #[must_use]
    pub const fn mishandled(handler: Handler, calls: Calls) -> Self {
        Self { per_second: Some(MISHANDLED_PER_SECOND), events: MISHANDLED, handler, ..Self::plain(calls) }
    }

    /// The first part of a case's id.
    #[must_use]
    pub fn workload(self) -> String {
        if (self.wake, self.batch) != (Wake::Asleep, BATCH) {
            let rate = self.per_second.map_or("flood".to_owned(), |rate| format!("{}k", rate / 1_000));
            return format!("{rate}-{}-{}", self.wake.name(), self.batch);
        }
        match (self.handler, self.swaps, self.per_second) {
            (Handler::Good | Handler::Own, 0, Some(rate)) if rate % 1_000 == 0 => format!("rate-{}k", rate / 1_000),
            (Handler::Good | Handler::Own, 0, Some(rate)) => format!("rate-{rate}"),
            (Handler::Good | Handler::Own, 0, None) => "flood".to_owned(),
            (Handler::Good | Handler::Own, ..) => "swaps".to_owned(),
            (handler, ..) => format!("handler-{}", handler.name()),
        }
    }
}

impl Handler {
    /// Those that misbehave.
    pub const BAD: [Self; 5] = [Self::Traps, Self::Loops, Self::Slow, Self::Refuses, Self::Wild];

    /// The name in case ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Own => "own",
            Self::Traps => "traps",
            Self::Loops => "loops",
            Self::Slow => "slow",
            Self::Refuses => "refuses",
            Self::Wild => "wild",
        }
    }

    /// The reason that its errors are counted under, and how many of so many events have it; `None` where there are to be none.
    #[must_use]
    pub const fn error_of(self, events: u64) -> Option<(&'static str, u64)> {
        match self {
            Self::Good | Self::Own | Self::Slow | Self::Wild => None,
            Self::Traps => Some((Reason::Trap.name(), events / MISHANDLES_EVERY as u64)),
            Self::Loops => Some((Reason::Timeout.name(), events / LOOPS_EVERY as u64)),
            Self::Refuses => Some((Reason::Returned.name(), events / MISHANDLES_EVERY as u64)),
        }
    }

    /// The guest, as text; empty for one that is built or brought along.
    #[must_use]
    pub fn guest(self) -> String {
        let every = if self == Self::Loops { LOOPS_EVERY } else { MISHANDLES_EVERY };
        let misdeed = match self {
            Self::Good | Self::Own => return String::new(),
            Self::Traps => "unreachable",
            Self::Loops => "(loop $for_ever (br $for_ever))",
            // A few tenths of a millisecond.
            Self::Slow => {
                "(local.set $ptr (i32.const 300000)) (loop $again (br_if $again (local.tee $ptr (i32.sub (local.get $ptr) (i32.const 1)))))"
            }
            Self::Refuses => "(return (i32.const -1))",
            Self::Wild => WILD,
        };
        format!(
            r#"(module
  (import "wasiscope" "map_open" (func $open (param i32 i32) (result i32)))
  (import "wasiscope" "map_lookup" (func $lookup (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasiscope" "map_next_key" (func $next (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasiscope" "joint_metrics" (func $joint (param i32 i32) (result i32)))
  (import "wasm_bpf" "wasm_bpf_map_fd_by_name" (func $fd (param i64 i32) (result i32)))
  (import "wasm_bpf" "wasm_bpf_map_operate" (func $operate (param i32 i32 i32 i32 i32 i64) (result i32)))
  (import "wasm_bpf" "wasm_load_bpf_object" (func $load (param i32 i32) (result i64)))
  (import "wasm_bpf" "wasm_bpf_buffer_poll" (func $poll (param i64 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "joint\00")
  (global $handled (mut i64) (i64.const 0))
  (func (export "handled") (result i64) (global.get $handled))
  ;; Traps unless the answer is an error.
  (func $refused (param $answer i32) (if (i32.ge_s (local.get $answer) (i32.const 0)) (then unreachable)))
  (func (export "handle_event") (param $ptr i32) (param $len i32) (result i32)
    (local $handle i32) (local $end i32)
    (global.set $handled (i64.add (global.get $handled) (i64.const 1)))
    ;; The sequence number says which event it is, whichever instance has it.
    (if (i32.eqz (i32.rem_u (i32.load (local.get $ptr)) (i32.const {every})))
      (then {misdeed}))
    (i32.const 0)))
"#
        )
    }
}

/// Calls that must all be refused; a few that must not, so that it is known that the others are not refused for another reason.
pub(super) const WILD: &str = r#"
      (local.set $handle (call $open (i32.const 1024) (i32.const 5)))
      (if (i32.lt_s (local.get $handle) (i32.const 0)) (then unreachable))
      (if (call $joint (i32.const 2048) (i32.const 64)) (then unreachable))
      ;; Outside of memory, and lengths that go past its end or around it.
      (local.set $end (i32.mul (memory.size) (i32.const 65536)))
      (call $refused (call $joint (i32.const -64) (i32.const 64)))
      (call $refused (call $joint (i32.sub (local.get $end) (i32.const 36)) (i32.const 64)))
      (call $refused (call $joint (i32.const 0) (i32.const 63)))
      (call $refused (call $joint (i32.const 16) (i32.const -1)))
      (call $refused (call $open (i32.sub (local.get $end) (i32.const 1)) (i32.const 5)))
      (call $refused (call $open (i32.const 0) (i32.const -1)))
      (call $refused (call $open (i32.const 1024) (i32.const 4)))
      ;; A buffer for one CPU where the kernel writes one value for each.
      (call $refused (call $lookup (local.get $handle) (i32.const 0) (i32.const 4) (i32.const 2048) (i32.const 64)))
      (call $refused (call $lookup (local.get $handle) (i32.const 0) (i32.const 3) (i32.const 2048) (i32.const 16384)))
      (call $refused (call $lookup (local.get $handle) (i32.const -4) (i32.const 4) (i32.const 2048) (i32.const 16384)))
      (call $refused (call $lookup (local.get $handle) (i32.const 0) (i32.const 4) (i32.sub (local.get $end) (i32.const 1000)) (i32.const 16384)))
      (call $refused (call $lookup (local.get $handle) (i32.const 0) (i32.const 4) (i32.const 2048) (i32.const -8)))
      (call $refused (call $next (local.get $handle) (i32.const 0) (i32.const 4) (i32.sub (local.get $end) (i32.const 2)) (i32.const 4)))
      ;; Handles that nobody gave out: of the host's own descriptors among them.
      (call $refused (call $lookup (i32.const 77) (i32.const 0) (i32.const 4) (i32.const 2048) (i32.const 16384)))
      (call $refused (call $lookup (i32.const -1) (i32.const 0) (i32.const 4) (i32.const 2048) (i32.const 16384)))
      (call $refused (call $operate (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 2048) (i32.const 0) (i64.const 0)))
      (call $refused (call $operate (i32.const 2147483647) (i32.const 1) (i32.const 0) (i32.const 2048) (i32.const 0) (i64.const 0)))
      ;; wasm_bpf knows no lengths: what the kernel would write must fit behind the pointer.
      (local.set $handle (call $fd (i64.const 1) (i32.const 1024)))
      (if (i32.lt_s (local.get $handle) (i32.const 0)) (then unreachable))
      (call $refused (call $operate (local.get $handle) (i32.const 1) (i32.const 0) (i32.sub (local.get $end) (i32.const 6)) (i32.const 0) (i64.const 0)))
      (call $refused (call $operate (local.get $handle) (i32.const 1) (i32.sub (local.get $end) (i32.const 2)) (i32.const 2048) (i32.const 0) (i64.const 0)))
      ;; To change, to delete, and commands that there are not.
      (call $refused (call $operate (local.get $handle) (i32.const 2) (i32.const 0) (i32.const 2048) (i32.const 0) (i64.const 0)))
      (call $refused (call $operate (local.get $handle) (i32.const 3) (i32.const 0) (i32.const 2048) (i32.const 0) (i64.const 0)))
      (call $refused (call $operate (local.get $handle) (i32.const 99) (i32.const 0) (i32.const 2048) (i32.const 0) (i64.const 0)))
      (call $refused (call $fd (i64.const 1) (i32.const -1)))
      (call $refused (call $fd (i64.const 5) (i32.const 1024)))
      (call $refused (call $poll (i64.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 0)))
      (if (i64.ne (call $load (i32.const 0) (i32.const -1)) (i64.const 0)) (then unreachable))"#;

/// How many of a wild guest's calls are refused each time it misbehaves.
pub const WILD_REFUSALS: u64 = 26;
