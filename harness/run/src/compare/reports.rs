//! Two reports of different times. A block design: whatever the machine did in between looks like a change. So the
//! reference case is taken off, the interval is widened, and "cannot tell" is said often; comparing revisions is the
//! way to be sure.

use wasiscope_ebpf_abi::Phase;

use super::matching::{Key, Matched, pair_up};
use super::unlike::{self, Unlike};
use super::{Differences, FactRow, KernelRow, Row, SKIPPED, Side, Tolerances, answers, facts, kernel, ratio_of};
use wasiscope_model::code::Code;
use wasiscope_model::record::{Status, TRAP_LATENCY, metric_of};
use wasiscope_model::report::Report;
use wasiscope_model::report::by_machine;
use wasiscope_model::report::{CaseReport, Measurement};
use wasiscope_stats::{self as stats, Estimate, FALSE_ALARMS, Verdict};

/// The phases that say something of a guest.
const PHASES: [Phase; 6] =
    [Phase::Compile, Phase::InstantiateCold, Phase::Instantiate, Phase::Init, Phase::Run, Phase::Trap];

/// Otherwise the figures would seem to contradict each other.
const NORMALISED: &str =
    "base and new are as measured; the change is what is left when that of the reference case is taken off";

/// Advice for whoever wants to know better.
const ADVICE: &str = "to be sure, compare the revisions or the .wasm files: both sides then run in the same workers";

/// Compares two reports; cases are matched by scenario and id.
#[must_use]
pub fn compare(base: &Report, new: &Report, tolerances: &Tolerances, wants: &dyn Fn(&str) -> bool) -> Differences {
    let (pairs, machines) = machines(base, new);
    let mut differences = Differences { warnings: machines, ..Differences::default() };
    let mut pending: Vec<(Row, Option<(Estimate, f64)>)> = Vec::new();
    let mut in_both = false;
    for (base, new) in &pairs {
        let machine = (pairs.len() > 1).then(|| new.machine.label());
        let of_machine = |line: String| if pairs.len() > 1 { format!("{}: {line}", new.machine.label()) } else { line };
        differences.warnings.extend(warnings(base, new).into_iter().map(of_machine));
        let (old_cases, new_cases) = (named(base), named(new));
        let matching = pair_up(&keys(&old_cases), &keys(&new_cases));
        in_both |= !matching.both.is_empty();
        let ids: Vec<&str> = old_cases.iter().map(|(_, case)| case.id.as_str()).collect();
        // Where an id is not enough to tell rows apart.
        let scenario_of = |scenario: &str, id: &str| {
            (ids.iter().filter(|other| **other == id).count() > 1).then(|| scenario.to_owned())
        };
        for matched in &matching.both {
            let ((old_scenario, old), (scenario, case)) = (old_cases[matched.base], new_cases[matched.new]);
            let scenario = scenario_of(if matched.renamed { scenario } else { old_scenario }, &case.id);
            let sides = Sides { base, new, tolerances, wants };
            differences.add(&sides, (old, case), (&scenario, &machine));
            let renamed_from = renamed_from(*matched, &old_cases, &new_cases);
            pending.extend(sides.rows(old, case).into_iter().map(|(row, member)| {
                let (scenario, machine, renamed_from) = (scenario.clone(), machine.clone(), renamed_from.clone());
                (Row { scenario, machine, renamed_from, ..row }, member)
            }));
        }
        for (side, cases, indexes) in
            [(Side::Base, &old_cases, &matching.only_base), (Side::New, &new_cases, &matching.only_new)]
        {
            pending.extend(indexes.iter().map(|index| (alone(side, cases[*index].1, machine.clone()), None)));
        }
    }
    let members: Vec<Option<(Estimate, f64)>> = pending.iter().map(|(_, member)| *member).collect();
    let verdicts = stats::family(&members, 1);
    for ((mut row, member), verdict) in pending.into_iter().zip(verdicts) {
        if member.is_some() {
            row.verdict = verdict;
        }
        differences.rows.push(row);
    }
    answers::withhold_improvements(&mut differences.rows);
    super::put_in_order(&mut differences.rows, &mut differences.facts);
    if !in_both {
        let how = "cases are matched by scenario and id, and the id of a file begins with its name";
        differences.warnings.push(format!("no case is in both reports: {how}"));
    } else if differences.rows.iter().any(|row| row.verdict == Verdict::Inconclusive) {
        differences.warnings.push(ADVICE.to_owned());
    }
    if differences.rows.iter().any(|row| row.ratio.is_some()) {
        differences.warnings.push(NORMALISED.to_owned());
    }
    differences
}

