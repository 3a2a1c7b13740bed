//! One iteration of a case on the page: once as a whole, then each phase drawn over the full width, because a phase of a microsecond is nothing
//! beside one of forty milliseconds. The file of `--trace` has every event by itself; here those that would cover each other are one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use maud::{Markup, html};
use wasiscope_ebpf_abi::Phase;

use super::svg::{Scale, axis, place};
use super::table;
use crate::grid::Grid;
use wasiscope_model::events::{Traced, TracedEvent};
use wasiscope_model::record::Timeline;
use wasiscope_model::units;

const WIDTH: f64 = 900.0;
/// Where the drawing begins and ends; before it are the names of phases, behind it their durations.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 800.0;
/// Height of what is drawn of one kind, and of a lane with all three.
const STRIPE: f64 = 7.0;
const LANE: f64 = 3.0 * STRIPE + 9.0;
/// A phase whose name fits into a bar of this width is named in it.
const NAMED: f64 = 60.0;
/// Most rows of the table.
const ROWS: usize = 40;
/// Most phases that are drawn: an iteration passes each once or twice.
const PHASES: usize = 24;

/// What is drawn of an event, each kind in a stripe of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Call,
    Blocked,
    Runnable,
    Fault,
    Signal,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Call, Self::Blocked, Self::Runnable, Self::Fault, Self::Signal];

    const fn name(self) -> &'static str {
        match self {
            Self::Call => "system call",
            Self::Blocked => "blocked",
            Self::Runnable => "runnable",
            Self::Fault => "page fault",
            Self::Signal => "signal",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Blocked => "blocked",
            Self::Runnable => "runnable",
            Self::Fault => "fault",
            Self::Signal => "signal",
        }
    }

    /// Which stripe of a lane, from the top.
    const fn stripe(self) -> f64 {
        match self {
            Self::Call => 0.0,
            Self::Blocked | Self::Runnable => 1.0,
            Self::Fault | Self::Signal => 2.0,
        }
    }
}

/// A part of an event: when, and for how long.
struct Mark<'a> {
    kind: Kind,
    name: &'a str,
    phase: Phase,
    start_ns: u64,
    duration_ns: u64,
}

fn marks(event: &TracedEvent) -> Vec<Mark<'_>> {
    let mark = |kind: Kind, name, start_ns, duration_ns| Mark { kind, name, phase: event.phase, start_ns, duration_ns };
    match &event.what {
        Traced::Call { name, duration_ns, .. } => vec![mark(Kind::Call, name, event.at_ns, *duration_ns)],
        Traced::OffCpu { blocked_ns, runnable_ns } => {
            let parts = [
                (Kind::Blocked, event.at_ns, *blocked_ns),
                (Kind::Runnable, event.at_ns.saturating_add(*blocked_ns), *runnable_ns),
            ];
            let of_part = |(kind, at, ns): (Kind, u64, u64)| mark(kind, kind.name(), at, ns);
            parts.into_iter().filter(|(_, _, ns)| *ns > 0).map(of_part).collect()
        }
        Traced::Fault { region, .. } => vec![mark(Kind::Fault, region, event.at_ns, 0)],
        Traced::Signal { name } => vec![mark(Kind::Signal, name, event.at_ns, 0)],
    }
}

