//! The table of what the kernel counts in a phase: what a figure is called, in which unit, where it stands in a report, and what it is in
//! telemetry. Tables of a case, comparisons of two, and exports go through it. System calls by name are apart: each has several figures.

use std::collections::BTreeMap;

use crate::events::Distribution;
use crate::figures::total;
use crate::report::KernelPhase;
use crate::telemetry::Definition;
use crate::telemetry::Kind::{Histogram, Sum};

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How often.
    Count,
    /// How long.
    Nanoseconds,
    /// How much.
    Bytes,
}

impl Unit {
    /// As documents say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Nanoseconds => "ns",
            Self::Bytes => "bytes",
        }
    }
}

/// The table that a figure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What was asked of the kernel.
    Calls,
    /// What memory cost.
    Memory,
    /// How threads were scheduled.
    Scheduling,
}

/// How a figure that differs between two sides is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// As the guest's doing.
    Guest,
    /// As the machine's doing more than the guest's: it must differ by much to be worth a row.
    Machine,
}

/// What a figure is in telemetry.
#[derive(Clone, Copy, Debug)]
pub struct Exported {
    /// The metric.
    pub metric: &'static Definition,
    /// The attribute, and its value, that tell it from others of the metric.
    pub attribute: Option<Attribute>,
}

/// An attribute of a metric, and its value.
pub type Attribute = (&'static str, &'static str);

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct KernelFigure {
    /// What it is called where it stands alone.
    pub name: &'static str,
    /// The heading of its column; `None` where it has none.
    pub header: Option<&'static str>,
    /// Its unit.
    pub unit: Unit,
    /// Its table.
    pub group: Group,
    /// How it is compared; `None` where its parts are, or what it is a part of.
    pub compared: Option<Compared>,
    /// What it is in telemetry; `None` where its parts are there, or its distribution.
    pub exported: Option<Exported>,
    /// Its value over all iterations; `None` where no program could see it.
    pub value: fn(&KernelPhase) -> Option<u64>,
}

/// Durations, each of them.
#[derive(Clone, Copy, Debug)]
pub struct KernelDistribution {
    /// What they are called.
    pub name: &'static str,
    /// What they are in telemetry.
    pub exported: Exported,
    /// All of them; `None` where no program could see them, or where a report of old has their sum only.
    pub value: fn(&KernelPhase) -> Option<&Distribution>,
}

/// Counts that have a name each.
#[derive(Clone, Copy, Debug)]
pub struct KernelCountsByName {
    /// How they are compared; `None` where their sum is.
    pub compared: Option<Compared>,
    /// The metric of telemetry.
    pub metric: &'static Definition,
    /// Its attribute that has the same value for all of them.
    pub attribute: Option<Attribute>,
    /// Its attribute that has the name.
    pub name_attribute: &'static str,
    /// Their values over all iterations; `None` where no program could see them.
    pub value: fn(&KernelPhase) -> Option<&BTreeMap<String, u64>>,
}

static FAULTS: Definition =
    Definition::new("wasiscope.kernel.faults", "{fault}", Sum, "Page faults, in user mode and in the kernel");
static REGION_FAULTS: Definition = Definition::new(
    "wasiscope.kernel.region.faults",
    "{fault}",
    Sum,
    "Page faults by the kind of memory in which the address lies",
);
static SIGNALS: Definition = Definition::new("wasiscope.kernel.signals", "{signal}", Sum, "Signals delivered");
static SWITCHES: Definition =
    Definition::new("wasiscope.kernel.switches", "{switch}", Sum, "How often threads lost their processor");
static MIGRATIONS: Definition = Definition::new(
    "wasiscope.kernel.migrations",
    "{migration}",
    Sum,
    "How often threads were moved to another processor",
);
static RUN_QUEUE: Definition =
    Definition::new("wasiscope.kernel.run_queue", "ns", Histogram, "Time from runnable to running");
