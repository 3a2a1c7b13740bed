use std::path::Path;

use crate::parse;
use wasiscope_scenario::plan::Case;
use wasiscope_scenario::{BoundsChecks, Flavour, OwnGuest, ScenarioError};

const GOOD: &str = "\
name: startup
description: What a guest costs before it does any work.
kind: workload
workloads: [hello, {name: sha256, n: 4096}]
flavours: [tinygo-like, std]
engines: [cranelift, {name: mine, compiler: cranelift, bounds_checks: explicit}]
processes: 4
iterations: 5
limits: {wall: 2s, memory: 64MiB}
expect: {outcome: ok}
tolerance: {phase.instantiate: 3%}
";

fn error_of(text: &str) -> String {
    match parse(Path::new("scenarios/startup.yaml"), text) {
        Err(ScenarioError::Invalid { text, .. }) => text,
        other => panic!("expected an invalid scenario, got {other:?}"),
    }
}

/// The error must point at `line:column` of the file and say all of `parts`.
fn assert_points(text: &str, place: &str, parts: &[&str]) {
    let error = error_of(text);
    assert!(error.contains(&format!("scenarios/startup.yaml:{place}")), "no place {place} in:\n{error}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in:\n{error}");
    }
}

#[test]
fn a_good_file_is_read_whole() {
    let scenario = parse(Path::new("startup.yaml"), GOOD).expect("valid");
    assert_eq!(scenario.workloads[1].n, 4096);
    assert_eq!(scenario.flavours, [Flavour::TinygoLike, Flavour::Std]);
    assert_eq!(scenario.engines[1].name, "mine");
    assert_eq!(scenario.engines[1].settings.map(|settings| settings.bounds_checks), Some(BoundsChecks::Explicit));
    assert_eq!((scenario.processes, scenario.iterations), (4, 5));
    assert_eq!(scenario.limits.memory_bytes, 64 << 20);
    assert_eq!(scenario.limits.wall.as_secs(), 2);
    assert_eq!(scenario.tolerance["phase.instantiate"], 0.03);
}

#[test]
fn unknown_keys_are_named_with_the_nearest_valid_one() {
    let text = GOOD.replace("processes:", "proceses:");
    assert_points(&text, "7:1", &["unknown field `proceses`", "did you mean `processes`?"]);
    let text = GOOD.replace("wall: 2s", "wal: 2s");
    assert_points(&text, "9:", &["unknown field `wal`", "did you mean `wall`?"]);
}

#[test]
fn unknown_names_are_named_with_the_nearest_valid_one() {
    assert_points(&GOOD.replace("[hello,", "[helo,"), "4:13", &["unknown workload `helo`", "did you mean `hello`?"]);
    assert_points(&GOOD.replace("name: sha256", "name: sha265"), "4:", &["`sha265`", "did you mean `sha256`?"]);
    assert_points(&GOOD.replace("std]", "stdd]"), "5:", &["unknown flavour `stdd`", "did you mean `std`?"]);
    assert_points(&GOOD.replace("[cranelift,", "[cranlift,"), "6:", &["`cranlift`", "did you mean `cranelift`?"]);
    assert_points(&GOOD.replace("phase.inst", "phase.isnt"), "11:", &["unknown metric", "`phase.instantiate`?"]);
    assert_points(&GOOD.replace("kind: workload", "kind: worklaod"), "3:", &["did you mean `workload`?"]);
}

#[test]
fn wrong_types_point_at_the_value() {
    assert_points(&GOOD.replace("processes: 4", "processes: many"), "7:12", &["invalid type"]);
    assert_points(&GOOD.replace("processes: 4", "processes: 0"), "7:", &["0 is not between 1 and"]);
    assert_points(&GOOD.replace("n: 4096", "n: -1"), "4:", &["invalid type: integer `-1`"]);
    assert_points(&GOOD.replace("2s", "soon"), "9:", &["`soon` is not a duration"]);
    assert_points(&GOOD.replace("64MiB", "lots"), "9:", &["`lots` is not a size"]);
    assert_points(&GOOD.replace("3%", "3"), "11:", &["is not a percentage: write `3%`"]);
}

