//! Records to report: groups what workers gave by case, summarises it, and adds up the kernel's side.

use std::collections::{BTreeMap, BTreeSet};

use wasiscope_ebpf_abi::Phase;

use crate::budgets;
use crate::runner::Prepared;
use wasiscope_capture::{Coverage, KernelEvents, PhaseEvents};
use wasiscope_guest::guest::Artifact;
use wasiscope_kinds::{self as kinds, Kind};
use wasiscope_model::code::Code;
use wasiscope_model::metrics::{self, Metric};
use wasiscope_model::record::{Facts, Outcome, ProcessRecord, Record, Status, Throttled};
use wasiscope_model::report::{
    ArtifactReport, CaseReport, Disturbance, KernelPhase, KernelReport, Measurement, ScenarioReport,
};
use wasiscope_model::units;
use wasiscope_scenario::plan::{Case, START_NOT_CALLED};
use wasiscope_stats as stats;

/// Builds the report's scenarios from what was recorded, in the order of `cases`. A case without any record was not
/// reached.
#[must_use]
pub fn scenarios(cases: &[Prepared], records: &[Record], coverage: Coverage) -> Vec<ScenarioReport> {
    let mut scenarios: Vec<ScenarioReport> = Vec::new();
    for (index, prepared) in cases.iter().enumerate() {
        let report = case(index, prepared, records, coverage);
        match scenarios.last_mut() {
            Some(last) if last.name == prepared.case.scenario => last.cases.push(report),
            _ => scenarios.push(ScenarioReport {
                name: prepared.case.scenario.clone(),
                kind: prepared.case.kind.to_owned(),
                cases: vec![report],
                prices: Vec::new(),
            }),
        }
    }
    scenarios.iter_mut().for_each(|scenario| kinds::of(&scenario.kind).complete(scenario));
    scenarios
}

/// One case of a plan.
#[must_use]
pub fn case(index: usize, prepared: &Prepared, records: &[Record], coverage: Coverage) -> CaseReport {
    let case = &prepared.case;
    let kind = kinds::of(case.kind);
    let mut facts = Facts::new();
    let mut outcomes = Vec::new();
    let mut processes = Vec::new();
    let checked = records.iter().find_map(|record| match record {
        Record::Check(check) if check.case == index => Some(check),
        _ => None,
    });
    let checked_outcome = checked.map(|record| kind.check_outcome(record, coverage));
    for record in records {
        match record {
            Record::Facts { case, outcome, facts: found, .. } if *case == index => {
                outcomes.push(outcome);
                facts.clone_from(found);
            }
            Record::Check(check) if check.case == index => facts = kind.check_facts(check, case),
            Record::Process(process) if process.case == index => {
                outcomes.push(&process.outcome);
                processes.push(process);
            }
            _ => {}
        }
    }
    // What flows of events count is a fact of the run: exact, and not the same in every run.
    for (name, count) in processes.iter().flat_map(|process| &process.counts) {
        let sum = facts.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0).saturating_add(*count);
        facts.insert(name.clone(), sum.into());
    }
    let unwatched: Vec<&ProcessRecord> = processes.iter().copied().filter(|process| !process.watched).collect();
    let watched: Vec<&ProcessRecord> = processes.iter().copied().filter(|process| process.watched).collect();
    let kernel = match checked {
        Some(check) => kernel(check.kernel.as_ref().map(|events| (&check.totals.entered, events)), coverage),
        None => {
            let charged = watched.iter().filter_map(|process| Some((&process.entered, process.kernel.as_ref()?)));
            kernel(charged, coverage)
        }
    };
    let mut outcome = checked_outcome.unwrap_or_else(|| worst(&outcomes));
    let problem =
        kernel.as_ref().filter(|_| coverage.lossless).and_then(|kernel| kind.kernel_problem(case, &outcome, kernel));
    outcome = problem.map_or(outcome, |problem| Outcome::because(Status::Failed, Code::KernelDisagrees, problem));
    if leaves_start_out(case, &facts) {
        let detail = outcome.detail.take().map(|detail| format!("{detail}; ")).unwrap_or_default();
        outcome.detail = Some(detail + START_NOT_CALLED);
        outcome.code = outcome.code.or(Some(Code::StartNotCalled));
    }
    if outcome.expected && !facts.is_empty() {
        outcome = budgets::outcome(&facts, &case.budgets).unwrap_or(outcome);
    }
    CaseReport {
        id: case.id(),
        workload: case.workload.clone(),
        flavour: case.flavour.clone(),
        engine: case.engine.name.clone(),
        source: None,
        n: case.n,
        args: case.input.args.clone(),
        processes: case.processes,
        iterations: case.iterations,
        batch: unwatched.first().map_or(1, |process| process.repeats),
        engine_settings: case.engine.opaque(),
        disturbance: disturbance(&unwatched),
        artifact: prepared.guest.as_ref().ok().map(artifact),
        outcome,
        facts,
        work: case.work,
        measurements: measurements(&unwatched, &watched, kind),
        observer_ratio: observer_ratio(&unwatched, &watched),
        kernel,
        budgets: case.budgets.clone(),
        failures: checked.map(|check| check.totals.failures.clone()).unwrap_or_default(),
        timeline: None,
    }
}

