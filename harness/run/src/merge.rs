//! Joins the reports of a suite that ran in parts: on several runners, or on several machines.
//!
//! Shards are put back into the order of the suite, so that the report is the one that a single run would have made. Nothing is
//! recomputed from samples. Each case says which run it is from, because its reference case, its capture and its machine are that run's.

use std::collections::{BTreeMap, BTreeSet};

use wasiscope_kinds as kinds;
use wasiscope_model::code::{Code, Coded};
use wasiscope_model::kind::find;
use wasiscope_model::report::Report;
use wasiscope_model::report::machines::{capture, duration_s, of_sources, tools};
use wasiscope_model::report::{CaseReport, CheckOverhead, ScenarioReport, Shard, Source};

/// Why reports cannot be joined.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Conflict {
    /// They are not of one suite.
    #[error("{one} and {other} cannot be one report: {what} differs ({in_one} and {in_other})")]
    Differ {
        /// A file.
        one: String,
        /// Another.
        other: String,
        /// What must be the same.
        what: &'static str,
        /// What it is in one.
        in_one: String,
        /// What it is in the other.
        in_other: String,
    },
    /// A case that was run twice.
    #[error(
        "{case} of {scenario} is in {one} and in {other}, of one machine ({machine}): leave one out, or name the machines by \
         WASISCOPE_MACHINE when they run"
    )]
    Twice {
        /// The scenario.
        scenario: String,
        /// The case.
        case: String,
        /// A file.
        one: String,
        /// Another.
        other: String,
        /// The machine.
        machine: String,
    },
    /// A case whose guest is another one elsewhere.
    #[error(
        "{case} of {scenario} is another guest in {one} than in {other}: guest hashes differ, cannot merge; build both with one toolchain"
    )]
    OtherGuest {
        /// The scenario.
        scenario: String,
        /// The case.
        case: String,
        /// A file.
        one: String,
        /// Another.
        other: String,
    },
    /// A part of the suite that nobody brought.
    #[error("shard {} is missing: add its report, or join the others all the same with --incomplete", .0.iter().map(Shard::to_string).collect::<Vec<_>>().join(", "))]
    Missing(Vec<Shard>),
}

impl Coded for Conflict {
    fn code(&self) -> Code {
        match self {
            Self::Differ { .. } => Code::ReportsDiffer,
            Self::Twice { .. } => Code::CaseTwice,
            Self::OtherGuest { .. } => Code::GuestsDiffer,
            Self::Missing(_) => Code::ShardMissing,
        }
    }
}

/// A report with the name of its file.
pub type Named = (String, Report);

/// Joins reports of one suite. Shards must be complete, unless `incomplete`.
///
/// # Errors
/// When they are not of one commit, one version of wasiscope and one wasmtime; when a case is there twice, or is another guest.
pub fn merge(reports: Vec<Named>, incomplete: bool) -> Result<Option<Report>, Conflict> {
    // What was merged before is its parts again, so that what was missing then can be added.
    let reports: Vec<Named> = reports.into_iter().flat_map(parts).collect();
    let Some((first, others)) = reports.split_first() else { return Ok(None) };
    others.iter().try_for_each(|other| check_alike(first, other))?;
    let alone = others.is_empty().then(|| first.1.clone());
    let groups = grouped(reports, incomplete)?;
    if alone.is_some() {
        return Ok(alone);
    }
    let mut whole = Whole::default();
    for group in groups {
        whole.add(group);
    }
    whole.check()?;
    Ok(Some(whole.into_report()))
}

/// A merged report as the reports that it was merged from.
fn parts((name, report): Named) -> Vec<Named> {
    if report.sources.is_empty() {
        return vec![(name, report)];
    }
    let part = |index: usize| {
        let source = &report.sources[index];
        let mut part = of_sources(&report, &|of| of == index);
        part.shard = source.shard.clone();
        part.sources.clear();
        for scenario in &mut part.scenarios {
            scenario.cases.iter_mut().for_each(|case| case.source = None);
            scenario.prices.iter_mut().for_each(|price| price.source = None);
        }
        (source.report.clone(), part)
    };
    (0..report.sources.len()).map(part).collect()
}

