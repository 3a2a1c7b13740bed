//! Samples as a table, in Parquet: one row for each, with all that tells it from the others. For DuckDB, Spark, DataFusion and
//! whatever else reads columns.

use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::sink::{Collector, Out, RenderContext, Several, Sink};
use wasiscope_model::report::{CaseReport, Machine, Measurement, Report, ScenarioReport};

/// Rows of a row group: all that is held in memory besides one report, 4 MiB of them, and about what DuckDB reads at a time.
const GROUP_ROWS: usize = 1 << 17;

/// What all samples of one measurement have in common. Texts are shared, not copied.
#[derive(Clone, Default)]
struct Labels {
    report: ByteArray,
    started_at_us: i64,
    commit: Option<ByteArray>,
    dirty: Option<bool>,
    machine: ByteArray,
    os: ByteArray,
    arch: ByteArray,
    cpu: Option<ByteArray>,
    cpus: i32,
    kernel: Option<ByteArray>,
    wasmtime: Option<ByteArray>,
    noise: i32,
    scenario: Option<ByteArray>,
    kind: Option<ByteArray>,
    case: ByteArray,
    workload: ByteArray,
    flavour: ByteArray,
    engine: ByteArray,
    n: Option<i64>,
    artifact_sha256: Option<ByteArray>,
    outcome: ByteArray,
    metric: ByteArray,
    unit: ByteArray,
    direction: ByteArray,
}

/// One sample.
struct Row {
    of: Rc<Labels>,
    process: i32,
    iteration: i32,
    warm_up: bool,
    value: f64,
}

/// Where the values of a column come from, and so their type.
enum Values {
    Text(fn(&Row) -> Option<&ByteArray>),
    Flag(fn(&Row) -> Option<bool>),
    Count(fn(&Row) -> Option<i32>),
    Size(fn(&Row) -> Option<i64>),
    /// Microseconds since 1970, UTC.
    Time(fn(&Row) -> Option<i64>),
    Real(fn(&Row) -> Option<f64>),
}

use Values::{Count, Flag, Real, Size, Text, Time};

/// A column: its name, whether every sample has a value there, and the values.
type Column = (&'static str, bool, Values);

/// The table. Names and types are stored in files that others keep: add to it, change nothing.
const COLUMNS: [Column; 28] = [
    ("report", true, Text(|row| Some(&row.of.report))),
    ("started_at", true, Time(|row| Some(row.of.started_at_us))),
    ("commit", false, Text(|row| row.of.commit.as_ref())),
    ("dirty", false, Flag(|row| row.of.dirty)),
    // By what machines are told apart: a name, or what is inside.
    ("machine", true, Text(|row| Some(&row.of.machine))),
    ("os", true, Text(|row| Some(&row.of.os))),
    ("arch", true, Text(|row| Some(&row.of.arch))),
    ("cpu", false, Text(|row| row.of.cpu.as_ref())),
    ("cpus", true, Count(|row| Some(row.of.cpus))),
    ("kernel", false, Text(|row| row.of.kernel.as_ref())),
    ("wasmtime", false, Text(|row| row.of.wasmtime.as_ref())),
    ("noise", true, Count(|row| Some(row.of.noise))),
    // The reference case belongs to no scenario, and so to no kind of one.
    ("scenario", false, Text(|row| row.of.scenario.as_ref())),
    ("kind", false, Text(|row| row.of.kind.as_ref())),
    ("case", true, Text(|row| Some(&row.of.case))),
    ("workload", true, Text(|row| Some(&row.of.workload))),
    ("flavour", true, Text(|row| Some(&row.of.flavour))),
    ("engine", true, Text(|row| Some(&row.of.engine))),
    ("n", false, Size(|row| row.of.n)),
    ("artifact_sha256", false, Text(|row| row.of.artifact_sha256.as_ref())),
    ("outcome", true, Text(|row| Some(&row.of.outcome))),
    ("metric", true, Text(|row| Some(&row.of.metric))),
    ("unit", true, Text(|row| Some(&row.of.unit))),
    ("direction", true, Text(|row| Some(&row.of.direction))),
    ("process", true, Count(|row| Some(row.process))),
    ("iteration", true, Count(|row| Some(row.iteration))),
    ("warm_up", true, Flag(|row| Some(row.warm_up))),
    ("value", true, Real(|row| Some(row.value))),
];

/// Every sample of a report.
#[derive(Clone, Copy, Debug)]
pub struct Samples;

impl Sink<Report> for Samples {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn help(&self) -> &'static str {
        "Also write every sample as a row of a table, in Parquet"
    }

    fn write(&self, report: &Report, context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        let mut table = Table::begin(out)?;
        table.add(context.name, report)?;
        table.finish().map(drop)
    }

    fn collector(&self) -> Option<&dyn Collector<Report>> {
        Some(self)
    }
}

