//! Cases to records: guests are prepared, workers do their work, and every record is kept before anything is computed.

use std::time::Duration;

use super::prices;
use super::{Depth, ExecuteError, Note, Observer, Options, Warning};
use crate::journal::Journal;
use crate::prepare::prepare;
use crate::reference;
use crate::runner::{self, Event, Prepared, Runner, Settings, Traced, Walk};
use wasiscope_capture::CaptureError;
use wasiscope_model::record::Record;
use wasiscope_model::report::ScenarioReport;
use wasiscope_sys::interrupt::Interrupt;

/// What the workers of a run gave, before anything is computed from it.
pub struct Measured<'a> {
    pub(super) options: Options<'a>,
    /// What was run, the reference last where there is one.
    pub(super) prepared: Vec<Prepared>,
    /// How many of them were asked for.
    pub(super) asked_for: usize,
    pub(super) records: Vec<Record>,
    pub(super) walk: Walk,
    pub(super) traced: Vec<Traced>,
    /// Scenarios without cases, with what their checks cost.
    pub(super) prices: Vec<ScenarioReport>,
    /// What went wrong while watching.
    pub(super) trouble: Option<String>,
}

/// Runs the cases. Whoever wants no more than rows takes [`Measured::scenarios`].
///
/// # Errors
/// When a guest cannot be copied, a stored capture is of something else, or nothing was measured before an interrupt.
pub fn measure<'a>(
    mut options: Options<'a>,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<Measured<'a>, ExecuteError> {
    let prepared = with_guests(&mut options, observer)?;
    let asked_for = prepared.len() - usize::from(options.reference);
    let mut labels = runner::labels(&prepared[..asked_for], options.trace);
    labels.extend(runner::labels(&prepared[asked_for..], false));
    options.source.check(&labels)?;

    let began = options.start.instant;
    let elapsed = || began.elapsed();
    let budget = options.budget.map(|budget| (&elapsed as &dyn Fn() -> Duration, budget));
    let settings = Settings {
        budget,
        instructions: options.instructions,
        planted: options.planted.clone(),
        ..Settings::new(options.seed, options.scratch, interrupt)
    };
    let mut keeper = Keeper::new(observer, options.journal.take());
    let (walk, traced) = match options.depth {
        Depth::Facts => (facts(&prepared, settings, &mut keeper), Vec::new()),
        Depth::Measurements => samples((&prepared, asked_for), settings, &mut options, &mut keeper),
    };
    let Keeper { observer, journal, records, trouble, .. } = keeper;
    options.journal = journal;
    let prices = match walk {
        Walk::Complete => {
            let settings = Settings::new(options.seed, options.scratch, interrupt);
            prices::measure(options.places, &options.prices, &settings, observer)
        }
        Walk::BudgetSpent => prices::not_measured(&options.prices, "the budget was spent"),
        Walk::Interrupted => prices::not_measured(&options.prices, "interrupted"),
    };
    let walk = if interrupt.raised() { Walk::Interrupted } else { walk };
    let measured = Measured { options, prepared, asked_for, records, walk, traced, prices, trouble };
    if measured.is_of_no_use() {
        measured.options.journal.map_or(Ok(()), Journal::discard).map_err(ExecuteError::Journal)?;
        return Err(ExecuteError::NothingMeasured);
    }
    Ok(measured)
}

/// All cases with their guests, then the reference.
fn with_guests(options: &mut Options<'_>, observer: &mut dyn Observer) -> Result<Vec<Prepared>, ExecuteError> {
    let cases = std::mem::take(&mut options.cases);
    let mut say = |line: &str| observer.on_note(&Note::Preparing(line.to_owned()));
    let mut prepared = prepare(options.places, cases, options.scratch, &mut say)?;
    for (index, reason) in std::mem::take(&mut options.without_guest) {
        if let Some(prepared) = prepared.get_mut(index) {
            prepared.guest = Err(reason);
        }
    }
    if options.reference {
        let most = prepared.iter().map(|prepared| prepared.case.processes).max().unwrap_or(1);
        prepared.push(reference::prepare(options.scratch, most)?);
    }
    Ok(prepared)
}