#[test]
fn what_ends_behind_a_line_or_the_file_points_at_the_last_thing_written() {
    let text = format!("{GOOD}a\n");
    assert_points(&text, "12:1", &["could not find expected ':'"]);
    assert_points("name: a\ncargo: {\"\":\n  x}\n", "2:9", &["unknown field ``"]);
}

#[test]
fn limits_that_no_clock_can_keep_are_refused() {
    assert_points(&GOOD.replace("2s", "584542046090years"), "9:", &["is longer than a year"]);
}

#[test]
fn what_cannot_be_a_part_of_an_id_is_refused() {
    assert_points(&GOOD.replace("name: mine", "name: \"a\\tb\""), "6:", &["cannot name an engine"]);
    assert_points("name: a\ncargo: {dir: ., bin: a/b}\n", "2:22", &["`a/b` cannot be a binary"]);
    assert_points("name: a\nwasm: ..\n", "2:7", &["cannot be a guest"]);
}

#[test]
fn impossible_combinations_are_refused() {
    assert_points(&GOOD.replace("[tinygo-like, std]", "[std, std]"), "5:", &["listed twice"]);
    assert_points(&GOOD.replace("name: mine", "name: cranelift"), "6:", &["is a preset with other settings"]);
    assert_points(&GOOD.replace("outcome: ok", "outcome: trapped, check: 00"), "10:", &["prints no check"]);
    assert_points(&GOOD.replace("[hello, {name: sha256, n: 4096}]", "[]"), "4:", &["the list is empty"]);
}

#[test]
fn what_is_not_yaml_at_all_is_an_error_too() {
    assert!(error_of("name: [unclosed").contains("scenarios/startup.yaml"));
    for nothing in ["", "\n", "\n\n", " \n\u{2028}"] {
        assert!(error_of(nothing).starts_with("scenarios/startup.yaml: "), "{}", error_of(nothing));
    }
    assert!(error_of("just text").contains("scenarios/startup.yaml"));
}

#[test]
fn a_scenario_can_bring_its_own_guest() {
    let text = "name: mine\nwasm: guests/a.wasm\nargs: [x]\n";
    let scenario = parse(Path::new("some/where/mine.yaml"), text).expect("valid");
    assert_eq!(scenario.own, Some(OwnGuest::Wasm("some/where/guests/a.wasm".into())));
    assert_eq!(scenario.args, ["x"]);
    let text = "name: mine\ncargo: {dir: .., bin: app}\n";
    let scenario = parse(Path::new("mine.yaml"), text).expect("valid");
    let Some(OwnGuest::Cargo(cargo)) = scenario.own else { panic!("{:?}", scenario.own) };
    assert_eq!((cargo.target.as_str(), cargo.profile.as_str()), ("wasm32-wasip1", "release"));
}

#[test]
fn a_guest_of_its_own_and_the_catalogue_exclude_each_other() {
    assert_points(&GOOD.replace("kind: workload", "wasm: a.wasm"), "4:", &["has no workloads and no flavours"]);
    assert_points(&GOOD.replace("kind: workload", "args: [x]"), "3:", &["are for a guest of the scenario's own"]);
    assert_points("name: a\nflavours: [std]\n", "1:", &["`workloads` is missing"]);
    assert_points("name: a\nwasm: a.wasm\ncargo: {dir: ., bin: a}\n", "3:", &["brings along one guest"]);
    assert_points("name: a\ncargo: {dir: ., bin: a, profil: dev}\n", "2:", &["did you mean `profile`?"]);
}

fn ids(cases: &[Case]) -> Vec<String> {
    cases.iter().map(Case::id).collect()
}

const TRAPS: &str = "\
name: edges
kind: traps
engines: [cranelift, cranelift-checked]
";

