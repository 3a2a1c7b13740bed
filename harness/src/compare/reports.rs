//! Two reports of different times. A block design: whatever the machine did in between looks like a change. So the
//! reference case is taken off, the interval is widened, and "cannot tell" is said often; comparing revisions is the
//! way to be sure.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::Phase;

use super::{
    Comparison, FactRow, KernelRow, Row, SCHEMA_VERSION, SKIPPED, SideReport, Tolerances, facts, kernel, overall,
    ratio_of,
};
use crate::merge::by_machine;
use crate::record::{Status, TRAP_LATENCY, metric_of};
use crate::report::Report;
use crate::report::document::{CaseReport, Measurement};
use crate::stats::{self, Estimate, FALSE_ALARMS, Verdict};

/// The phases that say something of a guest.
const PHASES: [Phase; 6] =
    [Phase::Compile, Phase::InstantiateCold, Phase::Instantiate, Phase::Init, Phase::Run, Phase::Trap];

/// What two reports say of each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// Facts that differ.
    pub facts: Vec<FactRow>,
    /// Every metric of every case.
    pub rows: Vec<Row>,
    /// What the kernel did otherwise.
    pub kernel: Vec<KernelRow>,
    /// What differs besides the guests.
    pub warnings: Vec<String>,
}

impl Differences {
    /// The document that they are, between these two.
    #[must_use]
    pub fn between(self, base: SideReport, new: SideReport) -> Comparison {
        Comparison {
            schema_version: SCHEMA_VERSION,
            wasiscope: env!("CARGO_PKG_VERSION").to_owned(),
            base,
            new,
            verdict: overall(&self.rows),
            seed: None,
            confidence: 1.0 - FALSE_ALARMS,
            interrupted: false,
            budget_spent: false,
            warnings: self.warnings,
            facts: self.facts,
            rows: self.rows,
            kernel: self.kernel,
        }
    }
}

/// Otherwise the figures would seem to contradict each other.
const NORMALISED: &str =
    "base and new are as measured; the change is what is left when that of the reference case is taken off";

/// Advice for whoever wants to know better.
const ADVICE: &str = "to be sure, compare the revisions or the .wasm files: both sides then run in the same workers";

