//! `wasiscope export`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::Exit;
use crate::report::json;
use crate::report::parquet::Table;

const EXAMPLES: &str = "\
Examples:
  wasiscope export target/wasiscope/report.json --parquet samples.parquet
  wasiscope export reports/*.json --parquet all.parquet            one table of many reports

  duckdb -c \"SELECT \\\"case\\\", median(value) FROM 'samples.parquet'
             WHERE metric = 'phase.run' AND NOT warm_up GROUP BY ALL\"

A row is a sample. `process` and `iteration` count from 0; `warm_up` marks the leading samples that summaries leave out.
`scenario` and `kind` are null for the reference case, which every run has beside its own. What was not known is null.

Exit status: 0 done · 2 bad usage or input";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A report, as `wasiscope run` writes it; several become one table
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    /// Where the table of samples goes
    #[arg(long, value_name = "FILE")]
    parquet: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    check_distinct(arguments)?;
    let out = super::run::destination("--parquet", &arguments.parquet)?;
    let mut unreadable = None;
    let written = out.write_with(|out| {
        let mut table = Table::begin(out)?;
        for path in &arguments.reports {
            // One at a time, and none is kept: together they may be larger than memory.
            match json::read(path) {
                Ok(report) => table.add(&path.to_string_lossy(), &report)?,
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
    eprintln!(
        "parquet: {} ({rows} samples of {reports} report{})",
        out.path().display(),
        if reports == 1 { "" } else { "s" }
    );
    Ok(Exit::Done)
}

/// A report named twice would count twice, and one that is overwritten is lost.
fn check_distinct(arguments: &Arguments) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for path in &arguments.reports {
        if identity(path).is_some_and(|file| !seen.insert(file)) {
            bail!("{} is named twice: its samples would count twice", path.display());
        }
    }
    match identity(&arguments.parquet) {
        Some(file) if seen.contains(&file) => {
            bail!("--parquet {} is one of the reports: name another place", arguments.parquet.display())
        }
        _ => Ok(()),
    }
}

/// What two names of one file have in common; `None` for what is no file, or not there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((metadata.dev(), metadata.ino()))
}
