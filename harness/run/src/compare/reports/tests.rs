//! With reports made by hand.

use super::*;
use crate::merge::merge;
use wasiscope_model::code::Code;
use wasiscope_model::record::{Facts, Outcome};
use wasiscope_render::fixtures::{around, case, machine, report};

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
    assert!(note(good(), case("a", "2", &[100_000])).contains("got 10 and 1"));
    assert!(note(good(), case("a", "2", &[])).contains("only measured in base"));
    assert!(note(case("a", "1", &[]), case("a", "2", &[])).contains("nothing was measured"));
    let sized = CaseReport { n: Some(2), ..good() };
    assert!(note(good(), sized).contains("n 1 in base, 2 in new"));
    let given = CaseReport { args: vec!["x".into()], ..good() };
    assert!(note(good(), given).contains("different arguments: none in base, `x` in new"));
}

#[test]
fn another_answer_comes_first_and_is_never_an_improvement() {
    let reference = || Some(case("reference", "r", &around(50_000)));
    let verdicts = |run_ns: u64| {
        let mut other = case("b", "2", &around(run_ns));
        other.facts.insert("stdout.sha256".into(), "2".into());
        let mut good = case("b", "1", &around(100_000));
        good.facts.insert("stdout.sha256".into(), "1".into());
        let unchanged = || case("a", "1", &around(100_000));
        let (base, new) = (report(vec![unchanged(), good], reference()), report(vec![unchanged(), other], reference()));
        let rows = compare(&base, &new, &Tolerances::default(), &|_| true).rows;
        assert_eq!((rows[0].case.as_str(), &rows[0].answers_differ[..]), ("b", &["stdout.sha256".to_owned()][..]));
        assert!(rows[0].failed && rows[0].verdict == Verdict::Inconclusive, "{:?}", rows[0]);
        assert_eq!((rows[1].case.as_str(), rows[2].case.as_str()), ("b", "a"));
        rows[1].verdict
    };
    assert_eq!((verdicts(50_000), verdicts(200_000)), (Verdict::Inconclusive, Verdict::Regressed));
}

#[test]
fn one_side_that_marks_its_measured_part_leaves_run_without_a_verdict() {
    let init = |mut case: CaseReport| {
        let measurement = Measurement { metric: "phase.init".into(), ..case.measurements[0].clone() };
        case.measurements.push(measurement);
        case
    };
    let (marked, plain) = (init(case("a", "1", &around(100_000))), case("a", "2", &around(500_000)));
    let reference = || Some(case("reference", "r", &around(50_000)));
    let (base, new) = (report(vec![marked], reference()), report(vec![plain], reference()));
    let rows = compare(&base, &new, &Tolerances::default(), &|_| true).rows;
    let shown: Vec<_> = rows.iter().map(|row| (row.metric.as_str(), row.verdict, row.ratio)).collect();
    assert_eq!(shown, [("phase.init", Verdict::Inconclusive, None), ("phase.run", Verdict::Inconclusive, None)]);
    assert!(rows.iter().all(|row| row.note.as_deref().is_some_and(|note| note.starts_with("only base marks"))));
}

#[test]
fn what_fails_now_and_did_not_before_has_regressed_and_not_the_other_way_round() {
    let good = || case("a", "1", &around(100_000));
    let failed = || CaseReport { outcome: Outcome::because(Status::Failed, Code::WrongExitCode, "exit 1"), ..good() };
    let row = only_row(good(), failed(), (50_000, 50_000));
    assert_eq!((row.verdict, row.failed), (Verdict::Regressed, true));
    assert_eq!(row.code, Some(Code::WrongExitCode));
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
    let new = report(vec![case("b", "2", &around(1_000))], None);
    let rows = |base: &Report, new: &Report| compare(base, new, &Tolerances::default(), &|_| true).rows;
    let shown = |rows: Vec<Row>| -> Vec<(String, Option<Side>, Verdict, bool)> {
        rows.into_iter().map(|row| (row.case, row.only_in, row.verdict, row.failed)).collect()
    };
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let only = |case: &String, side| (case.clone(), Some(side), Verdict::Unchanged, false);
    assert_eq!(shown(rows(&base, &new)), [only(&a, Side::Base), only(&b, Side::New)]);
    // A guest that was added and fails is a failure; one that failed and is gone is none.
    let broken =
        CaseReport { outcome: Outcome::because(Status::Failed, Code::WrongExitCode, "exit 1"), ..case("b", "2", &[]) };
    let broken = report(vec![broken], None);
    assert!(shown(rows(&base, &broken)).contains(&(b, Some(Side::New), Verdict::Inconclusive, true)));
    assert!(shown(rows(&broken, &base)).iter().all(|(.., failed)| !failed));
}

#[test]
fn the_same_guest_under_another_name_is_renamed() {
    let base = report(vec![case("a", "1", &around(1_000))], None);
    let new = report(vec![case("b", "1", &around(1_000))], None);
    let rows = compare(&base, &new, &Tolerances::default(), &|_| true).rows;
    assert_eq!((rows.len(), rows[0].renamed_from.as_deref()), (1, Some("a")));
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
    let verdicts: Vec<_> = differences.rows.iter().map(|row| (row.machine.as_deref().unwrap(), row.verdict)).collect();
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