static OFF_CPU: Definition = Definition::new("wasiscope.kernel.off_cpu.time", "ns", Sum, "Time without a processor");
static OFF_CPU_SPAN: Definition =
    Definition::new("wasiscope.kernel.off_cpu.span", "ns", Histogram, "Each time without a processor");
static FUTEX_WAITS: Definition = Definition::new("wasiscope.kernel.futex_wait", "ns", Histogram, "Time in futex waits");
static MEMORY: Definition =
    Definition::new("wasiscope.kernel.memory", "By", Sum, "Address space mapped, unmapped, protected, advised");
static CREATED: Definition =
    Definition::new("wasiscope.kernel.created", "{task}", Sum, "Threads and processes started");
static BLOCK_REQUESTS: Definition =
    Definition::new("wasiscope.kernel.block_io.requests", "{request}", Sum, "Requests to block devices");
static BLOCK_SIZE: Definition =
    Definition::new("wasiscope.kernel.block_io.size", "By", Sum, "Bytes asked of block devices");

/// Every figure that is one number, in the order of columns.
pub const KERNEL_FIGURES: &[KernelFigure] = {
    use Group::{Calls, Memory, Scheduling};
    use Unit::{Bytes, Count, Nanoseconds};
    &[
        figure("system calls", Count, Calls, |phase| Some(phase.syscall_count())).not_compared(),
        figure("in system calls", Nanoseconds, Calls, |phase| phase.syscall_ns()).headed("in them").not_compared(),
        figure("failed calls", Count, Calls, |phase| Some(phase.syscall_errors())).headed("errors"),
        figure("in futex waits", Nanoseconds, Calls, |phase| Some(phase.futex_waits_ns.as_ref()?.sum)),
        figure("I/O requests", Count, Calls, |phase| phase.block_io.map(|io| total([io.reads, io.writes, io.others]))),
        figure("requests to read", Count, Calls, |phase| phase.block_io.map(|io| io.reads))
            .exported_only(&BLOCK_REQUESTS, ("wasiscope.direction", "read")),
        figure("requests to write", Count, Calls, |phase| phase.block_io.map(|io| io.writes))
            .exported_only(&BLOCK_REQUESTS, ("wasiscope.direction", "write")),
        figure("other requests", Count, Calls, |phase| phase.block_io.map(|io| io.others))
            .exported_only(&BLOCK_REQUESTS, ("wasiscope.direction", "other")),
        figure("user faults", Count, Memory, |phase| phase.faults.user).part_of(&FAULTS, ("wasiscope.mode", "user")),
        figure("kernel faults", Count, Memory, |phase| phase.faults.kernel)
            .part_of(&FAULTS, ("wasiscope.mode", "kernel")),
        figure("mapped", Bytes, Memory, |phase| phase.mapped_bytes).part_of(&MEMORY, ("wasiscope.operation", "mapped")),
        figure("unmapped", Bytes, Memory, |phase| phase.unmapped_bytes)
            .part_of(&MEMORY, ("wasiscope.operation", "unmapped")),
        figure("protected", Bytes, Memory, |phase| phase.protected_bytes)
            .part_of(&MEMORY, ("wasiscope.operation", "protected")),
        figure("advised", Bytes, Memory, |phase| phase.advised_bytes)
            .part_of(&MEMORY, ("wasiscope.operation", "advised")),
        figure("read from devices", Bytes, Calls, |phase| phase.block_io.map(|io| io.read_bytes))
            .part_of(&BLOCK_SIZE, ("wasiscope.direction", "read"))
            .without_column(),
        figure("written to devices", Bytes, Calls, |phase| phase.block_io.map(|io| io.written_bytes))
            .part_of(&BLOCK_SIZE, ("wasiscope.direction", "write"))
            .without_column(),
        figure("gave way", Count, Scheduling, |phase| phase.switches.map(|switches| switches.voluntary))
            .part_of(&SWITCHES, ("wasiscope.switch", "voluntary")),
        figure("preempted", Count, Scheduling, |phase| phase.switches.map(|switches| switches.involuntary))
            .part_of(&SWITCHES, ("wasiscope.switch", "involuntary"))
            .of_machine(),
        figure("blocked", Nanoseconds, Scheduling, |phase| Some(phase.off_cpu_ns.as_ref()?.blocked))
            .part_of(&OFF_CPU, ("wasiscope.reason", "blocked")),
        figure("waiting for a processor", Nanoseconds, Scheduling, |phase| Some(phase.off_cpu_ns.as_ref()?.runnable))
            .part_of(&OFF_CPU, ("wasiscope.reason", "runnable"))
            .headed("runnable")
            .of_machine(),
        figure("migrations", Count, Scheduling, |phase| phase.migrations).exported(&MIGRATIONS).of_machine(),
        figure("threads started", Count, Scheduling, |phase| phase.created.map(|born| born.threads))
            .part_of(&CREATED, ("wasiscope.task", "thread"))
            .headed("threads"),
        figure("processes started", Count, Scheduling, |phase| phase.created.map(|born| born.processes))
            .part_of(&CREATED, ("wasiscope.task", "process"))
            .headed("processes"),
    ]
};

