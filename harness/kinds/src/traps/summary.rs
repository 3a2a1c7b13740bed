//! What checks came to, as facts; and whether the kernel saw what the worker saw.

use serde_json::Value;
use wasiscope_ebpf_abi::{Kind, Phase, RegionKind};

use super::{Check, GENERATED, TESTSUITE};
use wasiscope_model::capture::Coverage;
use wasiscope_model::code::Code;
use wasiscope_model::events::KernelEvents;
use wasiscope_model::record::{Caught, CheckRecord, Facts, Outcome, Status};
use wasiscope_model::report::{CaseReport, KernelPhase, KernelReport, ScenarioReport};
use wasiscope_model::work::Work;
use wasiscope_scenario::plan::Case;
use wasiscope_scenario::{BoundsChecks, Compiler};

/// The facts of a check. Those of the specification's tests are called assertions, all others cells.
pub(crate) fn facts(record: &CheckRecord, case: &Case) -> Facts {
    let totals = &record.totals;
    let all = totals.all();
    let unit = if case.flavour == TESTSUITE { "assertions" } else { "cells" };
    let mut facts = totals.facts.clone();
    if let Ok(Check::Matrix { share, .. }) = case.spec.read() {
        facts.insert("cells.share".to_owned(), serde_json::to_value(share).unwrap_or_default());
    }
    for (name, count) in [("tried", all.tried), ("passed", all.passed), ("unsupported", all.unsupported)] {
        facts.insert(format!("{unit}.{name}"), count.into());
    }
    for (name, tally) in &totals.tallies {
        let text =
            if tally.tried == 0 { "unsupported".to_owned() } else { format!("{}/{}", tally.passed, tally.tried) };
        facts.insert(format!("{unit}.of.{name}"), Value::from(text));
    }
    for (reason, count) in &totals.unsupported {
        facts.insert(format!("unsupported: {reason}"), (*count).into());
    }
    let Caught { traps, by_guard, by_null_page, by_unplaced, by_instruction, without_signal } = totals.caught;
    let caught = [
        ("traps", traps),
        ("by_guard", by_guard),
        ("by_null_page", by_null_page),
        ("by_unplaced", by_unplaced),
        ("by_instruction", by_instruction),
        ("without_signal", without_signal),
    ];
    facts.extend(caught.map(|(name, count)| (format!("caught.{name}"), count.into())));
    facts
}

/// What the guests that make mistakes weigh beyond the one that dies without a word, in the same flavour: its message and all
/// that writes it.
pub fn message_costs(scenario: &mut ScenarioReport) {
    const SILENT: &str = "mistake-abort";
    let size = |case: &CaseReport| case.facts.get("size.wasm").and_then(Value::as_i64);
    let silent: Vec<(String, i64)> = scenario
        .cases
        .iter()
        .filter(|case| case.workload == SILENT)
        .filter_map(|case| Some((case.flavour.clone(), size(case)?)))
        .collect();
    for case in &mut scenario.cases {
        let floor =
            silent.iter().find(|(flavour, _)| *flavour == case.flavour && case.workload.starts_with("mistake-"));
        if let (Some((_, floor)), Some(size)) = (floor, size(case)) {
            case.facts.insert("size.over_abort".to_owned(), size.saturating_sub(*floor).into());
        }
    }
}

/// The outcome, once the kernel has been asked too, where nothing it saw was lost: its program has seen the signals of the
/// very same worker, so a difference means that one of the two is wrong.
pub(crate) fn outcome(record: &CheckRecord, coverage: Coverage) -> Outcome {
    let seen = record.kernel.as_ref().filter(|_| coverage.sees(Kind::Signal) && coverage.lossless);
    match (seen, record.outcome.status) {
        (Some(kernel), Status::Ok) => match difference(&record.totals.caught, kernel, coverage.sees(Kind::FaultUser)) {
            Some(difference) => Outcome::because(Status::Failed, Code::KernelDisagrees, difference),
            None => record.outcome.clone(),
        },
        _ => record.outcome.clone(),
    }
}

