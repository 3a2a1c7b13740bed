//! A flow of kernel events into a handler, as a worker does it: out of the ring buffer, in batches into the guest's memory, one call for each.
//!
//! A handler that traps, or does not come back in time, loses its instance and not the flow: the event is counted with the reason, and the next
//! instance gets the next event.

mod epochs;
mod handler;
mod imports;
mod maps;
pub mod ring;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::{JOINT_KERNEL, JointMetrics, Phase, PipelineEvent, bucket_of, bucket_upper};
use wasmtime::Engine;

use super::Pipeline;
use crate::pipeline::{
    CPUS, DOUBLED, ERRORS, EVENTS_PER_SECOND, EXEC_COUNT, Flow, GENERATED, HANDLED, HANDLER_SWAPS, LOST, MISUSE,
    PROBE_LATENCY, PROBE_LATENCY_BUCKETS, PROBE_LATENCY_P99, REPLACED, Reason, generator,
};
use epochs::Epochs;
use handler::{Handler, Instance};
use imports::{Granted, read_entry, write_host};
use ring::{Ring, Sign};
use wasiscope_capture::PipelineMaps;
use wasiscope_engines::engine;
use wasiscope_model::events::Distribution;
use wasiscope_sys::before_exec::inherited;
use wasiscope_sys::clock;
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::{Ending, EndingContext, Iteration, Message, Subject, Task};
use wasiscope_worker::{self as worker, Job, Sender};

/// Bytes of an event.
pub const EVENT_BYTES: usize = size_of::<PipelineEvent>();
/// How long the reader looks for the next event before it goes to sleep.
const SPIN: Duration = Duration::from_micros(50);
/// It looks again after this time in any case.
const SLEEP: Duration = Duration::from_millis(1);
/// An epoch, of processor time: a handler is cut off after one to two of them.
const EPOCH: Duration = Duration::from_millis(50);

/// What a worker of a flow is told and tells, over a socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// The worker: begin.
    Ready,
    /// The parent: so many calls were made, and no more will come.
    Made {
        /// Calls.
        events: u64,
    },
}

impl worker::Kind for Pipeline {
    fn work(&self, job: Job<'_>, send: Sender<'_>) -> anyhow::Result<()> {
        let Job { task, subject, cell } = job;
        let Task::Flow { spec, iterations, maps, socket, .. } = task else {
            bail!("handlers of events have no task like {task:?}")
        };
        run((spec.read()?, *iterations), (maps, *socket), subject, &cell, send)
    }

    fn serve(&self, verb: &str, arguments: &[String]) -> Option<anyhow::Result<()>> {
        (verb == generator::VERB).then(|| generator::serve(arguments))
    }
}

/// Runs a flow so many times, and sends what each gave.
fn run(
    (flow, iterations): (Flow, u32),
    (maps, socket): (&PipelineMaps, i32),
    subject: &Subject,
    cell: &PhaseCell,
    send: Sender<'_>,
) -> anyhow::Result<()> {
    let socket = inherited(socket).context("a flow needs a socket")?;
    let mut config = engine::config(engine::settings(subject)?, &subject.limits)?;
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let granted = Granted { maps: maps.granted.clone(), joint: maps.joint.clone() };
    let handler = Handler::new(&engine, subject, granted)?;
    let _epochs = Epochs::start(&engine, EPOCH)?;
    let mut pump = Pump::new(&handler, maps, flow.batch as usize)?;
    for _ in 0..iterations {
        cell.enter(Phase::Run);
        let flowed = pump.flow(flow, maps, &socket);
        cell.enter(Phase::Outside);
        send(&Message::Iteration(flowed?))?;
    }
    Ok(())
}

/// What takes events from the ring buffer to the handler.
struct Pump<'a> {
    handler: &'a Handler,
    instance: Instance,
    ring: Ring,
    sign: Sign,
    ring_fd: OwnedFd,
    /// Most events at once.
    room: usize,
    /// The host's side of the joint metrics, from the beginning.
    joint: JointMetrics,
    sequences: Sequences,
    /// Losses of the kernel's side that earlier iterations have told of.
    lost_before: u64,
    batch: Vec<u8>,
}