/// The drawing and its table; `None` where nothing was passed.
pub(crate) fn timeline(id: &str, timeline: &Timeline) -> Option<Markup> {
    let start_ns = timeline.spans.iter().map(|span| span.start_ns).min()?;
    let end_ns = timeline.spans.iter().map(|span| span.end_ns).max().filter(|end| *end > start_ns)?;
    let marks: Vec<Mark<'_>> = timeline.events.iter().flat_map(marks).collect();
    let spans = &timeline.spans[..timeline.spans.len().min(PHASES)];
    let whole = Scale::from_zero((end_ns - start_ns) as f64, LEFT, RIGHT);
    let top = 24.0;
    let below = top + STEP_OF_PHASES + LANE + 26.0;
    let height = below + spans.len() as f64 * LANE;
    let title = format!("one iteration of {id}: {}", units::duration((end_ns - start_ns) as f64));
    let at = |ns: u64| whole.at(ns.saturating_sub(start_ns) as f64);
    Some(html! {
        figure {
            div.wide tabindex="0" role="region" aria-label=(title) {
                svg role="img" aria-label=(title) viewBox=(format!("0 0 {WIDTH} {}", place(height))) width=(WIDTH) {
                    (legend())
                    text x=(LEFT - 8.0) y=(top + 11.0) text-anchor="end" { "the whole of it" }
                    @for (index, span) in spans.iter().enumerate() {
                        @let (left, right) = (at(span.start_ns), at(span.end_ns));
                        rect class=(format!("s{}", index % 8)) x=(place(left)) y=(top) width=(format!("{:.1}", (right - left).max(0.3))) height="14" {
                            title { (span.phase.name()) " " (units::duration(span.end_ns.saturating_sub(span.start_ns) as f64)) }
                        }
                        @if right - left > NAMED { text.inside x=(place((left + right) / 2.0)) y=(top + 11.0) text-anchor="middle" { (span.phase.name()) } }
                    }
                    (lane(&marks, &whole, start_ns, &(start_ns..=end_ns), top + STEP_OF_PHASES))
                    (axis(&whole, top + STEP_OF_PHASES + LANE - 4.0, &units::duration))
                    @for (index, span) in spans.iter().enumerate() {
                        @let y = below + index as f64 * LANE;
                        @let ns = span.end_ns.saturating_sub(span.start_ns);
                        rect class=(format!("s{}", index % 8)) x="2" y=(place(y)) width="6" height=(place(LANE - 6.0)) {}
                        text x=(LEFT - 8.0) y=(place(y + 14.0)) text-anchor="end" { (span.phase.name()) }
                        (lane(&marks, &Scale::from_zero(ns as f64, LEFT, RIGHT), span.start_ns, &(span.start_ns..=span.end_ns), y))
                        text x=(RIGHT + 8.0) y=(place(y + 14.0)) { (units::duration(ns as f64)) }
                    }
                }
            }
            figcaption { "One more iteration, watched event by event: first the whole, then each phase over the full width. In each lane from the top: system calls; time without a processor; page faults and signals. Of all threads." }
        }
        (table(&happenings(&marks), &format!("what happened in one iteration of {id}")))
    })
}

/// Height of the bar of phases.
const STEP_OF_PHASES: f64 = 18.0;

fn legend() -> Markup {
    html! {
        @for (index, kind) in Kind::ALL.into_iter().enumerate() {
            @let x = LEFT + index as f64 * 110.0;
            path class=(kind.class()) d=(format!("M{} 7h12", place(x))) {}
            text x=(place(x + 16.0)) y="11" { (kind.name()) }
        }
    }
}

