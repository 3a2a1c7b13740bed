//! What the kernel's side gives: counters, single events, ring buffers, stored captures.

use std::io::Write;
use std::os::fd::AsRawFd;

use wasiscope_ebpf_abi::{
    Counter, CounterKey, CounterOf, KERNEL_EVENTS, Kind, MEMORY_ADVISED, Phase, Shape, TraceEvent,
};

use super::report::can_be_shown;
use super::survives_being_stored;
use crate::capture::ebpf::decode;
use crate::capture::recorded::Recording;
use crate::capture::{Coverage, KernelEvents, PhaseEvents, ProgramCost, TracedEvent};
use crate::kinds::pipeline::worker::ring::Ring;
use crate::kinds::pipeline::worker::{EVENT_BYTES, Event, Histogram, Sequences};
use crate::record::{Span, Timeline};
use crate::report::fixtures;
use crate::summary;
use wasiscope_model::kernel_figures::KERNEL_DISTRIBUTIONS;
use wasiscope_model::report::KernelPhase;

/// Whatever the kernel's side holds is decoded, nothing of it is lost, and what becomes of it can be stored and shown. A stored capture begins
/// with `{`, anything else with a byte that says what it is.
pub fn events(bytes: &[u8]) {
    if bytes.starts_with(b"{") {
        return recording(bytes);
    }
    let Some((first, rest)) = bytes.split_first() else { return };
    match first % 4 {
        0 => counters(rest),
        1 => trace(rest),
        2 => ring(rest),
        _ => flow(rest),
    }
}

fn recording(bytes: &[u8]) {
    let Ok(recording) = Recording::from_json(bytes) else { return };
    survives_being_stored(&recording);
    for worker in recording.workers.into_values() {
        charged(&worker.events);
        traced(worker.trace);
    }
}

/// What a worker was charged, twice, as a case of a report.
fn charged(events: &KernelEvents) {
    let programs = every_program();
    let entered = events.keys().map(|phase| (*phase, 3)).collect();
    let kernel = summary::kernel([(&entered, events), (&entered, events)], Coverage::of(&programs));
    let mut case = fixtures::case("w/f/e", "1", &[7]);
    case.kernel = kernel;
    let report = fixtures::report(vec![case], None);
    survives_being_stored(&report);
    can_be_shown(&report);
}

/// All that an event is seen by, attached.
fn every_program() -> Vec<ProgramCost> {
    let names = KERNEL_EVENTS.iter().flat_map(|event| event.seen_by.programs());
    let attached = |name: &&str| ProgramCost {
        name: (*name).to_owned(),
        run_count: None,
        mean_ns: None,
        unavailable: None,
        blind_to: None,
    };
    names.map(attached).collect()
}

fn traced(events: Vec<TracedEvent>) {
    let bounds = events.iter().map(|event| event.at_ns);
    let (start_ns, end_ns) = (bounds.clone().min().unwrap_or(0), bounds.max().unwrap_or(u64::MAX));
    let mut case = fixtures::case("w/f/e", "1", &[7]);
    case.timeline = Some(Timeline { spans: vec![Span { phase: Phase::Run, start_ns, end_ns }], events });
    let report = fixtures::report(vec![case], None);
    survives_being_stored(&report);
    can_be_shown(&report);
}

fn word(bytes: &[u8], index: usize) -> u64 {
    bytes.chunks_exact(8).nth(index).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "that is how they are taken apart")]
fn counters(bytes: &[u8]) {
    const EACH: usize = 40;
    let mut events = KernelEvents::new();
    let mut wanted = [0_u128; KERNEL_EVENTS.len()];
    for chunk in bytes.chunks_exact(EACH) {
        let key = word(chunk, 0);
        // Mostly kinds that there are.
        let kind = (key % 16) as u8;
        let of = CounterOf {
            cell_index: 1,
            phase: (key >> 8) as u8,
            kind,
            bucket: (key >> 32) as u16,
            id: (key >> 48) as u16,
        };
        let [count, total, min, max] = [1, 2, 3, 4].map(|index| word(chunk, index));
        decode::add(&mut events, CounterKey::new(of), Counter { count, total, min, max });
        match Kind::from_u8(kind) {
            // What is none of the four is no memory.
            Some(Kind::Memory) if u32::from(of.id) > MEMORY_ADVISED => {}
            None => {}
            Some(kind) if kind.event().shape == Shape::Bytes => wanted[kind.index()] += u128::from(total),
            Some(kind) => wanted[kind.index()] += u128::from(count),
        }
    }
    let saturated = |sum: u128| u64::try_from(sum).unwrap_or(u64::MAX);
    for (event, wanted) in KERNEL_EVENTS.iter().zip(wanted) {
        let counted = events.values().map(|phase| phase.total(event.kind)).fold(0, u64::saturating_add);
        assert_eq!(counted, saturated(wanted), "{} were lost", event.name);
    }
    events.values().for_each(distributions);
    survives_being_stored(&events);
    charged(&events);
}

