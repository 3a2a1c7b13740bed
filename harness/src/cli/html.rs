//! `wasiscope html`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::Exit;
use super::history::shallow;
use super::sinks::{cannot_write, destination};
use crate::code::{Code, fail};
use crate::git::{self, GitError};
use crate::history::{Gatherer, Wanted, belongs_to};
use crate::kinds;
use crate::places::Places;
use crate::report::html::{self, Entry};
use crate::report::{Report, json};

const EXAMPLES: &str = "\
Examples:
  wasiscope html target/wasiscope/report.json --out public     one page, and an index
  wasiscope html history --out public                          every report of a history that is kept in a folder
  wasiscope run startup --html startup.html                    the page of a run, at once

Pages are single files that need no network and no server. Exit status: 0 done · 2 bad usage or input";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A report, or a folder of reports such as `wasiscope history --dir` keeps
    #[arg(required = true, value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// Where the pages go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut files = Vec::new();
    for path in &arguments.reports {
        if path.is_dir() {
            let before = files.len();
            collect(path, 0, &mut files)?;
            if files.len() == before {
                fail!(NoReports, "{}: no report (.json) in this folder", path.display());
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut gatherer = Gatherer::new(Wanted::default());
    let mut left_out = Vec::new();
    for path in &files {
        // One at a time: of a thousand reports none is kept.
        let report = match json::read(path) {
            Ok(report) => report,
            // In a folder one damaged file is not the end of the others.
            Err(error) if !arguments.reports.contains(path) => {
                tell!("left out: {error}");
                left_out.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let href = file_name(&report, &mut taken);
        write(&arguments.out.join(&href), &html::report_page(&report, kinds::VIEWS))?;
        if let Ok(commit) = belongs_to(&report) {
            gatherer.add(commit, &report);
        }
        entries.push(entry(href, &report));
    }
    entries.sort_by(|one, other| other.started_at.cmp(&one.started_at));
    let mainline = match git::mainline(&places.root, "HEAD") {
        Ok(mainline) => Some(mainline),
        // Then commits follow each other as they were measured.
        Err(GitError::NoRepository(_) | GitError::NoCommits(_) | GitError::NoGit(_)) => None,
        Err(error) => {
            left_out.push(format!("the order of commits: {error}"));
            None
        }
    };
    let mut history = gatherer.history(mainline.as_deref());
    history.left_out.extend(left_out);
    if git::is_shallow(&places.root) {
        history.left_out.push(shallow());
    }
    write(&arguments.out.join("index.html"), &html::index_page(&history, &entries))?;
    tell!("pages: {} and {} more", arguments.out.join("index.html").display(), entries.len());
    Ok(Exit::Done)
}

/// Reports of a folder, and of those in it: a history has one for each commit.
fn collect(folder: &Path, depth: u32, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| Code::of_read(&error).error(error));
    let entries = entries.with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() && depth == 0 {
            collect(&path, depth + 1, files)?;
        } else if is_called_a_report(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Reports are JSON, which may be compressed.
fn is_called_a_report(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    [".json", ".json.zst", ".json.gz"].iter().any(|ending| name.ends_with(ending.as_bytes()))
}

/// After the commit and the time, so that a report has the same page each time.
fn file_name(report: &Report, taken: &mut BTreeMap<String, usize>) -> String {
    let plain = |text: &str| text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>();
    let commit = report.git.as_ref().map_or("none".to_owned(), |git| plain(&git.commit).chars().take(12).collect());
    let started: String = plain(&report.started_at).chars().take(19).collect();
    let name = format!("{commit}-{started}");
    let count = taken.entry(name.clone()).or_default();
    *count += 1;
    if *count == 1 { format!("{name}.html") } else { format!("{name}-{count}.html") }
}

fn entry(href: String, report: &Report) -> Entry {
    Entry {
        href,
        started_at: report.started_at.clone(),
        commit: report.git.as_ref().map(|git| git.commit.clone()),
        is_of_commit: belongs_to(report).is_ok(),
        scenarios: report.scenarios.iter().map(|scenario| scenario.name.clone()).collect(),
        machine: report.machine.label(),
        failed: report.has_failures(),
    }
}

/// Writes a page where none of somebody else's is.
fn write(path: &Path, page: &str) -> anyhow::Result<()> {
    let place = destination("--out", path)?;
    let written = place.write_with(|out| out.write_all(page.as_bytes()));
    written.map_err(|error| cannot_write(&place, error))
}
