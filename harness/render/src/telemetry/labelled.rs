//! Metrics that share labels, and the buckets of their histograms.

use wasiscope_ebpf_abi::{bucket_of, bucket_upper};

use super::catalogue::Definition;
use super::label::Label;
use super::{Metrics, Span, Value};

/// Adds metrics of one thing, whose labels they share.
pub(crate) struct Labelled<'a> {
    metrics: &'a mut Metrics,
    time: Span,
    labels: Vec<Label>,
}

impl<'a> Labelled<'a> {
    pub(crate) fn new(metrics: &'a mut Metrics, time: Span, context: &[Label]) -> Self {
        Self { metrics, time, labels: context.to_vec() }
    }

    /// The same with more labels.
    pub(crate) fn within(&mut self, more: impl IntoIterator<Item = Label>) -> Labelled<'_> {
        let labels = self.labels.iter().cloned().chain(more).collect();
        Labelled { metrics: self.metrics, time: self.time, labels }
    }

    /// Gives it more labels.
    pub(crate) fn label<const N: usize>(&mut self, more: [Label; N]) {
        self.labels.extend(more);
    }

    pub(crate) fn add<const N: usize>(&mut self, definition: &'static Definition, more: [Label; N], value: Value) {
        let labels = self.labels.iter().cloned().chain(more).collect();
        self.metrics.add(definition, labels, self.time, value);
    }

    pub(crate) fn add_known<const N: usize>(
        &mut self,
        definition: &'static Definition,
        more: [Label; N],
        value: Option<Value>,
    ) {
        if let Some(value) = value {
            self.add(definition, more, value);
        }
    }
}

/// Buckets in ascending order, with an empty one before each that does not follow on the one before.
pub(crate) fn buckets(stored: &[(u64, u64)], bound: impl Fn(u64) -> f64) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut add = |upper: u64, count: u64| {
        let bound = bound(upper);
        match buckets.last_mut() {
            // Out of order, or too large to be told apart as floats: with those before.
            Some((last, together)) if *last >= bound => *together = together.saturating_add(count),
            _ => buckets.push((bound, count)),
        }
    };
    for &(upper, count) in stored {
        let bucket = bucket_of(upper);
        if bucket > 0 {
            add(bucket_upper(bucket - 1), 0);
        }
        add(upper, count);
    }
    buckets
}
