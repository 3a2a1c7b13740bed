//! `wasiscope bisect`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use rand::RngExt;
use serde_json::{Value, json};

use super::progress::Progress;
use super::selection;
use super::{Exit, ListFormat, is_stopped_early, print, stopped_early};
use crate::code::{Code, fail};
use crate::compare::bisect::{Answer, Search};
use crate::compare::live::{self, Candidate, Processes};
use crate::compare::{Row, Tolerances, revision};
use crate::git;
use crate::interrupt::Interrupt;
use crate::places::Places;
use crate::plan::Case;
use crate::prepare;
use crate::record::{Facts, metric_of};
use crate::runner::{self, ChildWorkers, InputFiles, Pair, Pairs, Prepared, Settings};
use crate::scratch;
use crate::stats::Verdict;
use crate::units;

/// Workers of each further try of a commit that could not be told: fresh ones each time.
const TRIES: [u32; 3] = [10, 20, 40];
/// Passes of each side in a worker.
const ITERATIONS: u32 = 10;
/// Characters of a commit's hash.
const HASH_CHARS: usize = 12;

const EXAMPLES: &str = "\
Examples:
  wasiscope bisect v1.2 HEAD --case json/std/cranelift --metric phase.run     which commit made it slower?
  wasiscope bisect v1.2 HEAD --case json/std/cranelift --metric size.wasm     which made the guest larger?

Commits are those along first parents. Each is compared with GOOD in the same workers, A B B A; what cannot be told, or built, is
passed over. Exit status: 0 one commit was found · 2 bad usage or input · 3 GOOD and BAD do not differ, or several commits are left
· 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A revision in which it was still good
    good: String,
    /// A later one in which it is bad
    bad: String,
    /// The case, workload/flavour/engine, of a scenario of this checkout
    #[arg(long, value_name = "ID")]
    case: String,
    /// What changed: a measurement that `compare` compares, or the name of a fact
    #[arg(long, value_name = "METRIC")]
    metric: String,
    /// The scenario, where the case is of several
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Decides the order of workers [default: random; printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    check_metric(&arguments.metric)?;
    let case = the_case(places, &arguments.case, arguments.scenario.as_deref())?;
    let (good, bad) = (git::commit_of(&places.root, &arguments.good)?, git::commit_of(&places.root, &arguments.bad)?);
    let mut commits = vec![(good.clone(), git::subject(&places.root, &good)?)];
    commits.extend(git::between(&places.root, &good, &bad)?);
    if good == bad {
        fail!(SameCommit, "{} and {} are one commit", arguments.good, arguments.bad);
    }
    if commits.len() < 2 {
        let hint = match git::between(&places.root, &bad, &good)? {
            swapped if !swapped.is_empty() => "; are GOOD and BAD swapped?".to_owned(),
            _ if git::is_shallow(&places.root) => format!("; they may be missing from this clone, {}", git::SHALLOW),
            _ => String::new(),
        };
        fail!(
            NotAnAncestor,
            "{} is not among the commits that {} grew from, along first parents{hint}",
            arguments.good,
            arguments.bad
        );
    }
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let progress = Progress::new();
    let mut bisection = Bisection {
        places,
        case,
        metric: arguments.metric.clone(),
        timed: live::COMPARED.iter().any(|phase| metric_of(*phase) == arguments.metric),
        seed: arguments.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32)),
        scratch: scratch.path().to_owned(),
        progress: &progress,
        interrupt,
        commits,
        guests: BTreeMap::new(),
        trials: 0,
    };
    let found = bisection.search();
    progress.finish();
    let found = found?;
    print(&match arguments.format {
        ListFormat::Json => format!("{:#}\n", bisection.document(&found)),
        ListFormat::Table => bisection.text(&found),
    })?;
    Ok(match found {
        Found::Commit { .. } => Exit::Done,
        Found::Range(..) | Found::Nothing(_) => Exit::Inconclusive,
        Found::Stopped(..) => Exit::Interrupted,
    })
}

/// Before anything is built: what is measured and not compared. Which facts there are shows when there is a guest.
fn check_metric(metric: &str) -> anyhow::Result<()> {
    let compared = live::COMPARED.map(metric_of);
    let is_measured = wasiscope_model::metrics::of_phases().any(|name| name == metric) || metric.starts_with("phase.");
    if !is_measured || compared.iter().any(|name| name == metric) {
        return Ok(());
    }
    let meant = crate::scenario::nearest(metric, compared.iter().map(String::as_str));
    let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
    fail!(
        UnknownName,
        "--metric {metric}: not compared between two guests{meant}; what is: {}, and facts such as size.wasm and fuel",
        compared.join(", ")
    )
}

