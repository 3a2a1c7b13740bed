//! Walks the plan: starts workers, hands them work, judges how they ended, and emits events. Never prints.

mod callgrind;
mod checks;
pub mod child;
mod facts;
mod flow;
mod heartbeat;
mod iterations;
mod judge;
mod known;
mod label;
mod limits;
mod pairs;
mod subject;
mod workers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wasiscope_ebpf_abi::Phase;
use wasiscope_model::work::Work;

use wasiscope_capture::{Capture, CaptureError, KernelEvents};
use wasiscope_guest::guest::{Artifact, NoGuest};
use wasiscope_kinds as kinds;
use wasiscope_model::record::{self, Facts, Outcome, ProcessRecord, Record, Timeline};
use wasiscope_model::report::Planted;
use wasiscope_scenario::plan::{self, Case, Half, Step, Wanted};
use wasiscope_sys::interrupt::Interrupt;
use wasiscope_sys::machine;
use wasiscope_worker::{Iteration, Message, Request, Task};

pub use child::{ChildWorkers, workers};
use facts::Judge;
use iterations::take_iterations;
use known::Known;
use label::label;
pub use label::labels;
pub use pairs::{Charged, ChargedPair, Opens, Pair, PairPlan, PairSamples, Pairs};
pub use subject::InputFiles;
use subject::subject;
pub use workers::{Death, Stuck, WorkerRun, Workers};

/// The facts of one case, and how it ended; nothing is timed. Its answer is held against the scenario alone, because a guest of another
/// revision may be of another catalogue.
pub fn facts_of(workers: &mut dyn Workers, prepared: &Prepared, scratch: &Path) -> (Facts, Outcome) {
    let learnt = facts::learn(workers, prepared, scratch, Judge::Scenario);
    (learnt.facts, learnt.outcome)
}

/// A case with its guest, or with the reason why there is none.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The case.
    pub case: Case,
    /// The guest.
    pub guest: Result<Artifact, NoGuest>,
    /// What it is given that lies in files.
    pub files: InputFiles,
    /// Whether the kernel's side of it is wanted.
    pub watch: bool,
}

impl Prepared {
    /// A native executable is a process of the worker's own, which the kernel programs do not follow.
    ///
    /// Nor is a flow of events watched: its own programs are at the same tracepoints, and what they cost is part of what is measured.
    fn can_be_watched(&self) -> bool {
        self.watch && !self.case.is_native() && self.case.work != Work::Flow
    }
}

/// What happens while a plan is walked.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many workers will run if nothing goes wrong.
    Planned {
        /// The number of workers, those for facts included.
        workers: usize,
    },
    /// A worker is about to start.
    Started {
        /// The case.
        id: &'a str,
    },
    /// A worker has ended and this is what it gave.
    Recorded(&'a Record),
    /// The instructions of a case are not known.
    NotCounted {
        /// The case.
        id: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// Something about the capture went wrong; the rest goes on without it.
    CaptureFailed(&'a CaptureError),
}

/// How far a walk got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// To the end.
    Complete,
    /// Until the budget was spent.
    BudgetSpent,
    /// Until somebody interrupted it.
    Interrupted,
}

/// How to walk.
pub struct Settings<'a> {
    /// Decides the order.
    pub seed: u64,
    /// Time since the run began, and the time after which no round is started.
    pub budget: Option<(&'a dyn Fn() -> Duration, Duration)>,
    /// Asks the walk to stop.
    pub interrupt: Interrupt,
    /// A folder for the workers' own folders.
    pub scratch: PathBuf,
    /// Processors to keep workers on, in turn; none to leave it to the kernel.
    pub cpus: Vec<usize>,
    /// Whether instructions are counted beside the facts, which takes long.
    pub instructions: bool,
    /// A fault that is put into every check on purpose.
    pub planted: Option<Planted>,
}

impl Settings<'_> {
    /// To the end, on every processor that this process may use, with nothing beside the usual passes.
    #[must_use]
    pub fn new(seed: u64, scratch: &Path, interrupt: &Interrupt) -> Self {
        Self {
            seed,
            budget: None,
            interrupt: interrupt.clone(),
            scratch: scratch.to_owned(),
            cpus: machine::processors(),
            instructions: false,
            planted: None,
        }
    }
}