#[test]
fn a_scenario_of_traps_needs_no_more_than_its_engines() {
    let scenario = parse(Path::new("edges.yaml"), TRAPS).expect("valid");
    let cases = scenario.cases();
    let has = |workload: &str| cases.iter().any(|case| case.workload == workload);
    assert!(["other-traps", "mistake-abort", "depth-1"].into_iter().all(has), "{:?}", ids(&cases));
    assert!(!scenario.prices().is_empty());
    let priced: Vec<&str> = scenario.workloads.iter().map(|workload| workload.name.as_str()).collect();
    assert_eq!((scenario.kind.name(), priced), ("traps", vec!["sort", "matmul", "json"]));
    assert_eq!(scenario.flavours, [Flavour::TinygoLike, Flavour::Std]);
}

#[test]
fn what_does_not_belong_into_a_scenario_of_traps_is_refused_where_it_stands() {
    let with = |line: &str| format!("{TRAPS}{line}\n");
    assert_points(&with("parts: [matrx]"), "4:", &["unknown variant `matrx`", "did you mean `matrix`?"]);
    assert_points(&with("parts: [timers]"), "4:", &["unknown variant `timers`"]);
    assert_points(&with("parts: [latency, latency]"), "4:", &["part `latency` is listed twice"]);
    assert_points(&with("parts: [latency]\nshare: full"), "5:", &["`share` is that of the part `matrix`"]);
    assert_points(&with("parts: [matrix]\nworkloads: [sort]"), "5:", &["`workloads` are for the part `price`"]);
    assert_points(
        &with("parts: [latency]\nflavours: [std]"),
        "5:",
        &["for the parts mistakes, price, of which none is listed"],
    );
    assert_points(&with("flavours: [go]"), "4:", &["write some of `tinygo-like`, `std`"]);
    assert_points(&with("args: [a]"), "4:", &["`args` is not for scenarios of `kind: traps`"]);
    assert_points(&with("expect: {outcome: trapped}"), "4:", &["`expect` is not for scenarios of `kind: traps`"]);
    let unpaired = "name: edges\nkind: traps\nparts: [price]\nengines: [cranelift, pulley]\n";
    assert_points(unpaired, "3:", &["the part `price` needs an engine that makes checks"]);
    assert_points(&GOOD.replace("processes: 4", "parts: [matrix]"), "7:", &["is for scenarios of `kind: traps`"]);
}

#[test]
fn a_section_and_the_old_spelling_mean_the_same_and_the_old_one_is_named() {
    let with = |line: &str| parse(Path::new("edges.yaml"), &format!("{TRAPS}{line}\n")).expect("valid");
    let (new, old) = (with("traps: {parts: [matrix], share: full}"), with("parts: [matrix]\nshare: full"));
    assert_eq!(ids(&new.cases()), ids(&old.cases()));
    assert_eq!((new.warnings.len(), old.warnings.len()), (0, 1));
    assert!(old.warnings[0].contains("`traps: {parts: …, share: …}`"), "{:?}", old.warnings);
}

#[test]
fn what_is_wrong_in_a_section_is_shown_where_it_stands() {
    let with = |lines: &str| format!("{TRAPS}{lines}\n");
    assert_points(&with("traps: {prts: [matrix]}"), "4:", &["unknown field `prts`", "did you mean `parts`?"]);
    assert_points(&with("traps:\n  parts: [latency]\n  share: full"), "6:3", &["`share` is that of the part"]);
    assert_points(&with("traps: {share: full}\nparts: [matrix]"), "5:", &["belongs into the section `traps`"]);
    assert_points(&with("pipeline: {calls: [read]}"), "4:", &["is for scenarios of `kind: pipeline`"]);
    assert_points(&with("traps: full"), "4:", &["invalid type"]);
    assert_points(&with("traps: {share: full}\ntraps: {share: full}"), "1:", &["duplicate field `traps`"]);
    assert_points(&with("workload: {a: 1}"), "4:", &["is for scenarios of `kind: workload`"]);
}