/// The case with this id. It may be in several scenarios, if it is the same there.
fn the_case(places: &Places, id: &str, scenario: Option<&str>) -> anyhow::Result<Case> {
    let cases = selection::cases_of_scenarios(places, &[], None)?;
    let ids: Vec<String> = cases.iter().map(Case::id).collect();
    let is_wanted = |case: &Case| case.id() == id && scenario.is_none_or(|name| case.scenario == name);
    let mut found: Vec<Case> = cases.into_iter().filter(is_wanted).collect();
    let work = |case: &Case| format!("{:?} {:?} {:?} {:?}", case.guest, case.n, case.input, case.limits);
    if found.iter().any(|case| work(case) != work(&found[0])) {
        let names: Vec<&str> = found.iter().map(|case| case.scenario.as_str()).collect();
        fail!(
            SameName,
            "--case {id} is another in each of the scenarios {}: choose one with --scenario",
            names.join(", ")
        );
    }
    if !found.is_empty() {
        return Ok(found.remove(0));
    }
    let meant = crate::scenario::nearest(id, ids.iter().map(String::as_str));
    let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
    let of = scenario.map(|name| format!(" `{name}`")).unwrap_or_default();
    fail!(NothingMatches, "--case {id}: no scenario{of} in {} has such a case{meant}", places.scenarios().display())
}

/// What came of it.
enum Found {
    /// One commit, by its index, with what it changed.
    Commit { at: usize, change: Change },
    /// The first of the commits that are left, and the last.
    Range(usize, usize),
    /// Likewise, because it was interrupted.
    Stopped(usize, usize),
    /// The two ends do not differ, and what was seen.
    Nothing(String),
}

/// How far two commits are apart.
enum Change {
    /// A measurement: the row of a comparison.
    Timed(Box<Row>),
    /// A fact.
    Fact(Value, Value),
}

struct Bisection<'a> {
    places: &'a Places,
    case: Case,
    metric: String,
    /// Whether the metric is measured; else it is a fact.
    timed: bool,
    seed: u64,
    scratch: PathBuf,
    progress: &'a Progress,
    interrupt: Interrupt,
    /// The good one first, the bad one last; each with its subject.
    commits: Vec<(String, String)>,
    guests: BTreeMap<usize, Prepared>,
    trials: u32,
}