/// Every distribution has all its durations in buckets, which ascend.
fn distributions(events: &PhaseEvents) {
    let phase = KernelPhase::of(1, events.clone(), Coverage::of(&every_program()));
    for distribution in KERNEL_DISTRIBUTIONS.iter().filter_map(|of| (of.value)(&phase)) {
        let in_buckets = distribution.buckets.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
        assert_eq!(in_buckets, distribution.count, "{distribution:?}");
        assert!(distribution.buckets.is_sorted_by(|one, other| one.0 < other.0), "{distribution:?}");
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "that is how they are taken apart")]
fn trace(bytes: &[u8]) {
    const EACH: usize = 64;
    let mut told = Vec::new();
    for chunk in bytes.chunks_exact(EACH) {
        let [at_ns, duration_ns, id, detail, more, kinds] = [0, 1, 2, 3, 4, 5].map(|index| word(chunk, index));
        let mut name = [0; 16];
        name.copy_from_slice(&chunk[48..]);
        let event = TraceEvent {
            at_ns,
            duration_ns,
            id,
            detail: detail as i64,
            thread: more as u32,
            slot: (more >> 32) as u32,
            name,
            kind: kinds as u8,
            phase: (kinds >> 8) as u8,
            padding: [0; 6],
        };
        let known = Kind::from_u8(event.kind);
        let decoded = decode::traced(&event);
        let is_told =
            matches!(known, Some(Kind::Syscall | Kind::OffCpu | Kind::FaultUser | Kind::FaultKernel | Kind::Signal));
        assert_eq!(decoded.is_some(), is_told, "{known:?}");
        told.extend(decoded);
    }
    traced(told);
}

/// The bytes are what a ring buffer of one page holds, behind the two positions.
fn ring(bytes: &[u8]) {
    let page = rustix::param::page_size();
    let (positions, data) = bytes.split_at(bytes.len().min(16));
    let mut data = data.to_vec();
    data.resize(page, 0);
    let (read, written) = (word(positions, 0), word(positions, 1));
    let mut file = tempfile::tempfile().expect("a file");
    let with_position = |position: u64| {
        let mut bytes = position.to_ne_bytes().to_vec();
        bytes.resize(page, 0);
        bytes
    };
    // The kernel maps the data twice.
    for part in [&with_position(read), &with_position(written), &data, &data] {
        file.write_all(part).expect("room for a page");
    }
    let Ok(mut ring) = Ring::map(file.as_raw_fd(), u32::try_from(page).unwrap_or(0)) else { return };
    let mut taken = 0;
    // A round cannot take more than there is, so this ends.
    for _ in 0..64 {
        let mut records = 0;
        let before = taken;
        taken += ring.read(9, |record| {
            assert!(record.len() <= page);
            records += 1;
        });
        assert_eq!(taken - before, records);
        assert!(records <= 9);
        ring.release();
        if records == 0 {
            break;
        }
    }
}

/// The bytes are records of a flow, one behind the other.
fn flow(bytes: &[u8]) {
    let now_ns = u64::MAX / 2;
    let mut sequences = Sequences::default();
    let mut latency = Histogram::default();
    let (mut handled, mut refused) = (0_u64, 0_u64);
    for record in bytes.chunks(EVENT_BYTES) {
        let Some(event) = Event::of(record) else {
            refused += 1;
            continue;
        };
        sequences.is_repeated(event.cpu, event.sequence);
        latency.add(now_ns.saturating_sub(event.at_ns));
        handled += 1;
    }
    assert_eq!(handled + refused, bytes.chunks(EVENT_BYTES).count() as u64, "an event is lost");
    for spread in [latency.in_ns(), latency.in_us()] {
        assert_eq!(spread.count, handled);
        assert_eq!(spread.buckets.iter().map(|(_, count)| count).sum::<u64>(), handled);
        survives_being_stored(&spread);
    }
    let ns = latency.in_ns();
    let quantiles = [0.0, 0.5, 0.99, 1.0].map(|share| ns.quantile(share));
    assert!(quantiles.is_sorted() && quantiles[3] == ns.max, "{quantiles:?} of {ns:?}");
}