/// What must be the same for two reports to be parts of one.
fn check_alike((one, first): &Named, (other, second): &Named) -> Result<(), Conflict> {
    let commit = |report: &Report| {
        report.git.as_ref().map_or("none".to_owned(), |git| {
            let dirty = if git.dirty { " with changes" } else { "" };
            format!("{:.12}{dirty}", git.commit)
        })
    };
    let wasmtime = |report: &Report| report.tools.get("wasmtime").cloned().flatten().unwrap_or_default();
    let planted = |report: &Report| report.planted.as_ref().map_or("none".to_owned(), ToString::to_string);
    let facts: [(&'static str, String, String); 5] = [
        ("the commit", commit(first), commit(second)),
        ("the version of wasiscope", first.wasiscope.clone(), second.wasiscope.clone()),
        ("wasmtime", wasmtime(first), wasmtime(second)),
        ("the noise", first.noise.to_string(), second.noise.to_string()),
        ("the planted fault", planted(first), planted(second)),
    ];
    match facts.into_iter().find(|(_, in_one, in_other)| in_one != in_other) {
        Some((what, in_one, in_other)) => {
            Err(Conflict::Differ { one: one.clone(), other: other.clone(), what, in_one, in_other })
        }
        None => Ok(()),
    }
}

/// Reports that are to be interleaved: the shards of one suite, in order; any other report is alone. Shards of one suite may come from
/// many machines; where several machines ran the whole of it, those of each machine belong together.
fn grouped(reports: Vec<Named>, incomplete: bool) -> Result<Vec<Vec<Named>>, Conflict> {
    let (mut shards, whole): (Vec<Named>, Vec<Named>) =
        reports.into_iter().partition(|(_, report)| report.shard.is_some());
    let shard = |(_, report): &Named| report.shard.clone().unwrap_or_default();
    shards.sort_by_key(|report| shard(report).index);
    // Of each suite by itself, whether each of its shards is there once only.
    let mut seen = BTreeSet::new();
    let mut repeated: BTreeSet<(String, u32)> = BTreeSet::new();
    for Shard { index, count, suite } in shards.iter().map(shard) {
        if !seen.insert((suite.clone(), count, index)) {
            repeated.insert((suite, count));
        }
    }
    let mut suites: BTreeMap<(u32, String, String), Vec<Named>> = BTreeMap::new();
    for report in shards {
        let by_machine = repeated.contains(&(shard(&report).suite, shard(&report).count));
        let machine = if by_machine { report.1.machine.label() } else { String::new() };
        suites.entry((shard(&report).count, shard(&report).suite, machine)).or_default().push(report);
    }
    let missing: Vec<Shard> = suites
        .iter()
        .flat_map(|((count, suite, _), present)| {
            let count = *count;
            let has = |index: u32| present.iter().any(|report| shard(report).index == index);
            let missing = (1..=count).filter(|index| !has(*index));
            missing.map(|index| Shard { index, count, suite: suite.clone() }).collect::<Vec<_>>()
        })
        .collect();
    if !missing.is_empty() && !incomplete {
        return Err(Conflict::Missing(missing));
    }
    Ok(suites.into_values().chain(whole.into_iter().map(|report| vec![report])).collect())
}

/// A case or a price with the scenario that it belongs to.
struct Entry<T> {
    scenario: String,
    kind: String,
    of: T,
}

/// What has been joined so far.
#[derive(Default)]
struct Whole {
    reports: Vec<Report>,
    sources: Vec<Source>,
    cases: Vec<Entry<CaseReport>>,
    prices: Vec<Entry<CheckOverhead>>,
    /// Scenarios in the order in which they were met, for those without any case or price.
    scenarios: Vec<(String, String)>,
}

impl Whole {
    fn add(&mut self, group: Vec<Named>) {
        let (mut cases, mut prices) = (Vec::new(), Vec::new());
        for (name, report) in group {
            let offset = self.sources.len();
            let known = |source: Option<usize>| Some(offset + source.unwrap_or(0));
            let (mut of_report, mut priced) = (Vec::new(), Vec::new());
            for scenario in &report.scenarios {
                self.scenarios.push((scenario.name.clone(), scenario.kind.clone()));
                let case = |case: &CaseReport| Entry {
                    scenario: scenario.name.clone(),
                    kind: scenario.kind.clone(),
                    of: CaseReport { source: known(case.source), ..case.clone() },
                };
                let price = |price: &CheckOverhead| Entry {
                    scenario: scenario.name.clone(),
                    kind: scenario.kind.clone(),
                    of: CheckOverhead { source: known(price.source), ..price.clone() },
                };
                of_report.extend(scenario.cases.iter().map(case));
                priced.extend(scenario.prices.iter().map(price));
            }
            cases.push(of_report);
            prices.push(priced);
            self.sources.extend(sources(&name, &report));
            self.reports.push(report);
        }
        self.cases.extend(interleaved(cases));
        self.prices.extend(interleaved(prices));
    }

    /// A case may be there once for each machine, and must be the same guest on all.
    fn check(&self) -> Result<(), Conflict> {
        let mut seen: BTreeMap<(&str, &str), Vec<&CaseReport>> = BTreeMap::new();
        for Entry { scenario, of: case, .. } in &self.cases {
            let others = seen.entry((scenario, &case.id)).or_default();
            for other in others.iter() {
                self.check_pair(scenario, other, case)?;
            }
            others.push(case);
        }
        Ok(())
    }

    fn check_pair(&self, scenario: &str, one: &CaseReport, other: &CaseReport) -> Result<(), Conflict> {
        let source = |case: &CaseReport| &self.sources[case.source.unwrap_or(0)];
        let (first, second) = (source(one), source(other));
        let (scenario, case) = (scenario.to_owned(), one.id.clone());
        let files = (first.report.clone(), second.report.clone());
        if first.machine.label() == second.machine.label() {
            let machine = first.machine.label();
            return Err(Conflict::Twice { scenario, case, one: files.0, other: files.1, machine });
        }
        let guest = |case: &CaseReport| case.artifact.as_ref().map(|artifact| artifact.sha256.clone());
        match (guest(one), guest(other)) {
            (Some(first), Some(second)) if first != second => {
                Err(Conflict::OtherGuest { scenario, case, one: files.0, other: files.1 })
            }
            _ => Ok(()),
        }
    }

    fn into_report(self) -> Report {
        let Self { reports, sources, cases, prices, scenarios: names } = self;
        let mut scenarios: Vec<ScenarioReport> = Vec::new();
        for Entry { scenario, kind, of } in cases {
            let cases = &mut of_name(&mut scenarios, &scenario, &kind).cases;
            // Beside the same case of another machine.
            let after = cases.iter().rposition(|case| case.id == of.id).map_or(cases.len(), |at| at + 1);
            cases.insert(after, of);
        }
        for Entry { scenario, kind, of } in prices {
            of_name(&mut scenarios, &scenario, &kind).prices.push(of);
        }
        for (name, kind) in &names {
            of_name(&mut scenarios, name, kind);
        }
        // It compares cases of one scenario, which were apart.
        for scenario in &mut scenarios {
            if let Some(kind) = find(kinds::ALL, &scenario.kind) {
                kind.complete(scenario);
            }
        }
        let started_at = sources.iter().map(|source| source.started_at.clone()).min().unwrap_or_default();
        let first = reports[0].clone();
        Report {
            started_at: started_at.clone(),
            duration_s: duration_s(&started_at, &sources),
            shard: None,
            invocation: None,
            interrupted: reports.iter().any(|report| report.interrupted),
            budget_spent: reports.iter().any(|report| report.budget_spent),
            tools: tools(&sources),
            capture: capture(&sources),
            scenarios,
            sources,
            ..first
        }
    }
}

fn sources(name: &str, report: &Report) -> Vec<Source> {
    if !report.sources.is_empty() {
        return report.sources.clone();
    }
    vec![Source {
        report: name.to_owned(),
        started_at: report.started_at.clone(),
        duration_s: report.duration_s,
        seed: report.seed,
        shard: report.shard.clone(),
        machine: report.machine.clone(),
        tools: report.tools.clone(),
        capture: report.capture.clone(),
        reference: report.reference.clone(),
    }]
}

/// The first of each, then the second of each, and so on: the order of the suite that was dealt out so.
fn interleaved<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut whole = Vec::new();
    loop {
        let before = whole.len();
        whole.extend(lists.iter_mut().filter_map(Iterator::next));
        if whole.len() == before {
            return whole;
        }
    }
}

fn of_name<'a>(scenarios: &'a mut Vec<ScenarioReport>, name: &str, kind: &str) -> &'a mut ScenarioReport {
    let at = scenarios.iter().position(|scenario| scenario.name == name).unwrap_or_else(|| {
        let (name, kind) = (name.to_owned(), kind.to_owned());
        scenarios.push(ScenarioReport { name, kind, cases: Vec::new(), prices: Vec::new() });
        scenarios.len() - 1
    });
    &mut scenarios[at]
}

#[cfg(test)]
mod tests;