/// The two as pairs of one machine each, which are compared with each other, and what is said of machines that are on one side only.
/// A report of one machine is compared with another such, whatever the machines: that they differ is a warning.
fn machines(base: &Report, new: &Report) -> (Vec<(Report, Report)>, Vec<String>) {
    let (mut old, mut now) = (by_machine(base), by_machine(new));
    if old.len() == 1 && now.len() == 1 {
        return (old.drain(..).zip(now.drain(..)).collect(), Vec::new());
    }
    let mut pairs = Vec::new();
    let mut alone = Vec::new();
    for base in old {
        match now.iter().position(|new| new.machine.label() == base.machine.label()) {
            Some(at) => pairs.push((base, now.remove(at))),
            None => alone.push(format!("only in base: {}", base.machine.label())),
        }
    }
    alone.extend(now.iter().map(|new| format!("only in new: {}", new.machine.label())));
    (pairs, alone)
}

/// What makes the two incomparable in ways that no statistics can mend.
fn warnings(base: &Report, new: &Report) -> Vec<String> {
    let planted = [("base", base), ("new", new)].into_iter().filter(|(_, report)| report.planted.is_some());
    let mut warnings: Vec<String> =
        planted.map(|(side, _)| format!("a fault was planted on purpose in {side}")).collect();
    let mut differs = |what: &str, old: Option<&str>, now: Option<&str>| {
        if old != now {
            let (old, now) = (old.unwrap_or("unknown"), now.unwrap_or("unknown"));
            warnings.push(format!("different {what}: {old} in base, {now} in new"));
        }
    };
    let (old, now) = (&base.machine, &new.machine);
    differs("processors", old.cpu.as_deref(), now.cpu.as_deref());
    differs("numbers of processors", Some(&old.cpus.to_string()), Some(&now.cpus.to_string()));
    differs("architectures", Some(&old.arch), Some(&now.arch));
    differs("kernels", old.kernel.as_deref(), now.kernel.as_deref());
    let tool = |report: &Report, tool: &str| report.tools.get(tool).cloned().flatten();
    differs("wasmtime", tool(base, "wasmtime").as_deref(), tool(new, "wasmtime").as_deref());
    warnings
}

/// What the machine did to a case that has not changed.
fn reference(base: Option<&CaseReport>, new: Option<&CaseReport>) -> Result<Estimate, &'static str> {
    let (Some(old), Some(now)) = (base, new) else { return Err("a side has no reference case") };
    let same = old.artifact.as_ref().map(|guest| &guest.sha256) == now.artifact.as_ref().map(|guest| &guest.sha256);
    if !same {
        return Err("the two have different reference cases");
    }
    let run = metric_of(Phase::Run);
    let medians = |case: &CaseReport| medians(case.measurements.iter().find(|measurement| measurement.metric == run)?);
    let shift = medians(old).zip(medians(now)).and_then(|(old, now)| stats::shift(&old, &now));
    shift.ok_or("the reference case has too few processes")
}

/// Median of each process, warm-up left out.
pub fn medians(measurement: &Measurement) -> Option<Vec<f64>> {
    let warm = |process: &Vec<f64>| process.iter().skip(measurement.warm_up).copied().collect::<Vec<f64>>();
    let medians: Vec<f64> = measurement.samples.iter().filter_map(|process| stats::median(&warm(process))).collect();
    (!medians.is_empty()).then_some(medians)
}

/// Every case with its scenario.
fn named(report: &Report) -> Vec<(&str, &CaseReport)> {
    let cases = report.scenarios.iter().flat_map(|of| of.cases.iter().map(|case| (of.name.as_str(), case)));
    let mut cases: Vec<(&str, &CaseReport)> = cases.collect();
    cases.sort_by_key(|(scenario, case)| (*scenario, case.id.as_str()));
    cases.dedup_by_key(|(scenario, case)| (*scenario, case.id.as_str()));
    cases
}

fn keys(cases: &[(&str, &CaseReport)]) -> Vec<Key> {
    let key = |(scenario, case): &(&str, &CaseReport)| Key {
        scenario: (*scenario).to_owned(),
        id: case.id.clone(),
        work: format!("{} {:?} {:?} {:?}", case.engine, case.engine_settings, case.n, case.args),
        guest: case.artifact.as_ref().map(|artifact| artifact.sha256.clone()),
    };
    cases.iter().map(key).collect()
}

fn renamed_from(matched: Matched, base: &[(&str, &CaseReport)], new: &[(&str, &CaseReport)]) -> Option<String> {
    let ((scenario, old), (_, now)) = (base[matched.base], new[matched.new]);
    matched.renamed.then(|| super::old_name(scenario, &old.id, &now.id))
}

