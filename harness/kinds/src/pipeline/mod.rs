//! `kind: pipeline`: kernel events handled by a wasm guest.
//!
//! A case is a flow of events ([`Flow`]). The parent leads it: the kernel's side is opened, a generator and a
//! worker are started, and what belongs to the flow is settled by order alone: the worker says `Ready`, the
//! generator's calls become events, it makes them and says how many, its calls cease to be events, the worker is
//! told the number. The generator speaks by `send` and `recv`, which nobody can ask for as events, so its own count
//! is the truth that all others are held against: [`check_counts`] fails a case whose events do not add up.
//!
//! `pipeline_enter` and `pipeline_exit` are attached for the whole flow. The second hands the event on through a
//! program array to one of two stages, which writes it; to swap the program is to load the other stage and put it
//! into the array. The worker maps the ring buffer itself (`worker/ring.rs`), copies events in batches behind the
//! guest's own memory, and calls `handle_event(ptr, len)` for each. A word in shared memory says whether it sleeps,
//! so that the kernel wakes it only then.
//!
//! The joint metrics are one 64-byte type (`JointMetrics`) in a per-CPU map with an entry that only the kernel's
//! program writes and one that only the host writes. Guests read maps by handles that are indexes into what was
//! granted (`worker/imports.rs`); what the kernel copies goes into a buffer of the host's and from there, after a
//! look at the guest's bounds, into its memory.

mod flow;
pub mod generator;
mod leader;
mod outcome;
mod scenario;
mod tables;
#[doc(hidden)]
pub mod worker;

use wasiscope_model::kind::Named;
use wasiscope_model::metrics::Metric;
use wasiscope_model::work::{Spec, Work};

use super::{Kind, Leader};
use wasiscope_model::events::Distribution;
use wasiscope_model::record::ProcessRecord;
use wasiscope_model::report::Spread;
use wasiscope_scenario::plan::Case;

pub use wasiscope_capture::pipeline::{Call, Calls, Wake};

pub use flow::{
    BATCH, BATCHES, Flow, GrantedMap, HANDLER_GUEST, Handler, LOOPS_EVERY, MISHANDLES_EVERY, Maps, RATES, RING_BYTES,
    SWAPS, WILD_REFUSALS,
};
pub use outcome::{
    CPUS, DOUBLED, ERRORS, EVENTS_PER_SECOND, EXEC_COUNT, GENERATED, HANDLED, HANDLER_SWAPS, LOST, MISUSE,
    PROBE_LATENCY, PROBE_LATENCY_BUCKETS, PROBE_LATENCY_P99, PROGRAM_SWAPS, REPLACED, Reason, check_counts,
    check_joint,
};

/// The kind of scenario.
#[derive(Debug)]
pub struct Pipeline;

impl Named for Pipeline {
    fn name(&self) -> &'static str {
        "pipeline"
    }
}

impl Kind for Pipeline {
    fn entry(&self, case: &Case) -> (&'static str, &'static [&'static str]) {
        // A place and a length.
        if case.work == Work::Flow { ("handle_event", &["0", "0"]) } else { ("_start", &[]) }
    }

    fn offers_wasi(&self, case: &Case) -> bool {
        case.work != Work::Flow
    }

    fn leader(&self, spec: &Spec) -> Option<Box<dyn Leader>> {
        spec.read::<Flow>().ok().map(|flow| Box::new(flow) as Box<dyn Leader>)
    }

    fn varies(&self, fact: &str) -> bool {
        outcome::is_count(fact)
    }

    fn metrics(&self) -> &'static [Metric] {
        const METRICS: &[Metric] = &[Metric::lower(PROBE_LATENCY, "us"), Metric::higher(EVENTS_PER_SECOND, "1/s")];
        METRICS
    }

