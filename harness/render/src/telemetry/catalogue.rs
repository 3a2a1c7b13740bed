//! The metrics of telemetry, but for those of the table of kernel figures, which has its own: name, unit, kind and meaning. Dashboards
//! are built on these: add to them, change nothing.

#[cfg(test)]
use wasiscope_model::kernel_figures::{KERNEL_COUNTS_BY_NAME, KERNEL_DISTRIBUTIONS, KERNEL_FIGURES};
pub use wasiscope_model::telemetry::{Definition, Kind};

use Kind::{Gauge, Histogram, Sum};

macro_rules! metrics {
    ($($constant:ident = $make:ident($($part:expr),+);)+) => {
        $(pub(crate) static $constant: Definition = Definition::$make($($part),+);)+
        #[cfg(test)]
        const OWN: &[&Definition] = &[$(&$constant),+];
    };
}

metrics! {
    RUN_START = new("wasiscope.run.start_time", "s", Gauge, "When the run began, since 1970");
    RUN_DURATION = new("wasiscope.run.duration", "s", Gauge, "How long the run took");
    RUN_INTERRUPTED = new("wasiscope.run.interrupted", "1", Gauge, "1 when the run was stopped before its end");
    RUN_BUDGET_SPENT = new("wasiscope.run.budget_spent", "1", Gauge, "1 when the run stopped adding samples because its time was spent");
    RUN_NOISE = new("wasiscope.run.noise", "{process}", Gauge, "Busy processes beside every worker");
    MACHINE_CPUS = new("wasiscope.machine.cpus", "{cpu}", Gauge, "Processors that the run might use");
    MACHINE_MEMORY = new("wasiscope.machine.memory", "By", Gauge, "Memory of the machine");
    MACHINE_STEAL = new("wasiscope.machine.steal_ratio", "1", Gauge, "Share of the run's processor time that the hypervisor gave to others");
    MACHINE_CPU_QUOTA = new("wasiscope.machine.cpu_quota", "{cpu}", Gauge, "Processors' worth of time that the cgroup of the run was given");
    MACHINE_MEMORY_LIMIT = new("wasiscope.machine.memory_limit", "By", Gauge, "Memory that the cgroup of the run was given");
    MACHINE_THROTTLED_PERIODS = new("wasiscope.machine.throttled.periods", "{period}", Gauge, "Periods in which the quota stopped the run");
    MACHINE_THROTTLED_TIME = new("wasiscope.machine.throttled.time", "ns", Gauge, "For how long the quota stopped the run, added up over the processors");
    CAPTURE_LIVE = new("wasiscope.capture.sees_kernel", "1", Gauge, "1 when the kernel was watched, live or in a replay");
    CAPTURE_LOST = new("wasiscope.capture.lost", "{event}", Sum, "Events that the capture knows it lost");
    PROGRAM_ATTACHED = new("wasiscope.capture.program.attached", "1", Gauge, "1 when the kernel program was attached");
    PROGRAM_RUNS = new("wasiscope.capture.program.runs", "{run}", Sum, "Runs of the kernel program while its cost was counted");
    PROGRAM_TIME = new("wasiscope.capture.program.mean_time", "ns", Gauge, "Mean time of one run of the kernel program");

    CASE_EXPECTED = new("wasiscope.case.expected", "1", Gauge, "1 when the case ended as its scenario expects, 0 otherwise");
    CASE_N = new("wasiscope.case.n", "1", Gauge, "The size at which the workload was run");
    CASE_OBSERVER = new("wasiscope.case.observer_ratio", "1", Gauge, "Time of an iteration while watched, over that while not");
    CASE_PREEMPTIONS = new("wasiscope.case.preemptions_per_iteration", "1", Gauge, "How often the kernel took the processor away in an iteration");
    CASE_STEAL = new("wasiscope.case.steal_ratio", "1", Gauge, "Share of processor time that the hypervisor gave to others while the case was timed");
    CASE_THROTTLED_PERIODS = new("wasiscope.case.throttled.periods", "{period}", Gauge, "Periods in which a quota of processor time stopped the case");
    CASE_THROTTLED_TIME = new("wasiscope.case.throttled.time", "ns", Gauge, "For how long a quota stopped the case, added up over the processors");

    FACT = new("wasiscope.fact.value", "1", Gauge, "What is exact of a case: a number, by the fact's name");
    FACT_SIZE = new("wasiscope.fact.size", "By", Gauge, "What is exact of a case: bytes, by the fact's name");

    DURATION = new("wasiscope.measurement.duration", "ns", Gauge, "A measured time, by metric and statistic");
    DURATIONS = new("wasiscope.measurement.spread.duration", "ns", Histogram, "All samples of a measured time");
    SIZE = new("wasiscope.measurement.size", "By", Gauge, "A measured size, by metric and statistic");
    SIZES = new("wasiscope.measurement.spread.size", "By", Histogram, "All samples of a measured size");
    RATE = new("wasiscope.measurement.rate", "1/s", Gauge, "A measured rate, by metric and statistic");
    RATES = new("wasiscope.measurement.spread.rate", "1/s", Histogram, "All samples of a measured rate");
    NUMBER = new("wasiscope.measurement.value", "1", Gauge, "A measured number in the unit that it names, by metric and statistic");
    NUMBERS = new("wasiscope.measurement.spread.value", "1", Histogram, "All samples of a measured number in the unit that it names");
    SAMPLES = new("wasiscope.measurement.samples", "{sample}", Gauge, "Samples of which the statistics are");
    PROCESSES = new("wasiscope.measurement.processes", "{process}", Gauge, "Independent processes that the samples are from");

    PRICE_TIME = new("wasiscope.price.time", "ns", Gauge, "Typical time with an engine's checks and without");
    PRICE_RATIO = new("wasiscope.price.ratio", "1", Gauge, "Time with an engine's checks over that without, and its interval");
    PRICE_EXPECTED = new("wasiscope.price.expected", "1", Gauge, "0 when one side of a price failed or answered wrong");

    ITERATIONS = new("wasiscope.kernel.iterations", "{iteration}", Sum, "Passes of which the kernel's figures are");
    CALLS = new("wasiscope.kernel.syscalls", "{call}", Sum, "System calls entered");
    CALL_ERRORS = new("wasiscope.kernel.syscall.errors", "{call}", Sum, "System calls that returned an error");
    CALL_TIME = new("wasiscope.kernel.syscall.time", "ns", Sum, "Time in system calls that returned");
    CALL_SPREAD = new("wasiscope.kernel.syscall.latency", "ns", Histogram, "Time in each system call that returned");

    // Pipelines of kernel events are watched under these names, whoever makes them.
    PROBE_LATENCY = plain("probe_latency_us", "us", Histogram, "Time from an event in the kernel to the guest's answer");
    EXECUTIONS = plain("wasm_exec_count", "{execution}", Sum, "How often a guest was run for an event");
    HAND_OVER_ERRORS = plain("bpf_to_wasm_err", "{error}", Sum, "Events that did not get from the kernel to the guest, by reason");
}

