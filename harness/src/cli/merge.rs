//! `wasiscope merge`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Exit;
use super::run::{Format, print_document};
use super::sinks::{cannot_write, destination};
use crate::code::fail;
use crate::merge::{Named, merge};
use crate::names;
use crate::report::json;

const EXAMPLES: &str = "\
Examples:
  wasiscope run --shard 1/3 --out 1.json     here, and 2/3 and 3/3 elsewhere; then:
  wasiscope merge 1.json 2.json 3.json --out report.json
  WASISCOPE_MACHINE=arm wasiscope run --out arm.json     a name tells machines apart that look alike

Exit status: 0 done · 1 a case failed in one of them · 2 bad usage or input, or reports that contradict each other";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Reports of one commit: shards of one suite, other scenarios, other machines
    #[arg(required = true, value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// Where the report of all of them goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Join shards although some are missing
    #[arg(long)]
    incomplete: bool,
    /// What is printed on stdout
    #[arg(long, value_enum)]
    format: Option<Format>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let reports = arguments.reports.iter().map(|path| named(path)).collect::<anyhow::Result<Vec<Named>>>()?;
    let same = |path: &PathBuf| match (path.canonicalize(), arguments.out.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    if arguments.reports.iter().any(same) {
        fail!(SameFile, "--out {} is one of the reports: name another place", arguments.out.display());
    }
    let out = destination("--out", &arguments.out)?;
    let Some(report) = merge(reports, arguments.incomplete)? else { fail!(NoReports, "no report was named") };
    out.write(&report).map_err(|error| cannot_write(&out, error))?;
    if let Some(format) = arguments.format {
        print_document(&report, format)?;
    }
    let (cases, runs) = (report.cases().count(), report.sources.len().max(1));
    tell!("report: {} ({cases} cases of {runs} runs)", out.path().display());
    Ok(if report.has_failures() { Exit::CaseFailed } else { Exit::Done })
}

fn named(path: &Path) -> anyhow::Result<Named> {
    let name = names::escaped(path.file_name().unwrap_or(path.as_os_str()));
    Ok((name, json::read(path)?))
}
