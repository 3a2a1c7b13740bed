//! What the kernel charged to a phase of a case. Totals over the passes that `wasiscope.kernel.iterations` counts.

use super::case::{Of, buckets};
use super::catalogue::{self, Definition};
use super::label::{self, Label};
use super::{Histogram, Value};
use wasiscope_model::events::Distribution;
use wasiscope_model::report::{Calls, Faults, KernelPhase, OffCpu};
use wasiscope_stats as stats;

/// Everything that was charged to one phase.
pub(crate) fn add(of: &mut Of<'_>, phase: &str, figures: &KernelPhase) {
    let mut phase = Phase { of, label: label::text("wasiscope.phase", phase) };
    phase.count(&catalogue::ITERATIONS, None, Some(figures.iterations));
    for (name, calls) in &figures.syscalls {
        phase.add_calls(name, calls);
    }
    phase.add_faults(&figures.faults);
    for (name, count) in figures.signals.iter().flatten() {
        phase.count(&catalogue::SIGNALS, Some(("wasiscope.signal", name)), Some(*count));
    }
    phase.count(&catalogue::MIGRATIONS, None, figures.migrations);
    phase.spread(&catalogue::RUN_QUEUE, None, figures.run_queue_ns.as_ref());
    phase.spread(&catalogue::FUTEX_WAITS, None, figures.futex_waits_ns.as_ref());
    if let Some(off_cpu) = &figures.off_cpu_ns {
        phase.add_off_cpu(off_cpu);
    }
    let (switches, created, io) = (figures.switches, figures.created, figures.block_io);
    let kinds = [
        (&catalogue::SWITCHES, "wasiscope.switch", "voluntary", switches.map(|of| of.voluntary)),
        (&catalogue::SWITCHES, "wasiscope.switch", "involuntary", switches.map(|of| of.involuntary)),
        (&catalogue::MEMORY, "wasiscope.operation", "mapped", figures.mapped_bytes),
        (&catalogue::MEMORY, "wasiscope.operation", "unmapped", figures.unmapped_bytes),
        (&catalogue::MEMORY, "wasiscope.operation", "protected", figures.protected_bytes),
        (&catalogue::MEMORY, "wasiscope.operation", "advised", figures.advised_bytes),
        (&catalogue::CREATED, "wasiscope.task", "thread", created.map(|of| of.threads)),
        (&catalogue::CREATED, "wasiscope.task", "process", created.map(|of| of.processes)),
        (&catalogue::BLOCK_REQUESTS, "wasiscope.direction", "read", io.map(|of| of.reads)),
        (&catalogue::BLOCK_REQUESTS, "wasiscope.direction", "write", io.map(|of| of.writes)),
        (&catalogue::BLOCK_REQUESTS, "wasiscope.direction", "other", io.map(|of| of.others)),
        (&catalogue::BLOCK_SIZE, "wasiscope.direction", "read", io.map(|of| of.read_bytes)),
        (&catalogue::BLOCK_SIZE, "wasiscope.direction", "write", io.map(|of| of.written_bytes)),
    ];
    for (definition, name, kind, count) in kinds {
        phase.count(definition, Some((name, kind)), count);
    }
}

struct Phase<'a, 'b> {
    of: &'a mut Of<'b>,
    label: Label,
}

impl Phase<'_, '_> {
    fn add(&mut self, definition: &'static Definition, kind: Option<(&'static str, &str)>, value: Option<Value>) {
        let phase = self.label.clone();
        match kind {
            Some((name, kind)) => self.of.add_known(definition, [phase, label::text(name, kind)], value),
            None => self.of.add_known(definition, [phase], value),
        }
    }

    fn count(&mut self, definition: &'static Definition, kind: Option<(&'static str, &str)>, count: Option<u64>) {
        self.add(definition, kind, count.map(Value::Count));
    }

    fn spread(
        &mut self,
        definition: &'static Definition,
        kind: Option<(&'static str, &str)>,
        spread: Option<&Distribution>,
    ) {
        self.add(definition, kind, spread.map(|spread| Value::Histogram(histogram(spread))));
    }

    fn add_calls(&mut self, name: &str, calls: &Calls) {
        let name = Some(("wasiscope.syscall", name));
        self.count(&catalogue::CALLS, name, Some(calls.count));
        self.count(&catalogue::CALL_ERRORS, name, Some(calls.errors));
        self.count(&catalogue::CALL_TIME, name, calls.total_ns);
        self.spread(&catalogue::CALL_SPREAD, name, calls.latency_ns.as_ref());
    }

    fn add_faults(&mut self, faults: &Faults) {
        let modes =
            [("user", faults.user, &faults.user_by_region), ("kernel", faults.kernel, &faults.kernel_by_region)];
        for (mode, count, by_region) in modes {
            self.count(&catalogue::FAULTS, Some(("wasiscope.mode", mode)), count);
            for (region, count) in by_region {
                let labels =
                    [self.label.clone(), label::text("wasiscope.mode", mode), label::text("wasiscope.region", region)];
                self.of.add(&catalogue::REGION_FAULTS, labels, Value::Count(*count));
            }
        }
    }

    fn add_off_cpu(&mut self, off_cpu: &OffCpu) {
        let reasons = [
            ("blocked", off_cpu.blocked, &off_cpu.blocked_spans),
            ("runnable", off_cpu.runnable, &off_cpu.runnable_spans),
        ];
        for (reason, total, spans) in reasons {
            let reason = Some(("wasiscope.reason", reason));
            self.count(&catalogue::OFF_CPU, reason, Some(total));
            // Reports of old have the total only; that is not to be read as no wait at all.
            let is_known = spans.count > 0 || total == 0;
            self.spread(&catalogue::OFF_CPU_SPREAD, reason, is_known.then_some(spans));
        }
    }
}

fn histogram(of: &Distribution) -> Histogram {
    let buckets = buckets(&of.buckets, |upper| upper as f64);
    let in_buckets = stats::total(buckets.iter().map(|(_, count)| *count));
    let float = |ns: Option<u64>| ns.map(|ns| ns as f64);
    Histogram {
        count: of.count.max(in_buckets),
        sum: Some(of.sum as f64),
        min: float(of.min),
        max: float(of.max),
        buckets,
    }
}