/// Facts that are metrics of their own. Where a metric has a reason, the fact's name goes on with it behind a dot, or the fact is a
/// table of numbers by reason.
pub(crate) const PLAIN_FACTS: [(&Definition, Option<&str>); 2] =
    [(&EXECUTIONS, None), (&HAND_OVER_ERRORS, Some("reason"))];

/// Measurements whose spread is a metric of its own.
pub(crate) const PLAIN_MEASUREMENTS: [&Definition; 1] = [&PROBE_LATENCY];

/// The metrics for statistics and spread of a measurement, by the report's unit; the last are for any other.
pub(crate) const BY_UNIT: [(&str, &Definition, &Definition); 4] =
    [("ns", &DURATION, &DURATIONS), ("bytes", &SIZE, &SIZES), ("1/s", &RATE, &RATES), ("", &NUMBER, &NUMBERS)];

/// All that there are, each once.
#[cfg(test)]
pub(crate) fn all() -> Vec<&'static Definition> {
    let figures = KERNEL_FIGURES.iter().filter_map(|figure| figure.exported);
    let distributions = KERNEL_DISTRIBUTIONS.iter().map(|distribution| distribution.exported);
    let numbers = figures.chain(distributions).map(|exported| exported.metric);
    let mut of_kernel: Vec<&Definition> = numbers.chain(KERNEL_COUNTS_BY_NAME.iter().map(|of| of.metric)).collect();
    of_kernel.sort_by_key(|metric| metric.name);
    of_kernel.dedup();
    OWN.iter().copied().chain(of_kernel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_both_sides_allow_and_none_is_the_beginning_of_a_series_of_another() {
        let all = all();
        for Definition { name, unit, is_plain, description, .. } in &all {
            let allowed =
                |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._".contains(letter);
            assert!(name.chars().all(allowed) && name.starts_with(|first: char| first.is_ascii_lowercase()), "{name}");
            assert_eq!(name.starts_with("wasiscope."), !*is_plain, "{name}");
            assert!(unit.is_ascii() && !unit.is_empty() && !description.is_empty(), "{name}");
            assert_eq!(all.iter().filter(|other| other.name == *name).count(), 1, "{name}");
        }
    }
}