/// Every distribution, in the order of charts.
pub const KERNEL_DISTRIBUTIONS: &[KernelDistribution] = &[
    KernelDistribution {
        name: "waits in the run queue",
        exported: Exported { metric: &RUN_QUEUE, attribute: None },
        value: |phase| phase.run_queue_ns.as_ref(),
    },
    KernelDistribution {
        name: "off the processor, blocked",
        exported: Exported { metric: &OFF_CPU_SPAN, attribute: Some(("wasiscope.reason", "blocked")) },
        value: |phase| {
            let off_cpu = phase.off_cpu_ns.as_ref()?;
            spans(&off_cpu.blocked_spans, off_cpu.blocked)
        },
    },
    KernelDistribution {
        name: "off the processor, runnable",
        exported: Exported { metric: &OFF_CPU_SPAN, attribute: Some(("wasiscope.reason", "runnable")) },
        value: |phase| {
            let off_cpu = phase.off_cpu_ns.as_ref()?;
            spans(&off_cpu.runnable_spans, off_cpu.runnable)
        },
    },
    KernelDistribution {
        name: "in futex waits",
        exported: Exported { metric: &FUTEX_WAITS, attribute: None },
        value: |phase| phase.futex_waits_ns.as_ref(),
    },
];

/// Every table of counts by name.
pub const KERNEL_COUNTS_BY_NAME: &[KernelCountsByName] = &[
    KernelCountsByName {
        compared: Some(Compared::Guest),
        metric: &SIGNALS,
        attribute: None,
        name_attribute: "wasiscope.signal",
        value: |phase| phase.signals.as_ref(),
    },
    KernelCountsByName {
        compared: None,
        metric: &REGION_FAULTS,
        attribute: Some(("wasiscope.mode", "user")),
        name_attribute: "wasiscope.region",
        value: |phase| Some(&phase.faults.user_by_region),
    },
    KernelCountsByName {
        compared: None,
        metric: &REGION_FAULTS,
        attribute: Some(("wasiscope.mode", "kernel")),
        name_attribute: "wasiscope.region",
        value: |phase| Some(&phase.faults.kernel_by_region),
    },
];

/// Reports of old have the total only; that is not to be read as no wait at all.
fn spans(spans: &Distribution, total: u64) -> Option<&Distribution> {
    (spans.count > 0 || total == 0).then_some(spans)
}

/// A figure with a column under its name, which is compared as the guest's and not exported.
const fn figure(name: &'static str, unit: Unit, group: Group, value: fn(&KernelPhase) -> Option<u64>) -> KernelFigure {
    KernelFigure { name, header: Some(name), unit, group, compared: Some(Compared::Guest), exported: None, value }
}

