//! What two revisions have to be compared: the cases of each revision's own scenarios, matched, and a row for whatever only one of them
//! has.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::input::share_input;
use super::live::Candidate;
use super::matching::{Key, Matched, pair_up};
use super::revision::{Worktree, at_revision, presence};
use super::{Row, SKIPPED, Side, Tolerances, unlike};
use crate::prepare::{self, prepare};
use crate::runner::{self, InputFiles, Pair, Prepared, Workers};
use wasiscope_guest::guest::GuestError;
use wasiscope_guest::module::ModuleError;
use wasiscope_guest::places::Places;
use wasiscope_kinds as kinds;
use wasiscope_model::code::Code;
use wasiscope_model::fail;
use wasiscope_model::names;
use wasiscope_model::record::Status;
use wasiscope_scenario::plan::{self, Case, GuestSource, Input};
use wasiscope_scenario::{self as scenario, Scenario};
use wasiscope_stats::Verdict;
use wasiscope_sys::interrupt::Interrupt;

/// The cases of one revision.
pub struct Listed {
    worktree: Worktree,
    /// Where the project lies in it.
    root: PathBuf,
    cases: Vec<Listing>,
    /// Scenario files of it, by their path in the repository.
    files: BTreeSet<String>,
    /// Those that cannot be used, with the reason.
    invalid: Vec<(String, String)>,
    /// Names and paths of scenarios that it does not have.
    unknown: BTreeSet<String>,
    /// Names of all its scenario files.
    present: BTreeSet<String>,
}

struct Listing {
    case: Case,
    /// The scenario's file, by its path in the repository.
    file: String,
}

/// The cases of one revision with their guests.
pub struct Ready {
    listed: Listed,
    /// In the order of its cases: with a guest that was built, found or refused, or the reason why the revision has none.
    guests: Vec<Result<Prepared, String>>,
}

impl Listed {
    /// The cases of these scenarios of a revision, by name or by path; of all of its scenarios, when none is named.
    #[must_use]
    pub fn of(worktree: Worktree, names: &[OsString]) -> Self {
        let root = project_in(&worktree);
        let mut listed = Self {
            root,
            worktree,
            cases: Vec::new(),
            files: BTreeSet::new(),
            invalid: Vec::new(),
            unknown: BTreeSet::new(),
            present: BTreeSet::new(),
        };
        let files = scenario::files(&listed.root.join("scenarios")).unwrap_or_default();
        listed.present = files.iter().filter_map(|path| stem(path)).collect();
        let mut wanted: Vec<PathBuf> = if names.is_empty() { files.clone() } else { Vec::new() };
        for name in names {
            match listed.find(name, &files) {
                Some(path) => wanted.push(path),
                None => _ = listed.unknown.insert(names::escaped(name)),
            }
        }
        let mut taken = BTreeSet::new();
        for path in wanted {
            let file = listed.worktree.shown(&path);
            listed.files.insert(file.clone());
            match read(&path) {
                Ok(scenario) if !taken.insert(scenario.name.clone()) => {
                    let reason = format!("{file}: another scenario is named `{}` as well", scenario.name);
                    listed.invalid.push((file, reason));
                }
                Ok(scenario) => {
                    // What a check comes to is a fact of the engine, and of no revision's guest.
                    let cases = scenario.cases().into_iter().filter(|case| case.work.runs_phases());
                    let here = |case: Case| Listing { case: at_revision(&case, &listed.worktree), file: file.clone() };
                    listed.cases.extend(cases.map(here));
                }
                Err(reason) => {
                    let reason = listed.worktree.shown_in(&reason);
                    listed.invalid.push((file, reason));
                }
            }
        }
        plan::tell_apart(listed.cases.iter_mut().map(|listing| &mut listing.case));
        listed
    }

    /// The file that somebody named on the command line, as this revision has it.
    fn find(&self, name: &OsStr, files: &[PathBuf]) -> Option<PathBuf> {
        if scenario::is_path(name) {
            let path = self.worktree.place(&std::path::absolute(name).ok()?);
            return path.is_file().then_some(path);
        }
        files.iter().find(|path| path.file_stem() == Some(name)).cloned()
    }

