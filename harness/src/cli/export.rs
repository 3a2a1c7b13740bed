//! `wasiscope export`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Args};

use super::Exit;
use super::sinks::{self, SinkArguments, cannot_write, check_distinct};
use super::telemetry::{self, MetricOutput, TelemetryArguments};
use crate::code::{CodedError, fail};
use crate::names;
use crate::report::destination::Destination;
use crate::report::sink::{Collector, Sink};
use crate::report::sinks::Document;
use crate::report::{Report, json, telemetry as metrics};

const EXAMPLES: &str = "\
Examples:
  wasiscope export target/wasiscope/report.json --parquet samples.parquet
  wasiscope export reports/*.json --parquet all.parquet            one table of many reports

  wasiscope export target/wasiscope/report.json --otlp http://localhost:4318
  wasiscope export target/wasiscope/report.json --prometheus /var/lib/node_exporter/wasiscope.prom
  wasiscope export target/wasiscope/report.json --junit junit.xml  # every case as a test

  duckdb -c \"SELECT \\\"case\\\", median(value) FROM 'samples.parquet'
             WHERE metric = 'phase.run' AND NOT warm_up GROUP BY ALL\"

A row of the table is a sample. `process` and `iteration` count from 0; `warm_up` marks the leading samples that summaries leave out.
`scenario` and `kind` are null for the reference case, which every run has beside its own. What was not known is null.
docs/telemetry.md lists the metrics.

Exit status: 0 done · 2 bad usage or input · 4 the receiver did not take the metrics";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("outputs").args(sinks::options::<Report>().chain(telemetry::OPTION)).required(true).multiple(true)))]
pub(super) struct Arguments {
    /// A report, as `wasiscope run` writes it; several become one table, or are sent one after the other
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    sinks: SinkArguments<Report>,
    #[command(flatten)]
    telemetry: TelemetryArguments,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    check_named(arguments)?;
    let renderings = arguments.sinks.open()?;
    let receiver = MetricOutput::open(&arguments.telemetry)?;
    check_distinct(renderings.places())?;
    for (sink, place) in renderings.each() {
        match sink.collector() {
            Some(collector) => collect(arguments, sink, collector, place)?,
            None => render(&arguments.reports[0], sink, place)?,
        }
    }
    if let Some(receiver) = &receiver {
        send(arguments, receiver)?;
    }
    Ok(Exit::Done)
}

fn send(arguments: &Arguments, receiver: &MetricOutput) -> anyhow::Result<()> {
    // What is sent cannot be taken back: first it is seen whether all of it can be.
    for path in &arguments.reports {
        metrics::of(&json::read(path)?).map_err(CodedError::from).with_context(|| path.display().to_string())?;
    }
    for path in &arguments.reports {
        receiver.send(&json::read(path)?, &|| false)?;
    }
    Ok(())
}

fn render(path: &Path, sink: &dyn Sink<Report>, place: &Destination) -> anyhow::Result<()> {
    let report = json::read(path)?;
    if !sink.has_any(&report) {
        fail!(NotInReport, "--{}: {} has none: run with that option", sink.option(), path.display());
    }
    sinks::write(sink, place, &report, &name(path))?;
    tell!("{}: {}{}", sink.name(), place.path().display(), sink.hint(&report));
    Ok(())
}

fn collect(
    arguments: &Arguments,
    sink: &dyn Sink<Report>,
    collector: &dyn Collector<Report>,
    place: &Destination,
) -> anyhow::Result<()> {
    let mut unreadable = None;
    let written = place.write_with(|out| {
        let mut rendering = collector.begin(out)?;
        for path in &arguments.reports {
            // One at a time, and none is kept: together they may be larger than memory.
            match json::read(path) {
                Ok(report) => rendering.add(&name(path), &report)?,
                Err(error) => {
                    unreadable = Some(error);
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            }
        }
        rendering.finish()
    });
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    let held = written.map_err(|error| cannot_write(place, error))?;
    let reports = arguments.reports.len();
    let s = if reports == 1 { "" } else { "s" };
    tell!("{}: {} ({held} of {reports} report{s})", sink.name(), place.path().display());
    Ok(())
}

/// What a report is called beside others.
fn name(path: &Path) -> String {
    names::escaped(path.as_os_str())
}

/// A report named twice would count twice, and one that is overwritten is lost.
fn check_named(arguments: &Arguments) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for path in &arguments.reports {
        if identity(path).is_some_and(|file| !seen.insert(file)) {
            fail!(SameFile, "{} is named twice: its samples would count twice", path.display());
        }
    }
    for (option, path) in arguments.sinks.paths() {
        if identity(path).is_some_and(|file| seen.contains(&file)) {
            fail!(SameFile, "--{option} {} is one of the reports: name another place", path.display());
        }
    }
    let is_asked_for = |sink: &&&dyn Sink<Report>| arguments.sinks.path(sink.option()).is_some();
    let of_one = Report::SINKS.iter().filter(is_asked_for).find(|sink| sink.collector().is_none());
    match of_one {
        Some(sink) if arguments.reports.len() > 1 => {
            fail!(OptionDoesNotApply, "--{} takes one report: join them first with `wasiscope merge`", sink.option())
        }
        _ => Ok(()),
    }
}

/// What two names of one file have in common; `None` for what is no file, or not there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.dev(), metadata.ino()))
}