/// What is wrong with the signals of a guest whose traps are timed: one for each where a guard page or a failed check raises
/// one, none where there are no signals, and none outside of its traps.
pub(crate) fn wrong_signals(case: &Case, outcome: &Outcome, kernel: &KernelReport) -> Option<String> {
    let is_timed = case.work == Work::Phases && case.flavour == GENERATED && outcome.status == Status::Trapped;
    if !is_timed {
        return None;
    }
    let settings = case.engine.settings?;
    let raises = settings.bounds_checks == BoundsChecks::Guard && settings.compiler != Compiler::Pulley;
    let signals = |phase: &KernelPhase| phase.signals.as_ref()?.get(SEGMENTATION_FAULT).copied();
    for (name, phase) in &kernel.phases {
        let wanted = if name == Phase::Trap.name() && raises { phase.iterations } else { 0 };
        let seen = signals(phase)?;
        if seen != wanted {
            return Some(format!("the kernel delivered {seen} SIGSEGV in the phase {name}, where {wanted} belong"));
        }
    }
    let outside = signals(kernel.outside.as_ref()?)?;
    (outside > 0).then(|| format!("the kernel delivered {outside} SIGSEGV outside of all phases"))
}

const SEGMENTATION_FAULT: &str = "SIGSEGV";

/// What the kernel has seen otherwise than the worker did; `None` when they agree.
fn difference(caught: &Caught, kernel: &KernelEvents, sees_faults: bool) -> Option<String> {
    let signals = |phase: &Phase| {
        kernel.get(phase).and_then(|events| events.signals.get(SEGMENTATION_FAULT)).copied().unwrap_or(0)
    };
    let (wanted, seen) = (caught.segmentation_faults(), signals(&Phase::Trap));
    if seen != wanted {
        return Some(format!(
            "the kernel delivered {seen} SIGSEGV in the phase trap, {wanted} traps were caught by one"
        ));
    }
    if let Some(stray) = kernel.keys().find(|phase| **phase != Phase::Trap && signals(phase) > 0) {
        return Some(format!("the kernel delivered {} SIGSEGV in the phase {}", signals(stray), stray.name()));
    }
    if !sees_faults {
        return None;
    }
    let guard = RegionKind::Guard.name();
    let in_guard = kernel.get(&Phase::Trap).and_then(|events| events.faults_user.get(guard)).copied().unwrap_or(0);
    (in_guard != caught.by_guard).then(|| {
        format!("the kernel saw {in_guard} page faults in the guard, {} traps were caught there", caught.by_guard)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use wasiscope_model::events::PhaseEvents;

    fn kernel(signals: u64, in_guard: u64, stray: u64) -> KernelEvents {
        let events = |signals: u64, in_guard: u64| PhaseEvents {
            signals: BTreeMap::from([("SIGSEGV".to_owned(), signals)]),
            faults_user: BTreeMap::from([("guard".to_owned(), in_guard)]),
            ..PhaseEvents::default()
        };
        BTreeMap::from([(Phase::Trap, events(signals, in_guard)), (Phase::Run, events(stray, 0))])
    }

    #[test]
    fn one_signal_for_each_trap_by_guard_or_null_page_and_none_elsewhere() {
        let caught = Caught { traps: 9, by_guard: 4, by_null_page: 2, by_instruction: 3, ..Caught::default() };
        assert_eq!(difference(&caught, &kernel(6, 4, 0), true), None);
        assert!(difference(&caught, &kernel(5, 4, 0), true).is_some_and(|text| text.contains("delivered 5")));
        assert_eq!(difference(&caught, &kernel(6, 3, 0), false), None, "faults were not seen");
        assert!(difference(&caught, &kernel(6, 3, 0), true).is_some_and(|text| text.contains("3 page faults")));
        assert!(difference(&caught, &kernel(6, 4, 1), true).is_some_and(|text| text.contains("phase run")));
    }
}