    /// Of latencies; the other figures are one number an iteration.
    fn spread(&self, metric: &str, unwatched: &[&ProcessRecord], _: &[&ProcessRecord]) -> Option<Spread> {
        let flowed = |metric: &str| {
            let mut all = Distribution::default();
            unwatched.iter().filter_map(|process| process.spreads.get(metric)).for_each(|of| all.merge(of));
            all
        };
        if metric == PROBE_LATENCY { spread(&flowed(metric), flowed(PROBE_LATENCY_BUCKETS)) } else { None }
    }
}

/// How the latencies of a flow are spread: quantiles of nanoseconds, buckets of whole microseconds, all in microseconds.
fn spread(in_ns: &Distribution, in_us: Distribution) -> Option<Spread> {
    let micros = |share: f64| in_ns.quantile(share).map(|ns| ns as f64 / 1_000.0);
    Some(Spread {
        p50: micros(0.5)?,
        p90: micros(0.9)?,
        p99: micros(0.99)?,
        max: in_ns.max? as f64 / 1_000.0,
        sum: Some(in_ns.sum as f64 / 1_000.0),
        buckets: in_us.buckets,
        watched_mean: None,
    })
}

#[cfg(test)]
mod tests {
    use super::flow::WILD;
    use super::*;

    #[test]
    fn flows_have_names_of_their_own() {
        let calls = Calls::of(&[Call::Read]);
        let mut flows: Vec<Flow> = RATES.iter().map(|rate| Flow::at(*rate, calls)).collect();
        flows.extend([Flow::flood(calls), Flow::swapped(calls), Flow { wake: Wake::Never, ..Flow::at(10_000, calls) }]);
        flows.extend(Handler::BAD.map(|handler| Flow::mishandled(handler, calls)));
        let names: std::collections::BTreeSet<String> = flows.iter().map(|flow| flow.workload()).collect();
        assert_eq!(names.len(), flows.len(), "{names:?}");
        assert!(names.contains("rate-200k") && names.contains("handler-loops"));
    }

    #[test]
    fn bad_handlers_are_modules_and_the_wild_one_says_how_often_it_is_refused() {
        for handler in Handler::BAD {
            wasiscope_guest::module::assemble(&handler.guest())
                .unwrap_or_else(|error| panic!("{}: {error}", handler.name()));
        }
        let refusals = WILD.matches("(call $refused").count() as u64;
        // The last one answers with 64 bits, and is refused too.
        assert_eq!(refusals + 1, WILD_REFUSALS);
    }

    #[test]
    fn events_must_add_up() {
        let counts = |generated, handled, lost, traps| {
            let pairs = [(GENERATED, generated), (HANDLED, handled), (LOST, lost), ("bpf_to_wasm_err.trap", traps)];
            pairs.map(|(name, count)| (name.to_owned(), count)).into()
        };
        let good = Flow::at(10_000, Calls::of(&[Call::Read]));
        assert_eq!(check_counts(good, &counts(10_000, 9_990, 10, 0)), None);
        assert!(check_counts(good, &counts(10_000, 9_990, 9, 0)).is_some_and(|wrong| wrong.contains("9 lost")));
        assert!(check_counts(good, &counts(10_000, 10_000, 0, 1)).is_some(), "a good handler does not trap");
        let traps = Flow::mishandled(Handler::Traps, Calls::of(&[Call::Read]));
        assert_eq!(check_counts(traps, &counts(20_000, 20_000, 0, 20)), None);
        assert!(check_counts(traps, &counts(20_000, 20_000, 0, 19)).is_some());
        assert_eq!(check_counts(traps, &counts(20_000, 19_000, 1_000, 19)), None, "the lost ones may be among them");
    }

    #[test]
    fn sets_of_calls_survive_being_numbers() {
        let calls = Calls::of(&[Call::Getppid, Call::Read]);
        assert_eq!(calls.iter().map(Call::name).collect::<Vec<_>>(), ["read", "getppid"]);
        assert_eq!(Calls::from_bits(calls.bits()), calls);
    }
}