/// Whether a function is called in a command whose `_start` is not.
fn leaves_start_out(case: &Case, facts: &Facts) -> bool {
    let exports = facts.get("exports").and_then(serde_json::Value::as_array).into_iter().flatten();
    let has_start = exports.filter_map(serde_json::Value::as_str).any(|export| export.starts_with("_start("));
    has_start && case.input.leaves_start_out()
}

fn artifact(artifact: &Artifact) -> ArtifactReport {
    ArtifactReport {
        sha256: artifact.sha256.clone(),
        bytes: artifact.bytes,
        toolchain: artifact.toolchain.clone(),
        flags: artifact.flags.clone(),
    }
}

/// The first ending that was not expected, else the last that was.
fn worst(outcomes: &[&Outcome]) -> Outcome {
    let unexpected = outcomes.iter().find(|outcome| !outcome.expected);
    // Interrupted before its last worker was done, a case has been measured all the same.
    let last = outcomes.iter().rev().find(|outcome| outcome.status != Status::Skipped).or(outcomes.last());
    match unexpected.or(last) {
        Some(outcome) => (*outcome).clone(),
        None => Outcome { expected: true, ..Outcome::because(Status::Skipped, Code::NotReached, "not reached") },
    }
}

fn measurements(unwatched: &[&ProcessRecord], watched: &[&ProcessRecord], kind: &dyn Kind) -> Vec<Measurement> {
    let durations = Phase::REPORTED.into_iter().filter_map(|phase| {
        let samples = unwatched.iter().filter_map(|process| Some(as_floats(process.samples.get(&phase)?))).collect();
        let metric = kind.phase_metric(phase);
        measurement(metrics::find(metrics::DURATIONS, &metric)?, &metric, samples)
    });
    let memory = metrics::MEMORY.iter().filter_map(|row| {
        let samples = unwatched.iter().filter_map(|process| Some(as_floats(process.memory.get(row.name)?))).collect();
        measurement(row, row.name, samples)
    });
    let names: BTreeSet<&String> = unwatched.iter().flat_map(|process| process.measured.keys()).collect();
    let measured = names.into_iter().filter_map(|metric| {
        let samples: Vec<Vec<f64>> =
            unwatched.iter().filter_map(|process| process.measured.get(metric).cloned()).collect();
        let row = metrics::find(kind.metrics(), metric)?;
        let (unit, direction) = (row.unit.to_owned(), row.direction.name().to_owned());
        // What an experiment measures has no warm-up: the first time is as good as the last.
        let summary = stats::summarise(&samples)?;
        let spread = kind.spread(metric, unwatched, watched);
        Some(Measurement { metric: metric.clone(), unit, direction, samples, warm_up: 0, summary, spread })
    });
    durations.chain(memory).chain(measured).collect()
}