impl Bisection<'_> {
    fn search(&mut self) -> anyhow::Result<Found> {
        let last = self.commits.len() - 1;
        let effect = match self.ends(last)? {
            Ok(effect) => effect,
            Err(why) => return Ok(Found::Nothing(why)),
        };
        let mut search = Search::new(last);
        while let Some(at) = search.next() {
            let answer = match self.try_commit(at, search.range(), &effect) {
                Err(error) if is_stopped_early(&error) => {
                    let (good, bad) = search.range();
                    return Ok(Found::Stopped(good + 1, bad));
                }
                answer => answer?,
            };
            search.answer(at, answer);
            let word = match answer {
                Answer::Good => "good",
                Answer::Bad => "bad",
                Answer::Unclear => "cannot be told: passed over",
            };
            self.say(at, word);
        }
        let (before, at) = search.range();
        if at - before > 1 {
            return Ok(Found::Range(before + 1, at));
        }
        let change = match self.change(before, at) {
            Err(error) if is_stopped_early(&error) => return Ok(Found::Stopped(at, at)),
            change => change?,
        };
        Ok(change.map_or(Found::Range(at, at), |change| Found::Commit { at, change }))
    }

    /// How far the ends are apart, or why there is nothing to look for.
    fn ends(&mut self, last: usize) -> anyhow::Result<Result<Change, String>> {
        let (good, bad) = (self.guest(0)?, self.guest(last)?);
        for (prepared, name) in [(&good, "GOOD"), (&bad, "BAD")] {
            if let Err(no_guest) = &prepared.guest {
                return Err(no_guest.code.error(format!("{name} has no guest: {}", no_guest.reason)).into());
            }
        }
        if !self.timed {
            let (old, new) = (self.fact(&good)?, self.fact(&bad)?);
            let same = old == new;
            return Ok(if same {
                Err(format!("{} is {old} in both", self.metric))
            } else {
                Ok(Change::Fact(old, new))
            });
        }
        let row = self.row(0, last, Processes::UntilSettled, true)?;
        if row.verdict.is_change() {
            self.progress.say(&format!("GOOD and BAD are {} apart", shown(&row)));
            return Ok(Ok(Change::Timed(Box::new(row))));
        }
        let note = row.note.as_deref().filter(|_| row.ratio.is_some());
        let note = note.map(|note| format!(", {note}")).unwrap_or_default();
        Ok(Err(format!("{} is {}: {}{note}", self.metric, row.verdict.name(), shown(&row))))
    }

    fn try_commit(&mut self, at: usize, (good, bad): (usize, usize), ends: &Change) -> anyhow::Result<Answer> {
        let prepared = self.guest(at)?;
        // The same bytes as a commit of which it is known need no trial.
        for (known, answer) in [(0, Answer::Good), (good, Answer::Good), (bad, Answer::Bad)] {
            let known = self.guest(known)?;
            if is_same(&known, &prepared) {
                return Ok(answer);
            }
        }
        if prepared.guest.is_err() {
            return Ok(Answer::Unclear);
        }
        match ends {
            Change::Fact(old, new) => {
                let value = self.fact(&prepared);
                if self.interrupt.raised() {
                    return Err(stopped_early());
                }
                Ok(value.map_or(Answer::Unclear, |value| of_fact(old, new, &value)))
            }
            Change::Timed(row) => {
                let effect = row.ratio.unwrap_or(1.0).ln();
                for workers in TRIES {
                    let row = self.row(0, at, Processes::Exactly(workers), false)?;
                    let Some((low, high)) = row.ci_low.zip(row.ci_high) else { break };
                    match Answer::of((low.ln(), high.ln()), effect) {
                        Answer::Unclear => self.say(at, &format!("{}: not clear, again", shown(&row))),
                        answer => return Ok(answer),
                    }
                }
                Ok(Answer::Unclear)
            }
        }
    }

    /// What a commit changed, from its parent to itself; `None` when that cannot be told after all.
    fn change(&mut self, before: usize, at: usize) -> anyhow::Result<Option<Change>> {
        if self.timed {
            let row = self.row(before, at, Processes::UntilSettled, true)?;
            return Ok(row.verdict.is_change().then(|| Change::Timed(Box::new(row))));
        }
        let (old, new) = (self.guest(before)?, self.guest(at)?);
        Ok(Some(Change::Fact(self.fact(&old)?, self.fact(&new)?)))
    }

    /// The guest of a commit, built once.
    fn guest(&mut self, at: usize) -> anyhow::Result<Prepared> {
        if let Some(known) = self.guests.get(&at) {
            return Ok(known.clone());
        }
        if self.interrupt.raised() {
            return Err(stopped_early());
        }
        self.say(at, "building");
        let (place, commit) = (self.scratch.join(format!("commit-{at}")), self.commits[at].0.clone());
        // What is built, and for which commit, has been said; what is installed for it has not.
        let say = &mut |line: &str| {
            if !line.starts_with("building") {
                self.progress.say(line);
            }
        };
        let prepared = match revision::guest(self.places, &commit, &self.case, &place, say) {
            Ok(prepared) => prepared,
            // A commit that git cannot check out.
            Err(error) => Prepared {
                case: self.case.clone(),
                guest: Err(prepare::no_guest(&error, format!("{error:#}"))),
                files: InputFiles::default(),
                watch: false,
            },
        };
        if let Err(no_guest) = &prepared.guest {
            self.say(at, &no_guest.reason);
        }
        self.guests.insert(at, prepared.clone());
        Ok(prepared)
    }

    fn settings(&self) -> Settings<'static> {
        Settings::new(self.seed, &self.scratch, &self.interrupt)
    }

    fn fact(&mut self, prepared: &Prepared) -> anyhow::Result<Value> {
        if self.interrupt.raised() {
            return Err(stopped_early());
        }
        let (facts, outcome) = runner::facts_of(&mut self.workers(), prepared, &self.scratch);
        if !outcome.expected {
            let code = outcome.code.unwrap_or(Code::NotRun);
            let message = format!("{}: {}", outcome.status.name(), outcome.detail.unwrap_or_default());
            return Err(code.error(message).into());
        }
        facts.get(&self.metric).cloned().ok_or_else(|| no_such(&self.metric, &facts))
    }

    fn workers(&self) -> ChildWorkers {
        runner::workers(&self.interrupt)
    }

    /// The metric of one commit against that of another, in the same workers.
    fn row(&mut self, base: usize, new: usize, processes: Processes, confirm: bool) -> anyhow::Result<Row> {
        let pair = Pair { base: self.guest(base)?, new: self.guest(new)? };
        let metric = self.metric.clone();
        let wants = |wanted: &str| wanted == metric;
        self.trials += 1;
        let settings = live::Settings {
            processes,
            iterations: ITERATIONS,
            time_identical: false,
            confirm,
            wants: &wants,
            seed: self.seed.wrapping_add(u64::from(self.trials)),
            budget: None,
            interrupt: self.interrupt.clone(),
        };
        let candidate = Candidate::new(pair, Tolerances::new(self.case.tolerance.clone()));
        let (mut workers, walk) = (self.workers(), self.settings());
        let mut runner = Pairs::new(&mut workers, &walk);
        let done =
            live::compare(&[candidate], &mut runner, &settings, &mut |event| self.progress.on_comparison(&event));
        if done.interrupted {
            return Err(stopped_early());
        }
        let none = || Row::without_figures(&self.case.id(), Verdict::Inconclusive, "nothing was measured");
        // A row that says that the answers differ comes first; what is looked for is the metric.
        let of_metric = done.rows.iter().position(|row| row.metric == self.metric).unwrap_or(0);
        Ok(done.rows.into_iter().nth(of_metric).unwrap_or_else(none))
    }

    fn say(&self, at: usize, what: &str) {
        let subject = &self.commits[at].1;
        self.progress.say(&format!("{} {subject}: {what}", self.hash(at)));
    }

    fn hash(&self, at: usize) -> String {
        self.commits[at].0.chars().take(HASH_CHARS).collect()
    }

    fn text(&self, found: &Found) -> String {
        let (case, metric) = (self.case.id(), &self.metric);
        match found {
            Found::Commit { at, change } => format!(
                "{} {}\n  made the difference in {metric} of {case}: {}\n  {} among {}, seed {}\n",
                self.hash(*at),
                self.commits[*at].1,
                change.text(),
                units::count(self.trials as usize, "comparison"),
                units::count(self.commits.len() - 1, "commit"),
                self.seed
            ),
            Found::Range(first, last) | Found::Stopped(first, last) => {
                let line = |at: usize| format!("{} {}\n", self.hash(at), self.commits[at].1);
                let commits: String = (*first..=*last).map(line).collect();
                let why = match found {
                    Found::Stopped(..) => "interrupted before it was known which",
                    _ => "which, could not be told",
                };
                format!("one of these made the difference in {metric} of {case}; {why}:\n{commits}")
            }
            Found::Nothing(why) => format!("nothing to look for in {case}: {why}\n"),
        }
    }

    fn document(&self, found: &Found) -> Value {
        let commit = |at: usize| json!({"commit": self.commits[at].0, "subject": self.commits[at].1});
        let interrupted = matches!(found, Found::Stopped(..));
        let (found, change, note) = match found {
            Found::Commit { at, change } => (vec![commit(*at)], Some(change.document()), None),
            Found::Range(first, last) | Found::Stopped(first, last) => {
                ((*first..=*last).map(commit).collect(), None, None)
            }
            Found::Nothing(why) => (Vec::new(), None, Some(why.clone())),
        };
        json!({"schema_version": 1, "case": self.case.id(), "metric": self.metric, "found": found, "change": change, "note": note,
            "interrupted": interrupted, "seed": self.seed, "commits": self.commits.len() - 1, "comparisons": self.trials})
    }
}