/// What one iteration came to.
#[derive(Default)]
struct Tally {
    called: u64,
    errors: [u64; Reason::ALL.len()],
    doubled: u64,
    replaced: u64,
    swaps: u64,
    refused: u64,
    latency: Histogram,
    first_ns: u64,
    last_ns: u64,
    /// What the handlers were called with, and what they say; of those that say it.
    disagreed: bool,
}

/// Most processors that Linux can be built for. A larger number is no processor's, and would only ask for memory.
const CPUS_MAX: u32 = 8_192;

/// What the host looks at in a record.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub sequence: u64,
    pub at_ns: u64,
    pub cpu: u32,
}

impl Event {
    /// `None` for what is no event.
    pub fn of(record: &[u8]) -> Option<Self> {
        if record.len() != EVENT_BYTES {
            return None;
        }
        let event = Self { sequence: word(record, 0), at_ns: word(record, 8), cpu: half(record, 40) };
        (event.cpu < CPUS_MAX).then_some(event)
    }
}

/// Of each CPU the latest sequence number.
#[derive(Debug, Default)]
pub struct Sequences(Vec<u64>);

impl Sequences {
    /// Whether this number was passed already.
    pub fn is_repeated(&mut self, cpu: u32, sequence: u64) -> bool {
        let cpu = cpu as usize;
        if self.0.len() <= cpu {
            self.0.resize(cpu + 1, 0);
        }
        let latest = &mut self.0[cpu];
        let repeated = sequence <= *latest;
        *latest = sequence.max(*latest);
        repeated
    }

    /// Processors that events came from.
    fn cpus(&self) -> u64 {
        self.0.iter().filter(|sequence| **sequence > 0).count() as u64
    }
}

/// Durations on their way into a [`Distribution`]: one of these is added for every event, so nothing is looked up.
#[derive(Default)]
pub struct Histogram {
    count: u64,
    sum: u64,
    min: Option<u64>,
    max: u64,
    by_bucket: Vec<u64>,
    /// The same in whole microseconds, rounded up: their bounds are no bounds of nanoseconds.
    by_bucket_us: Vec<u64>,
}

impl Histogram {
    pub fn add(&mut self, ns: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(ns);
        self.min = Some(self.min.map_or(ns, |min| min.min(ns)));
        self.max = self.max.max(ns);
        for (buckets, value) in [(&mut self.by_bucket, ns), (&mut self.by_bucket_us, ns.div_ceil(1_000))] {
            let bucket = usize::from(bucket_of(value));
            if buckets.len() <= bucket {
                buckets.resize(bucket + 1, 0);
            }
            buckets[bucket] += 1;
        }
    }

    pub fn in_ns(&self) -> Distribution {
        let max = self.min.map(|_| self.max);
        Distribution { count: self.count, sum: self.sum, min: self.min, max, buckets: used(&self.by_bucket) }
    }

    /// Only the buckets.
    pub fn in_us(&self) -> Distribution {
        Distribution { count: self.count, buckets: used(&self.by_bucket_us), ..Distribution::default() }
    }
}

/// Upper bounds and counts of those that have any.
fn used(buckets: &[u64]) -> Vec<(u64, u64)> {
    let used = buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    used.filter_map(|(bucket, count)| Some((bucket_upper(u16::try_from(bucket).ok()?), *count))).collect()
}

impl Tally {
    fn error(&mut self, reason: Reason, joint: &mut JointMetrics) {
        self.errors[reason as usize] += 1;
        joint.bpf_to_wasm_err += 1;
    }

    fn all_errors(&self) -> u64 {
        self.errors.iter().sum()
    }
}