fn measurement(row: &Metric, metric: &str, samples: Vec<Vec<f64>>) -> Option<Measurement> {
    let warm_up = stats::warm_up(&samples);
    let warm: Vec<Vec<f64>> = samples.iter().map(|process| process[warm_up..].to_vec()).collect();
    let (metric, unit, direction) = (metric.to_owned(), row.unit.to_owned(), row.direction.name().to_owned());
    let summary = stats::summarise(&warm)?;
    Some(Measurement { metric, unit, direction, samples, warm_up, summary, spread: None })
}

/// What the machine did besides, and whether it was too much.
fn disturbance(processes: &[&ProcessRecord]) -> Option<Disturbance> {
    /// A scheduler's tick or two now and then is peace; one in every iteration means that somebody else computes.
    const PREEMPTIONS_MAX: f64 = 1.0;
    /// The share of stolen time above which medians move more than their intervals say.
    const STEAL_RATIO_MAX: f64 = 0.05;
    if processes.is_empty() {
        return None;
    }
    let preemptions: Vec<f64> =
        processes.iter().flat_map(|process| &process.preemptions).map(|count| *count as f64).collect();
    let steal: Vec<f64> = processes.iter().filter_map(|process| process.steal_ratio).collect();
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let (preemptions, steal) = (mean(&preemptions), mean(&steal));
    let preempted = preemptions
        .filter(|mean| *mean > PREEMPTIONS_MAX)
        .map(|mean| format!("preempted {mean:.1} times per iteration (bound {PREEMPTIONS_MAX})"));
    let stolen = steal.filter(|ratio| *ratio > STEAL_RATIO_MAX).map(|ratio| {
        format!("{:.0} % of processor time stolen (bound {:.0} %)", ratio * 100.0, STEAL_RATIO_MAX * 100.0)
    });
    let throttled = processes.iter().filter_map(|process| process.throttled).reduce(|sum, of| Throttled {
        periods: sum.periods.saturating_add(of.periods),
        time_us: sum.time_us.saturating_add(of.time_us),
    });
    // No bound: a stop lasts as long as thousands of short iterations.
    let stopped = throttled.filter(|throttled| throttled.periods > 0).map(|Throttled { periods, time_us }| {
        let time = units::duration(time_us as f64 * 1_000.0);
        format!("stopped in {periods} periods by the cgroup's quota of processor time, for {time} in all")
    });
    let notes: Vec<String> = preempted.into_iter().chain(stolen).chain(stopped).collect();
    Some(Disturbance {
        preemptions_per_iteration: preemptions,
        steal_ratio: steal,
        throttled,
        note: (!notes.is_empty()).then(|| notes.join(", ")),
    })
}

/// Samples as floats: exact up to 2^53, which is 104 days in nanoseconds.
fn as_floats(samples: &[u64]) -> Vec<f64> {
    samples.iter().map(|ns| *ns as f64).collect()
}

/// How much longer an iteration takes while it is watched: the ratio of the medians over processes of each process's
/// median iteration.
fn observer_ratio(unwatched: &[&ProcessRecord], watched: &[&ProcessRecord]) -> Option<f64> {
    // Where not every iteration compiles, compiling is left out of all.
    let mut all = unwatched.iter().chain(watched);
    let with_compile = all.all(|process| {
        let most = process.samples.iter().filter(|(phase, _)| **phase != Phase::Spawn).map(|(_, of)| of.len()).max();
        process.samples.get(&Phase::Compile).map(Vec::len) == most
    });
    let typical = |processes: &[&ProcessRecord]| {
        let of = |process: &&ProcessRecord| stats::median(&iterations(process, with_compile));
        let medians: Vec<f64> = processes.iter().filter_map(of).collect();
        stats::median(&medians)
    };
    let (off, on) = (typical(unwatched)?, typical(watched)?);
    (off > 0.0).then(|| on / off)
}

