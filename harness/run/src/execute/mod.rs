//! One run as a library call: cases get their guests, are measured, and become a report. The command line, the tests of scenarios and
//! `soak` all make it this way. Nothing here knows of arguments or prints: an [`Observer`] is told what happens.

mod measure;
mod observer;
pub mod prices;
mod report;
pub mod source;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::journal::Journal;
use crate::runner::Walk;
use wasiscope_guest::guest::NoGuest;
use wasiscope_guest::places::Places;
use wasiscope_model::report::Planted;
use wasiscope_model::report::Report;
use wasiscope_model::report::{Invocation, Shard};
use wasiscope_scenario::plan::Case;
use wasiscope_sys::interrupt::Interrupt;
use wasiscope_sys::machine::Counters;

pub use measure::{Measured, measure};
pub use observer::{Note, Observer, Silent, Warning};
use prices::Priced;
use source::{NotRecorded, Source};

/// What to run, and how.
pub struct Options<'a> {
    /// The project.
    pub places: &'a Places,
    /// A folder for guests and the workers' own folders, as [`scratch::create`](wasiscope_sys::scratch::create) makes it.
    pub scratch: &'a Path,
    /// The cases, checked by [`prepare::check`](crate::prepare::check).
    pub cases: Vec<Case>,
    /// Cases that get no guest, by their place among `cases`, and why.
    pub without_guest: BTreeMap<usize, NoGuest>,
    /// Pairs of cases that tell what the checks of an engine cost.
    pub prices: Vec<Priced>,
    /// How much is found out.
    pub depth: Depth,
    /// Whether the reference case runs among them, by which reports of different times are compared.
    pub reference: bool,
    /// The kernel's side.
    pub source: Source,
    /// Whether what the kernel programs themselves cost is counted, in a pass of its own.
    pub program_costs: bool,
    /// Whether a timeline of one iteration of every case is made, in a pass of its own.
    pub trace: bool,
    /// Whether the instructions of `run` are counted, in a pass of its own.
    pub instructions: bool,
    /// A fault that is put into every check on purpose.
    pub planted: Option<Planted>,
    /// Decides the order of workers.
    pub seed: u64,
    /// The busy processes beside every worker, which the cases already say; it is only noted in the report.
    pub noise: u32,
    /// Which part of a suite the cases are.
    pub shard: Option<Shard>,
    /// How the run was asked for.
    pub invocation: Option<Invocation>,
    /// The time since [`start`](Self::start) after which no samples are added.
    pub budget: Option<Duration>,
    /// Gets every record before anything is computed from it.
    pub journal: Option<Journal>,
    /// When the run began.
    pub start: Start,
}

impl<'a> Options<'a> {
    /// These cases, measured as they say, with the reference among them, unwatched, and with records that are kept nowhere.
    #[must_use]
    pub fn new(places: &'a Places, scratch: &'a Path, cases: Vec<Case>) -> Self {
        Self {
            places,
            scratch,
            cases,
            without_guest: BTreeMap::new(),
            prices: Vec::new(),
            depth: Depth::Measurements,
            reference: true,
            source: Source::Off,
            program_costs: false,
            trace: false,
            instructions: false,
            planted: None,
            seed: 0,
            noise: 0,
            shard: None,
            invocation: None,
            budget: None,
            journal: None,
            start: Start::now(),
        }
    }
}

/// How much is found out of every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Its facts; nothing is timed. Answers are held against the scenario alone.
    Facts,
    /// Its facts, and samples of as many processes and iterations as it says.
    #[default]
    Measurements,
}

/// When a run began, and what others had taken from this process by then.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    at: jiff::Timestamp,
    instant: Instant,
    counters: Counters,
}

impl Start {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { at: jiff::Timestamp::now(), instant: Instant::now(), counters: Counters::now() }
    }
}

/// What came of a run.
pub struct Executed {
    /// The report.
    pub report: Report,
    /// How far the run got.
    pub walk: Walk,
    /// The records. They lie under the name of a run that goes on: call [`Journal::finish`] once the report is written.
    pub journal: Option<Journal>,
    /// The kernel's side, which may have a capture to [save](Source::save).
    pub source: Source,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A guest could not be copied or written.
    #[error(transparent)]
    Prepare(#[from] anyhow::Error),
    /// The stored capture is of something else.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// The run was interrupted before anything was measured; its journal is gone.
    #[error("interrupted before anything was measured")]
    NothingMeasured,
    /// The journal of a run that measured nothing cannot be removed.
    #[error("cannot take the empty journal away")]
    Journal(#[source] io::Error),
}

/// Runs the cases and makes a report. A case that fails is a row; an interrupt ends the run, and what was measured stays.
///
/// # Errors
/// When there is nothing that a report could be made of.
pub fn execute(
    options: Options<'_>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Executed, ExecuteError> {
    Ok(measure(options, observer, interrupt)?.into_report())
}