impl<'a> Pump<'a> {
    fn new(handler: &'a Handler, maps: &PipelineMaps, room: usize) -> anyhow::Result<Self> {
        let ring = Ring::map(maps.ring_fd, maps.ring_bytes)?;
        // SAFETY: inherited for this process, and kept open by `maps` as long as it lives; this is a copy.
        let ring_fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(maps.ring_fd) }.try_clone_to_owned()?;
        Ok(Self {
            handler,
            instance: handler.instantiate(room)?,
            ring,
            sign: Sign::map(maps.reader_fd)?,
            ring_fd,
            room,
            joint: JointMetrics::default(),
            sequences: Sequences::default(),
            lost_before: 0,
            batch: Vec::with_capacity(room * EVENT_BYTES),
        })
    }

    /// One iteration: until the parent says that no more will come, and nothing is left.
    fn flow(&mut self, flow: Flow, maps: &PipelineMaps, socket: &OwnedFd) -> anyhow::Result<Iteration> {
        let mut tally = Tally::default();
        generator::tell(socket, &Signal::Ready)?;
        let mut made = None;
        let swap_every = u64::from(flow.events) / u64::from(flow.swaps + 1);
        loop {
            if self.take_batch(&mut tally) > 0 {
                self.hand_over(&mut tally)?;
                write_host(&maps.joint, &self.joint)?;
                if flow.swaps > 0
                    && tally.called / swap_every.max(1) > tally.swaps
                    && tally.swaps < u64::from(flow.swaps)
                {
                    self.swap(&mut tally)?;
                }
                continue;
            }
            if made.is_some() {
                break;
            }
            made = self.wait(socket)?;
        }
        self.close_account(&mut tally);
        // The kernel's count goes on over all iterations.
        let kernel = read_entry(&maps.joint, JOINT_KERNEL)?;
        let lost = kernel.events_lost.saturating_sub(self.lost_before);
        self.lost_before = kernel.events_lost;
        let cpus = self.sequences.cpus();
        Ok(iteration(&tally, made.unwrap_or(0), lost, cpus))
    }

    /// Takes what there is, up to a batch, and gives its room back.
    fn take_batch(&mut self, tally: &mut Tally) -> usize {
        self.batch.clear();
        let batch = &mut self.batch;
        let joint = &mut self.joint;
        let taken = self.ring.read(self.room, |record| {
            if Event::of(record).is_some() {
                batch.extend_from_slice(record);
            } else {
                tally.error(Reason::Decode, joint);
            }
        });
        self.ring.release();
        taken
    }

    fn hand_over(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let events = self.batch.len() / EVENT_BYTES;
        if let Err(reason) = self.instance.put(&self.batch) {
            (0..events).for_each(|_| tally.error(reason, &mut self.joint));
            return Ok(());
        }
        for index in 0..events {
            let Some(Event { sequence, at_ns, cpu }) = Event::of(&self.batch[index * EVENT_BYTES..][..EVENT_BYTES])
            else {
                continue;
            };
            tally.doubled += u64::from(self.sequences.is_repeated(cpu, sequence));
            let answer = self.instance.handle(index);
            let now_ns = clock::monotonic_ns();
            tally.called += 1;
            self.joint.wasm_exec_count += 1;
            if tally.first_ns == 0 {
                tally.first_ns = at_ns;
            }
            tally.last_ns = now_ns;
            self.took(now_ns.saturating_sub(at_ns), tally);
            let Err(reason) = answer else { continue };
            tally.error(reason, &mut self.joint);
            if matches!(reason, Reason::Trap | Reason::Timeout) {
                // What has trapped is asked nothing more.
                tally.refused += self.instance.take_refused();
                self.instance = self.handler.instantiate(self.room)?;
                tally.replaced += 1;
                // The rest of the batch goes to the new one.
                self.instance.put(&self.batch).map_err(|_| io::Error::other("no room for events"))?;
            }
        }
        Ok(())
    }

    fn took(&mut self, ns: u64, tally: &mut Tally) {
        tally.latency.add(ns);
        let joint = &mut self.joint;
        joint.add(&JointMetrics {
            probe_latency_count: 1,
            probe_latency_us: ns / 1_000,
            probe_latency_rest_ns: ns % 1_000,
            probe_latency_max_ns: ns,
            ..JointMetrics::default()
        });
    }

    /// Another instance of the same handler, while events flow.
    fn swap(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        self.close_account(tally);
        self.instance = self.handler.instantiate(self.room)?;
        tally.swaps += 1;
        Ok(())
    }

    /// Adds what the instance leaves behind.
    fn close_account(&mut self, tally: &mut Tally) {
        tally.refused += self.instance.take_refused();
        let (called, says) = self.instance.account();
        tally.disagreed |= says.is_some_and(|says| says != called);
    }

    /// Until there is something, or the parent says that nothing will come.
    fn wait(&mut self, socket: &OwnedFd) -> anyhow::Result<Option<u64>> {
        let until = Instant::now() + SPIN;
        while Instant::now() < until {
            if self.ring.has_more() {
                return Ok(None);
            }
            std::hint::spin_loop();
        }
        let mut wanted = [
            PollFd::from_borrowed_fd(self.ring_fd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
        ];
        let sleep = rustix::time::Timespec { tv_sec: 0, tv_nsec: i64::from(SLEEP.subsec_nanos()) };
        self.sign.sleeps(true);
        // Again, behind the sign: whoever wrote before it was up wakes nobody.
        let polled = if self.ring.has_more() { Ok(0) } else { poll(&mut wanted, Some(&sleep)) };
        self.sign.sleeps(false);
        polled?;
        if wanted[1].revents().is_empty() {
            return Ok(None);
        }
        match generator::hear::<Signal>(socket)? {
            Some(Signal::Made { events }) => Ok(Some(events)),
            _ => anyhow::bail!("the process that started this worker is gone"),
        }
    }
}

