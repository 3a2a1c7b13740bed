//! What became of trials, as a table.

use crate::report::grid::Grid;
use crate::selftest::{Held, Kind, Trial, Tried};
use crate::units;

/// What trials there are.
#[must_use]
pub fn list(trials: &[Trial]) -> Grid {
    let mut grid = Grid::new(&["trial", "kind", "what is done"]).align_left(&[0, 1, 2]);
    for trial in trials {
        grid.add_row([trial.name.to_owned(), kind(trial.kind).to_owned(), trial.does.to_owned()]);
    }
    grid
}

/// A row for each, those that did not hold first in the note.
#[must_use]
pub fn table(tried: &[Tried]) -> Grid {
    let mut grid =
        Grid::new(&["trial", "kind", "what is done", "held", "took", "outcome"]).align_left(&[0, 1, 2, 3, 5]);
    for one in tried {
        let held = match one.held {
            Held::Yes => "yes",
            Held::No => "NO",
            Held::NotTried => "not tried",
        };
        grid.add_row([
            one.name.to_owned(),
            kind(one.kind).to_owned(),
            one.does.to_owned(),
            held.to_owned(),
            units::duration(one.took_s * 1e9),
            one.outcome.clone(),
        ]);
    }
    let count = |held: Held| tried.iter().filter(|one| one.held == held).count();
    let (yes, no, not_tried) = (count(Held::Yes), count(Held::No), count(Held::NotTried));
    let trials = units::count(tried.len(), "trial");
    grid.note("Held: wasiscope ended the trial as it must, with the outcome that belongs to it, the good case beside it whole, and nothing left.");
    grid.note(format!("{trials}: {yes} held, {no} did not, {not_tried} not tried"));
    grid
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Guest => "guest",
        Kind::Fault => "fault",
    }
}
