//! What flows of events count and measure, and what of the counts cannot be.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::JointMetrics;

use super::{Flow, Handler, WILD_REFUSALS};

/// From the kernel's stamp to the handler's return.
pub const PROBE_LATENCY: &str = "probe_latency_us";
/// The same as a spread in whole microseconds, rounded up; only its buckets.
pub const PROBE_LATENCY_BUCKETS: &str = "probe_latency_us.buckets";
/// Of one iteration, what all but one of a hundred stay below.
pub const PROBE_LATENCY_P99: &str = "probe_latency_us.p99";
/// Events that were handled in a second.
pub const EVENTS_PER_SECOND: &str = "events_per_second";
/// Calls of the handler.
pub const EXEC_COUNT: &str = "wasm_exec_count";
/// Events that did not get through it; with the reason behind a point.
pub use wasiscope_model::metrics::HAND_OVER_ERRORS as ERRORS;
/// Calls that the generator made.
pub const GENERATED: &str = "events.generated";
/// Events for which a handler was called, however that ended, or which could not be decoded.
pub const HANDLED: &str = "events.handled";
/// Events that found no room.
pub use wasiscope_model::record::EVENTS_LOST as LOST;
/// Events that came twice, or out of their order.
pub const DOUBLED: &str = "events.doubled";
/// CPUs on which events came about.
pub const CPUS: &str = "events.cpus";
/// Swaps of the handler while events flowed.
pub const HANDLER_SWAPS: &str = "swaps.handler";
/// Swaps of the kernel program while events flowed.
pub const PROGRAM_SWAPS: &str = "swaps.program";
/// Instances that were made in place of one that had failed.
pub const REPLACED: &str = "handler.replaced";
/// Calls of the host that were refused because of what the guest asked for.
pub const MISUSE: &str = "host.refused";

/// What of these counts cannot be; `None` when all is as it must be.
#[must_use]
pub fn check_counts(flow: Flow, counts: &BTreeMap<String, u64>) -> Option<String> {
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    let (generated, handled, lost) = (count(GENERATED), count(HANDLED), count(LOST));
    if generated != handled + lost {
        return Some(format!("{generated} events were generated, but {handled} handled and {lost} lost"));
    }
    if count(DOUBLED) > 0 {
        return Some(format!("{} events came twice, or out of order", count(DOUBLED)));
    }
    let expected = flow.handler.error_of(generated);
    for reason in Reason::ALL.into_iter().filter(|_| flow.handler != Handler::Own) {
        let (name, errors) = (reason.name(), count(&format!("{ERRORS}.{}", reason.name())));
        let right = match expected {
            // One in so many has the error, of those that were not lost; each CPU counts for itself.
            Some((of, most)) if of == name => {
                let least = most.saturating_sub(lost + count(CPUS).saturating_sub(1));
                (least..=most).contains(&errors) && (errors > 0 || lost > 0)
            }
            _ => errors == 0,
        };
        if !right {
            return Some(format!(
                "{errors} errors of the kind `{name}` in {generated} events are not what this handler makes"
            ));
        }
    }
    if flow.handler == Handler::Wild && (count(MISUSE) == 0 || !count(MISUSE).is_multiple_of(WILD_REFUSALS)) {
        return Some(format!("{} requests were refused, which is no multiple of {WILD_REFUSALS}", count(MISUSE)));
    }
    if flow.swaps > 0 && (count(HANDLER_SWAPS) == 0 || count(PROGRAM_SWAPS) == 0) {
        return Some("nothing was swapped while events flowed".to_owned());
    }
    None
}

/// In what the metrics in the kernel's map and the report's counts differ; `None` when they are the same.
#[must_use]
pub fn check_joint(joint: &JointMetrics, counts: &BTreeMap<String, u64>) -> Option<String> {
    let count = |name: &str| counts.get(name).copied().unwrap_or(0);
    let pairs = [
        ("events_generated", joint.events_generated, count(GENERATED)),
        ("events_lost", joint.events_lost, count(LOST)),
        (EXEC_COUNT, joint.wasm_exec_count, count(EXEC_COUNT)),
        (ERRORS, joint.bpf_to_wasm_err, count(ERRORS)),
        ("probe_latency_count", joint.probe_latency_count, count(EXEC_COUNT)),
    ];
    let other = pairs.into_iter().find(|(_, in_map, here)| in_map != here);
    other.map(|(name, in_map, here)| format!("the joint metrics say {name} {in_map}, and the host counted {here}"))
}

/// Whether a fact is a count of a flow, which is another in every run.
pub(super) fn is_count(fact: &str) -> bool {
    ["events.", "swaps.", "handler.", "host.", ERRORS, EXEC_COUNT].iter().any(|prefix| fact.starts_with(prefix))
}

/// Why an event did not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// What the kernel wrote is no event.
    Decode,
    /// It could not be put into the guest's memory.
    Bounds,
    /// The handler trapped.
    Trap,
    /// The handler did not come back in time.
    Timeout,
    /// The handler answered that it could not handle it.
    Returned,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Bounds, Self::Trap, Self::Timeout, Self::Returned];

    /// The name in facts and attributes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Bounds => "bounds",
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Returned => "returned",
        }
    }
}
