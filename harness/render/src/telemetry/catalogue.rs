//! Every metric that there is: name, unit, kind and meaning. Dashboards are built on these: add to them, change nothing.

/// What a metric is.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name in OpenTelemetry. Prometheus has it with underscores and the unit.
    pub name: &'static str,
    /// Its unit, by UCUM: that of the report, so that values are the same numbers.
    pub unit: &'static str,
    /// How its values go together.
    pub kind: Kind,
    /// What it tells, for people.
    pub description: &'static str,
    /// Whether its name is used as it is, in every output.
    pub is_plain: bool,
}

/// How the values of a metric go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A state: values of two things added up mean nothing.
    Gauge,
    /// How much there was from the start of the run to its end.
    Sum,
    /// How many values lie where, likewise.
    Histogram,
}

use Kind::{Gauge, Histogram, Sum};

const fn new(name: &'static str, unit: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, unit, kind, description, is_plain: false }
}

const fn plain(name: &'static str, unit: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, unit, kind, description, is_plain: true }
}

macro_rules! metrics {
    ($($constant:ident = $make:ident($($part:expr),+);)+) => {
        $(pub(crate) static $constant: Definition = $make($($part),+);)+
        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[&Definition] = &[$(&$constant),+];
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
    FAULTS = new("wasiscope.kernel.faults", "{fault}", Sum, "Page faults, in user mode and in the kernel");
    REGION_FAULTS = new("wasiscope.kernel.region.faults", "{fault}", Sum, "Page faults by the kind of memory in which the address lies");
    SIGNALS = new("wasiscope.kernel.signals", "{signal}", Sum, "Signals delivered");
    SWITCHES = new("wasiscope.kernel.switches", "{switch}", Sum, "How often threads lost their processor");
    MIGRATIONS = new("wasiscope.kernel.migrations", "{migration}", Sum, "How often threads were moved to another processor");
    RUN_QUEUE = new("wasiscope.kernel.run_queue", "ns", Histogram, "Time from runnable to running");
    OFF_CPU = new("wasiscope.kernel.off_cpu.time", "ns", Sum, "Time without a processor");
    OFF_CPU_SPREAD = new("wasiscope.kernel.off_cpu.span", "ns", Histogram, "Each time without a processor");
    FUTEX_WAITS = new("wasiscope.kernel.futex_wait", "ns", Histogram, "Time in futex waits");
    MEMORY = new("wasiscope.kernel.memory", "By", Sum, "Address space mapped, unmapped, protected, advised");
    CREATED = new("wasiscope.kernel.created", "{task}", Sum, "Threads and processes started");
    BLOCK_REQUESTS = new("wasiscope.kernel.block_io.requests", "{request}", Sum, "Requests to block devices");
    BLOCK_SIZE = new("wasiscope.kernel.block_io.size", "By", Sum, "Bytes asked of block devices");

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_both_sides_allow_and_none_is_the_beginning_of_a_series_of_another() {
        for Definition { name, unit, is_plain, description, .. } in ALL.iter().copied() {
            let allowed =
                |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._".contains(letter);
            assert!(name.chars().all(allowed) && name.starts_with(|first: char| first.is_ascii_lowercase()), "{name}");
            assert_eq!(name.starts_with("wasiscope."), !is_plain, "{name}");
            assert!(unit.is_ascii() && !unit.is_empty() && !description.is_empty(), "{name}");
            assert_eq!(ALL.iter().filter(|other| other.name == *name).count(), 1, "{name}");
        }
    }
}