impl Change {
    fn text(&self) -> String {
        match self {
            Self::Timed(row) => {
                let duration = |ns: Option<f64>| ns.map_or("–".to_owned(), units::duration);
                let note = row.note.as_deref().map(|note| format!(", {note}")).unwrap_or_default();
                format!("{}, from {} to {}{note}", shown(row), duration(row.base), duration(row.new))
            }
            Self::Fact(old, new) => match (old.as_i64(), new.as_i64()) {
                (Some(before), Some(after)) => format!("{before} → {after} ({:+})", after - before),
                _ => format!("{old} → {new}"),
            },
        }
    }

    fn document(&self) -> Value {
        match self {
            Self::Timed(row) => json!(row),
            Self::Fact(old, new) => json!({"base": old, "new": new}),
        }
    }
}

fn shown(row: &Row) -> String {
    match (row.ratio, row.ci_low.zip(row.ci_high)) {
        (Some(ratio), Some((low, high))) => {
            format!("{} ({} … {})", units::change(ratio), units::change(low), units::change(high))
        }
        _ => row.note.clone().unwrap_or_default(),
    }
}

fn is_same(one: &Prepared, other: &Prepared) -> bool {
    match (&one.guest, &other.guest) {
        (Ok(one), Ok(other)) => one.sha256 == other.sha256,
        _ => false,
    }
}

/// A number is on the side of the end that it is nearer to; anything else is good only if it is what it was.
fn of_fact(old: &Value, new: &Value, value: &Value) -> Answer {
    match (old.as_f64(), new.as_f64(), value.as_f64()) {
        (Some(old), Some(new), Some(value)) if (value - old).abs() < (value - new).abs() => Answer::Good,
        (Some(_), Some(_), Some(_)) => Answer::Bad,
        _ if value == old => Answer::Good,
        _ => Answer::Bad,
    }
}

fn no_such(metric: &str, facts: &Facts) -> anyhow::Error {
    let timed = live::COMPARED.map(metric_of);
    let names = || timed.iter().map(String::as_str).chain(facts.keys().map(String::as_str));
    let meant = crate::scenario::nearest(metric, names());
    let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
    let message = format!(
        "--metric {metric}: neither measured nor a fact of this case{meant}; there are: {}",
        names().collect::<Vec<_>>().join(", ")
    );
    Code::UnknownName.error(message).into()
}