/// Compares two reports; cases are matched by scenario and id.
#[must_use]
pub fn compare(base: &Report, new: &Report, tolerances: &Tolerances, wants: &dyn Fn(&str) -> bool) -> Differences {
    let (pairs, alone) = machines(base, new);
    let mut differences = Differences { warnings: alone, ..Differences::default() };
    let mut pending: Vec<(Row, Option<(Estimate, f64)>)> = Vec::new();
    let mut in_both = false;
    for (base, new) in &pairs {
        let of_machine = |line: String| if pairs.len() > 1 { format!("{}: {line}", new.machine.label()) } else { line };
        differences.warnings.extend(warnings(base, new).into_iter().map(of_machine));
        let (old_cases, new_cases) = (by_name(base), by_name(new));
        in_both |= old_cases.keys().any(|name| new_cases.contains_key(name));
        let from = pending.len();
        for (name, old) in &old_cases {
            let Some(case) = new_cases.get(name) else {
                pending.push((missing(old, "only in base"), None));
                continue;
            };
            let sides = Sides { base, new, tolerances, wants };
            let seen = old.kernel.as_ref().zip(case.kernel.as_ref()).filter(|_| incomparable(old, case).is_none());
            let unlike = seen.map(|(old, now)| kernel::differences(&case.id, old, now)).unwrap_or_default();
            differences.facts.extend(facts::differences(&case.id, &old.facts, &case.facts));
            // Where an id is not enough to tell rows apart.
            let is_ambiguous = old_cases.keys().filter(|(_, id)| *id == name.1).count() > 1;
            let scenario = is_ambiguous.then(|| name.0.to_owned());
            let machine = (pairs.len() > 1).then(|| new.machine.label());
            let named = |row| KernelRow { scenario: scenario.clone(), machine: machine.clone(), ..row };
            differences.kernel.extend(unlike.into_iter().map(named));
            let of_scenario = sides.rows(old, case).into_iter();
            pending.extend(of_scenario.map(|(row, member)| (Row { scenario: scenario.clone(), ..row }, member)));
        }
        for (_, case) in new_cases.iter().filter(|(name, _)| !old_cases.contains_key(*name)) {
            pending.push((missing(case, "only in new"), None));
        }
        if pairs.len() > 1 {
            let machine = new.machine.label();
            pending[from..].iter_mut().for_each(|(row, _)| row.machine = Some(machine.clone()));
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
pub(crate) fn medians(measurement: &Measurement) -> Option<Vec<f64>> {
    let warm = |process: &Vec<f64>| process.iter().skip(measurement.warm_up).copied().collect::<Vec<f64>>();
    let medians: Vec<f64> = measurement.samples.iter().filter_map(|process| stats::median(&warm(process))).collect();
    (!medians.is_empty()).then_some(medians)
}

fn by_name(report: &Report) -> BTreeMap<(&str, &str), &CaseReport> {
    let cases = report
        .scenarios
        .iter()
        .flat_map(|scenario| scenario.cases.iter().map(|case| ((scenario.name.as_str(), case.id.as_str()), case)));
    cases.collect()
}

fn missing(case: &CaseReport, note: &str) -> Row {
    Row::without_figures(&case.id, Verdict::Inconclusive, note)
}

/// Two reports of one machine each.
struct Sides<'a> {
    base: &'a Report,
    new: &'a Report,
    tolerances: &'a Tolerances,
    wants: &'a dyn Fn(&str) -> bool,
}

impl Sides<'_> {
    fn rows(&self, base: &CaseReport, new: &CaseReport) -> Vec<(Row, Option<(Estimate, f64)>)> {
        let Self { tolerances, wants, .. } = self;
        let reference = reference(self.base.reference_of(base), self.new.reference_of(new));
        let reference = reference.as_ref();
        let same_engine = self.base.tools.get("wasmtime") == self.new.tools.get("wasmtime");
        if [base, new].iter().all(|case| case.outcome.status == Status::Skipped) {
            // Not a doubt: nobody could have measured it.
            let note = format!("{SKIPPED}: {}", new.outcome.detail.as_deref().unwrap_or_default());
            return vec![(Row { verdict: Verdict::Unchanged, ..missing(new, &note) }, None)];
        }
        if let Some(why) = incomparable(base, new) {
            let failed = !new.outcome.expected || !base.outcome.expected;
            // What was right and is wrong now got worse, whatever it takes.
            let broke = base.outcome.expected && !new.outcome.expected && base.outcome.status != Status::Skipped;
            let verdict = if broke { Verdict::Regressed } else { Verdict::Inconclusive };
            return vec![(Row { failed, verdict, ..missing(new, &why) }, None)];
        }
        let hash = |case: &CaseReport| case.artifact.as_ref().map(|artifact| artifact.sha256.clone());
        let identical = same_engine
            && hash(base).is_some()
            && hash(base) == hash(new)
            && base.engine_settings == new.engine_settings
            && base.args == new.args;
        let mut rows = Vec::new();
        let metrics = PHASES.map(metric_of).into_iter().chain([TRAP_LATENCY.to_owned()]);
        for metric in metrics.filter(|metric| wants(metric)) {
            let of =
                |case: &CaseReport| case.measurements.iter().find(|found| found.metric == metric).and_then(medians);
            let (old, now) = (of(base), of(new));
            let (old, now) = match (old, now) {
                (None, None) => continue,
                (Some(old), Some(now)) => (old, now),
                (old, _) => {
                    let side = if old.is_none() { "only measured in new" } else { "only measured in base" };
                    rows.push((Row { metric, ..missing(new, side) }, None));
                    continue;
                }
            };
            let tolerance = tolerances.of(&metric);
            let estimate = stats::shift(&old, &now);
            let relative =
                estimate.zip(reference.ok().copied()).map(|(estimate, reference)| estimate.relative_to(&reference));
            let interval = relative.map(|estimate| estimate.interval(1.0 - FALSE_ALARMS));
            let note = match (identical, estimate, reference) {
                (true, ..) => Some("identical code: a difference is the machine's".to_owned()),
                (_, None, _) => Some(format!(
                    "{} and {} processes: fewer than {} say nothing (--processes)",
                    old.len(),
                    now.len(),
                    stats::UNITS_MIN
                )),
                (_, _, Err(why)) => Some((*why).to_owned()),
                _ => None,
            };
            let verdict = if identical { Verdict::Unchanged } else { Verdict::Inconclusive };
            let row = Row {
                metric,
                unit: "ns".to_owned(),
                base: stats::median(&old),
                new: stats::median(&now),
                ratio: relative.map(|estimate| ratio_of(estimate.centre)),
                ci_low: interval.map(|(low, _)| ratio_of(low)),
                ci_high: interval.map(|(_, high)| ratio_of(high)),
                verdict,
                note,
                tolerance,
                base_workers: old,
                new_workers: now,
                ..missing(new, "")
            };
            rows.push((row, relative.filter(|_| !identical).map(|estimate| (estimate, tolerance))));
        }
        if rows.is_empty() {
            let is_experiment =
                [base, new].iter().any(|case| case.measurements.iter().any(|found| found.spread.is_some()));
            let same = identical && base.facts == new.facts && !is_experiment;
            let (verdict, note) = match same {
                _ if is_experiment => {
                    (Verdict::Inconclusive, "what experiments and flows of events measure is not compared")
                }
                true => (Verdict::Unchanged, "nothing to measure, and the facts are the same"),
                false => (Verdict::Inconclusive, "nothing was measured on either side"),
            };
            rows.push((Row { verdict, ..missing(new, note) }, None));
        }
        rows
    }
}

/// Why two cases of one id are not the same work.
fn incomparable(base: &CaseReport, new: &CaseReport) -> Option<String> {
    for (side, case) in [("base", base), ("new", new)] {
        if !case.outcome.expected || case.outcome.status == Status::Skipped {
            let detail = case.outcome.detail.as_deref().unwrap_or_default();
            return Some(format!("{side}: {}: {detail}", case.outcome.status.name()));
        }
    }
    if base.n != new.n {
        let shown = |n: Option<u64>| n.map_or("none".to_owned(), |n| n.to_string());
        return Some(format!("different sizes: n {} in base, {} in new", shown(base.n), shown(new.n)));
    }
    (base.facts.get("check") != new.facts.get("check"))
        .then(|| "the checks differ: the two do different work".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::merge;
    use crate::record::{Facts, Outcome};
    use crate::report::fixtures::{around, case, machine, report};

    fn only_row(base: CaseReport, new: CaseReport, references: (u64, u64)) -> Row {
        let reference = |centre| Some(case("reference", "r", &around(centre)));
        let (base, new) = (report(vec![base], reference(references.0)), report(vec![new], reference(references.1)));
        let mut rows = compare(&base, &new, &Tolerances::default(), &|_| true).rows;
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    #[test]
    fn a_slow_machine_is_not_a_slow_guest() {
        let row = only_row(case("a", "1", &around(100_000)), case("a", "2", &around(120_000)), (50_000, 60_000));
        assert_eq!(row.verdict, Verdict::Inconclusive, "{row:?}");
        assert!(row.ratio.is_some_and(|ratio| (ratio - 1.0).abs() < 0.01), "{row:?}");
        let row = only_row(case("a", "1", &around(100_000)), case("a", "2", &around(120_000)), (50_000, 50_000));
        assert_eq!(row.verdict, Verdict::Regressed, "{row:?}");
    }

    #[test]
    fn identical_code_cannot_have_regressed() {
        let row = only_row(case("a", "1", &around(100_000)), case("a", "1", &around(150_000)), (50_000, 50_000));
        assert_eq!(row.verdict, Verdict::Unchanged);
        assert!(row.note.is_some_and(|note| note.starts_with("identical code")));
    }

    #[test]
    fn what_cannot_be_compared_says_why_and_gets_no_verdict() {
        let good = || case("a", "1", &around(100_000));
        let note = |base: CaseReport, new: CaseReport| {
            let row = only_row(base, new, (50_000, 50_000));
            assert_eq!(row.verdict, Verdict::Inconclusive, "{row:?}");
            row.note.expect("a reason")
        };
        assert!(note(good(), case("a", "2", &[100_000])).contains("10 and 1 processes"));
        assert!(note(good(), case("a", "2", &[])).contains("only measured in base"));
        assert!(note(case("a", "1", &[]), case("a", "2", &[])).contains("nothing was measured"));
        let mut other = case("a", "2", &around(100_000));
        other.facts.insert("check".into(), "2".into());
        assert!(note(good(), other).contains("checks differ"));
    }

    #[test]
    fn what_fails_now_and_did_not_before_has_regressed_and_not_the_other_way_round() {
        let good = || case("a", "1", &around(100_000));
        let failed = || CaseReport { outcome: Outcome::because(Status::Failed, "exit 1"), ..good() };
        let row = only_row(good(), failed(), (50_000, 50_000));
        assert_eq!((row.verdict, row.failed), (Verdict::Regressed, true));
        assert!(row.note.is_some_and(|note| note.contains("new: failed: exit 1")));
        let row = only_row(failed(), good(), (50_000, 50_000));
        assert_eq!((row.verdict, row.failed), (Verdict::Inconclusive, true));
    }

    #[test]
    fn checks_have_nothing_to_measure_and_are_compared_by_their_facts() {
        let check = |passed: u64| {
            let mut check = case("loads/generated/cranelift", "1", &[]);
            check.facts = Facts::from([("cells.passed".into(), passed.into())]);
            check
        };
        assert_eq!(only_row(check(7), check(7), (50_000, 50_000)).verdict, Verdict::Unchanged);
        assert_eq!(only_row(check(7), check(8), (50_000, 50_000)).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn cases_of_one_side_only_are_named() {
        let base = report(vec![case("a", "1", &around(1_000))], None);
        let new = report(vec![case("b", "1", &around(1_000))], None);
        let rows = compare(&base, &new, &Tolerances::default(), &|_| true).rows;
        let shown: Vec<_> = rows.iter().map(|row| (row.case.as_str(), row.note.as_deref())).collect();
        assert_eq!(shown, [("a", Some("only in base")), ("b", Some("only in new"))]);
    }

    #[test]
    fn machines_are_compared_each_with_itself() {
        let both = |fast: u64, slow: u64| {
            let on = |name: &str, hash: &str, run_ns: u64| {
                let reference = Some(case("reference", "r", &around(50_000)));
                let report = report(vec![case("a", hash, &around(run_ns))], reference);
                (name.to_owned(), Report { machine: machine(Some(name)), ..report })
            };
            let hash = format!("{fast}{slow}");
            merge(vec![on("fast", &hash, fast), on("slow", &hash, slow)], false).unwrap().unwrap()
        };
        let (base, new) = (both(100_000, 300_000), both(100_100, 360_000));
        let differences = compare(&base, &new, &Tolerances::default(), &|_| true);
        let verdicts: Vec<_> =
            differences.rows.iter().map(|row| (row.machine.as_deref().unwrap(), row.verdict)).collect();
        assert_eq!(verdicts, [("fast", Verdict::Unchanged), ("slow", Verdict::Regressed)], "{:#?}", differences.rows);
        let alone = compare(&base, &report(vec![], None), &Tolerances::default(), &|_| true);
        assert!(alone.warnings.iter().any(|warning| warning == "only in base: fast"), "{:?}", alone.warnings);
    }

    #[test]
    fn without_a_reference_there_is_no_verdict() {
        let base = report(vec![case("a", "1", &around(1_000))], None);
        let new = report(vec![case("a", "2", &around(2_000))], None);
        let differences = compare(&base, &new, &Tolerances::default(), &|_| true);
        assert_eq!(differences.rows[0].verdict, Verdict::Inconclusive);
        assert_eq!(differences.rows[0].note.as_deref(), Some("a side has no reference case"));
    }
}
