//! One kernel program: loaded, attached, detached, and asked what it costs.

use std::os::fd::AsFd;

use aya::Ebpf;
use aya::programs::perf_event::{
    PerfEvent, PerfEventConfig, PerfEventLinkId, PerfEventScope, SamplePolicy, SoftwareEvent,
};
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{Program, ProgramError};
use aya::util::online_cpus;

use super::super::{CaptureError, ProgramCost};
use super::{kernel, not_in_object, refused, with_causes};

/// The program without which there is no capture at all, and its counterpart.
const INDISPENSABLE: [&str; 2] = ["sys_enter", "sys_exit"];

/// What counts page faults where the kernel has no tracepoints for them.
pub(super) const PERF_PAGE_FAULT: &str = "page_fault";

/// One program, which bears the name of its tracepoint.
pub(super) struct Watcher {
    pub(super) name: &'static str,
    /// Why it cannot be had.
    pub(super) unavailable: Option<String>,
    /// What it cannot see although it is there.
    pub(super) blind_to: Option<String>,
    /// While attached.
    links: Vec<Link>,
    /// Its runs and their nanoseconds when costs began to be counted.
    counted_from: Option<(u64, u64)>,
}

enum Link {
    RawTracePoint(RawTracePointLinkId),
    PerfEvent(PerfEventLinkId),
}

impl Watcher {
    /// Loads the program, unless this kernel cannot have it for the reason given.
    ///
    /// # Errors
    /// When it is missing and nothing works without it.
    pub(super) fn load(ebpf: &mut Ebpf, name: &'static str, missing: Option<String>) -> Result<Self, CaptureError> {
        let unavailable = match missing {
            Some(reason) => Some(reason),
            None => match program(ebpf, name)? {
                Program::RawTracePoint(program) => program.load(),
                Program::PerfEvent(program) => program.load(),
                _ => return Err(not_in_object(name)),
            }
            .err()
            .map(|error| refusal(&error)),
        };
        match unavailable {
            Some(reason) if INDISPENSABLE.contains(&name) => {
                Err(CaptureError::Unavailable(format!("program {name}: {reason}")))
            }
            unavailable => Ok(Self { name, unavailable, blind_to: None, links: Vec::new(), counted_from: None }),
        }
    }

    /// Attaches the program where it can be had; what the kernel refuses is unavailable from then on.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf) -> Result<(), CaptureError> {
        if self.unavailable.is_some() || !self.links.is_empty() {
            return Ok(());
        }
        let refusal = match program(ebpf, self.name)? {
            Program::RawTracePoint(program) => {
                program.attach(self.name).map(|link| self.links.push(Link::RawTracePoint(link))).err()
            }
            Program::PerfEvent(program) => attach_everywhere(program, &mut self.links)?.err(),
            _ => return Err(not_in_object(self.name)),
        };
        match refusal {
            None => Ok(()),
            Some(error) if INDISPENSABLE.contains(&self.name) => Err(refused(error)),
            Some(error) => {
                self.unavailable = Some(with_causes(&error));
                self.detach(ebpf)
            }
        }
    }

    /// Detaches the program, as far as the kernel lets it.
    pub(super) fn detach(&mut self, ebpf: &mut Ebpf) -> Result<(), CaptureError> {
        let mut result = Ok(());
        for link in std::mem::take(&mut self.links) {
            let detached = match (program(ebpf, self.name)?, link) {
                (Program::RawTracePoint(program), Link::RawTracePoint(link)) => program.detach(link),
                (Program::PerfEvent(program), Link::PerfEvent(link)) => program.detach(link),
                _ => return Err(not_in_object(self.name)),
            };
            result = result.and(detached.map_err(refused));
        }
        result
    }

    /// How often the kernel left the program out because it was running on that CPU already.
    pub(super) fn recursion_misses(&self, ebpf: &Ebpf) -> Result<u64, CaptureError> {
        if self.unavailable.is_some() {
            return Ok(0);
        }
        let program = ebpf.program(self.name).ok_or_else(|| not_in_object(self.name))?;
        let fd = program.fd().map_err(refused)?;
        kernel::recursion_misses(fd.as_fd()).map_err(refused)
    }

    /// From now on, costs count.
    pub(super) fn count_costs(&mut self, ebpf: &Ebpf) -> Result<(), CaptureError> {
        if self.unavailable.is_none() {
            self.counted_from = Some(self.runs(ebpf)?);
        }
        Ok(())
    }

    pub(super) fn cost(&self, ebpf: &Ebpf) -> Result<ProgramCost, CaptureError> {
        let mut cost = ProgramCost {
            name: self.name.to_owned(),
            run_count: None,
            mean_ns: None,
            unavailable: self.unavailable.clone(),
            blind_to: self.blind_to.clone(),
        };
        if let Some((count_before, ns_before)) = self.counted_from {
            let (count, ns) = self.runs(ebpf)?;
            let (count, ns) = (count - count_before, ns - ns_before);
            cost.run_count = Some(count);
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ns, which is 104 days in one program")]
            let mean_ns = (count > 0).then(|| ns as f64 / count as f64);
            cost.mean_ns = mean_ns;
        }
        Ok(cost)
    }

    /// How often the program ran while costs were counted, and for how many nanoseconds.
    fn runs(&self, ebpf: &Ebpf) -> Result<(u64, u64), CaptureError> {
        let program = ebpf.program(self.name).ok_or_else(|| not_in_object(self.name))?;
        let info = program.info().map_err(refused)?;
        let ns = u64::try_from(info.run_time().as_nanos()).map_err(refused)?;
        Ok((info.run_count(), ns))
    }
}

/// Attaches the program to the page faults of every processor; what was attached is among the links, whatever the outcome.
fn attach_everywhere(program: &mut PerfEvent, links: &mut Vec<Link>) -> Result<Result<(), ProgramError>, CaptureError> {
    let faults = PerfEventConfig::Software(SoftwareEvent::PageFaults);
    for cpu in online_cpus().map_err(|(_, error)| refused(error))? {
        let scope = PerfEventScope::AllProcessesOneCpu { cpu };
        match program.attach(faults, scope, SamplePolicy::Period(1), false) {
            Ok(link) => links.push(Link::PerfEvent(link)),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, CaptureError> {
    ebpf.program_mut(name).ok_or_else(|| not_in_object(name))
}

/// Why the kernel refuses a program. The verifier's reason is the last line of its log that is no statistics; an older
/// kernel that lacks a helper says "unknown func bpf_…#NNN" there.
fn refusal(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return with_causes(error) };
    let log = verifier_log.to_string();
    let is_reason = |line: &&str| {
        let statistics = ["processed ", "verification time", "stack depth"];
        !line.is_empty() && !statistics.iter().any(|start| line.starts_with(start))
    };
    match log.lines().map(str::trim).rfind(is_reason) {
        Some(reason) => format!("the kernel refuses it: {reason} ({io_error})"),
        None => format!("the kernel refuses it: {io_error}"),
    }
}
