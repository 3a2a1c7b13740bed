//! The parent's side of a flow: it starts the process that makes the calls, and leads it and the worker.
//!
//! What belongs to the flow is settled by order alone: the worker says that it is ready before the generator's calls become events, and they cease to be
//! before the worker is told that no more will come.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wasiscope_capture::{Pipeline, PipelineOptions};
use wasiscope_sys::before_exec::BeforeExec;
use wasiscope_sys::socket;

use super::generator::{self, Made, Order, Ready, VERB};
use super::worker::Signal;
use super::{Flow, PROGRAM_SWAPS, RING_BYTES, check_counts, check_joint};
use crate::{FlowError, Leader, Source};

impl Leader for Flow {
    fn options(&self) -> PipelineOptions {
        PipelineOptions { calls: self.calls, ring_bytes: RING_BYTES, wake: self.wake }
    }

    fn grants(&self, map: &str) -> bool {
        self.maps.has(map)
    }

    fn start(&self, executable: &Path, cpu: Option<usize>) -> Result<Box<dyn Source>, FlowError> {
        let (ours, theirs) = socket::pair().map_err(FlowError::Source)?;
        let mut command = Command::new(executable);
        command.arg(VERB).arg(theirs.as_raw_fd().to_string()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut setup = BeforeExec::default().end_with_parent().inherit([theirs.as_raw_fd()]);
        if let Some(cpu) = cpu {
            setup = setup.stay_on(cpu);
        }
        setup.apply(&mut command);
        let child = command.spawn().map_err(FlowError::Source)?;
        Ok(Box::new(Generator { child, socket: ours, flow: *self }))
    }

    fn problem(&self, counts: &BTreeMap<String, u64>, kernel: &dyn Pipeline) -> Option<String> {
        check_counts(*self, counts).or_else(|| match kernel.joint() {
            Ok(joint) => check_joint(&joint, counts),
            Err(error) => Some(error.to_string()),
        })
    }
}

/// The process that makes the calls; killed when this is dropped.
struct Generator {
    child: Child,
    socket: OwnedFd,
    flow: Flow,
}

impl Drop for Generator {
    fn drop(&mut self) {
        // One that is gone already does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Source for Generator {
    fn lead(
        &self,
        iterations: u32,
        worker: &OwnedFd,
        kernel: &mut dyn Pipeline,
    ) -> Result<BTreeMap<String, u64>, FlowError> {
        let mut swaps = 0;
        // What it calls while it starts is no event, and its loader reads files.
        self.answer::<Ready>()?;
        for _ in 0..iterations {
            if !matches!(generator::hear::<Signal>(worker), Ok(Some(Signal::Ready))) {
                break;
            }
            kernel.begin(self.child.id())?;
            let made = self.make(kernel, &mut swaps);
            kernel.end()?;
            if generator::tell(worker, &Signal::Made { events: made?.events }).is_err() {
                break;
            }
        }
        Ok(BTreeMap::from([(PROGRAM_SWAPS.to_owned(), swaps)]))
    }

    fn end(&self) {
        // It is reaped when this is dropped, so its number is its own until then.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::KILL);
    }
}

impl Generator {
    fn answer<T: for<'de> serde::Deserialize<'de>>(&self) -> Result<T, FlowError> {
        let answer = generator::hear(&self.socket).map_err(FlowError::Source)?;
        answer.ok_or_else(|| FlowError::Source(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Has the calls made, and swaps the kernel program meanwhile.
    fn make(&self, kernel: &mut dyn Pipeline, swapped: &mut u64) -> Result<Made, FlowError> {
        let Flow { events, per_second, calls, swaps, .. } = self.flow;
        generator::tell(&self.socket, &Order { events, per_second, calls }).map_err(FlowError::Source)?;
        if swaps == 0 {
            return self.answer();
        }
        let began = Instant::now();
        let whole = Duration::from_secs_f64(f64::from(events) / f64::from(per_second.unwrap_or(events)));
        thread::scope(|scope| {
            let answered = scope.spawn(|| self.answer());
            for swap in 1..=swaps {
                // Spread over nine tenths of the time, so that the last ones are under load too.
                let due = whole.mul_f64(0.9 * f64::from(swap) / f64::from(swaps));
                thread::sleep(due.saturating_sub(began.elapsed()));
                if answered.is_finished() {
                    break;
                }
                kernel.swap()?;
                *swapped += u64::from(!answered.is_finished());
            }
            answered.join().unwrap_or_else(|_| Err(FlowError::Source(io::Error::other("its listener panicked"))))
        })
    }
}
