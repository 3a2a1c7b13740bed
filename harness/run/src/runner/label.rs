//! The names of workers for whoever stores or replays a capture.

use wasiscope_model::work::Work;

use super::Prepared;

/// Says which worker it is to whoever stores or replays a capture: what it ran, how often, and which of them it was. Events
/// of another guest, or of another number of iterations, are not what is asked for.
pub(super) fn label(prepared: &Prepared, which: &dyn std::fmt::Display) -> String {
    let case = &prepared.case;
    let guest = prepared.guest.as_ref().map_or("", |artifact| artifact.sha256.get(..12).unwrap_or_default());
    format!("{}:{} {guest} x{} #{which}", case.scenario, case.id(), case.iterations)
}

/// The labels under which a walk over these cases asks for the kernel's side of them, and a trace.
#[must_use]
pub fn labels(cases: &[Prepared], traced: bool) -> Vec<String> {
    let watched = cases.iter().filter(|prepared| prepared.can_be_watched() && prepared.guest.is_ok());
    let of_case = |prepared: &Prepared| {
        let has_trace = traced && prepared.case.work.runs_phases();
        let trace = has_trace.then(|| label(prepared, &"trace"));
        let check = (prepared.case.work == Work::Check).then(|| label(prepared, &"check"));
        let processes = (0..prepared.case.processes).map(|process| label(prepared, &process));
        processes.chain(check).chain(trace).collect::<Vec<_>>()
    };
    watched.flat_map(of_case).collect()
}
