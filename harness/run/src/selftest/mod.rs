//! Trials of wasiscope itself, with the real binary: adversarial guests, and faults of the machine. Each has a folder of its own, and must end within
//! its limit, as it is said to, with the next case whole and nothing left behind.

mod faults;
mod guests;
mod stage;

use std::time::{Duration, Instant};

use serde::Serialize;

use stage::Stage;
use wasiscope_sys::interrupt::Interrupt;

/// What kind of trial it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A guest that means harm.
    Guest,
    /// A fault of the machine, or of who uses it.
    Fault,
}

/// One trial.
#[derive(Clone, Copy)]
pub struct Trial {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub does: &'static str,
    /// What kind it is.
    pub kind: Kind,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    Guest(&'static guests::Guest),
    Fault(fn(&Stage) -> Result<String, Failure>),
}

/// Why a trial did not end as it must.
#[derive(Debug)]
enum Failure {
    /// wasiscope did not hold.
    Broken(String),
    /// This machine, or this user, cannot be put into that state.
    NotTried(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// As it must.
    Yes,
    /// Otherwise.
    No,
    /// It could not be tried here.
    NotTried,
}

/// What became of a trial.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Its name.
    pub name: &'static str,
    /// What was done.
    pub does: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// Whether wasiscope held.
    pub held: Held,
    /// What came of it; of what was not tried, why.
    pub outcome: String,
    /// How long it took, the good case beside it included.
    pub took_s: f64,
}

/// How trials are made.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// `auto`, `on` or `off`, for the runs within.
    pub capture: &'a str,
    /// Whether the machine's clock may be set for a moment.
    pub may_set_clock: bool,
}

/// All trials.
#[must_use]
pub fn trials() -> Vec<Trial> {
    let guests = guests::GUESTS.iter().map(|guest| Trial {
        name: guest.name,
        does: guest.does,
        kind: Kind::Guest,
        run: Run::Guest(guest),
    });
    let faults =
        faults::FAULTS.iter().map(|(name, does, run)| Trial { name, does, kind: Kind::Fault, run: Run::Fault(*run) });
    guests.chain(faults).collect()
}

impl Trial {
    /// Makes it.
    #[must_use]
    pub fn make(&self, settings: Settings<'_>, interrupt: &Interrupt) -> Tried {
        let began = Instant::now();
        let made = Stage::new(settings, interrupt.clone()).map_err(Failure::from).and_then(|stage| {
            let outcome = match self.run {
                Run::Guest(guest) => stage.try_guest(guest),
                Run::Fault(run) => run(&stage),
            }?;
            stage.nothing_is_left()?;
            Ok(outcome)
        });
        let (held, outcome) = match made {
            Ok(outcome) => (Held::Yes, outcome),
            Err(Failure::Broken(why)) => (Held::No, why),
            Err(Failure::NotTried(why)) => (Held::NotTried, why),
        };
        let Self { name, does, kind, .. } = *self;
        Tried { name, does, kind, held, outcome, took_s: began.elapsed().as_secs_f64() }
    }
}

/// Longest time of one iteration in trials that end by it.
const WALL: Duration = Duration::from_secs(2);

/// Longest time of one iteration in all others: what others do on the machine must not make them end by it.
const AMPLE_WALL: Duration = Duration::from_secs(20);

/// Longest time of a whole run in a trial: beyond that it hangs.
const LIMIT: Duration = Duration::from_secs(60);
