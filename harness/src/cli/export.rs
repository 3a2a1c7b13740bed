//! `wasiscope export`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};

use super::Exit;
use super::telemetry::{Outlets, TelemetryArguments};
use crate::names;
use crate::report::destination::Destination;
use crate::report::json;
use crate::report::parquet::Table;
use crate::report::telemetry;

const EXAMPLES: &str = "\
Examples:
  wasiscope export target/wasiscope/report.json --parquet samples.parquet
  wasiscope export reports/*.json --parquet all.parquet            one table of many reports

  wasiscope export target/wasiscope/report.json --otlp http://localhost:4318
  wasiscope export target/wasiscope/report.json --prometheus /var/lib/node_exporter/wasiscope.prom

  duckdb -c \"SELECT \\\"case\\\", median(value) FROM 'samples.parquet'
             WHERE metric = 'phase.run' AND NOT warm_up GROUP BY ALL\"

A row of the table is a sample. `process` and `iteration` count from 0; `warm_up` marks the leading samples that summaries leave out.
`scenario` and `kind` are null for the reference case, which every run has beside its own. What was not known is null.
docs/telemetry.md lists the metrics.

Exit status: 0 done · 2 bad usage or input · 4 the receiver did not take the metrics";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("outputs").args(["parquet", "otlp", "prometheus"]).required(true).multiple(true)))]
pub(super) struct Arguments {
    /// A report, as `wasiscope run` writes it; several become one table, or are sent one after the other
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    /// Where the table of samples goes
    #[arg(long, value_name = "FILE")]
    parquet: Option<PathBuf>,
    #[command(flatten)]
    telemetry: TelemetryArguments,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    check_distinct(arguments)?;
    let table = arguments.parquet.as_deref().map(|path| super::run::destination("--parquet", path)).transpose()?;
    let outlets = Outlets::open(&arguments.telemetry)?;
    if let (Some(table), Some(file)) = (&table, outlets.file())
        && table.path() == file.path()
    {
        bail!("--parquet and --prometheus: both of them would be {}", file.path().display());
    }
    if let Some(table) = &table {
        write_table(arguments, table)?;
    }
    if arguments.telemetry.is_asked_for() {
        tell(arguments, &outlets)?;
    }
    Ok(Exit::Done)
}

fn tell(arguments: &Arguments, outlets: &Outlets) -> anyhow::Result<()> {
    // What is sent cannot be taken back: first it is seen whether all of it can be.
    for path in &arguments.reports {
        let report = json::read(path)?;
        telemetry::of(&report).with_context(|| path.display().to_string())?;
        outlets.write(&report)?;
    }
    if arguments.telemetry.otlp.is_some() {
        for path in &arguments.reports {
            outlets.send(&json::read(path)?, &|| false)?;
        }
    }
    Ok(())
}

fn write_table(arguments: &Arguments, out: &Destination) -> anyhow::Result<()> {
    let mut unreadable = None;
    let written = out.write_with(|out| {
        let mut table = Table::begin(out)?;
        for path in &arguments.reports {
            // One at a time, and none is kept: together they may be larger than memory.
            match json::read(path) {
                Ok(report) => table.add(&names::escaped(path.as_os_str()), &report)?,
                Err(error) => {
                    unreadable = Some(error);
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            }
        }
        table.finish()
    });
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    let rows = written.with_context(|| format!("cannot write {}", out.path().display()))?;
    let reports = arguments.reports.len();
    tell!(
        "parquet: {} ({rows} samples of {reports} report{})",
        out.path().display(),
        if reports == 1 { "" } else { "s" }
    );
    Ok(())
}

/// A report named twice would count twice, and one that is overwritten is lost.
fn check_distinct(arguments: &Arguments) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for path in &arguments.reports {
        if identity(path).is_some_and(|file| !seen.insert(file)) {
            bail!("{} is named twice: its samples would count twice", path.display());
        }
    }
    let files = [("--parquet", &arguments.parquet), ("--prometheus", &arguments.telemetry.prometheus)];
    for (option, path) in files.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
        if identity(path).is_some_and(|file| seen.contains(&file)) {
            bail!("{option} {} is one of the reports: name another place", path.display());
        }
    }
    if arguments.telemetry.prometheus.is_some() && arguments.reports.len() > 1 {
        bail!(
            "--prometheus takes one report, because such a file has no times: join them first with `wasiscope merge`"
        );
    }
    Ok(())
}

/// What two names of one file have in common; `None` for what is no file, or not there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.dev(), metadata.ino()))
}