/// All marks that lie in a range, as one path for each kind.
fn lane(marks: &[Mark<'_>], scale: &Scale, start_ns: u64, range: &RangeInclusive<u64>, top: f64) -> Markup {
    let x = |ns: u64| scale.at(ns.saturating_sub(start_ns) as f64);
    let drawn = |kind: Kind| {
        let y = place(top + kind.stripe() * STRIPE + STRIPE / 2.0);
        let mut path = String::new();
        let mut drawn_to = f64::NEG_INFINITY;
        let mut of_kind: Vec<&Mark<'_>> = marks.iter().filter(|mark| mark.kind == kind).collect();
        of_kind.sort_by_key(|mark| mark.start_ns);
        for mark in of_kind {
            let end_ns = mark.start_ns.saturating_add(mark.duration_ns);
            if end_ns < *range.start() || mark.start_ns > *range.end() {
                continue;
            }
            // Half a pixel at least, or it would not be seen; and none for what lies within what is drawn already.
            let (left, right) = (x(mark.start_ns), x(end_ns).max(x(mark.start_ns) + 0.5));
            if right <= drawn_to {
                continue;
            }
            path += &format!("M{} {y}H{}", place(left.max(drawn_to)), place(right));
            drawn_to = right;
        }
        path
    };
    html! {
        path.axis d=(format!("M{LEFT} {}H{RIGHT}", place(top + 3.0 * STRIPE + 1.0))) {}
        @for kind in Kind::ALL {
            @let path = drawn(kind);
            @if !path.is_empty() { path class=(kind.class()) d=(path) {} }
        }
    }
}

/// What happened, by phase and name: how often and how long.
fn happenings(marks: &[Mark<'_>]) -> Grid {
    let mut sums: BTreeMap<(Phase, Kind, &str), (u64, u64, u64)> = BTreeMap::new();
    for mark in marks {
        let (count, total_ns, longest_ns) = sums.entry((mark.phase, mark.kind, mark.name)).or_default();
        *count += 1;
        *total_ns = total_ns.saturating_add(mark.duration_ns);
        *longest_ns = mark.duration_ns.max(*longest_ns);
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by_key(|(_, (count, total_ns, _))| std::cmp::Reverse((*total_ns, *count)));
    let mut grid = Grid::new(&["phase", "what", "which", "times", "together", "longest"]).align_left(&[0, 1, 2]);
    let left_out = rows.len().saturating_sub(ROWS);
    for ((phase, kind, name), (count, total_ns, longest_ns)) in rows.into_iter().take(ROWS) {
        let shown = |ns: u64| if ns > 0 { units::duration(ns as f64) } else { "·".to_owned() };
        grid.add_row([
            phase.name().to_owned(),
            kind.name().to_owned(),
            match kind {
                Kind::Blocked | Kind::Runnable => String::new(),
                // Regions are written as in the other tables.
                Kind::Fault => name.replace('_', " "),
                Kind::Call | Kind::Signal => name.to_owned(),
            },
            count.to_string(),
            shown(total_ns),
            shown(longest_ns),
        ]);
    }
    if left_out > 0 {
        grid.notes.push(format!("{left_out} more took less time"));
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasiscope_model::record::Span;

    fn event(at_ns: u64, what: Traced) -> TracedEvent {
        TracedEvent { at_ns, thread: 7, thread_name: None, phase: Phase::Run, what }
    }

    fn call(at_ns: u64, duration_ns: u64) -> TracedEvent {
        event(at_ns, Traced::Call { name: "read".into(), duration_ns, returned: 0 })
    }

    fn run(events: Vec<TracedEvent>) -> Timeline {
        Timeline { spans: vec![Span { phase: Phase::Run, start_ns: 1_000, end_ns: 2_000 }], events }
    }

    #[test]
    fn events_lie_where_they_happened_and_those_that_cover_each_other_are_one() {
        let page = timeline("w/f/e", &run(vec![call(1_500, 100), call(1_520, 20)])).unwrap().into_string();
        // From 150 to 800: half of it, and a tenth of it more; once in the whole, once in the phase, which is all of it.
        assert_eq!(page.matches("H540\"").count(), 2, "{page}");
        assert_eq!(page.matches("M475 ").count(), 2);
        assert!(page.contains("<td>2</td><td>120 ns</td><td>100 ns</td>"), "{page}");
    }

    #[test]
    fn waits_of_several_threads_are_all_there() {
        let wait = |at_ns, thread, blocked_ns, runnable_ns| TracedEvent {
            thread,
            ..event(at_ns, Traced::OffCpu { blocked_ns, runnable_ns })
        };
        // The first begins to wait for a processor after the second has long got one.
        let traced = run(vec![wait(1_000, 1, 500, 100), wait(1_100, 2, 0, 200)]);
        let page = timeline("w/f/e", &traced).unwrap().into_string();
        assert_eq!(page.matches("M215 ").count(), 2, "from 1,100: {page}");
        assert_eq!(page.matches("M475 ").count(), 2, "from 1,500: {page}");
    }

    #[test]
    fn times_that_make_no_sense_are_drawn_at_the_edge() {
        let mut odd =
            run(vec![call(0, u64::MAX), call(u64::MAX, u64::MAX), event(1, Traced::Signal { name: "<b>".into() })]);
        odd.spans.push(Span { phase: Phase::Trap, start_ns: 1_900, end_ns: 1_100 });
        let page = timeline("w/f/e", &odd).unwrap().into_string();
        assert!(!page.contains("NaN") && !page.contains("inf") && !page.contains("<b>"), "{page}");
        assert!(timeline("w/f/e", &Timeline::default()).is_none());
    }

    #[test]
    fn a_hundred_thousand_events_are_as_many_as_can_be_seen() {
        let events = (0..100_000).map(|index| call(1_000 + index / 100, 3)).collect();
        let page = timeline("w/f/e", &run(events)).unwrap().into_string();
        assert!(page.len() < 60_000, "{} bytes", page.len());
    }
}
