//! A flow of kernel events into a handler, as a worker does it: out of the ring buffer, in batches into the guest's memory, one call for each.
//!
//! A handler that traps, or does not come back in time, loses its instance and not the flow: the event is counted with the reason, and the next
//! instance gets the next event.

mod handler;
mod imports;
mod maps;
mod ring;

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::{JOINT_KERNEL, JointMetrics, Phase, PipelineEvent, bucket_of, bucket_upper};
use wasmtime::Engine;

use super::cell::PhaseCell;
use super::engine;
use super::protocol::{Ending, Iteration, Message, Subject};
use super::schedule::Ticker;
use crate::capture::{Distribution, PipelineMaps};
use crate::clock;
use crate::pipeline::{
    CPUS, DOUBLED, ERRORS, EVENTS_PER_SECOND, EXEC_COUNT, Flow, GENERATED, HANDLED, HANDLER_SWAPS, LOST, MISUSE,
    PROBE_LATENCY, PROBE_LATENCY_BUCKETS, PROBE_LATENCY_P99, REPLACED, Reason, generator,
};
use handler::{Handler, Instance};
use imports::{Granted, read_entry, write_host};
use ring::{Ring, Sign};

/// Bytes of an event.
const EVENT_BYTES: usize = size_of::<PipelineEvent>();
/// How long the reader looks for the next event before it goes to sleep.
const SPIN: Duration = Duration::from_micros(50);
/// It looks again after this time in any case.
const SLEEP: Duration = Duration::from_millis(1);
/// An epoch: a handler is cut off after one to two of them. They pass while it waits for a processor, too, so they are longer than others keep one
/// where a machine is busy: with 5 ms, builds beside it had a good handler cut off once in a million events.
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

/// Runs a flow so many times, and sends what each gave.
pub(super) fn run(
    (flow, iterations): (Flow, u32),
    (maps, socket): (&PipelineMaps, i32),
    subject: &Subject,
    cell: &PhaseCell,
    send: &mut dyn FnMut(&Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    anyhow::ensure!(socket > 2, "a flow needs a socket");
    // SAFETY: whoever started this process has given it the descriptor for itself; nothing else here knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let mut config = engine::config(subject.engine, &subject.limits)?;
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let granted = Granted { maps: maps.granted.clone(), joint: maps.joint.clone() };
    let handler = Handler::new(&engine, subject, granted)?;
    let _epochs = Ticker::start(&engine, EPOCH);
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
    /// Of each CPU the latest sequence number.
    sequences: Vec<u64>,
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

/// Durations on their way into a [`Distribution`]: one of these is added for every event, so nothing is looked up.
#[derive(Default)]
struct Histogram {
    count: u64,
    sum: u64,
    min: Option<u64>,
    max: u64,
    by_bucket: Vec<u64>,
    /// The same in whole microseconds, rounded up: their bounds are no bounds of nanoseconds.
    by_bucket_us: Vec<u64>,
}

impl Histogram {
    fn add(&mut self, ns: u64) {
        self.count += 1;
        self.sum += ns;
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

    fn in_ns(&self) -> Distribution {
        let max = self.min.map(|_| self.max);
        Distribution { count: self.count, sum: self.sum, min: self.min, max, buckets: used(&self.by_bucket) }
    }

    /// Only the buckets.
    fn in_us(&self) -> Distribution {
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
            sequences: Vec::new(),
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
        let lost = kernel.events_lost - self.lost_before;
        self.lost_before = kernel.events_lost;
        let cpus = self.sequences.iter().filter(|sequence| **sequence > 0).count();
        Ok(iteration(&tally, made.unwrap_or(0), lost, cpus as u64))
    }

    /// Takes what there is, up to a batch, and gives its room back.
    fn take_batch(&mut self, tally: &mut Tally) -> usize {
        self.batch.clear();
        let batch = &mut self.batch;
        let joint = &mut self.joint;
        let taken = self.ring.read(self.room, |record| {
            if record.len() == EVENT_BYTES {
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
            let event = &self.batch[index * EVENT_BYTES..][..EVENT_BYTES];
            let (sequence, at_ns, cpu) = (word(event, 0), word(event, 8), half(event, 40));
            self.check_order(sequence, cpu, tally);
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

    fn check_order(&mut self, sequence: u64, cpu: u32, tally: &mut Tally) {
        let cpu = cpu as usize;
        if self.sequences.len() <= cpu {
            self.sequences.resize(cpu + 1, 0);
        }
        tally.doubled += u64::from(sequence <= self.sequences[cpu]);
        self.sequences[cpu] = self.sequences[cpu].max(sequence);
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