/// That a case fails which was not there before is the new side's failure; what the base alone had is history.
fn alone(side: Side, case: &CaseReport, machine: Option<String>) -> Row {
    let failed = side == Side::New && !case.outcome.expected;
    let detail = case.outcome.detail.as_deref().unwrap_or_default();
    let note = if failed { format!("{}: {detail}", case.outcome.status.name()) } else { String::new() };
    let verdict = if failed { Verdict::Inconclusive } else { Verdict::Unchanged };
    let row = Row::only_in(side, &case.id, note);
    Row { failed, verdict, machine, note: row.note.clone().filter(|note| !note.is_empty()), ..row }
}

fn without_figures(case: &CaseReport, note: &str) -> Row {
    Row::without_figures(&case.id, Verdict::Inconclusive, note)
}

impl Differences {
    /// What differs between two cases besides their times.
    fn add(
        &mut self,
        sides: &Sides<'_>,
        (old, case): (&CaseReport, &CaseReport),
        (scenario, machine): (&Option<String>, &Option<String>),
    ) {
        let seen = old.kernel.as_ref().zip(case.kernel.as_ref()).filter(|_| sides.is_same_work(old, case));
        let unlike = seen.map(|(old, now)| kernel::differences(&case.id, old, now)).unwrap_or_default();
        let named = |row| KernelRow { scenario: scenario.clone(), machine: machine.clone(), ..row };
        self.kernel.extend(unlike.into_iter().map(named));
        let facts = facts::differences(&case.id, &old.facts, &case.facts).into_iter();
        self.facts.extend(facts.map(|row| FactRow { scenario: scenario.clone(), ..row }));
        let mut unsteady = answers::unsteady(&old.facts, &case.facts);
        if sides.is_identical(old, case) {
            unsteady.extend(answers::differing(&old.facts, &case.facts));
        }
        if !unsteady.is_empty() {
            self.warnings.push(answers::unsteady_warning(&case.id, &unsteady));
        }
    }
}

/// Two reports of one machine each.
struct Sides<'a> {
    base: &'a Report,
    new: &'a Report,
    tolerances: &'a Tolerances,
    wants: &'a dyn Fn(&str) -> bool,
}

type Pending = (Row, Option<(Estimate, f64)>);