/// Walks a plan over prepared cases.
pub struct Runner<'a> {
    workers: &'a mut dyn Workers,
    capture: Option<&'a mut dyn Capture>,
    settings: Settings<'a>,
    on_event: &'a mut dyn FnMut(Event<'_>),
    next_slot: u32,
    /// Whether the kernel programs are attached, as far as they can be.
    armed: bool,
    /// What the walk has found out of each case.
    known: Vec<Option<Known>>,
}

/// The timeline of a case.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The scenario.
    pub scenario: String,
    /// The case, `workload/flavour/engine`.
    pub id: String,
    /// One iteration of it.
    pub timeline: Timeline,
}

impl<'a> Runner<'a> {
    /// A runner over real or fake workers, with or without capture.
    pub fn new(
        workers: &'a mut dyn Workers,
        capture: Option<&'a mut dyn Capture>,
        settings: Settings<'a>,
        on_event: &'a mut dyn FnMut(Event<'_>),
    ) -> Self {
        Self { workers, capture, settings, on_event, next_slot: 1, armed: false, known: Vec::new() }
    }

    /// Collects the facts of every case, then its samples, in rounds. Cases without facts are not timed.
    pub fn walk(&mut self, cases: &[Prepared]) -> Walk {
        let capturing = self.capture.is_some();
        let wanted: Vec<Wanted> = cases
            .iter()
            .map(|prepared| Wanted {
                processes: prepared.case.processes,
                watch: capturing && prepared.can_be_watched(),
            })
            .collect();
        let planned = plan::order(&wanted, self.settings.seed);
        let workers = cases.len() + planned.iter().map(|half| half.steps.len()).sum::<usize>();
        (self.on_event)(Event::Planned { workers });

        let mut known = Vec::with_capacity(cases.len());
        for (index, prepared) in cases.iter().enumerate() {
            if self.settings.interrupt.raised() {
                return Walk::Interrupted;
            }
            known.push(match prepared.case.work {
                Work::Phases => self.facts(index, prepared),
                Work::Check => None,
                Work::Experiment | Work::Flow => Some(Known::default()),
            });
        }
        if !self.checks(cases) {
            return Walk::Interrupted;
        }
        let walk = self.rounds(cases, &known, &planned);
        self.disarm();
        self.known = known;
        walk
    }

    /// Whether it came to the end.
    fn checks(&mut self, cases: &[Prepared]) -> bool {
        self.set_armed(cases.iter().any(|prepared| prepared.case.work == Work::Check));
        for (index, prepared) in cases.iter().enumerate() {
            if prepared.case.work != Work::Check {
                continue;
            }
            if self.settings.interrupt.raised() {
                self.disarm();
                return false;
            }
            self.check(index, prepared);
        }
        !self.settings.interrupt.raised()
    }

    fn rounds(&mut self, cases: &[Prepared], known: &[Option<Known>], planned: &[Half]) -> Walk {
        let mut dead = vec![false; cases.len()];
        for half in planned {
            if self.settings.interrupt.raised() {
                return Walk::Interrupted;
            }
            let first_round = half.steps.iter().all(|step| step.process == 0);
            if !first_round && self.budget_is_spent() {
                return Walk::BudgetSpent;
            }
            self.set_armed(half.watched);
            for step in &half.steps {
                let (Some(known), false) = (&known[step.case], dead[step.case]) else { continue };
                let record = self.process(*step, &cases[step.case], known);
                // A guest that fails or hangs would do so again: one row says it all.
                dead[step.case] = !record.outcome.expected;
                (self.on_event)(Event::Recorded(&Record::Process(record)));
                if self.settings.interrupt.raised() {
                    return Walk::Interrupted;
                }
            }
        }
        Walk::Complete
    }

    fn budget_is_spent(&self) -> bool {
        self.settings.budget.is_some_and(|(elapsed, budget)| elapsed() >= budget)
    }

    fn set_armed(&mut self, armed: bool) {
        let Some(capture) = &mut self.capture else { return };
        let result = if armed { capture.arm() } else { capture.disarm() };
        self.armed = armed && result.is_ok();
        if let Err(error) = result {
            (self.on_event)(Event::CaptureFailed(&error));
        }
    }

    fn disarm(&mut self) {
        self.set_armed(false);
    }

    /// The untimed pass. `None` when the case cannot be timed; the record says why.
    fn facts(&mut self, index: usize, prepared: &Prepared) -> Option<Known> {
        let id = prepared.case.id();
        (self.on_event)(Event::Started { id: &id });
        let mut learnt = facts::learn(self.workers, prepared, &self.settings.scratch, Judge::Catalogue);
        let countable = prepared.watch && !prepared.case.is_native();
        if let (true, true, Some(known)) = (self.settings.instructions, countable, &learnt.known) {
            let count = facts::instructions(self.workers, prepared, known, &self.settings.scratch);
            if let Err(reason) = &count {
                (self.on_event)(Event::NotCounted { id: &id, reason });
            }
            learnt.facts.insert(record::INSTRUCTIONS.to_owned(), count.ok().into());
        }
        let record = Record::Facts { case: index, id, outcome: learnt.outcome, facts: learnt.facts };
        (self.on_event)(Event::Recorded(&record));
        learnt.known
    }

    fn request(&self, prepared: &Prepared, process: u32, known: &Known, task: Task) -> Result<Request, Outcome> {
        let subject = subject(prepared, &self.settings.scratch.join("guest"), Some(known))?;
        let cpu = cpu_of(&self.settings.cpus, process).filter(|_| stays_on_one_processor(&prepared.case));
        Ok(Request { neighbours: prepared.case.neighbours, ..Request::new(subject, cpu, task) })
    }

    fn process(&mut self, step: Step, prepared: &Prepared, known: &Known) -> ProcessRecord {
        let case = &prepared.case;
        let id = case.id();
        (self.on_event)(Event::Started { id: &id });
        let mut record = ProcessRecord {
            case: step.case,
            id,
            process: step.process,
            watched: step.watched,
            outcome: Outcome::ok(),
            samples: BTreeMap::new(),
            memory: BTreeMap::new(),
            measured: BTreeMap::new(),
            counts: BTreeMap::new(),
            spreads: BTreeMap::new(),
            repeats: known.repeats.max(1),
            preemptions: Vec::new(),
            steal_ratio: None,
            throttled: None,
            entered: BTreeMap::new(),
            kernel: None,
        };
        if let Some(leader) = kinds::of(case.kind).leader(&case.spec).filter(|_| case.work == Work::Flow) {
            self.flow(leader.as_ref(), step.process, prepared, &mut record);
            return record;
        }
        // Repeated passes are in no phase. A trap's signals must not be: watched traps are all in theirs.
        let repeats = if step.watched && known.traps_after.is_some() { 1 } else { known.repeats };
        record.repeats = repeats;
        let iterations = case.iterations;
        let task = match case.work {
            Work::Experiment => Task::Experiment { kind: case.kind.to_owned(), spec: case.spec.clone(), iterations },
            _ => Task::Iterate { iterations, repeats, compilations: known.compilations(iterations, step) },
        };
        let request = self.request(prepared, step.process, known, task);
        let mut request = match request {
            Ok(request) => request,
            Err(outcome) => {
                record.outcome = outcome;
                return record;
            }
        };
        let _code = known.give_code(&mut request);
        let (run, kernel) = if step.watched {
            self.watch(&request, &label(prepared, &step.process))
        } else {
            (self.workers.run(&request, None), None)
        };
        record.kernel = kernel;
        record.steal_ratio = run.interference.steal_ratio;
        record.throttled = run.interference.throttled;
        if let Some(spawn_ns) = run.spawn_ns {
            record.samples.insert(Phase::Spawn, vec![spawn_ns]);
            record.entered.insert(Phase::Spawn, 1);
        }
        record.outcome = take_iterations(&run, case, known, &mut record);
        record
    }

    fn watch(&mut self, request: &Request, label: &str) -> (WorkerRun, Option<KernelEvents>) {
        let slot = self.next_slot;
        self.next_slot += 1;
        let Some(capture) = &mut self.capture else { return (self.workers.run(request, None), None) };
        let watched = match capture.open(slot, label) {
            Ok(watched) => watched,
            Err(error) => {
                (self.on_event)(Event::CaptureFailed(&error));
                return (self.workers.run(request, None), None);
            }
        };
        let run = self.workers.run(request, Some(&watched));
        match capture.collect(slot) {
            // What programs that are not there have seen of it is not known.
            Ok(kernel) => (run, Some(kernel).filter(|_| self.armed)),
            Err(error) => {
                (self.on_event)(Event::CaptureFailed(&error));
                (run, None)
            }
        }
    }

    /// The cases whose guests the walk got to know. An experiment is no pass through the phases: there is nothing more to learn
    /// of it by one.
    fn walked<'c>(&self, cases: &'c [Prepared]) -> impl Iterator<Item = (&'c Prepared, Known)> + use<'c> {
        let known = self.known.clone();
        let learnt = cases.iter().zip(known).filter_map(|(prepared, known)| Some((prepared, known?)));
        learnt.filter(|(prepared, _)| prepared.case.work.runs_phases())
    }

    /// One more watched worker of every case that can be watched, only to learn what the kernel programs cost. Its samples
    /// are thrown away, because counting costs has a cost.
    ///
    /// # Errors
    /// When the kernel keeps no such statistics.
    pub fn count_program_costs(&mut self, cases: &[Prepared]) -> Result<(), CaptureError> {
        let Some(capture) = &mut self.capture else { return Ok(()) };
        let counting = capture.count_costs()?;
        capture.arm()?;
        self.armed = true;
        for (prepared, known) in self.walked(cases).filter(|(prepared, _)| prepared.can_be_watched()) {
            if self.settings.interrupt.raised() {
                break;
            }
            let iterations = prepared.case.iterations;
            let step = Step { case: 0, process: 0, watched: true };
            let task = Task::Iterate { iterations, repeats: 1, compilations: known.compilations(iterations, step) };
            if let Ok(mut request) = self.request(prepared, 0, &known, task) {
                let _code = known.give_code(&mut request);
                self.watch(&request, &label(prepared, &"costs"));
            }
        }
        self.disarm();
        drop(counting);
        Ok(())
    }

    /// One more worker of every case, for the timeline of a single iteration: its phases and, with capture, what the kernel
    /// did meanwhile. Cases that fail have none; their rows say why.
    pub fn trace(&mut self, cases: &[Prepared]) -> Vec<Traced> {
        /// The first iteration of a process pays for things that later ones find done.
        const WARM_UPS: u32 = 2;
        self.set_armed(true);
        let mut timelines = Vec::new();
        for (prepared, known) in self.walked(cases).filter(|(prepared, _)| !prepared.case.is_native()) {
            if self.settings.interrupt.raised() {
                break;
            }
            let id = prepared.case.id();
            (self.on_event)(Event::Started { id: &id });
            let Ok(request) = self.request(prepared, 0, &known, Task::Trace { warm_ups: WARM_UPS }) else { continue };
            let slot = self.next_slot;
            let (run, _) = self.watch(&request, &label(prepared, &"trace"));
            let events = match &mut self.capture {
                Some(capture) => capture.take_trace(slot).unwrap_or_else(|error| {
                    (self.on_event)(Event::CaptureFailed(&error));
                    Vec::new()
                }),
                None => Vec::new(),
            };
            let spans = run.messages.into_iter().find_map(|message| match message {
                Message::Iteration(Iteration { spans, .. }) => Some(spans),
                _ => None,
            });
            let timeline = spans.map(|spans| Timeline { spans, events });
            timelines.extend(timeline.map(|timeline| Traced {
                scenario: prepared.case.scenario.clone(),
                id,
                timeline,
            }));
        }
        self.disarm();
        timelines
    }
}

/// The processor for the worker of this index.
fn cpu_of(cpus: &[usize], process: u32) -> Option<usize> {
    cpus.get(process as usize % cpus.len().max(1)).copied()
}

/// Whether one processor is enough: threads that compile side by side need one each.
fn stays_on_one_processor(case: &Case) -> bool {
    !case.needs_processors
}

#[cfg(test)]
mod tests;