impl Collector<Report> for Samples {
    fn begin<'o>(&self, out: &'o mut Out<'o>) -> io::Result<Box<dyn Several<Report> + 'o>> {
        Ok(Box::new(Table::begin(out)?))
    }
}

impl<W: Write + Send> Several<Report> for Table<W> {
    fn add(&mut self, name: &str, report: &Report) -> io::Result<()> {
        Self::add(self, name, report)
    }

    fn finish(self: Box<Self>) -> io::Result<String> {
        Ok(format!("{} samples", Table::finish(*self)?))
    }
}

/// A table that is being written.
pub struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    pending: Vec<Row>,
    rows: u64,
}

impl<W: Write + Send> Table<W> {
    /// Begins a table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("wasiscope ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = SerializedFileWriter::new(out, schema()?, Arc::new(properties))?;
        Ok(Self { writer, pending: Vec::new(), rows: 0 })
    }

    /// Adds every sample of a report, in its order, the reference case last. `name` is what the column `report` says.
    ///
    /// # Errors
    /// When the report's `started_at` is no time, or the rows cannot be written.
    pub fn add(&mut self, name: &str, report: &Report) -> io::Result<()> {
        let runs = runs(name, report)?;
        for scenario in &report.scenarios {
            for case in &scenario.cases {
                // A merged report's cases were each part of one of its runs.
                let of_run = case.source.and_then(|source| runs.get(source)).unwrap_or(&runs[0]);
                self.add_case(of_run, Some(scenario), case)?;
            }
        }
        let references: Vec<&Option<CaseReport>> = match &report.sources[..] {
            [] => vec![&report.reference],
            sources => sources.iter().map(|source| &source.reference).collect(),
        };
        let of_runs = runs.iter().zip(references);
        of_runs
            .filter_map(|(run, case)| Some((run, case.as_ref()?)))
            .try_for_each(|(run, case)| self.add_case(run, None, case))
    }

    fn add_case(&mut self, report: &Labels, scenario: Option<&ScenarioReport>, case: &CaseReport) -> io::Result<()> {
        let of_case = of_case(report, scenario, case);
        for measurement in &case.measurements {
            let of = Rc::new(of_measurement(&of_case, measurement));
            for (process, samples) in measurement.samples.iter().enumerate() {
                for (iteration, value) in samples.iter().enumerate() {
                    let warm_up = iteration < measurement.warm_up;
                    let (process, iteration) = (count(process), count(iteration));
                    self.pending.push(Row { of: Rc::clone(&of), process, iteration, warm_up, value: *value });
                    if self.pending.len() == GROUP_ROWS {
                        self.write_group()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what is left and the end of the file; gives the number of rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(mut self) -> io::Result<u64> {
        if !self.pending.is_empty() {
            self.write_group()?;
        }
        self.writer.close()?;
        Ok(self.rows)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (_, required, values) in &COLUMNS {
            if let Some(mut column) = group.next_column()? {
                write_column(&mut column, *required, values, &self.pending)?;
                column.close()?;
            }
        }
        group.close()?;
        self.rows += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

fn write_column(
    column: &mut SerializedColumnWriter<'_>,
    required: bool,
    values: &Values,
    rows: &[Row],
) -> Result<(), ParquetError> {
    match values {
        Text(of) => write::<ByteArrayType>(column, required, rows.iter().map(|row| of(row).cloned())),
        Flag(of) => write::<BoolType>(column, required, rows.iter().map(of)),
        Count(of) => write::<Int32Type>(column, required, rows.iter().map(of)),
        Size(of) | Time(of) => write::<Int64Type>(column, required, rows.iter().map(of)),
        Real(of) => write::<DoubleType>(column, required, rows.iter().map(of)),
    }
}

fn write<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    required: bool,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = values.collect();
    // Which rows have a value is written for columns only that may lack one.
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&present, (!required).then_some(&levels), None)?;
    Ok(())
}

fn schema() -> Result<TypePtr, ParquetError> {
    let field = |(name, required, values): &Column| {
        let (physical, logical) = match values {
            Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Flag(_) => (Physical::BOOLEAN, None),
            Count(_) => (Physical::INT32, None),
            Size(_) => (Physical::INT64, None),
            Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Real(_) => (Physical::DOUBLE, None),
        };
        let repetition = if *required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
        builder.with_logical_type(logical).build().map(Arc::new)
    };
    let fields = COLUMNS.iter().map(field).collect::<Result<Vec<TypePtr>, ParquetError>>()?;
    Type::group_type_builder("samples").with_fields(fields).build().map(Arc::new)
}

/// What is common to each run that the report is of; one, unless it was merged.
fn runs(name: &str, report: &Report) -> io::Result<Vec<Labels>> {
    if report.sources.is_empty() {
        return Ok(vec![of_run(name, report, &report.started_at, &report.machine)?]);
    }
    report.sources.iter().map(|source| of_run(name, report, &source.started_at, &source.machine)).collect()
}

fn of_run(name: &str, report: &Report, started_at: &str, machine: &Machine) -> io::Result<Labels> {
    let started_at: jiff::Timestamp = started_at.parse().map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{name}: started_at is no time: {error}"))
    })?;
    Ok(Labels {
        report: name.into(),
        started_at_us: started_at.as_microsecond(),
        commit: report.git.as_ref().map(|git| text(&git.commit)),
        dirty: report.git.as_ref().map(|git| git.dirty),
        machine: text(machine.label()),
        os: text(&machine.os),
        arch: text(&machine.arch),
        cpu: machine.cpu.as_ref().map(text),
        cpus: count(machine.cpus),
        kernel: machine.kernel.as_ref().map(text),
        wasmtime: report.tools.get("wasmtime").and_then(Option::as_ref).map(text),
        noise: i32::try_from(report.noise).unwrap_or(i32::MAX),
        ..Labels::default()
    })
}

fn of_case(report: &Labels, scenario: Option<&ScenarioReport>, case: &CaseReport) -> Labels {
    Labels {
        scenario: scenario.map(|scenario| text(&scenario.name)),
        kind: scenario.map(|scenario| text(&scenario.kind)),
        case: text(&case.id),
        workload: text(&case.workload),
        flavour: text(&case.flavour),
        engine: text(&case.engine),
        // Signed, because not every reader knows others; a size beyond 2^63 could not be run.
        n: case.n.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        artifact_sha256: case.artifact.as_ref().map(|artifact| text(&artifact.sha256)),
        outcome: case.outcome.status.name().into(),
        ..report.clone()
    }
}

fn of_measurement(case: &Labels, measurement: &Measurement) -> Labels {
    Labels {
        metric: text(&measurement.metric),
        unit: text(&measurement.unit),
        direction: text(&measurement.direction),
        ..case.clone()
    }
}

fn text(text: impl AsRef<str>) -> ByteArray {
    text.as_ref().into()
}

/// A number of things on one machine.
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    use serde_json::{Value, json};

    use super::*;

    fn case(id: &str, samples: &Value, warm_up: usize) -> Value {
        let summary = json!({"n": 1, "processes": 1, "median": 0.0, "ci_low": null, "ci_high": null, "min": 0.0, "max": 0.0,
            "mad": 0.0, "p95": 0.0});
        let measurement = json!({"metric": "phase.run", "unit": "ns", "direction": "lower_is_better", "samples": samples,
            "warm_up": warm_up, "summary": summary});
        json!({"id": id, "workload": "w", "flavour": "f", "engine": "e", "n": null, "artifact": null,
            "outcome": {"status": "trapped", "detail": null}, "facts": {}, "measurements": [measurement],
            "observer_ratio": null, "kernel": null})
    }

    fn report(started_at: &str, case: &Value, reference: &Value) -> Report {
        let machine = json!({"os": "linux", "kernel": null, "arch": "x86_64", "cpu": null, "cpus": 2, "memory_bytes": null,
            "virtualized": null, "steal_ratio": null});
        let ledger = json!({"ring_dropped": 0, "map_full": 0, "recursion_missed": 0});
        let report = json!({"schema_version": 1, "wasiscope": "0", "started_at": started_at, "duration_s": 1.0, "seed": 1,
            "noise": 3, "interrupted": false, "git": {"commit": "abc", "dirty": true}, "machine": machine,
            "tools": {"wasmtime": "48.0.8"}, "capture": {"status": "off", "reason": null, "programs": [], "ledger": ledger},
            "scenarios": [{"name": "s", "kind": "workload", "cases": [case]}], "reference": reference});
        serde_json::from_value(report).unwrap()
    }

    fn table(reports: &[Report]) -> SerializedFileReader<Bytes> {
        let mut bytes = Vec::new();
        let mut table = Table::begin(&mut bytes).unwrap();
        reports.iter().enumerate().for_each(|(index, report)| table.add(&format!("{index}.json"), report).unwrap());
        table.finish().unwrap();
        SerializedFileReader::new(Bytes::from(bytes)).unwrap()
    }

    /// Each row by column, as the reader shows it.
    fn rows(reader: &SerializedFileReader<Bytes>) -> Vec<BTreeMap<String, String>> {
        let shown = |(name, field): (&String, &Field)| (name.clone(), field.to_string().replace('"', ""));
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap().get_column_iter().map(shown).collect()).collect()
    }

    #[test]
    fn a_row_for_every_sample_with_all_that_tells_it_from_others() {
        let measured = case("w/f/e", &json!([[5, 7], [], [1.5]]), 1);
        let report =
            report("2026-11-24T10:00:00.25Z", &measured, &case("reference/custom/cranelift", &json!([[9]]), 0));
        let rows = rows(&table(&[report.clone(), report]));
        assert_eq!(rows.len(), 8);
        let of_report = "0.json,2026-11-24 10:00:00.250000 +00:00,abc,true,2 × unknown processor, x86_64, linux,linux,x86_64,null,2,null,48.0.8,3";
        let of_case = "s,workload,w/f/e,w,f,e,null,null,trapped";
        let first = format!("{of_report},{of_case},phase.run,ns,lower_is_better,0,0,true,5.0");
        let shown: Vec<&str> = COLUMNS.iter().map(|(name, ..)| &*rows[0][*name]).collect();
        assert_eq!(shown.join(","), first);
        let place = |row: usize| ["process", "iteration", "warm_up", "value"].map(|name| &*rows[row][name]);
        assert_eq!(place(1), ["0", "1", "false", "7.0"]);
        assert_eq!(place(2), ["2", "0", "true", "1.5"], "a process without samples has no row");
        assert_eq!(["scenario", "kind", "value"].map(|name| &*rows[3][name]), ["null", "null", "9.0"]);
        assert_eq!(rows[7]["report"], "1.json");
    }

    #[test]
    fn merged_reports_say_which_run_a_sample_is_of() {
        let part = |index: u32, name: &str| {
            let id = format!("{name}/f/e");
            let reference = case("reference/custom/cranelift", &json!([[f64::from(index)]]), 0);
            let mut report = report("2026-11-24T10:00:00Z", &case(&id, &json!([[1]]), 0), &reference);
            report.machine.name = Some(name.to_owned());
            (format!("{name}.json"), report)
        };
        let merged = wasiscope_model::fixtures::joined(vec![part(1, "a"), part(2, "b")]);
        let rows = rows(&table(&[merged]));
        let shown: Vec<[&str; 3]> =
            rows.iter().map(|row| ["machine", "case", "value"].map(|name| &*row[name])).collect();
        let reference = "reference/custom/cranelift";
        assert_eq!(
            shown,
            [["a", "a/f/e", "1.0"], ["b", "b/f/e", "1.0"], ["a", reference, "1.0"], ["b", reference, "2.0"]]
        );
    }

    #[test]
    fn groups_of_rows_are_bounded_and_reports_share_them() {
        let samples = vec![vec![1.0; GROUP_ROWS / 2 + 1]; 2];
        let report = report("2026-11-24T10:00:00Z", &case("w/f/e", &json!(samples), 0), &Value::Null);
        let reader = table(&[report.clone(), report]);
        let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        let bound = i64::try_from(GROUP_ROWS).unwrap();
        assert_eq!(groups, [bound, bound, 4]);
        assert!(reader.metadata().file_metadata().created_by().is_some_and(|by| by.starts_with("wasiscope ")));
    }

    #[test]
    fn nothing_measured_is_a_table_without_rows() {
        let reader = table(&[]);
        assert!(rows(&reader).is_empty());
        assert_eq!(reader.metadata().file_metadata().schema().get_fields().len(), COLUMNS.len());
    }

    #[test]
    fn a_report_of_no_known_time_is_refused_by_name() {
        let report = report("yesterday", &case("w/f/e", &json!([[1]]), 0), &Value::Null);
        let error = Table::begin(Vec::new()).unwrap().add("old.json", &report).unwrap_err().to_string();
        assert!(error.starts_with("old.json: started_at is no time"), "{error}");
    }
}
