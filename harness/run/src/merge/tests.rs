use super::*;
use wasiscope_model::report::Git;
use wasiscope_model::report::{CaptureStatus, by_machine};
use wasiscope_render::fixtures::{around, case, machine, report};

fn suite(count: usize) -> Vec<CaseReport> {
    (0..count).map(|index| case(&format!("w{index}/f/e"), &format!("{index}"), &around(1_000))).collect()
}

fn shard(index: u32, count: u32) -> Named {
    let shard = Shard { index, count, suite: "7".into() };
    let reference = case("reference", "r", &around(u64::from(index) * 1_000));
    let mut report = report(shard.of(suite(7)), Some(reference));
    report.shard = Some(shard.clone());
    (format!("{index}.json"), report)
}

fn ids(report: &Report) -> Vec<&str> {
    report.cases().map(|case| case.id.as_str()).collect()
}

#[test]
fn shards_in_any_order_are_the_suite_in_its_order() {
    let merged = merge(vec![shard(3, 3), shard(1, 3), shard(2, 3)], false).unwrap().unwrap();
    assert_eq!(ids(&merged), ids(&report(suite(7), None)));
    assert_eq!(merged.shard, None);
    // Each case keeps the reference that ran beside it.
    let reference_of = |index: usize| merged.reference_of(merged.cases().nth(index).unwrap()).unwrap();
    let median = |case: &CaseReport| case.measurements[0].summary.median.round();
    assert_eq!([0, 1, 2, 3].map(|index| (median(reference_of(index)) / 1_000.0).floor()), [1.0, 2.0, 3.0, 1.0]);
}

#[test]
fn a_missing_shard_is_an_error_unless_it_is_said() {
    let parts = || vec![shard(1, 3), shard(3, 3)];
    let missing = Conflict::Missing(vec![Shard { index: 2, count: 3, suite: "7".into() }]);
    assert_eq!(merge(parts(), false).unwrap_err(), missing);
    assert_eq!(merge(parts(), true).unwrap().unwrap().cases().count(), 5);
}

#[test]
fn one_shard_alone_is_no_suite_and_what_was_missing_can_be_added() {
    let two = Shard { index: 2, count: 3, suite: "7".into() };
    let three = Shard { index: 3, ..two.clone() };
    assert_eq!(merge(vec![shard(1, 3)], false).unwrap_err(), Conflict::Missing(vec![two, three]));
    let part = merge(vec![shard(1, 3), shard(3, 3)], true).unwrap().unwrap();
    let whole = merge(vec![("part.json".into(), part), shard(2, 3)], false).unwrap().unwrap();
    assert_eq!(ids(&whole), ids(&report(suite(7), None)));
    let files: Vec<&str> = whole.sources.iter().map(|source| source.report.as_str()).collect();
    assert_eq!(files, ["1.json", "2.json", "3.json"]);
}

#[test]
fn parts_of_different_suites_are_not_one() {
    let (name, mut other) = shard(2, 2);
    other.shard.as_mut().unwrap().suite = "another".into();
    assert!(
        matches!(merge(vec![shard(1, 2), (name, other)], false), Err(Conflict::Missing(missing)) if missing.len() == 2)
    );
}

#[test]
fn shards_that_are_there_twice_are_a_conflict_on_one_machine_only() {
    let on = |name: &str, (file, report): Named| {
        (format!("{name}-{file}"), Report { machine: machine(Some(name)), ..report })
    };
    let twice = vec![shard(1, 2), shard(2, 2), shard(2, 2)];
    assert!(matches!(merge(twice, false), Err(Conflict::Twice { .. })));
    let two = vec![on("a", shard(1, 2)), on("b", shard(1, 2)), on("a", shard(2, 2)), on("b", shard(2, 2))];
    let merged = merge(two, false).unwrap().unwrap();
    assert_eq!(merged.cases().count(), 14);
    let machines = by_machine(&merged);
    let labels: Vec<String> = machines.iter().map(|report| report.machine.label()).collect();
    assert_eq!(labels, ["a", "b"]);
    for machine in &machines {
        assert_eq!(ids(machine), ids(&report(suite(7), None)));
        assert!(machine.cases().all(|case| machine.reference_of(case).is_some()));
    }
}

#[test]
fn one_machine_cannot_have_run_a_case_twice() {
    let named = |name: &str| (name.to_owned(), report(suite(1), None));
    let Err(Conflict::Twice { case, one, other, .. }) = merge(vec![named("a"), named("b")], false) else {
        panic!("a conflict");
    };
    assert_eq!((case.as_str(), one.as_str(), other.as_str()), ("w0/f/e", "a", "b"));
}

#[test]
fn another_guest_of_the_same_case_is_a_conflict_between_machines() {
    let on = |name: &str, hash: &str| {
        let report = report(vec![case("w/f/e", hash, &around(1_000))], None);
        (name.to_owned(), Report { machine: machine(Some(name)), ..report })
    };
    assert!(merge(vec![on("a", "1"), on("b", "1")], false).is_ok());
    assert!(matches!(merge(vec![on("a", "1"), on("b", "2")], false), Err(Conflict::OtherGuest { .. })));
}

#[test]
fn reports_of_different_commits_are_not_one() {
    let at = |commit: &str, id: &str| {
        let git = Some(Git { commit: commit.to_owned(), dirty: false });
        (commit.to_owned(), Report { git, ..report(vec![case(id, "1", &around(1_000))], None) })
    };
    let Err(Conflict::Differ { what, in_one, in_other, .. }) =
        merge(vec![at("aaa", "a/f/e"), at("bbb", "b/f/e")], false)
    else {
        panic!("a conflict");
    };
    assert_eq!((what, in_one.as_str(), in_other.as_str()), ("the commit", "aaa", "bbb"));
}

#[test]
fn what_was_lost_anywhere_is_lost() {
    let (mut one, other) = (shard(1, 2), shard(2, 2));
    one.1.capture.status = CaptureStatus::Live;
    one.1.capture.ledger.map_full = 3;
    let merged = merge(vec![one, other], false).unwrap().unwrap();
    assert_eq!(merged.capture.status, CaptureStatus::Off);
    assert_eq!(merged.capture.ledger.map_full, 3);
    assert!(merged.capture.reason.is_some_and(|reason| reason.contains("2.json")));
}

#[test]
fn the_whole_takes_from_the_first_start_to_the_last_end() {
    let (one, mut other) = (shard(1, 2), shard(2, 2));
    other.1.started_at = "2026-11-24T00:00:10Z".into();
    let merged = merge(vec![other, one], false).unwrap().unwrap();
    assert_eq!((merged.started_at.as_str(), merged.duration_s), ("2026-11-24T00:00:00Z", 11.0));
}

#[test]
fn shards_deal_a_suite_out_without_rest() {
    let dealt: Vec<u32> =
        (1..=3).flat_map(|index| Shard { index, count: 3, suite: String::new() }.of((0..10).collect())).collect();
    assert_eq!(dealt, [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]);
    for (text, part) in [("0/3", "no shard 0 of 3"), ("4/3", "no shard 4"), ("1", "as in 1/3"), ("a/b", "as in 1/3")] {
        assert!(text.parse::<Shard>().unwrap_err().contains(part), "{text}");
    }
}