/// Nanoseconds of each iteration, all its phases together.
fn iterations(process: &ProcessRecord, with_compile: bool) -> Vec<f64> {
    let counts = |phase: Phase| phase != Phase::Spawn && (with_compile || phase != Phase::Compile);
    let inside = || process.samples.iter().filter(|(phase, _)| counts(**phase)).map(|(_, samples)| samples);
    // A guest that trapped now and then has phases of different lengths: what is complete in all of them counts.
    let complete = inside().map(Vec::len).min().unwrap_or(0);
    (0..complete).map(|iteration| inside().map(|samples| samples[iteration] as f64).sum()).collect()
}

/// Of workers that were watched: how often they entered each phase, and what the kernel charged to it.
pub fn kernel<'a>(
    watched: impl IntoIterator<Item = (&'a BTreeMap<Phase, u64>, &'a KernelEvents)>,
    coverage: Coverage,
) -> Option<KernelReport> {
    let mut phases: BTreeMap<Phase, (u64, PhaseEvents)> = BTreeMap::new();
    let mut seen = false;
    for (entered, events) in watched {
        seen = true;
        phases.entry(Phase::Outside).or_default().0 += 1;
        for (phase, count) in entered {
            let sum = &mut phases.entry(*phase).or_default().0;
            *sum = sum.saturating_add(*count);
        }
        for (phase, events) in events {
            phases.entry(*phase).or_default().1.merge(events);
        }
    }
    let outside = phases.remove(&Phase::Outside);
    let outside = outside.map(|(processes, events)| KernelPhase::of(processes, events, coverage));
    let phase = |(phase, (iterations, events)): (Phase, (u64, PhaseEvents))| {
        (phase.name().to_owned(), KernelPhase::of(iterations, events, coverage))
    };
    seen.then(|| KernelReport { phases: phases.into_iter().map(phase).collect(), outside })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasiscope_capture::{self as capture, Distribution, ProgramCost};

    fn process(watched: bool, iteration_ns: &[u64], kernel: Option<PhaseEvents>) -> ProcessRecord {
        ProcessRecord {
            case: 0,
            id: "hello/std/cranelift".into(),
            process: 0,
            watched,
            outcome: Outcome::ok(),
            samples: BTreeMap::from([(Phase::Spawn, vec![1_000_000]), (Phase::Run, iteration_ns.to_vec())]),
            memory: BTreeMap::new(),
            measured: BTreeMap::new(),
            counts: BTreeMap::new(),
            spreads: BTreeMap::new(),
            repeats: 1,
            preemptions: Vec::new(),
            steal_ratio: None,
            throttled: None,
            entered: BTreeMap::from([(Phase::Spawn, 1), (Phase::Run, iteration_ns.len() as u64)]),
            kernel: kernel.map(|events| BTreeMap::from([(Phase::Run, events)])),
        }
    }

    fn charged<'a>(watched: &[&'a ProcessRecord]) -> Vec<(&'a BTreeMap<Phase, u64>, &'a KernelEvents)> {
        watched.iter().filter_map(|process| Some((&process.entered, process.kernel.as_ref()?))).collect()
    }

    fn program(name: &str, unavailable: Option<&str>) -> ProgramCost {
        let unavailable = unavailable.map(str::to_owned);
        ProgramCost { name: name.into(), run_count: None, mean_ns: None, unavailable, blind_to: None }
    }

    #[test]
    fn the_observer_ratio_is_that_of_typical_iterations_without_spawn() {
        let off = process(false, &[100, 100, 900], None);
        let on = process(true, &[110, 5_000, 110], None);
        assert_eq!(observer_ratio(&[&off], &[&on]), Some(1.1));
        assert_eq!(observer_ratio(&[&off], &[]), None);
    }

    #[test]
    fn a_disturbed_case_says_what_disturbed_it() {
        let mut calm = process(false, &[1, 1], None);
        calm.preemptions = vec![0, 1];
        calm.steal_ratio = Some(0.01);
        let quiet = disturbance(&[&calm]).expect("it ran");
        assert_eq!((quiet.preemptions_per_iteration, quiet.note), (Some(0.5), None));
        let mut busy = calm.clone();
        busy.preemptions = vec![4, 4];
        busy.steal_ratio = Some(0.2);
        let note = disturbance(&[&busy]).and_then(|disturbance| disturbance.note).expect("both bounds are passed");
        assert!(note.contains("preempted 4.0 times") && note.contains("20 % of processor time"), "{note}");
        assert_eq!(disturbance(&[]), None);
    }

    fn of(upper_ns: u64, count: u64, sum: u64) -> Distribution {
        Distribution { count, sum, min: Some(1), max: Some(upper_ns), buckets: vec![(upper_ns, count)] }
    }

    #[test]
    fn kernel_counts_of_all_watched_processes_add_up() {
        let calls = capture::Calls { count: 3, errors: 1, latency_ns: of(15, 3, 30) };
        let events = PhaseEvents {
            syscalls: BTreeMap::from([("write".to_owned(), calls)]),
            faults_user: BTreeMap::from([("stack".to_owned(), 2)]),
            faults_kernel: BTreeMap::from([("other".to_owned(), 1)]),
            run_queue_ns: of(7, 1, 5),
            off_cpu_ns: capture::OffCpu { blocked: of(31, 1, 20), runnable: of(7, 1, 5) },
            ..PhaseEvents::default()
        };
        let watched = [process(true, &[1, 1], Some(events.clone())), process(true, &[1], Some(events))];
        let watched: Vec<&ProcessRecord> = watched.iter().collect();
        let all = ["page_fault_user", "page_fault_kernel", "sched_switch", "sched_wakeup", "signal_deliver"];
        let report =
            kernel(charged(&watched), Coverage::of(&all.map(|name| program(name, None)))).expect("it was watched");
        let run = &report.phases["run"];
        assert_eq!(run.iterations, 3);
        let write = &run.syscalls["write"];
        assert_eq!((write.count, write.total_ns, write.errors), (6, Some(60), 2));
        assert_eq!(write.latency_ns.as_ref().map(|latency| latency.buckets.clone()), Some(vec![(15, 6)]));
        assert_eq!((run.faults.user, run.faults.kernel, run.faults.user_by_region["stack"]), (Some(4), Some(2), 4));
        let off = run.off_cpu_ns.as_ref().expect("both programs were there");
        assert_eq!((off.blocked, off.runnable, off.blocked_spans.count), (40, 10, 2));
        assert_eq!(run.signals.as_ref().map(|signals| signals["SIGSEGV"]), Some(0), "none is a result");
        assert_eq!(report.phases["spawn"].faults.user, Some(0));
        assert_eq!(
            (run.mapped_bytes, run.migrations, run.created),
            (None, None, None),
            "those programs were not there"
        );
    }

    #[test]
    fn what_no_program_saw_is_unknown_and_not_zero() {
        let watched = process(true, &[1], Some(PhaseEvents::default()));
        let programs = [program("page_fault_user", Some("no such tracepoint")), program("page_fault_kernel", None)];
        let report = kernel(charged(&[&watched]), Coverage::of(&programs)).expect("it was watched");
        let run = &report.phases["run"];
        assert_eq!((run.faults.user, run.faults.kernel, run.faults.total()), (None, Some(0), None));
        assert_eq!((&run.switches, &run.off_cpu_ns, &run.signals), (&None, &None, &None));
        assert_eq!(kernel(charged(&[&process(true, &[1], None)]), Coverage::of(&programs)), None);
    }

    #[test]
    fn a_wait_is_known_only_when_its_end_is_seen() {
        let watched = process(true, &[1], Some(PhaseEvents::default()));
        let programs = [program("sched_switch", None), program("sched_wakeup", Some("no such tracepoint"))];
        let report = kernel(charged(&[&watched]), Coverage::of(&programs)).expect("it was watched");
        let run = &report.phases["run"];
        assert!(run.switches.is_some() && run.off_cpu_ns.is_none() && run.run_queue_ns.is_none());
    }
}
