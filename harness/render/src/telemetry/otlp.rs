//! Telemetry as requests of the OpenTelemetry protocol, in the types that its project generates from the official definitions.
//!
//! The protocol's types and not the SDK's: its exporter takes only what its own instruments have just measured, under the time of
//! the export; neither ready-made buckets nor the times of a run that is over can be given to it.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_semantic_conventions::SCHEMA_URL;
use prost::Message;

use super::{Definition, Histogram, Kind, Label, Point, Telemetry, Text, Value};

/// The most bytes of one request: receivers of gRPC refuse more than 4 MiB, unless they are told otherwise.
pub const REQUEST_BYTES_MAX: usize = 3 << 20;

/// The requests that carry all of it, each of a size that receivers accept.
#[must_use]
pub fn requests(telemetry: &[Telemetry]) -> Vec<ExportMetricsServiceRequest> {
    bounded(telemetry, REQUEST_BYTES_MAX)
}

/// How many values a request carries.
#[must_use]
pub fn points(request: &ExportMetricsServiceRequest) -> usize {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let points = |metric: &Metric| match &metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    };
    scopes.flat_map(|scope| &scope.metrics).map(points).sum()
}

fn bounded(telemetry: &[Telemetry], bytes_max: usize) -> Vec<ExportMetricsServiceRequest> {
    /// Tags and lengths of what a point lies in: eight levels at most, six bytes each.
    const FRAME_BYTES: usize = 48;
    let mut requests = Vec::new();
    for machine in telemetry {
        let empty_bytes = request(machine, Vec::new()).encoded_len() + FRAME_BYTES;
        let (mut metrics, mut bytes) = (Vec::<Metric>::new(), empty_bytes);
        for of in machine.metrics.values() {
            let head = head(of.definition);
            let head_bytes = head.encoded_len() + FRAME_BYTES;
            let mut is_begun = false;
            for point in &of.points {
                let data = DataPoint::new(point);
                let more = data.encoded_len() + FRAME_BYTES;
                if bytes + more + if is_begun { 0 } else { head_bytes } > bytes_max && !metrics.is_empty() {
                    requests.push(request(machine, std::mem::take(&mut metrics)));
                    (bytes, is_begun) = (empty_bytes, false);
                }
                if !is_begun {
                    metrics.push(head.clone());
                    bytes += head_bytes;
                    is_begun = true;
                }
                bytes += more;
                if let Some(metric) = metrics.last_mut() {
                    data.add_to(metric);
                }
            }
        }
        if !metrics.is_empty() {
            requests.push(request(machine, metrics));
        }
    }
    requests
}

fn request(machine: &Telemetry, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope {
        name: wasiscope_model::NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: attributes(&machine.resource), ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }],
            schema_url: SCHEMA_URL.to_owned(),
        }],
    }
}

/// A metric without points.
///
/// Sums are cumulative: each run begins at 0 where its start time says, which readers know as a reset. For the one point of a
/// run, the increase since its start is the same number, but Prometheus and others refuse what calls itself that.
fn head(definition: &Definition) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let data_points = Vec::new();
    let data = match definition.kind {
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points }),
        Kind::Sum => metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }),
        Kind::Histogram => {
            let data_points = Vec::new();
            let histogram = opentelemetry_proto::tonic::metrics::v1::Histogram { data_points, aggregation_temporality };
            metric::Data::Histogram(histogram)
        }
    };
    Metric {
        name: definition.name.to_owned(),
        description: definition.description.to_owned(),
        unit: definition.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

enum DataPoint {
    Number(NumberDataPoint),
    Histogram(HistogramDataPoint),
}

impl DataPoint {
    fn new(point: &Point) -> Self {
        let value = match &point.value {
            // The protocol's whole numbers are signed; nothing that is counted in nanoseconds or bytes gets that far.
            Value::Count(count) => {
                i64::try_from(*count).map_or(NumberValue::AsDouble(*count as f64), NumberValue::AsInt)
            }
            Value::Whole(whole) => NumberValue::AsInt(*whole),
            Value::Real(real) => NumberValue::AsDouble(*real),
            Value::Histogram(histogram) => return Self::Histogram(histogram_point(point, histogram)),
        };
        Self::Number(NumberDataPoint {
            attributes: attributes(&point.labels),
            start_time_unix_nano: point.time.start_ns,
            time_unix_nano: point.time.end_ns,
            value: Some(value),
            ..NumberDataPoint::default()
        })
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Number(point) => point.encoded_len(),
            Self::Histogram(point) => point.encoded_len(),
        }
    }

    /// Adds it to a metric, which is of its kind: the catalogue's kind decides both.
    fn add_to(self, metric: &mut Metric) {
        match (self, &mut metric.data) {
            (Self::Number(point), Some(metric::Data::Gauge(gauge))) => gauge.data_points.push(point),
            (Self::Number(point), Some(metric::Data::Sum(sum))) => sum.data_points.push(point),
            (Self::Histogram(point), Some(metric::Data::Histogram(histogram))) => histogram.data_points.push(point),
            _ => debug_assert!(false, "{} has values of another kind", metric.name),
        }
    }
}

