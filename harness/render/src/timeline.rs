//! One iteration of each case as a file for Perfetto, speedscope or chrome://tracing: the Trace Event Format, in which each
//! case is a process with a track for every thread.
//!
//! The format: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>. Times are microseconds
//! of CLOCK_MONOTONIC with three digits behind the point, so no nanosecond is lost.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Map, Value, json};
use wasiscope_ebpf_abi::Phase;

use crate::sink::{Out, RenderContext, Sink};
use wasiscope_model::events::{Traced, TracedEvent};
use wasiscope_model::record::{Span, Timeline};
use wasiscope_model::report::Report;

/// The timelines of a report's cases.
#[derive(Clone, Copy, Debug)]
pub struct Timelines;

impl Sink<Report> for Timelines {
    fn name(&self) -> &'static str {
        "trace"
    }

    fn help(&self) -> &'static str {
        "Also write a timeline of one iteration of every case, for Perfetto, speedscope or chrome://tracing"
    }

    fn has_any(&self, report: &Report) -> bool {
        has_any(report)
    }

    fn write(&self, report: &Report, _context: &RenderContext<'_>, mut out: &mut Out<'_>) -> io::Result<()> {
        write(report, &mut out)
    }

    fn hint(&self, report: &Report) -> String {
        let phases_only = if report.capture.status.sees_kernel() { "" } else { "; phases only, without capture" };
        format!(" (open it in https://ui.perfetto.dev or https://speedscope.app{phases_only})")
    }
}

/// Writes the file.
///
/// # Errors
/// When `out` cannot take it.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let lost = report.capture.ledger.ring_dropped;
    writeln!(out, "{{\"displayTimeUnit\": \"ns\",")?;
    writeln!(out, "\"otherData\": {},", json!({"clock": "CLOCK_MONOTONIC", "events_lost": lost}))?;
    writeln!(out, "\"traceEvents\": [")?;
    let mut separator = "";
    for (index, (name, timeline)) in timelines(report).enumerate() {
        for event in events(index + 1, &name, timeline) {
            write!(out, "{separator}{event}")?;
            separator = ",\n";
        }
    }
    writeln!(out, "\n]}}")
}

/// The timelines of a report, each with the name of its case.
fn timelines(report: &Report) -> impl Iterator<Item = (String, &Timeline)> {
    let cases = report.scenarios.iter().flat_map(|scenario| scenario.cases.iter().map(move |case| (scenario, case)));
    cases.filter_map(|(scenario, case)| Some((format!("{} ({})", case.id, scenario.name), case.timeline.as_ref()?)))
}

/// Whether a report has any.
#[must_use]
pub fn has_any(report: &Report) -> bool {
    timelines(report).next().is_some()
}