    /// Its cases.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().map(|listing| &listing.case)
    }

    /// Changes what a case is run with.
    pub fn each_case(&mut self, change: &mut dyn FnMut(&mut Case)) {
        self.cases.iter_mut().for_each(|listing| change(&mut listing.case));
    }

    /// Leaves the others out.
    pub fn retain(&mut self, wanted: &dyn Fn(&Case) -> bool) {
        self.cases.retain(|listing| wanted(&listing.case));
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.worktree.commit
    }

    /// Builds or finds the guests. What cannot be had is a reason, not an error. `place` is where they stay.
    ///
    /// # Errors
    /// When a guest cannot be written.
    pub fn prepare(self, places: &Places, place: &Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<Ready> {
        let there = Places { root: self.root.clone(), ..places.clone() };
        for missing in self.worktree.missing_submodules() {
            say(&format!("{}: {missing}", self.worktree.revision));
        }
        let (mut guests, mut to_build) = (Vec::new(), Vec::new());
        for case in self.cases() {
            guests.push(match presence(case, &self.worktree).and_then(|()| self.check(case)) {
                Err(why) => Some(Err(why)),
                Ok(Some(refused)) => Some(Ok(refused)),
                Ok(None) => {
                    to_build.push(case.clone());
                    None
                }
            });
        }
        // It was checked out before the other side was built.
        self.worktree.freshen();
        let built = prepare(&there, to_build, place, say)?;
        let mut built = built.into_iter().map(|prepared| self.with_its_function(prepared));
        let guests = guests.into_iter().filter_map(|guest| guest.or_else(|| built.next())).collect();
        Ok(Ready { guests, listed: self })
    }

    /// Before anything is built: `None` when nothing speaks against it, else the guest that it has not.
    ///
    /// # Errors
    /// With the reason when the revision lacks what the case needs.
    fn check(&self, case: &Case) -> Result<Option<Prepared>, String> {
        let Err(error) = prepare::check(case) else { return Ok(None) };
        let lacks_binary = matches!(error.downcast_ref(), Some(GuestError::NoBinary { .. }));
        // Paths are those of the worktree, which is gone when the user reads this.
        let reason = self.worktree.shown_in(&format!("{error:#}"));
        if lacks_function(&error) || lacks_binary {
            return Err(format!("{}: {reason}", self.worktree.revision));
        }
        let guest = Err(prepare::no_guest(&error, reason));
        Ok(Some(Prepared { case: case.clone(), guest, files: InputFiles::default(), watch: true }))
    }

    /// What was built may lack the function that is called, and a workload may not be there at all.
    fn with_its_function(&self, prepared: Prepared) -> Result<Prepared, String> {
        match &prepared.guest {
            Err(no_guest) if no_guest.status == Status::Skipped => Err(no_guest.reason.clone()),
            Ok(artifact) if matches!(prepared.case.guest, GuestSource::Cargo(_) | GuestSource::Command(_)) => {
                let checked = fs::read(&artifact.path).map(|wasm| prepare::check_module(&prepared.case, &wasm));
                match checked {
                    Ok(Err(error)) if is_without_function(&error) => {
                        Err(format!("{}: {error}", self.worktree.revision))
                    }
                    _ => Ok(prepared),
                }
            }
            _ => Ok(prepared),
        }
    }

    /// Why it has no case of this file.
    fn why_absent(&self, file: &str) -> String {
        if let Some((_, reason)) = self.invalid.iter().find(|(invalid, _)| invalid == file) {
            return format!("{}: {reason}", self.worktree.revision);
        }
        let how = if self.files.contains(file) { "has no such case in" } else { "is not in" };
        format!("{file} {how} {}", self.worktree.revision)
    }
}

/// Whether a case cannot be run because its module cannot be called as was asked for.
fn lacks_function(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(is_without_function)
}

const fn is_without_function(error: &ModuleError) -> bool {
    matches!(error, ModuleError::NoSuchFunction { .. } | ModuleError::Arguments { .. })
}

fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(names::escaped)
}

