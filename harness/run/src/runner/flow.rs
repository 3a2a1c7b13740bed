//! A flow of events: the kernel's side, the process that makes the calls, and the worker with the handler, started and led by the parent.
//!
//! What belongs to the flow is settled by order alone: the worker says that it is ready before the generator's calls become events, and they cease to be
//! before the worker is told that no more will come.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::facts::Known;
use super::{Death, Prepared, Runner, take_iterations};
use wasiscope_capture::{CaptureError, Pipeline, PipelineOptions};
use wasiscope_kinds::pipeline::generator::{self, Made, Order, Ready};
use wasiscope_kinds::pipeline::worker::Signal;
use wasiscope_kinds::pipeline::{self, Flow, generator::VERB};
use wasiscope_model::record::{Outcome, ProcessRecord, Status};
use wasiscope_sys::before_exec::BeforeExec;
use wasiscope_worker::Task;

impl Runner<'_> {
    /// One worker of a flow of events.
    pub(super) fn flow(&mut self, flow: Flow, process: u32, prepared: &Prepared, record: &mut ProcessRecord) {
        let kernel = match &mut self.capture {
            Some(capture) => capture.pipeline(&PipelineOptions {
                calls: flow.calls,
                ring_bytes: pipeline::RING_BYTES,
                wake: flow.wake,
            }),
            None => Err(CaptureError::Unavailable("the kernel is not watched".to_owned())),
        };
        let mut kernel = match kernel {
            Ok(kernel) => kernel,
            Err(error) => {
                let reason = format!("a flow of events needs a live kernel: {error}");
                record.outcome = Outcome { expected: true, ..Outcome::because(Status::Skipped, reason) };
                return;
            }
        };
        let iterations = prepared.case.iterations;
        let mut maps = kernel.maps();
        maps.granted.retain(|map| flow.maps.has(&map.name));
        let (kind, spec) = (prepared.case.kind.to_owned(), prepared.case.spec.clone());
        let task = Task::Flow { kind, spec, iterations, maps, socket: -1 };
        let request = match self.request(prepared, process, &Known::default(), task) {
            Ok(request) => request,
            Err(outcome) => {
                record.outcome = outcome;
                return;
            }
        };
        let (run, led) = self.workers.run_flow(&request, (flow, iterations), kernel.as_mut());
        record.outcome = take_iterations(&run, &prepared.case, &Known::default(), record);
        let parent_decided = matches!(run.death, Some(Death::Interrupted | Death::TimedOut(_)));
        match led {
            Ok(led) => _ = record.counts.insert(pipeline::PROGRAM_SWAPS.to_owned(), u64::from(led.swaps)),
            // Of what follows from it the worker knows less.
            Err(error) if !parent_decided => record.outcome = Outcome::because(Status::Failed, error.to_string()),
            Err(_) => {}
        }
        if record.outcome.status == Status::Ok {
            let wrong = pipeline::check_counts(flow, &record.counts).or_else(|| match kernel.joint() {
                Ok(joint) => pipeline::check_joint(&joint, &record.counts),
                Err(error) => Some(error.to_string()),
            });
            record.outcome = wrong.map_or_else(Outcome::ok, |wrong| Outcome::because(Status::Failed, wrong));
        }
    }
}

/// What a flow came to on the parent's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowOutcome {
    /// Swaps of the kernel program that were done while calls were being made.
    pub swaps: u32,
}

/// What went wrong on the parent's side.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The generator could not be started, or did not answer.
    #[error("the process that makes the calls: {0}")]
    Generator(#[source] io::Error),
    /// The kernel's side.
    #[error(transparent)]
    Kernel(#[from] CaptureError),
}

/// The process that makes the calls; killed when this is dropped.
pub(super) struct Generator {
    child: Child,
    socket: OwnedFd,
}

impl Generator {
    pub(super) fn start(executable: &Path, cpu: Option<usize>) -> Result<Self, FlowError> {
        let (ours, theirs) = pair().map_err(FlowError::Generator)?;
        let mut command = Command::new(executable);
        command.arg(VERB).arg(theirs.as_raw_fd().to_string()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut setup = BeforeExec::default().end_with_parent().inherit([theirs.as_raw_fd()]);
        if let Some(cpu) = cpu {
            setup = setup.stay_on(cpu);
        }
        setup.apply(&mut command);
        let child = command.spawn().map_err(FlowError::Generator)?;
        Ok(Self { child, socket: ours })
    }
}

impl Generator {
    /// Ends it, whatever it does: its worker has ended.
    pub(super) fn end(&self) {
        // It is reaped when this is dropped, so its number is its own until then.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::KILL);
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // One that is gone already does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ends that end with whoever holds them, and are closed by exec.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let kind = rustix::net::SocketType::SEQPACKET;
    Ok(rustix::net::socketpair(rustix::net::AddressFamily::UNIX, kind, flags, None)?)
}

/// Leads the worker at the other end of `worker` through so many flows. Ends early, without an error, when the worker is gone: how it died is known
/// elsewhere.
pub(super) fn lead(
    flow: Flow,
    iterations: u32,
    generator: &Generator,
    worker: &OwnedFd,
    kernel: &mut dyn Pipeline,
) -> Result<FlowOutcome, FlowError> {
    let mut led = FlowOutcome::default();
    let order = Order { events: flow.events, per_second: flow.per_second, calls: flow.calls };
    // What it calls while it starts is no event, and its loader reads files.
    match generator::hear::<Ready>(&generator.socket) {
        Ok(Some(Ready)) => {}
        Ok(None) => return Err(FlowError::Generator(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => return Err(FlowError::Generator(error)),
    }
    for _ in 0..iterations {
        if !matches!(generator::hear::<Signal>(worker), Ok(Some(Signal::Ready))) {
            return Ok(led);
        }
        kernel.begin(generator.child.id())?;
        let made = make(&order, flow.swaps, &generator.socket, kernel, &mut led);
        kernel.end()?;
        if generator::tell(worker, &Signal::Made { events: made?.events }).is_err() {
            return Ok(led);
        }
    }
    Ok(led)
}

/// Has the calls made, and swaps the kernel program meanwhile.
fn make(
    order: &Order,
    swaps: u32,
    generator: &OwnedFd,
    kernel: &mut dyn Pipeline,
    led: &mut FlowOutcome,
) -> Result<Made, FlowError> {
    let answer = || match generator::hear::<Made>(generator) {
        Ok(Some(made)) => Ok(made),
        Ok(None) => Err(FlowError::Generator(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(FlowError::Generator(error)),
    };
    generator::tell(generator, order).map_err(FlowError::Generator)?;
    if swaps == 0 {
        return answer();
    }
    let began = Instant::now();
    let whole = Duration::from_secs_f64(f64::from(order.events) / f64::from(order.per_second.unwrap_or(order.events)));
    thread::scope(|scope| {
        let answered = scope.spawn(answer);
        for swap in 1..=swaps {
            // Spread over nine tenths of the time, so that the last ones are under load too.
            let due = whole.mul_f64(0.9 * f64::from(swap) / f64::from(swaps));
            thread::sleep(due.saturating_sub(began.elapsed()));
            if answered.is_finished() {
                break;
            }
            kernel.swap()?;
            led.swaps += u32::from(!answered.is_finished());
        }
        answered.join().unwrap_or_else(|_| Err(FlowError::Generator(io::Error::other("its listener panicked"))))
    })
}
