//! Telemetry in Prometheus' text format, version 0.0.4, for a file that node_exporter's textfile collector reads.
//!
//! Its times are in the metrics, not beside them: that collector refuses a file with times.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Definition, Kind, Label, Point, Telemetry, Value, label};
use crate::sink::{Out, RenderContext, Sink};
use wasiscope_model::report::Report;

/// What a file of this tool's begins with.
pub const BEGINNING: &str = "# wasiscope ";

/// What is not in the file: half of its lines would be buckets of single system calls. Their number and time are there.
const LEFT_OUT: &str = "wasiscope.kernel.syscall.latency";

/// Values, each with the machine that it is of.
type Points<'a> = Vec<(&'a Label, &'a Point)>;

/// Every figure of a report.
#[derive(Clone, Copy, Debug)]
pub struct Metrics;

impl Sink<Report> for Metrics {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn help(&self) -> &'static str {
        "Also write every figure as a text file for Prometheus, by way of node_exporter's textfile collector"
    }

    fn write(&self, report: &Report, _context: &RenderContext<'_>, mut out: &mut Out<'_>) -> io::Result<()> {
        write(&super::of(report).map_err(io::Error::other)?, &mut out)
    }
}

/// Writes all of it, but for the latencies of each system call.
///
/// # Errors
/// When it cannot be written.
pub fn write(telemetry: &[Telemetry], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{BEGINNING}{}: see docs/telemetry.md", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "# HELP wasiscope_run_info The machine, the commit and the versions of a run; join on machine.")?;
    writeln!(out, "# TYPE wasiscope_run_info gauge")?;
    for machine in telemetry {
        sample(out, "wasiscope_run_info", &machine.resource.iter().collect::<Vec<_>>(), None, "1")?;
    }
    // The points of a metric belong together, whichever machine they are of.
    let mut by_name: BTreeMap<&str, (&Definition, Points<'_>)> = BTreeMap::new();
    for machine in telemetry {
        let Some(name) = machine.resource.iter().find(|label| label.name == label::MACHINE) else { continue };
        for (key, metric) in machine.metrics.iter().filter(|(key, _)| **key != LEFT_OUT) {
            let (_, points) = by_name.entry(key).or_insert_with(|| (metric.definition, Vec::new()));
            points.extend(metric.points.iter().map(|point| (name, point)));
        }
    }
    for (definition, points) in by_name.values() {
        write_metric(out, definition, points)?;
    }
    Ok(())
}

fn write_metric(out: &mut dyn Write, definition: &Definition, points: &[(&Label, &Point)]) -> io::Result<()> {
    let Written { name, scale } = Written::of(definition);
    let kind = match definition.kind {
        Kind::Gauge => "gauge",
        Kind::Sum => "counter",
        Kind::Histogram => "histogram",
    };
    writeln!(out, "# HELP {name} {}", definition.description.replace('\\', "\\\\").replace('\n', "\\n"))?;
    writeln!(out, "# TYPE {name} {kind}")?;
    for (machine, point) in points {
        let labels: Vec<&Label> = std::iter::once(*machine).chain(&point.labels).collect();
        match &point.value {
            Value::Count(count) if scale == 1.0 => sample(out, &name, &labels, None, &count.to_string())?,
            Value::Count(count) => sample(out, &name, &labels, None, &number(*count as f64 / scale))?,
            Value::Whole(whole) => sample(out, &name, &labels, None, &number(*whole as f64 / scale))?,
            Value::Real(real) => sample(out, &name, &labels, None, &number(real / scale))?,
            Value::Histogram(histogram) => {
                let mut below = 0_u64;
                let series = |of: &str| format!("{name}_{of}");
                for (bound, count) in &histogram.buckets {
                    below = below.saturating_add(*count);
                    sample(out, &series("bucket"), &labels, Some(&number(bound / scale)), &below.to_string())?;
                }
                let count = histogram.count.to_string();
                sample(out, &series("bucket"), &labels, Some("+Inf"), &count)?;
                // The format wants a sum; one that is not known is no 0.
                let sum = histogram.sum.map_or(f64::NAN, |sum| sum / scale);
                sample(out, &series("sum"), &labels, None, &number(sum))?;
                sample(out, &series("count"), &labels, None, &count)?;
            }
        }
    }
    Ok(())
}

/// How a metric is written here.
struct Written {
    /// Underscores for dots, and the unit behind it.
    name: String,
    /// By what its values are divided: units are those without prefixes.
    scale: f64,
}

impl Written {
    fn of(definition: &Definition) -> Self {
        if definition.is_plain {
            return Self { name: definition.name.to_owned(), scale: 1.0 };
        }
        let (unit, scale) = match definition.unit {
            "ns" => ("_seconds", 1e9),
            "s" => ("_seconds", 1.0),
            "By" => ("_bytes", 1.0),
            "1/s" => ("_per_second", 1.0),
            _ => ("", 1.0),
        };
        let total = if definition.kind == Kind::Sum { "_total" } else { "" };
        Self { name: format!("{}{unit}{total}", definition.name.replace('.', "_")), scale }
    }
}

/// One line.
fn sample(out: &mut dyn Write, name: &str, labels: &[&Label], le: Option<&str>, value: &str) -> io::Result<()> {
    write!(out, "{name}{{")?;
    for (index, label) in labels.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let text = label.text.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        write!(out, "{comma}{}=\"{text}\"", name_of(label))?;
    }
    if let Some(le) = le {
        write!(out, ",le=\"{le}\"")?;
    }
    writeln!(out, "}} {value}")
}

/// An attribute's name as a label's: all that is here is of wasiscope, so that need not be said again.
fn name_of(label: &Label) -> String {
    label.name.strip_prefix("wasiscope.").unwrap_or(label.name).replace('.', "_")
}

/// A number as the format writes it: the shortest that is read back as the same.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        // Beyond 2^53 the digits say nothing more.
        value if value.abs() >= 1e21 => format!("{value:e}"),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::all;
    use super::*;

    #[test]
    fn names_and_units_are_prometheus_own_and_no_two_series_share_a_name() {
        let mut series: Vec<String> = Vec::new();
        for definition in all() {
            let Written { name, .. } = Written::of(definition);
            match definition.kind {
                Kind::Histogram => series.extend(["bucket", "sum", "count"].map(|of| format!("{name}_{of}"))),
                _ => series.push(name),
            }
        }
        let mut distinct = series.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), series.len(), "{series:?}");
        for name in ["wasiscope_measurement_duration_seconds", "wasiscope_kernel_memory_bytes_total", "wasm_exec_count"]
        {
            assert!(distinct.iter().any(|series| series == name), "{name}");
        }
        assert!(distinct.iter().any(|series| series == "probe_latency_us_bucket"));
    }

    #[test]
    fn numbers_are_read_back_as_they_were() {
        for value in [0.0, 1e-9, 0.1 + 0.2, 7_284.0 / 1e9, 1e300, f64::MAX, -3.5] {
            assert_eq!(number(value).parse::<f64>().unwrap(), value);
        }
        assert_eq!([f64::NAN, f64::INFINITY].map(number), ["NaN", "+Inf"]);
        assert_eq!(number(1_023.0 / 1e9), "0.000001023");
    }
}