/// Whether the guests are there is looked at case by case.
fn read(path: &Path) -> Result<Scenario, String> {
    kinds::read_without_guest(path).map_err(|error| error.to_string())
}

/// The project in a worktree: where it lies in the checkout, else around that place, as where the checkout has none yet.
fn project_in(worktree: &Worktree) -> PathBuf {
    let has_scenarios =
        |folder: &&Path| scenario::files(&folder.join("scenarios")).is_ok_and(|files| !files.is_empty());
    let inside = worktree.root.ancestors().take_while(|folder| worktree.has(folder));
    inside.into_iter().find(has_scenarios).unwrap_or(&worktree.root).to_owned()
}

/// Checks that there is something to compare, before anything is built.
///
/// # Errors
/// When a scenario that was named is in neither revision, or neither has any.
pub fn check_named(base: &Listed, new: &Listed, checkout: &Places) -> anyhow::Result<()> {
    if let Some(name) = base.unknown.intersection(&new.unknown).next() {
        let here = scenario::find(&checkout.scenarios(), OsStr::new(name)).is_ok();
        let present: BTreeSet<&String> = base.present.union(&new.present).collect();
        let meant = scenario::nearest(name, present.iter().map(|name| name.as_str()));
        let hint = match meant {
            _ if here => " (the checkout has it: commit it first)".to_owned(),
            Some(meant) => format!(" (did you mean `{meant}`?)"),
            None => String::new(),
        };
        let names = present.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { "none".to_owned() } else { names };
        let message = format!(
            "no scenario `{name}` in {} or {}{hint}; there are: {names}",
            base.worktree.revision, new.worktree.revision
        );
        let code = if here { Code::NotCommitted } else { Code::NoSuchScenario };
        return Err(code.error(message).into());
    }
    if base.files.is_empty() && new.files.is_empty() {
        fail!(
            NoScenarioFolder,
            "neither {} nor {} has scenarios: run inside a project with a folder scenarios/, or name it with --root",
            base.worktree.revision,
            new.worktree.revision
        );
    }
    if let [(_, reason), ..] = &new.invalid[..]
        && base.cases.is_empty()
        && new.cases.is_empty()
    {
        fail!(InvalidScenario, "{}: {reason}", new.worktree.revision);
    }
    Ok(())
}

/// What two revisions come to before anything is run.
#[derive(Default)]
pub struct Sides {
    /// What both have.
    pub candidates: Vec<Candidate>,
    /// A row for each case that only one has, or that neither can run.
    pub rows: Vec<Row>,
    /// The cases that only the new revision has, each with its guest.
    added: Vec<Prepared>,
}

impl Sides {
    /// Only these.
    #[must_use]
    pub fn new(candidates: Vec<Candidate>, rows: Vec<Row>) -> Self {
        Self { candidates, rows, added: Vec::new() }
    }

    /// Runs the cases that only the new revision has, once: one that does not end as its scenario expects has failed.
    pub fn try_added(&mut self, workers: &mut dyn Workers, scratch: &Path, interrupt: &Interrupt) {
        for prepared in &self.added {
            if interrupt.raised() {
                return;
            }
            let (_, outcome) = runner::facts_of(workers, prepared, scratch);
            let (id, scenario) = (prepared.case.id(), &prepared.case.scenario);
            let is_of_case = |row: &&mut Row| {
                row.only_in == Some(Side::New)
                    && row.case == id
                    && row.scenario.as_ref().is_none_or(|named| named == scenario)
            };
            if let (false, Some(row)) = (outcome.expected, self.rows.iter_mut().find(is_of_case)) {
                let detail = outcome.detail.as_deref().unwrap_or_default();
                row.failed = true;
                row.verdict = Verdict::Inconclusive;
                row.note = Some(format!("only in new: {}: {detail}", outcome.status.name()));
            }
        }
    }
}

