//! What starts workers, and what one of them gave.

use std::collections::BTreeMap;
use std::time::Duration;

use wasiscope_capture::{Pipeline, WatchedWorker};
use wasiscope_ebpf_abi::Phase;
use wasiscope_kinds::{FlowError, Leader};
use wasiscope_sys::machine::Interference;
use wasiscope_worker::{LimitMet, Message, Request};

use super::callgrind;

/// Starts workers; the real one is [`ChildWorkers`](super::ChildWorkers).
pub trait Workers {
    /// Runs one worker to its end, whatever that is.
    fn run(&mut self, request: &Request, watched: Option<&WatchedWorker>) -> WorkerRun;

    /// Runs a worker through flows of events, with the process that makes the calls beside it.
    ///
    /// # Errors
    /// When the parent's side of it goes wrong; the worker's own ending is in what is given back.
    fn run_flow(
        &mut self,
        _request: &Request,
        _flow: (&dyn Leader, u32),
        _kernel: &mut dyn Pipeline,
    ) -> (WorkerRun, Result<BTreeMap<String, u64>, FlowError>) {
        (WorkerRun::not_started("these workers have no flows".to_owned()), Ok(BTreeMap::new()))
    }

    /// The instructions between the guest's marks, of a few passes each.
    ///
    /// # Errors
    /// When they cannot be counted here, and why.
    fn count_instructions(&mut self, request: &Request) -> Result<Vec<u64>, String> {
        callgrind::count(request)
    }
}

/// What is left of a worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerRun {
    /// Its process id; 0 when it was not started.
    pub pid: u32,
    /// From the parent's fork to the child being ready.
    pub spawn_ns: Option<u64>,
    /// All it said.
    pub messages: Vec<Message>,
    /// What others took from it meanwhile.
    pub interference: Interference,
    /// The limits that its latest guest had met.
    pub limits: Vec<LimitMet>,
    /// How it died, when it did not end by itself and in order.
    pub death: Option<Death>,
}

impl WorkerRun {
    pub(super) fn not_started(reason: String) -> Self {
        Self { death: Some(Death::Lost(reason)), ..Self::default() }
    }
}

/// Where a worker was when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The phase it was in.
    pub phase: Phase,
    /// For how long, as far as that was seen: its parent looks every 50 ms.
    pub in_phase: Duration,
    /// How long the pass might take.
    pub limit: Duration,
}

/// How a worker died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// One pass took longer than the wall-clock limit.
    TimedOut(Stuck),
    /// Killed because the run was interrupted.
    Interrupted,
    /// Killed by something else, or gone with an error.
    Lost(String),
}
