//! A flow of events: the kernel's side and the worker with the handler. What makes the events, and what is right, its kind knows.

use super::known::Known;
use super::{Death, Prepared, Runner, take_iterations};
use wasiscope_capture::CaptureError;
use wasiscope_kinds::Leader;
use wasiscope_model::code::{Code, Coded};
use wasiscope_model::record::{Outcome, ProcessRecord, Status};
use wasiscope_worker::Task;

impl Runner<'_> {
    /// One worker of a flow of events.
    pub(super) fn flow(&mut self, leader: &dyn Leader, process: u32, prepared: &Prepared, record: &mut ProcessRecord) {
        let kernel = match &mut self.capture {
            Some(capture) => capture.pipeline(&leader.options()),
            None => Err(CaptureError::Unavailable("the kernel is not watched".to_owned())),
        };
        let mut kernel = match kernel {
            Ok(kernel) => kernel,
            Err(error) => {
                let reason = format!("a flow of events needs a live kernel: {error}");
                record.outcome =
                    Outcome { expected: true, ..Outcome::because(Status::Skipped, Code::CaptureUnavailable, reason) };
                return;
            }
        };
        let iterations = prepared.case.iterations;
        let mut maps = kernel.maps();
        maps.granted.retain(|map| leader.grants(&map.name));
        let (kind, spec) = (prepared.case.kind.to_owned(), prepared.case.spec.clone());
        let task = Task::Flow { kind, spec, iterations, maps, socket: -1 };
        let request = match self.request(prepared, process, &Known::default(), task) {
            Ok(request) => request,
            Err(outcome) => {
                record.outcome = outcome;
                return;
            }
        };
        let (run, led) = self.workers.run_flow(&request, (leader, iterations), kernel.as_mut());
        record.outcome = take_iterations(&run, &prepared.case, &Known::default(), record);
        let parent_decided = matches!(run.death, Some(Death::Interrupted | Death::TimedOut(_)));
        match led {
            Ok(counts) => record.counts.extend(counts),
            // Of what follows from it the worker knows less.
            Err(error) if !parent_decided => {
                record.outcome = Outcome::because(Status::Failed, error.code(), error.to_string());
            }
            Err(_) => {}
        }
        if record.outcome.status == Status::Ok {
            let wrong = leader.problem(&record.counts, kernel.as_ref());
            record.outcome =
                wrong.map_or_else(Outcome::ok, |wrong| Outcome::because(Status::Failed, Code::WrongCounts, wrong));
        }
    }
}
