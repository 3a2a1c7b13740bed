//! What a long run held, as a table.

use std::time::Duration;

use crate::report::grid::Grid;
use crate::soak::{Course, Held};
use crate::units;

/// A row for each figure; of too few rounds there are none.
#[must_use]
pub fn table(rounds: &[Held], courses: &[Course], took: Duration) -> Grid {
    let mut grid = Grid::new(&["what it holds", "start", "end", "most", "slope", ""]).align_left(&[0, 5]);
    for course in courses {
        let value = |value: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a size below 2^53, and no negative one"
            )]
            let whole = value.max(0.0).round() as u64;
            if course.figure.is_bytes() { units::bytes(whole) } else { units::plain(value) }
        };
        let sign = if course.per_hour < 0.0 { "-" } else { "+" };
        grid.add_row([
            course.figure.name().to_owned(),
            value(course.start),
            value(course.end),
            value(course.most),
            format!("{sign}{}/h", value(course.per_hour.abs())),
            if course.grows { "grows" } else { "holds" }.to_owned(),
        ]);
    }
    let rounds = units::count(rounds.len(), "run");
    grid.note(format!(
        "{rounds} in {}; start: the median of the second tenth of them, end: of the last tenth; slope: the median of those between any two. \
         A count grows when its end is above its start; bytes, when it is by more than 1 MiB and 3 %.",
        humantime::format_duration(Duration::from_secs(took.as_secs())),
    ));
    grid
}
