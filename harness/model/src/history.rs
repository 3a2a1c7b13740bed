//! The document of a history: figures over commits, and their steps.

use std::collections::BTreeMap;

use serde::Serialize;

/// Version of the JSON of a history.
pub const SCHEMA_VERSION: u32 = 1;

/// A commit of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// The first line of its message; empty outside a repository.
    pub subject: String,
}

/// One metric of one case on one machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// The machine.
    pub machine: String,
    /// The scenario.
    pub scenario: String,
    /// `workload/flavour/engine`.
    pub case: String,
    /// The measurement, or the fact.
    pub metric: String,
    /// The unit of its values; empty for facts, whose names say it.
    pub unit: String,
    /// Whether it is a fact.
    pub exact: bool,
    /// Whether times are those that the reference case, at its typical speed, would have stood beside.
    pub normalised: bool,
    /// Its values, in the order of commits.
    pub points: Vec<Point>,
    /// Where its level shifts.
    pub steps: Vec<Shift>,
}

/// The value at one commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Index of the commit.
    pub commit: usize,
    /// The median of the commit's reports.
    pub value: f64,
    /// How many reports there are.
    pub reports: usize,
    /// What else shapes a figure: the kernel and the tools. Of the last report.
    pub conditions: BTreeMap<String, String>,
}

/// A lasting change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// Index of the first point of the new level.
    pub at: usize,
    /// The level before.
    pub before: f64,
    /// The level from there on.
    pub after: f64,
    /// The chance of such a shift where there is none; `None` for facts, which have no chance.
    pub p: Option<f64>,
    /// What else changed between the two commits.
    pub besides: Vec<String>,
}

/// All series of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The commits that there are reports of, the oldest first.
    pub commits: Vec<Commit>,
    /// Commits between two of these that there are no reports of, by the index of the later one.
    pub unmeasured: BTreeMap<usize, Vec<Commit>>,
    /// The series.
    pub series: Vec<Series>,
    /// Reports that are not part of it, and why.
    pub left_out: Vec<String>,
}