fn events(process: usize, name: &str, timeline: &Timeline) -> Vec<Value> {
    let main = main_thread(timeline);
    let mut events = vec![json!({"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}})];
    for (thread, name) in thread_names(timeline, main) {
        events.push(json!({"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": name}}));
    }
    let mut slices: Vec<Slice> = timeline.spans.iter().map(|span| phase_slice(main, span)).collect();
    for event in &timeline.events {
        slices.extend(slices_of(event));
    }
    // A slice that holds others comes before them.
    slices.sort_by_key(|slice| (slice.start_ns, std::cmp::Reverse(slice.duration_ns.unwrap_or(0))));
    events.extend(slices.into_iter().map(|slice| slice.into_json(process)));
    events
}

/// What is drawn: a bar with a duration, or a moment.
struct Slice {
    thread: u32,
    name: String,
    category: &'static str,
    start_ns: u64,
    duration_ns: Option<u64>,
    details: Map<String, Value>,
}

impl Slice {
    fn into_json(self, process: usize) -> Value {
        let Self { thread, name, category, start_ns, duration_ns, details } = self;
        let mut event = json!({
            "name": name, "cat": category, "pid": process, "tid": thread, "ts": microseconds(start_ns),
        });
        if !details.is_empty() {
            event["args"] = Value::Object(details);
        }
        let (kind, extra) = match duration_ns {
            Some(ns) => ("X", ("dur", duration_microseconds(start_ns, ns))),
            // A moment of its thread.
            None => ("i", ("s", Value::from("t"))),
        };
        event["ph"] = Value::from(kind);
        event[extra.0] = extra.1;
        event
    }
}

fn phase_slice(thread: u32, span: &Span) -> Slice {
    Slice {
        thread,
        name: span.phase.name().to_owned(),
        category: "phase",
        start_ns: span.start_ns,
        duration_ns: Some(span.end_ns.saturating_sub(span.start_ns)),
        details: Map::new(),
    }
}

fn slices_of(event: &TracedEvent) -> Vec<Slice> {
    let slice = |name: &str, category, start_ns, duration_ns, details: Value| Slice {
        thread: event.thread,
        name: name.to_owned(),
        category,
        start_ns,
        duration_ns,
        details: match details {
            Value::Object(details) => details,
            _ => Map::new(),
        },
    };
    let phase = event.phase.name();
    match &event.what {
        Traced::Call { name, duration_ns, returned } => {
            let details = json!({"returned": returned, "phase": phase});
            vec![slice(name, "system call", event.at_ns, Some(*duration_ns), details)]
        }
        Traced::OffCpu { blocked_ns, runnable_ns } => {
            let parts = [
                ("blocked", event.at_ns, *blocked_ns),
                ("runnable", event.at_ns.saturating_add(*blocked_ns), *runnable_ns),
            ];
            let of_part = |(name, start_ns, ns): (&str, u64, u64)| {
                slice(name, "off CPU", start_ns, Some(ns), json!({"phase": phase}))
            };
            parts.into_iter().filter(|(_, _, ns)| *ns > 0).map(of_part).collect()
        }
        Traced::Fault { user, address, region } => {
            let name = if *user { "page fault" } else { "page fault in the kernel" };
            let details = json!({"address": format!("{address:#x}"), "region": region, "phase": phase});
            vec![slice(name, "fault", event.at_ns, None, details)]
        }
        Traced::Signal { name } => vec![slice(name, "signal", event.at_ns, None, json!({"phase": phase}))],
    }
}

/// The thread that passes the phases: the one whose events lie in them most. Without any events, 1.
fn main_thread(timeline: &Timeline) -> u32 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for event in timeline.events.iter().filter(|event| !matches!(event.phase, Phase::Outside | Phase::Compile)) {
        *counts.entry(event.thread).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(1, |(thread, _)| thread)
}

fn thread_names(timeline: &Timeline, main: u32) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::from([(main, "guest".to_owned())]);
    for event in &timeline.events {
        let known = event.thread_name.clone();
        match names.get(&event.thread) {
            None => drop(names.insert(event.thread, known.unwrap_or_else(|| format!("thread {}", event.thread)))),
            Some(present) if present.starts_with("thread ") => {
                known.map(|name| names.insert(event.thread, name));
            }
            Some(_) => {}
        }
    }
    names
}

/// As a number that JSON readers, which know only floating-point, read without loss: 2^53 ns are 104 days.
fn microseconds(ns: u64) -> Value {
    Value::from(ns as f64 / 1_000.0)
}

/// The difference of two numbers that are near each other is exact in floating-point, and so is their sum again. A rounded
/// one would let a slice end a trifle behind the start of the next, and readers would take one for a part of the other.
fn duration_microseconds(start_ns: u64, duration_ns: u64) -> Value {
    Value::from(start_ns.saturating_add(duration_ns) as f64 / 1_000.0 - start_ns as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{case, report};
    use wasiscope_model::report::CaseReport;

    fn event(at_ns: u64, thread: u32, what: Traced) -> TracedEvent {
        TracedEvent { at_ns, thread, thread_name: None, phase: Phase::Run, what }
    }

    fn written(timeline: Timeline) -> Vec<Value> {
        let mut out = Vec::new();
        let traced = CaseReport { timeline: Some(timeline), ..case("w/std/cranelift", "1", &[]) };
        write(&report(vec![traced], None), &mut out).unwrap();
        let document: Value = serde_json::from_slice(&out).unwrap();
        document["traceEvents"].as_array().unwrap().clone()
    }

    fn sample() -> Timeline {
        let call = Traced::Call { name: "read".into(), duration_ns: 5_000, returned: -11 };
        let off = Traced::OffCpu { blocked_ns: 3_000, runnable_ns: 500 };
        let fault = Traced::Fault { user: true, address: 0x1000, region: "guard".into() };
        Timeline {
            spans: vec![Span { phase: Phase::Run, start_ns: 1_000_001, end_ns: 1_020_000 }],
            events: vec![
                event(1_006_000, 7, off),
                event(1_005_000, 7, call),
                event(1_015_000, 7, fault),
                event(1_015_500, 7, Traced::Signal { name: "SIGSEGV".into() }),
            ],
        }
    }

    #[test]
    fn slices_lie_in_the_slices_that_hold_them() {
        let events = written(sample());
        let named = |name: &str| events.iter().find(|event| event["name"] == name).unwrap_or_else(|| panic!("{name}"));
        let bounds = |name: &str| {
            let start = named(name)["ts"].as_f64().unwrap();
            (start, start + named(name)["dur"].as_f64().unwrap())
        };
        let (run, read, blocked, runnable) = (bounds("run"), bounds("read"), bounds("blocked"), bounds("runnable"));
        assert_eq!(run.0, 1_000.001);
        assert!(run.0 <= read.0 && read.1 <= run.1);
        assert!(read.0 <= blocked.0 && runnable.1 <= read.1);
        assert_eq!(blocked.1, runnable.0);
        let thread = |name: &str| named(name)["tid"].clone();
        assert!(["run", "read", "blocked", "SIGSEGV"].iter().all(|name| thread(name) == 7));
        assert_eq!((&named("SIGSEGV")["ph"], &named("page fault")["args"]["region"]), (&json!("i"), &json!("guard")));
        let starts: Vec<f64> = events.iter().filter_map(|event| event["ts"].as_f64()).collect();
        assert!(starts.is_sorted(), "{starts:?}");
    }

    #[test]
    fn a_slice_ends_where_the_next_begins() {
        for start_ns in (0..1_000).map(|step| 3_235_642_309_643 + step * 7_919) {
            let (start, next) = (microseconds(start_ns), microseconds(start_ns + 69_994));
            let end = start.as_f64().unwrap() + duration_microseconds(start_ns, 69_994).as_f64().unwrap();
            assert_eq!(Some(end), next.as_f64());
        }
    }

    #[test]
    fn what_would_end_behind_the_end_of_time_ends_there() {
        let off = Traced::OffCpu { blocked_ns: u64::MAX, runnable_ns: u64::MAX };
        let call = Traced::Call { name: "read".into(), duration_ns: u64::MAX, returned: 0 };
        let events = vec![event(u64::MAX - 1, 7, off), event(u64::MAX - 1, 7, call)];
        let written = written(Timeline { spans: Vec::new(), events });
        assert_eq!(written.iter().filter(|event| event["ph"] == "X").count(), 3);
    }

    #[test]
    fn processes_and_threads_bear_names() {
        let mut timeline = sample();
        timeline.events.push(TracedEvent {
            thread_name: Some("tokio".into()),
            ..event(1_016_000, 9, Traced::Signal { name: "SIGUSR1".into() })
        });
        let events = written(timeline);
        let names: Vec<&Value> = events.iter().filter(|e| e["ph"] == "M").map(|e| &e["args"]["name"]).collect();
        assert_eq!(names, ["w/std/cranelift (s)", "guest", "tokio"]);
    }

    #[test]
    fn no_timelines_are_an_empty_document() {
        let mut out = Vec::new();
        let mut none = report(vec![case("w/std/cranelift", "1", &[])], None);
        none.capture.ledger.ring_dropped = 3;
        assert!(!has_any(&none));
        write(&none, &mut out).unwrap();
        let document: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&document["traceEvents"], &document["otherData"]["events_lost"]), (&json!([]), &json!(3)));
    }
}