fn histogram_point(point: &Point, histogram: &Histogram) -> HistogramDataPoint {
    let counts = histogram.buckets.iter().map(|(_, count)| *count);
    HistogramDataPoint {
        attributes: attributes(&point.labels),
        start_time_unix_nano: point.time.start_ns,
        time_unix_nano: point.time.end_ns,
        count: histogram.count,
        sum: histogram.sum,
        min: histogram.min,
        max: histogram.max,
        // One more than there are bounds.
        bucket_counts: counts.chain([histogram.beyond()]).collect(),
        explicit_bounds: histogram.buckets.iter().map(|(bound, _)| *bound).collect(),
        ..HistogramDataPoint::default()
    }
}

fn attributes(labels: &[Label]) -> Vec<KeyValue> {
    let attribute = |label: &Label| {
        let value = match &label.text {
            Text::Plain(text) => any_value::Value::StringValue(text.clone()),
            Text::Flag(flag) => any_value::Value::BoolValue(*flag),
            Text::Number(number) => any_value::Value::IntValue(i64::try_from(*number).unwrap_or(i64::MAX)),
        };
        KeyValue { key: label.name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    };
    labels.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::telemetry;

    fn report(cases: usize) -> Vec<Telemetry> {
        let case = |index: usize| {
            let mut case = fixtures::case("w/f/e", "a", &fixtures::around(1_000));
            case.workload = format!("workload-{index}");
            case
        };
        telemetry::of(&fixtures::report((0..cases).map(case).collect(), None)).unwrap()
    }

    /// Every point with the name of its metric, in whatever request it is.
    fn told(requests: &[ExportMetricsServiceRequest]) -> Vec<String> {
        let scopes = requests.iter().flat_map(|request| &request.resource_metrics).flat_map(|of| &of.scope_metrics);
        let points = |metric: &Metric| match metric.data.clone().unwrap() {
            metric::Data::Gauge(gauge) => {
                gauge.data_points.iter().map(|point| format!("{} {point:?}", metric.name)).collect()
            }
            _ => Vec::new(),
        };
        scopes.flat_map(|scope| &scope.metrics).flat_map(points).collect()
    }

    #[test]
    fn requests_stay_below_their_bound_and_lose_nothing() {
        let telemetry = report(200);
        let (whole, parts) = (requests(&telemetry), bounded(&telemetry, 20_000));
        assert_eq!(whole.len(), 1);
        assert!(parts.len() > 10, "{}", parts.len());
        let largest = parts.iter().map(Message::encoded_len).max().unwrap();
        assert!(largest <= 20_000, "{largest}");
        assert_eq!(told(&parts), told(&whole));
        assert_eq!(parts.iter().map(points).sum::<usize>(), points(&whole[0]));
        let resources = |of: &[ExportMetricsServiceRequest]| of[0].resource_metrics[0].resource.clone();
        assert!(parts.iter().all(|part| resources(std::slice::from_ref(part)) == resources(&whole)), "whole each");
    }

    #[test]
    fn a_point_larger_than_the_bound_has_a_request_of_its_own() {
        let telemetry = report(1);
        let parts = bounded(&telemetry, 1);
        assert_eq!(parts.len(), telemetry[0].metrics.values().map(|metric| metric.points.len()).sum::<usize>());
    }
}
