//! The table of what the kernel counts in a phase: what a figure is called, in which unit, and where it stands in a report. Tables of
//! a case, and comparisons of two, go through it.

use crate::figures::total;
use crate::report::KernelPhase;

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
    /// Not at all: its parts are compared one by one.
    InParts,
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct KernelFigure {
    /// What it is called where it stands alone.
    pub name: &'static str,
    /// The heading of its column; `None` where it is only compared.
    pub header: Option<&'static str>,
    /// Its unit.
    pub unit: Unit,
    /// Its table.
    pub group: Group,
    /// How it is compared.
    pub compared: Compared,
    /// Its value over all iterations; `None` where no program could see it.
    pub value: fn(&KernelPhase) -> Option<u64>,
}

/// Every figure, in the order of columns.
pub const KERNEL_FIGURES: &[KernelFigure] = {
    use Compared::{Guest, InParts, Machine};
    use Group::{Calls, Memory, Scheduling};
    use Unit::{Bytes, Count, Nanoseconds};
    &[
        figure("system calls", Count, Calls, InParts, |phase| Some(phase.syscall_count())),
        figure("in system calls", Nanoseconds, Calls, InParts, |phase| phase.syscall_ns()).headed("in them"),
        figure("failed calls", Count, Calls, Guest, |phase| Some(phase.syscall_errors())).headed("errors"),
        figure("in futex waits", Nanoseconds, Calls, Guest, |phase| Some(phase.futex_waits_ns.as_ref()?.sum)),
        figure("I/O requests", Count, Calls, Guest, |phase| {
            phase.block_io.map(|io| total([io.reads, io.writes, io.others]))
        }),
        figure("user faults", Count, Memory, Guest, |phase| phase.faults.user),
        figure("kernel faults", Count, Memory, Guest, |phase| phase.faults.kernel),
        figure("mapped", Bytes, Memory, Guest, |phase| phase.mapped_bytes),
        figure("unmapped", Bytes, Memory, Guest, |phase| phase.unmapped_bytes),
        figure("protected", Bytes, Memory, Guest, |phase| phase.protected_bytes),
        figure("advised", Bytes, Memory, Guest, |phase| phase.advised_bytes),
        figure("read from devices", Bytes, Calls, Guest, |phase| phase.block_io.map(|io| io.read_bytes))
            .without_column(),
        figure("written to devices", Bytes, Calls, Guest, |phase| phase.block_io.map(|io| io.written_bytes))
            .without_column(),
        figure("gave way", Count, Scheduling, Guest, |phase| phase.switches.map(|switches| switches.voluntary)),
        figure("preempted", Count, Scheduling, Machine, |phase| phase.switches.map(|switches| switches.involuntary)),
        figure("blocked", Nanoseconds, Scheduling, Guest, |phase| Some(phase.off_cpu_ns.as_ref()?.blocked)),
        figure("waiting for a processor", Nanoseconds, Scheduling, Machine, |phase| {
            Some(phase.off_cpu_ns.as_ref()?.runnable)
        })
        .headed("runnable"),
        figure("migrations", Count, Scheduling, Machine, |phase| phase.migrations),
        figure("threads started", Count, Scheduling, Guest, |phase| phase.created.map(|born| born.threads))
            .headed("threads"),
        figure("processes started", Count, Scheduling, Guest, |phase| phase.created.map(|born| born.processes))
            .headed("processes"),
    ]
};

const fn figure(
    name: &'static str,
    unit: Unit,
    group: Group,
    compared: Compared,
    value: fn(&KernelPhase) -> Option<u64>,
) -> KernelFigure {
    KernelFigure { name, header: Some(name), unit, group, compared, value }
}

impl KernelFigure {
    const fn headed(self, header: &'static str) -> Self {
        Self { header: Some(header), ..self }
    }

    const fn without_column(self) -> Self {
        Self { header: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

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
}