impl KernelFigure {
    const fn headed(self, header: &'static str) -> Self {
        Self { header: Some(header), ..self }
    }

    const fn without_column(self) -> Self {
        Self { header: None, ..self }
    }

    const fn of_machine(self) -> Self {
        Self { compared: Some(Compared::Machine), ..self }
    }

    const fn not_compared(self) -> Self {
        Self { compared: None, ..self }
    }

    const fn exported(self, metric: &'static Definition) -> Self {
        Self { exported: Some(Exported { metric, attribute: None }), ..self }
    }

    const fn part_of(self, metric: &'static Definition, attribute: Attribute) -> Self {
        Self { exported: Some(Exported { metric, attribute: Some(attribute) }), ..self }
    }

    const fn exported_only(self, metric: &'static Definition, attribute: Attribute) -> Self {
        self.part_of(metric, attribute).without_column().not_compared()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wasiscope_ebpf_abi::{Counter, KERNEL_EVENTS, KernelEvent, Kind, Shape};

    use super::*;
    use crate::capture::{Coverage, ProgramCost};
    use crate::events::{Charged, PhaseEvents};

    #[test]
    fn no_two_figures_are_called_the_same() {
        let names: BTreeSet<&str> = KERNEL_FIGURES.iter().map(|figure| figure.name).collect();
        assert_eq!(names.len(), KERNEL_FIGURES.len());
    }

    #[test]
    fn what_no_program_saw_is_not_known() {
        let nothing = KernelPhase::default();
        let known: Vec<&str> = KERNEL_FIGURES
            .iter()
            .filter(|figure| (figure.value)(&nothing).is_some())
            .map(|figure| figure.name)
            .collect();
        assert_eq!(known, ["system calls", "in system calls", "failed calls"], "of no calls");
    }

    /// A phase in which this one event happened, seen by no programs but those that see it.
    fn phase_with(event: &KernelEvent) -> KernelPhase {
        let mut events = PhaseEvents::default();
        let counter = Counter { count: 1, total: 7, min: 7, max: 7 };
        events.add(&Charged { kind: event.kind, id: 0, name: "name", bucket: 7, counter });
        assert_eq!(events.total(event.kind), if event.shape == Shape::Bytes { 7 } else { 1 });
        let attached = |name: &&str| ProgramCost {
            name: (*name).to_owned(),
            run_count: None,
            mean_ns: None,
            unavailable: None,
            blind_to: None,
        };
        let programs: Vec<ProgramCost> = event.seen_by.programs().iter().map(attached).collect();
        KernelPhase::of(1, events, Coverage::of(&programs))
    }

    #[test]
    fn every_event_is_compared_and_exported() {
        for event in KERNEL_EVENTS {
            let phase = phase_with(event);
            let figures =
                || KERNEL_FIGURES.iter().filter(|figure| (figure.value)(&phase).is_some_and(|value| value > 0));
            let by_name = || {
                let has_any =
                    |of: &&KernelCountsByName| (of.value)(&phase).is_some_and(|of| of.values().any(|count| *count > 0));
                KERNEL_COUNTS_BY_NAME.iter().filter(has_any)
            };
            let distributions =
                KERNEL_DISTRIBUTIONS.iter().filter(|of| (of.value)(&phase).is_some_and(|of| of.count > 0));
            let is_call = phase.syscalls.contains_key("name");
            let is_compared =
                figures().any(|figure| figure.compared.is_some()) || by_name().any(|of| of.compared.is_some());
            // As much time as the runnable part of `OffCpu`, which is.
            let is_told_elsewhere = event.kind == Kind::RunQueue;
            assert!(is_compared || is_call || is_told_elsewhere, "{} are not compared", event.name);
            let exported = figures().filter(|figure| figure.exported.is_some()).count();
            let exported = exported + by_name().count() + distributions.count();
            assert!(exported > 0 || is_call, "{} are not in telemetry", event.name);
        }
    }
}