fn iteration(tally: &Tally, made: u64, lost: u64, cpus: u64) -> Iteration {
    let decode = tally.errors[Reason::Decode as usize];
    let bounds = tally.errors[Reason::Bounds as usize];
    let mut counts = vec![
        (GENERATED.to_owned(), made),
        (HANDLED.to_owned(), tally.called + decode + bounds),
        (LOST.to_owned(), lost),
        (DOUBLED.to_owned(), tally.doubled),
        (CPUS.to_owned(), cpus),
        (EXEC_COUNT.to_owned(), tally.called),
        (ERRORS.to_owned(), tally.all_errors()),
        (REPLACED.to_owned(), tally.replaced),
        (HANDLER_SWAPS.to_owned(), tally.swaps),
        (MISUSE.to_owned(), tally.refused),
    ];
    counts.extend(Reason::ALL.map(|reason| (format!("{ERRORS}.{}", reason.name()), tally.errors[reason as usize])));
    let latency = tally.latency.in_ns();
    let micros = |share: f64| latency.quantile(share).map(|ns| vec![ns as f64 / 1_000.0]);
    let seconds = tally.last_ns.saturating_sub(tally.first_ns) as f64 / 1e9;
    let rate = (seconds > 0.0).then(|| vec![tally.called as f64 / seconds]);
    let figures = [(PROBE_LATENCY, micros(0.5)), (PROBE_LATENCY_P99, micros(0.99)), (EVENTS_PER_SECOND, rate)];
    let ending = if tally.disagreed {
        Ending::Broken {
            reason: "the handler says it handled another number of events than it was called with".to_owned(),
            context: EndingContext::default(),
        }
    } else {
        Ending::Returned
    };
    Iteration {
        timed: Vec::new(),
        entered: vec![Phase::Run],
        spans: Vec::new(),
        memory: Vec::new(),
        measured: figures.into_iter().filter_map(|(name, values)| Some((name.to_owned(), values?))).collect(),
        counts,
        spreads: vec![(PROBE_LATENCY.to_owned(), latency), (PROBE_LATENCY_BUCKETS.to_owned(), tally.latency.in_us())],
        preemptions: None,
        line: None,
        ending,
        outputs: Vec::new(),
    }
}

fn word(event: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&event[at..at + 8]);
    u64::from_ne_bytes(bytes)
}

fn half(event: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&event[at..at + 4]);
    u32::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_cannot_be_is_no_event_and_asks_for_no_memory() {
        let mut record = [0; EVENT_BYTES];
        record[0] = 7;
        assert!(Event::of(&record).is_some_and(|event| (event.sequence, event.cpu) == (7, 0)));
        record[40..44].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(Event::of(&record).is_none());
        assert!(Event::of(&record[1..]).is_none());
    }

    #[test]
    fn sequences_and_latencies_add_up() {
        let mut sequences = Sequences::default();
        let repeated = [(0, 1), (3, 1), (0, 2), (0, 2)].map(|(cpu, sequence)| sequences.is_repeated(cpu, sequence));
        assert_eq!((repeated, sequences.cpus()), ([false, false, false, true], 2));
        let mut latency = Histogram::default();
        [u64::MAX, u64::MAX, 1].into_iter().for_each(|ns| latency.add(ns));
        let latency = latency.in_ns();
        assert_eq!((latency.count, latency.sum, latency.min, latency.max), (3, u64::MAX, Some(1), Some(u64::MAX)));
    }
}