impl Sides<'_> {
    fn rows(&self, base: &CaseReport, new: &CaseReport) -> Vec<Pending> {
        if [base, new].iter().all(|case| case.outcome.status == Status::Skipped) {
            // Not a doubt: nobody could have measured it.
            let note = format!("{SKIPPED}: {}", new.outcome.detail.as_deref().unwrap_or_default());
            let code = new.outcome.code;
            return vec![(Row { verdict: Verdict::Unchanged, code, ..without_figures(new, &note) }, None)];
        }
        if let Some((code, why)) = failed(base, new) {
            let failed = !new.outcome.expected || !base.outcome.expected;
            // What was right and is wrong now got worse, whatever it takes.
            let broke = base.outcome.expected && !new.outcome.expected && base.outcome.status != Status::Skipped;
            let verdict = if broke { Verdict::Regressed } else { Verdict::Inconclusive };
            return vec![(Row { failed, verdict, code, ..without_figures(new, &why) }, None)];
        }
        let mut rows = Vec::new();
        let unlike = unlike(base, new);
        // The same code that answers otherwise has been asked at another time; that is no change.
        if !self.is_identical(base, new) && !unlike.as_ref().is_some_and(|unlike| unlike.of_input) {
            let differing = answers::differing(&base.facts, &new.facts);
            if !differing.is_empty() {
                rows.push((answers::row(&new.id, differing), None));
            }
        }
        let metrics = PHASES.map(metric_of).into_iter().chain([TRAP_LATENCY.to_owned()]);
        let timed = metrics.filter(|metric| (self.wants)(metric));
        rows.extend(timed.filter_map(|metric| self.row(base, new, &metric, unlike.as_ref())));
        if rows.is_empty() {
            rows.push((self.without_times(base, new), None));
        }
        rows
    }

    /// The same code, run in the same way.
    fn is_identical(&self, base: &CaseReport, new: &CaseReport) -> bool {
        let hash = |case: &CaseReport| case.artifact.as_ref().map(|artifact| artifact.sha256.clone());
        self.base.tools.get("wasmtime") == self.new.tools.get("wasmtime")
            && hash(base).is_some()
            && hash(base) == hash(new)
            && base.n == new.n
            && base.engine_settings == new.engine_settings
            && base.args == new.args
    }

    /// Whether both sides do the same work, so that their kernel counts can be compared.
    fn is_same_work(&self, base: &CaseReport, new: &CaseReport) -> bool {
        failed(base, new).is_none() && unlike(base, new).is_none()
    }

    /// One metric of a case; `None` where neither side has it.
    fn row(&self, base: &CaseReport, new: &CaseReport, metric: &str, unlike: Option<&Unlike>) -> Option<Pending> {
        let of = |case: &CaseReport| case.measurements.iter().find(|found| found.metric == metric).and_then(medians);
        let (old, now) = (of(base), of(new));
        let only_in = match (&old, &now) {
            (None, None) => return None,
            (Some(_), None) => Some(Side::Base),
            (None, Some(_)) => Some(Side::New),
            (Some(_), Some(_)) => None,
        };
        let typical = |medians: &Option<Vec<f64>>| medians.as_deref().and_then(stats::median);
        let row = Row {
            metric: metric.to_owned(),
            unit: "ns".to_owned(),
            base: typical(&old),
            new: typical(&now),
            only_in,
            tolerance: self.tolerances.of(metric),
            ..without_figures(new, "")
        };
        let is_unlike = |unlike: &&Unlike| {
            let of_phase = unlike.phases.iter().any(|phase| metric_of(*phase) == metric);
            of_phase || metric == TRAP_LATENCY && unlike.phases.contains(&Phase::Trap)
        };
        if let Some(unlike) = unlike.filter(is_unlike) {
            return Some((Row { note: Some(unlike.reason.clone()), ..row }, None));
        }
        let (Some(old), Some(now)) = (old, now) else {
            let side = if only_in == Some(Side::New) { "only measured in new" } else { "only measured in base" };
            return Some((Row { note: Some(side.to_owned()), ..row }, None));
        };
        Some(self.timed(base, new, row, (old, now)))
    }

    /// A metric that both sides have.
    fn timed(&self, base: &CaseReport, new: &CaseReport, row: Row, (old, now): (Vec<f64>, Vec<f64>)) -> Pending {
        let identical = self.is_identical(base, new);
        let reference = reference(self.base.reference_of(base), self.new.reference_of(new));
        let estimate = stats::shift(&old, &now);
        let relative = estimate.zip(reference.ok()).map(|(estimate, reference)| estimate.relative_to(&reference));
        let interval = relative.map(|estimate| estimate.interval(1.0 - FALSE_ALARMS));
        let note = match (identical, estimate, &reference) {
            (true, ..) => Some("identical code: a difference is the machine's".to_owned()),
            (_, None, _) => Some(format!(
                "needs at least {} processes on each side, got {} and {} (--processes)",
                stats::UNITS_MIN,
                old.len(),
                now.len()
            )),
            (_, _, Err(why)) => Some((*why).to_owned()),
            _ => None,
        };
        let tolerance = row.tolerance;
        let row = Row {
            ratio: relative.map(|estimate| ratio_of(estimate.centre)),
            ci_low: interval.map(|(low, _)| ratio_of(low)),
            ci_high: interval.map(|(_, high)| ratio_of(high)),
            verdict: if identical { Verdict::Unchanged } else { Verdict::Inconclusive },
            note,
            base_workers: old,
            new_workers: now,
            ..row
        };
        (row, relative.filter(|_| !identical).map(|estimate| (estimate, tolerance)))
    }

    /// A case of which nothing that is compared was measured.
    fn without_times(&self, base: &CaseReport, new: &CaseReport) -> Row {
        let is_experiment = [base, new].iter().any(|case| case.measurements.iter().any(|found| found.spread.is_some()));
        let same = self.is_identical(base, new) && base.facts == new.facts && !is_experiment;
        let (verdict, note) = match same {
            _ if is_experiment => {
                (Verdict::Inconclusive, "what experiments and flows of events measure is not compared")
            }
            true => (Verdict::Unchanged, "nothing to measure, and the facts are the same"),
            false => (Verdict::Inconclusive, "nothing was measured on either side"),
        };
        Row { verdict, ..without_figures(new, note) }
    }
}

/// Which side did not end as it should, and how.
fn failed(base: &CaseReport, new: &CaseReport) -> Option<(Option<Code>, String)> {
    let of_side = |(side, case): (&str, &CaseReport)| {
        let detail = case.outcome.detail.as_deref().unwrap_or_default();
        let ended_well = case.outcome.expected && case.outcome.status != Status::Skipped;
        (!ended_well).then(|| (case.outcome.code, format!("{side}: {}: {detail}", case.outcome.status.name())))
    };
    [("base", base), ("new", new)].into_iter().find_map(of_side)
}

/// Why two cases of one id do not do the same work in some phases. A guest that marks its measured part has an `init` before it.
fn unlike(base: &CaseReport, new: &CaseReport) -> Option<Unlike> {
    let init = metric_of(Phase::Init);
    let is_marked = |case: &CaseReport| case.measurements.iter().any(|measurement| measurement.metric == init);
    let is_measured = |case: &CaseReport| !case.measurements.is_empty();
    unlike::of_sizes_and_arguments((base.n, &base.args), (new.n, &new.args))
        .or_else(|| unlike::of_marks(is_marked(base), is_marked(new)).filter(|_| is_measured(base) && is_measured(new)))
}

#[cfg(test)]
mod tests;
