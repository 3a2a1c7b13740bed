//! `wasiscope history`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use globset::{Glob, GlobMatcher};

use super::{Exit, print};
use crate::code::fail;
use crate::git::{self, GitError};
use crate::history::{Added, Gatherer, NOTES, Store, Wanted};
use crate::places::Places;
use crate::report::{history, json, table};

const EXAMPLES: &str = "\
Examples:
  wasiscope history --dir history --add report.json             keep a report, by the commit that it is of
  wasiscope history --dir history                               steps in every metric, and the commits that made them
  wasiscope history --notes --case 'json/*' --metric phase.run  from git notes; one case, value by value

Files lie as DIR/COMMIT/START-HASH.json; notes under refs/notes/wasiscope, a line of JSON for each report. A step of a measurement needs three
commits on either side. Exit status: 0 done · 2 bad usage or input";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Keep this report; once for each
    #[arg(long, value_name = "REPORT")]
    add: Vec<PathBuf>,
    /// Only cases whose id (workload/flavour/engine) matches
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    case: Option<GlobMatcher>,
    /// Only measurements and facts that match, for example phase.run or 'size.*'; once for each [default: the measurements, the sizes of guests,
    /// fuel and memory]
    #[arg(long = "metric", value_name = "GLOB", value_parser = glob)]
    metrics: Vec<GlobMatcher>,
    /// The branch whose commits are shown, along first parents
    #[arg(long, value_name = "REVISION", default_value = "HEAD")]
    branch: String,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Place {
    /// Reports are files in this folder [default: git notes where there are any, else the folder history/ where it is there]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Reports are git notes, of this name below refs/notes/
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = NOTES)]
    notes: Option<String>,
}

impl Place {
    /// Where the user says, else where there is something already.
    fn store(&self, places: &Places) -> anyhow::Result<Store> {
        let notes = |name: &str| Store::Notes { repository: places.root.clone(), name: name.to_owned() };
        match (&self.dir, &self.notes) {
            (Some(folder), _) => return Ok(Store::Folder(folder.clone())),
            (None, Some(name)) => return Ok(notes(name)),
            (None, None) => {}
        }
        let reference = format!("refs/notes/{NOTES}");
        if git::git(&places.root, ["rev-parse", "--verify", "--quiet", &reference])
            .is_ok_and(|output| output.status.success())
        {
            return Ok(notes(NOTES));
        }
        let folder = places.root.join("history");
        if folder.is_dir() {
            return Ok(Store::Folder(folder));
        }
        fail!(
            NoReports,
            "no reports are kept here yet: say where, with --dir DIR (files) or --notes (git notes), and --add REPORT"
        )
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
    Markdown,
}

/// Why a history may be shorter than it is.
pub(super) fn shallow() -> String {
    format!("reports of commits that are not in this clone, {}", git::SHALLOW)
}

fn glob(text: &str) -> Result<GlobMatcher, String> {
    Glob::new(text).map(|glob| glob.compile_matcher()).map_err(|error| error.to_string())
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let store = arguments.place.store(places)?;
    if !arguments.add.is_empty() {
        arguments.add.iter().try_for_each(|path| add(&store, path))?;
        return Ok(Exit::Done);
    }
    let wanted = Wanted { cases: arguments.case.clone(), metrics: arguments.metrics.clone() };
    let in_full = wanted.cases.is_some() || !wanted.metrics.is_empty();
    let mut gatherer = Gatherer::new(wanted);
    if let Store::Notes { name, repository } = &store {
        git::printed(
            repository,
            &format!("name notes `{name}`"),
            &["check-ref-format", &format!("refs/notes/{name}")],
        )?;
    }
    let unreadable = store.read(&mut |commit, report| gatherer.add(commit, report))?;
    // A folder of reports may be read anywhere; then commits follow each other as they were measured.
    let mainline = match git::mainline(&places.root, &arguments.branch) {
        Ok(mainline) => Some(mainline),
        Err(GitError::NoRepository(_) | GitError::NoCommits(_) | GitError::NoGit(_)) => None,
        Err(error) => return Err(error.into()),
    };
    check_wanted("--case", arguments.case.as_slice(), gatherer.cases())?;
    check_wanted("--metric", &arguments.metrics, gatherer.metrics())?;
    let mut history = gatherer.history(mainline.as_deref());
    history.left_out.extend(unreadable);
    if git::is_shallow(&places.root) {
        history.left_out.push(shallow());
    }
    let text = match arguments.format {
        Format::Json => serde_json::to_string_pretty(&history)? + "\n",
        Format::Table => history::render(&history, in_full, table::Style::Plain),
        Format::Markdown => history::render(&history, in_full, table::Style::Markdown),
    };
    print(&text)?;
    Ok(Exit::Done)
}

/// A pattern that nothing matches is a slip of the hand.
fn check_wanted(option: &str, wanted: &[GlobMatcher], present: &BTreeSet<String>) -> anyhow::Result<()> {
    /// Most names that an error lists.
    const SHOWN: usize = 20;
    let is_stray = |glob: &&GlobMatcher| !present.iter().any(|name| glob.is_match(name));
    let Some(glob) = wanted.iter().find(is_stray) else { return Ok(()) };
    let pattern = glob.glob().glob();
    if present.is_empty() {
        fail!(NoReports, "no reports are kept there: wasiscope history … --add REPORT keeps one");
    }
    let meant = crate::scenario::nearest(pattern, present.iter().map(String::as_str));
    let meant = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    let names: Vec<&str> = present.iter().take(SHOWN).map(String::as_str).collect();
    let more = if present.len() > SHOWN { ", …" } else { "" };
    fail!(
        NothingMatches,
        "{option} {pattern}: nothing in these reports matches{meant}; there are: {}{more}",
        names.join(", ")
    )
}

fn add(store: &Store, path: &Path) -> anyhow::Result<()> {
    let report = json::read(path)?;
    let commit = report.git.as_ref().map(|git| git.commit.clone()).unwrap_or_default();
    let added = store.add(&report).with_context(|| format!("cannot keep {}", path.display()))?;
    match added {
        Added::New => tell!("kept {} as a report of {commit:.12}", path.display()),
        Added::Already => tell!("{} was kept already, as a report of {commit:.12}", path.display()),
    }
    Ok(())
}
