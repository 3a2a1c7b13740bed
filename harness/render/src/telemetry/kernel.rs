//! What the kernel charged to a phase of a case. Totals over the passes that `wasiscope.kernel.iterations` counts.

use std::collections::BTreeMap;

use super::catalogue::{self, Definition};
use super::label::{self, Label};
use super::labelled::{Labelled, buckets};
use super::{Histogram, Value};
use wasiscope_model::events::Distribution;
use wasiscope_model::kernel_figures::{
    Exported, KERNEL_COUNTS_BY_NAME, KERNEL_DISTRIBUTIONS, KERNEL_FIGURES, KernelCountsByName, KernelDistribution,
};
use wasiscope_model::report::{Calls, KernelPhase};
use wasiscope_stats as stats;

/// Everything that was charged to one phase.
pub(crate) fn add(of: &mut Labelled<'_>, phase: &str, charged: &KernelPhase) {
    let mut phase = Phase { of, label: label::text("wasiscope.phase", phase) };
    phase.count(&catalogue::ITERATIONS, None, Some(charged.iterations));
    for (name, calls) in &charged.syscalls {
        phase.add_calls(name, calls);
    }
    for figure in KERNEL_FIGURES {
        let Some(Exported { metric, attribute }) = figure.exported else { continue };
        phase.count(metric, attribute, (figure.value)(charged));
    }
    for KernelDistribution { exported: Exported { metric, attribute }, value, .. } in KERNEL_DISTRIBUTIONS {
        phase.spread(metric, *attribute, value(charged));
    }
    for counts in KERNEL_COUNTS_BY_NAME {
        phase.add_by_name(counts, (counts.value)(charged));
    }
}

struct Phase<'a, 'b> {
    of: &'a mut Labelled<'b>,
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

    fn add_by_name(&mut self, of: &KernelCountsByName, counts: Option<&BTreeMap<String, u64>>) {
        for (name, count) in counts.into_iter().flatten() {
            let (phase, name, count) = (self.label.clone(), label::text(of.name_attribute, name), Value::Count(*count));
            match of.attribute {
                Some((attribute, value)) => {
                    self.of.add(of.metric, [phase, label::text(attribute, value), name], count);
                }
                None => self.of.add(of.metric, [phase, name], count),
            }
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