/// The cases of two files, and a row for each whose function only one of them has.
///
/// # Errors
/// When neither has it, or a guest cannot be run for another reason.
pub fn without_function(base: Vec<Case>, new: Vec<Case>) -> anyhow::Result<(Vec<Row>, [Vec<Case>; 2])> {
    let (mut rows, mut both) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (old, now) in base.into_iter().zip(new) {
        match (why_without_function(&old)?, why_without_function(&now)?) {
            (None, None) => {
                both[0].push(old);
                both[1].push(now);
            }
            (Some(why), None) => rows.push(Row::only_in(Side::New, &now.id(), format!("{why:#}"))),
            (None, Some(why)) => rows.push(Row::only_in(Side::Base, &now.id(), format!("{why:#}"))),
            (Some(why), Some(_)) => return Err(why),
        }
    }
    Ok((rows, both))
}

/// Why the guest cannot be called as was asked for; other reasons why it cannot be run are errors.
fn why_without_function(case: &Case) -> anyhow::Result<Option<anyhow::Error>> {
    match prepare::check(case) {
        Ok(()) => Ok(None),
        Err(why) if lacks_function(&why) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

/// Matches what two revisions have.
#[must_use]
pub fn of_revisions(base: &Ready, new: &Ready, tolerances: &Tolerances) -> Sides {
    let (old_keys, new_keys) = (keys(base), keys(new));
    let matching = pair_up(&old_keys, &new_keys);
    let mut sides = Sides::default();
    for matched in matching.both {
        both((base, new), matched, tolerances, &mut sides);
    }
    for (side, listed, other, indexes) in
        [(Side::Base, base, new, matching.only_base), (Side::New, new, base, matching.only_new)]
    {
        for index in indexes {
            let listing = &listed.listed.cases[index];
            let why = other.listed.why_absent(&listing.file);
            let is_broken = side == Side::Base && other.listed.is_invalid(&listing.file);
            sides.rows.push(alone(side, listing, &listed.guests[index], &why, is_broken));
            let can_be_tried = |prepared: &&Prepared| side == Side::New && prepared.guest.is_ok();
            sides.added.extend(listed.guests[index].as_ref().ok().filter(can_be_tried).cloned());
        }
    }
    sides.rows.extend(invalid(&base.listed, &new.listed));
    distinct(&mut sides);
    sides
}

impl Listed {
    fn is_invalid(&self, file: &str) -> bool {
        self.invalid.iter().any(|(invalid, _)| invalid == file)
    }

    fn has_cases_of(&self, file: &str) -> bool {
        self.cases.iter().any(|listing| listing.file == file)
    }
}

fn keys(of: &Ready) -> Vec<Key> {
    let pairs = of.listed.cases.iter().zip(&of.guests);
    pairs
        .map(|(Listing { case, .. }, guest)| {
            let artifact = guest.as_ref().ok().and_then(|prepared| prepared.guest.as_ref().ok());
            // Folders and standard input are files of the revision: they may differ, and the case is the same.
            let Input {
                argv0,
                args,
                environment,
                directories: _,
                no_own_folder: _,
                stdin: _,
                invoke,
                start_first,
                stub_imports,
            } = &case.input;
            Key {
                scenario: case.scenario.clone(),
                id: case.id(),
                work: format!(
                    "{} {:?} {:?} {argv0:?} {args:?} {environment:?} {invoke:?} {start_first} {stub_imports}",
                    case.engine.name, case.engine.settings, case.n
                ),
                guest: artifact.map(|artifact| artifact.sha256.clone()),
            }
        })
        .collect()
}

fn both((base, new): (&Ready, &Ready), matched: Matched, tolerances: &Tolerances, sides: &mut Sides) {
    let (old, now) = (&base.listed.cases[matched.base], &new.listed.cases[matched.new]);
    let id = now.case.id();
    let renamed_from = matched.renamed.then(|| super::old_name(&old.case.scenario, &old.case.id(), &id));
    let row = match (&base.guests[matched.base], &new.guests[matched.new]) {
        (Ok(base), Ok(new)) => {
            let mut pair = Pair { base: base.clone(), new: new.clone() };
            share_input(&mut pair);
            let unlike = unlike::of_input(&pair.base.case, &pair.new.case);
            let tolerances = Tolerances::new(new.case.tolerance.clone()).overridden_by(tolerances);
            let scenario = Some(new.case.scenario.clone());
            sides.candidates.push(Candidate { scenario, renamed_from, unlike, ..Candidate::new(pair, tolerances) });
            return;
        }
        (there @ Ok(_), Err(why)) => alone(Side::Base, old, there, why, false),
        (Err(why), there @ Ok(_)) => alone(Side::New, now, there, why, false),
        // Nobody could have measured it here.
        (Err(why), Err(_)) if matches!(now.case.guest, GuestSource::Built { .. }) => {
            Row::without_figures(&id, Verdict::Unchanged, format!("{SKIPPED}: {why}"))
        }
        (Err(old), Err(now)) => {
            let note = if old == now { old.clone() } else { format!("{old}; {now}") };
            Row { failed: true, ..Row::without_figures(&id, Verdict::Inconclusive, note) }
        }
    };
    sides.rows.push(Row { scenario: Some(now.case.scenario.clone()), ..row });
}

/// The row of a case that one side has. That it cannot be run there counts on the new side only: the base is history.
fn alone(side: Side, listing: &Listing, guest: &Result<Prepared, String>, why: &str, is_broken: bool) -> Row {
    let Listing { case, .. } = listing;
    let failure = match guest {
        Ok(Prepared { guest: Err(no_guest), .. }) => Some((Some(no_guest.code), no_guest.reason.as_str())),
        Ok(_) => None,
        Err(reason) => Some((None, reason.as_str())),
    };
    let failure = failure.filter(|_| side == Side::New);
    let code = failure.and_then(|(code, _)| code);
    let note = failure.map_or_else(|| why.to_owned(), |(_, reason)| format!("failed: {reason}"));
    let failed = failure.is_some() || is_broken;
    let verdict = if failed { Verdict::Inconclusive } else { Verdict::Unchanged };
    Row { failed, verdict, code, scenario: Some(case.scenario.clone()), ..Row::only_in(side, &case.id(), note) }
}

/// Scenario files that cannot be used and of which the other side has no case either, whose rows would say so.
fn invalid(base: &Listed, new: &Listed) -> Vec<Row> {
    let row = |side: &Listed, (file, reason): &(String, String)| {
        Row::without_figures(file, Verdict::Inconclusive, format!("{}: {reason}", side.worktree.revision))
    };
    let broken = new.invalid.iter().filter(|(file, _)| !base.has_cases_of(file));
    let mut rows: Vec<Row> = broken.map(|invalid| Row { failed: true, ..row(new, invalid) }).collect();
    let gone = base.invalid.iter().filter(|(file, _)| !new.has_cases_of(file) && !new.is_invalid(file));
    rows.extend(gone.map(|invalid| Row {
        only_in: Some(Side::Base),
        verdict: Verdict::Unchanged,
        ..row(base, invalid)
    }));
    rows
}

/// Cases that several scenarios have are compared once, where the same is done with them; else they are told apart by their scenario.
fn distinct(sides: &mut Sides) {
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in sides.candidates.drain(..) {
        if !kept.iter().any(|known| known.is_same_work(&candidate)) {
            kept.push(candidate);
        }
    }
    sides.candidates = kept;
    let mut seen: Vec<Row> = Vec::new();
    for row in sides.rows.drain(..) {
        let same = |known: &Row| Row { scenario: None, ..known.clone() } == Row { scenario: None, ..row.clone() };
        if !seen.iter().any(same) {
            seen.push(row);
        }
    }
    sides.rows = seen;
    let ids = sides.candidates.iter().map(|candidate| candidate.pair.new.case.id());
    let ids: Vec<String> = ids.chain(sides.rows.iter().map(|row| row.case.clone())).collect();
    let is_unique = |id: &str| ids.iter().filter(|other| *other == id).count() < 2;
    for candidate in &mut sides.candidates {
        candidate.scenario = candidate.scenario.take().filter(|_| !is_unique(&candidate.pair.new.case.id()));
    }
    for row in &mut sides.rows {
        row.scenario = row.scenario.take().filter(|_| !is_unique(&row.case));
    }
}