/// The facts of every case, and nothing else.
fn facts(prepared: &[Prepared], settings: Settings<'_>, keeper: &mut Keeper<'_>) -> Walk {
    let mut workers = runner::workers(&settings.interrupt);
    keeper.on(&Event::Planned { workers: prepared.len() });
    for (index, prepared) in prepared.iter().enumerate() {
        if settings.interrupt.raised() {
            return Walk::Interrupted;
        }
        let id = prepared.case.id();
        keeper.on(&Event::Started { id: &id });
        let (facts, outcome) = runner::facts_of(&mut workers, prepared, &settings.scratch);
        keeper.on(&Event::Recorded(&Record::Facts { case: index, id, outcome, facts }));
    }
    Walk::Complete
}

/// Facts and samples of every case, then the passes of their own that are asked for.
fn samples(
    (prepared, asked_for): (&[Prepared], usize),
    settings: Settings<'_>,
    options: &mut Options<'_>,
    keeper: &mut Keeper<'_>,
) -> (Walk, Vec<Traced>) {
    let mut workers = runner::workers(&settings.interrupt);
    let mut on_event = |event: Event<'_>| keeper.on(&event);
    let mut runner = Runner::new(&mut workers, options.source.capture(), settings, &mut on_event);
    let walk = runner.walk(prepared);
    let goes_on = walk != Walk::Interrupted;
    // Nobody wants to know more of the reference.
    let asked_for = &prepared[..asked_for];
    let traced = if goes_on && options.trace { runner.trace(asked_for) } else { Vec::new() };
    let costs = (goes_on && options.program_costs).then(|| runner.count_program_costs(asked_for));
    keeper.costs(costs, options.source.is_live());
    (walk, traced)
}

impl Measured<'_> {
    /// Whether it was interrupted before there was anything to report. The reference is of use only beside others; where facts are all
    /// that is asked for, a row that was not reached says so.
    fn is_of_no_use(&self) -> bool {
        let is_of_use = |record: &Record| match record {
            Record::Process(process) => process.case < self.asked_for,
            Record::Check(_) => true,
            Record::Facts { .. } => false,
        };
        self.options.depth == Depth::Measurements
            && self.walk == Walk::Interrupted
            && !self.records.iter().any(is_of_use)
    }
}

/// Keeps what is recorded, and passes on all that happens.
struct Keeper<'a> {
    observer: &'a mut dyn Observer,
    journal: Option<Journal>,
    journal_fails: bool,
    records: Vec<Record>,
    trouble: Option<String>,
}

impl<'a> Keeper<'a> {
    fn new(observer: &'a mut dyn Observer, journal: Option<Journal>) -> Self {
        Self { observer, journal, journal_fails: false, records: Vec::new(), trouble: None }
    }

    fn on(&mut self, event: &Event<'_>) {
        self.observer.on_event(event);
        match event {
            Event::Recorded(record) => {
                self.append(record);
                self.records.push((*record).clone());
            }
            Event::CaptureFailed(error) => self.trouble = Some(error.to_string()),
            Event::Planned { .. } | Event::Started { .. } | Event::NotCounted { .. } => {}
        }
    }

    fn append(&mut self, record: &Record) {
        let Some(journal) = &mut self.journal else { return };
        if let (Err(reason), false) = (journal.append(record), self.journal_fails) {
            self.observer.on_warning(&Warning::Journal { path: journal.path().to_owned(), reason });
            self.journal_fails = true;
        }
    }

    /// Says why what the kernel programs cost is not known, where that was asked for.
    fn costs(&mut self, counted: Option<Result<(), CaptureError>>, is_live: bool) {
        match counted {
            Some(Err(error)) => self.observer.on_warning(&Warning::ProgramCosts(error)),
            Some(Ok(())) if !is_live => self.observer.on_warning(&Warning::NoPrograms),
            _ => {}
        }
    }
}
