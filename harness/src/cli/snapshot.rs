//! `wasiscope snapshot`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, print};
use crate::places::Places;
use crate::report::document::{CaseReport, Report};
use crate::report::json;
use crate::snapshot::{self, Checked, State};

const EXAMPLES: &str = "\
Examples:
  wasiscope run startup && wasiscope snapshot target/wasiscope/report.json             are the facts as they were?
  wasiscope snapshot target/wasiscope/report.json --accept                             these are right from now on

Exit status: 0 all facts are as they were, or were accepted · 1 some differ, are new, of an unknown toolchain, or over budget · 2 bad
usage or input";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The report of a run
    report: PathBuf,
    /// Keep these facts: write them to snapshots/, for git to show and you to commit
    #[arg(long)]
    accept: bool,
}

/// How many cases came out how.
#[derive(Default)]
struct Tally {
    same: usize,
    accepted: usize,
    not_kept: usize,
    bad: usize,
    /// Of the bad ones, those that accepting would mend.
    acceptable: usize,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let report = json::read(&arguments.report)?;
    let folder = places.snapshots();
    let mut tally = Tally::default();
    let mut text = String::new();
    for scenario in &report.scenarios {
        for case in &scenario.cases {
            let tools =
                case.source.and_then(|source| report.sources.get(source)).map_or(&report.tools, |source| &source.tools);
            let wasmtime = tools.get("wasmtime").cloned().flatten().unwrap_or_default();
            text += &one(&folder, (&scenario.name, case, &wasmtime), arguments.accept, &mut tally)?;
        }
    }
    // A part of a suite lacks cases that are not gone.
    if report.shard.is_none() && report.sources.is_empty() {
        text += &strays(&folder, &report);
    }
    let Tally { same, accepted, not_kept, bad, acceptable } = tally;
    let mut parts = vec![format!("{same} as they were")];
    parts.extend((accepted > 0).then(|| format!("{accepted} accepted")));
    parts.extend((bad > 0).then(|| format!("{bad} not as they must be")));
    parts.extend((not_kept > 0).then(|| format!("{not_kept} without facts that are kept")));
    text += &format!("facts of {} cases: {}\n", same + accepted + bad + not_kept, parts.join(", "));
    print(&text)?;
    if acceptable > 0 {
        tell!("to keep these facts: wasiscope snapshot {} --accept", arguments.report.display());
    }
    Ok(if bad > 0 { Exit::CaseFailed } else { Exit::Done })
}

fn one(
    folder: &Path,
    (scenario, case, wasmtime): (&str, &CaseReport, &str),
    accept: bool,
    tally: &mut Tally,
) -> anyhow::Result<String> {
    let title = format!("{scenario}: {}", case.id);
    if !case.outcome.expected && !case.outcome.is_of_budgets() {
        // Its facts are those of a failure.
        tally.bad += 1;
        let detail = case.outcome.detail.as_deref().unwrap_or_default();
        return Ok(format!("{title}: {} {detail}\n", case.outcome.status.name()));
    }
    let checked = snapshot::check(folder, scenario, case, wasmtime)?;
    if !snapshot::is_kept(case) && checked.passes() {
        tally.not_kept += 1;
        return Ok(String::new());
    }
    if accept && checked.can_be_accepted() {
        snapshot::accept(&checked)?;
        let was = crate::cli::tables::snapshot::word(&checked);
        let paths: Vec<String> = checked.changes().map(shown).collect();
        let accepted = Checked { state: State::Same, ..checked };
        let count = if accepted.passes() { &mut tally.accepted } else { &mut tally.bad };
        *count += 1;
        return Ok(format!("{title}: accepted ({was}), {}\n{}", paths.join(", "), explain(&accepted, case)));
    }
    if checked.passes() {
        tally.same += 1;
        return Ok(String::new());
    }
    tally.bad += 1;
    tally.acceptable += usize::from(checked.can_be_accepted());
    Ok(format!("{title}: {}\n{}", crate::cli::tables::snapshot::word(&checked), explain(&checked, case)))
}

fn explain(checked: &Checked, case: &CaseReport) -> String {
    let toolchain = case.artifact.as_ref().and_then(|artifact| artifact.toolchain.as_deref());
    crate::cli::tables::snapshot::explain(checked, shown, toolchain)
}

/// As one would type it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// A report may hold a part of its scenarios only, so what it does not have is named and left alone.
fn strays(folder: &Path, report: &Report) -> String {
    let strays =
        report.scenarios.iter().flat_map(|scenario| snapshot::without_case(folder, &scenario.name, &scenario.cases));
    strays
        .map(|path| {
            format!(
                "{}: not among the cases of this report; delete the file if the case is gone for good\n",
                shown(&path)
            )
        })
        .collect()
}
