//! What receivers got, decoded and put into the form of [`expected`](super::expected).

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint, metric};
use serde_json::Value;

use super::expected::{Content, Figure, Figures};
use super::receivers::Got;

fn text(attribute: &KeyValue) -> String {
    match attribute.value.clone().unwrap().value.unwrap() {
        any_value::Value::StringValue(text) => text,
        any_value::Value::BoolValue(flag) => flag.to_string(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let texts: BTreeMap<_, _> = attributes.iter().map(|of| (of.key.clone(), text(of))).collect();
    assert_eq!(texts.len(), attributes.len(), "names are unique: {attributes:?}");
    texts
}

fn number(point: &NumberDataPoint) -> Content {
    Content::Number(match point.value.unwrap() {
        NumberValue::AsInt(whole) => whole as f64,
        NumberValue::AsDouble(real) => real,
    })
}

/// A histogram without its empty buckets, of which no other may be wider than an eighth of an octave.
fn histogram(point: &HistogramDataPoint) -> Content {
    let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
    assert_eq!(counts.len(), bounds.len() + 1);
    assert_eq!(counts.iter().sum::<u64>(), point.count);
    assert!(bounds.is_sorted_by(|one, other| one < other), "{bounds:?}");
    assert_eq!(counts.last(), Some(&0), "nothing beyond the last bound");
    let filled = (0..bounds.len()).filter(|index| counts[*index] > 0);
    let buckets: Vec<(f64, u64)> = filled.clone().map(|index| (bounds[index], counts[index])).collect();
    for index in filled.filter(|index| bounds[*index] > 0.0) {
        let width = bounds[index] - index.checked_sub(1).map_or(0.0, |before| bounds[before]);
        assert!(width <= 1.0_f64.max(bounds[index] / 8.0), "{bounds:?}");
    }
    Content::Histogram { count: point.count, sum: point.sum, min: point.min, max: point.max, buckets }
}

/// Everything that was received, which must all be of the time of this report.
pub fn received(got: &Got, report: &Value) -> Figures {
    let start: jiff::Timestamp = report["started_at"].as_str().unwrap().parse().unwrap();
    let start = u64::try_from(start.as_nanosecond()).unwrap();
    let duration = std::time::Duration::from_secs_f64(report["duration_s"].as_f64().unwrap());
    let time = (start, start + u64::try_from(duration.as_nanos()).unwrap());
    let mut figures = Figures::new();
    let mut add = |metric: &Metric, kind, attributes: &[KeyValue], of: (u64, u64), content| {
        let unit: &'static str = metric.unit.clone().leak();
        let series = (metric.name.clone(), texts(attributes));
        assert_eq!(of, time, "{series:?}");
        assert!(!metric.description.is_empty());
        assert!(figures.insert(series.clone(), Figure { unit, kind, content }).is_none(), "{series:?} twice");
    };
    for (request, _) in got.lock().unwrap().iter() {
        for metric in metrics(request) {
            let mut numbers = |kind, points: &[NumberDataPoint]| {
                assert!(!points.is_empty(), "{}", metric.name);
                for of in points {
                    add(metric, kind, &of.attributes, (of.start_time_unix_nano, of.time_unix_nano), number(of));
                }
            };
            match metric.data.as_ref().unwrap() {
                metric::Data::Gauge(gauge) => numbers("gauge", &gauge.data_points),
                metric::Data::Sum(sum) => {
                    assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
                    numbers("sum", &sum.data_points);
                }
                metric::Data::Histogram(of) => {
                    assert_eq!(of.aggregation_temporality, 2, "cumulative");
                    for of in &of.data_points {
                        let times = (of.start_time_unix_nano, of.time_unix_nano);
                        add(metric, "histogram", &of.attributes, times, histogram(of));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
    figures
}

fn metrics(request: &ExportMetricsServiceRequest) -> impl Iterator<Item = &Metric> {
    request.resource_metrics.iter().flat_map(|of| &of.scope_metrics).flat_map(|scope| &scope.metrics)
}

/// The resource of every request, which must be one.
pub fn resource(got: &Got) -> BTreeMap<String, String> {
    let requests = got.lock().unwrap();
    let of = |(request, _): &(ExportMetricsServiceRequest, Vec<String>)| {
        texts(&request.resource_metrics[0].resource.as_ref().unwrap().attributes)
    };
    let mut resources: Vec<_> = requests.iter().map(of).collect();
    resources.dedup();
    let [resource] = resources.try_into().unwrap();
    resource
}
