use std::path::Path;

use crate::parse;
use wasiscope_ebpf_abi::Phase;
use wasiscope_model::code::Code;
use wasiscope_model::metrics;
use wasiscope_scenario::plan::{Case, GuestSource};
use wasiscope_scenario::{BoundsChecks, Flavour, OwnGuest, OwnSource, ScenarioError};

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

fn error_of(text: &str) -> (Code, String) {
    match parse(Path::new("scenarios/startup.yaml"), text) {
        Err(ScenarioError::Invalid { code, text }) => (code, text),
        other => panic!("expected an invalid scenario, got {other:?}"),
    }
}

/// The error has this code, points at `line:column` of the file, and names all of `parts`.
#[track_caller]
fn assert_points(text: &str, place: &str, code: Code, parts: &[&str]) {
    let (found, error) = error_of(text);
    assert_eq!(found, code, "{error}");
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
    assert_points(&text, "7:1", Code::UnknownKey, &["`proceses`", "did you mean `processes`?"]);
    let text = GOOD.replace("wall: 2s", "wal: 2s");
    assert_points(&text, "9:", Code::UnknownKey, &["`wal`", "did you mean `wall`?"]);
}

#[test]
fn unknown_names_are_named_with_the_nearest_valid_one() {
    assert_points(&GOOD.replace("[hello,", "[helo,"), "4:13", Code::UnknownName, &["`helo`", "did you mean `hello`?"]);
    assert_points(
        &GOOD.replace("name: sha256", "name: sha265"),
        "4:",
        Code::UnknownName,
        &["`sha265`", "did you mean `sha256`?"],
    );
    assert_points(&GOOD.replace("std]", "stdd]"), "5:", Code::UnknownName, &["`stdd`", "did you mean `std`?"]);
    assert_points(
        &GOOD.replace("[cranelift,", "[cranlift,"),
        "6:",
        Code::UnknownName,
        &["`cranlift`", "did you mean `cranelift`?"],
    );
    assert_points(
        &GOOD.replace("phase.inst", "phase.isnt"),
        "11:",
        Code::UnknownName,
        &["did you mean `phase.instantiate`?"],
    );
    assert_points(
        &GOOD.replace("kind: workload", "kind: worklaod"),
        "3:",
        Code::UnknownName,
        &["did you mean `workload`?"],
    );
}

#[test]
fn wrong_types_point_at_the_value() {
    assert_points(&GOOD.replace("processes: 4", "processes: many"), "7:12", Code::InvalidScenario, &["\"many\""]);
    assert_points(&GOOD.replace("processes: 4", "processes: 0"), "7:", Code::InvalidScenario, &["0", "1"]);
    assert_points(&GOOD.replace("n: 4096", "n: -1"), "4:", Code::InvalidScenario, &["`-1`"]);
    assert_points(&GOOD.replace("2s", "soon"), "9:", Code::InvalidScenario, &["`soon`"]);
    assert_points(&GOOD.replace("64MiB", "lots"), "9:", Code::InvalidScenario, &["`lots`"]);
    assert_points(&GOOD.replace("3%", "3"), "11:", Code::InvalidScenario, &["`3%`"]);
}

#[test]
fn what_ends_behind_a_line_or_the_file_points_at_the_last_thing_written() {
    let text = format!("{GOOD}a\n");
    assert_points(&text, "12:1", Code::InvalidScenario, &["':'"]);
    assert_points("name: a\ncargo: {\"\":\n  x}\n", "2:9", Code::InvalidScenario, &["``"]);
}

#[test]
fn limits_that_no_clock_can_keep_are_refused() {
    assert_points(&GOOD.replace("2s", "584542046090years"), "9:", Code::InvalidScenario, &["584542046090years"]);
}

#[test]
fn what_cannot_be_a_part_of_an_id_is_refused() {
    assert_points(&GOOD.replace("name: mine", "name: \"a\\tb\""), "6:", Code::InvalidScenario, &["engine"]);
    assert_points("name: a\ncargo: {dir: ., bin: a/b}\n", "2:22", Code::InvalidScenario, &["`a/b`"]);
    assert_points("name: a\nwasm: ..\n", "2:7", Code::InvalidScenario, &["`..`"]);
}

#[test]
fn impossible_combinations_are_refused() {
    assert_points(&GOOD.replace("[tinygo-like, std]", "[std, std]"), "5:", Code::InvalidScenario, &["`std`"]);
    assert_points(&GOOD.replace("name: mine", "name: cranelift"), "6:", Code::InvalidScenario, &["`cranelift`"]);
    assert_points(
        &GOOD.replace("outcome: ok", "outcome: trapped, check: 00"),
        "10:",
        Code::InvalidScenario,
        &["check"],
    );
    assert_points(&GOOD.replace("[hello, {name: sha256, n: 4096}]", "[]"), "4:", Code::InvalidScenario, &[]);
}

#[test]
fn what_is_not_yaml_at_all_is_an_error_too() {
    assert!(error_of("name: [unclosed").1.contains("scenarios/startup.yaml"));
    for nothing in ["", "\n", "\n\n", " \n\u{2028}"] {
        assert!(error_of(nothing).1.starts_with("scenarios/startup.yaml: "), "{nothing:?}");
    }
    assert!(error_of("just text").1.contains("scenarios/startup.yaml"));
}

#[test]
fn a_scenario_can_bring_its_own_guest() {
    let text = "name: mine\nwasm: guests/a.wasm\nargs: [x]\n";
    let scenario = parse(Path::new("some/where/mine.yaml"), text).expect("valid");
    assert_eq!(scenario.own[0].source, OwnSource::Wasm("some/where/guests/a.wasm".into()));
    assert_eq!(scenario.input.args, ["x"]);
    let text = "name: mine\ncargo: {dir: .., bin: app}\n";
    let scenario = parse(Path::new("mine.yaml"), text).expect("valid");
    let [OwnGuest { flavour: None, source: OwnSource::Cargo(cargo) }] = &scenario.own[..] else {
        panic!("{:?}", scenario.own)
    };
    assert_eq!((cargo.target.as_str(), cargo.profile.as_str()), ("wasm32-wasip1", "release"));
}

#[test]
fn a_guest_of_its_own_and_the_catalogue_exclude_each_other() {
    assert_points(
        &GOOD.replace("kind: workload", "wasm: a.wasm"),
        "4:",
        Code::InvalidScenario,
        &["workloads", "flavours"],
    );
    assert_points(&GOOD.replace("kind: workload", "args: [x]"), "3:", Code::InvalidScenario, &["`args`"]);
    assert_points("name: a\nflavours: [std]\n", "1:", Code::InvalidScenario, &["`workloads`"]);
    assert_points("name: a\nwasm: a.wasm\ncargo: {dir: ., bin: a}\n", "3:", Code::InvalidScenario, &[]);
    assert_points(
        "name: a\ncargo: {dir: ., bin: a, profil: dev}\n",
        "2:",
        Code::UnknownKey,
        &["did you mean `profile`?"],
    );
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
fn keys_that_traps_do_not_have_are_refused_where_they_stand() {
    let with = |line: &str| format!("{TRAPS}{line}\n");
    assert_points(&with("parts: [matrx]"), "4:", Code::UnknownName, &["`matrx`", "did you mean `matrix`?"]);
    assert_points(&with("parts: [timers]"), "4:", Code::UnknownName, &["`timers`"]);
    assert_points(&with("parts: [latency, latency]"), "4:", Code::InvalidScenario, &["`latency`"]);
    assert_points(&with("parts: [latency]\nshare: full"), "5:", Code::InvalidScenario, &["`share`", "`matrix`"]);
    assert_points(
        &with("parts: [matrix]\nworkloads: [sort]"),
        "5:",
        Code::InvalidScenario,
        &["`workloads`", "`price`"],
    );
    assert_points(&with("parts: [latency]\nflavours: [std]"), "5:", Code::InvalidScenario, &["mistakes, price"]);
    assert_points(&with("flavours: [go]"), "4:", Code::InvalidScenario, &["`tinygo-like`, `std`"]);
    assert_points(&with("args: [a]"), "4:", Code::InvalidScenario, &["`args`", "`kind: traps`"]);
    assert_points(&with("expect: {outcome: trapped}"), "4:", Code::InvalidScenario, &["`expect`", "`kind: traps`"]);
    let unpaired = "name: edges\nkind: traps\nparts: [price]\nengines: [cranelift, pulley]\n";
    assert_points(unpaired, "3:", Code::InvalidScenario, &["`price`"]);
    assert_points(
        &GOOD.replace("processes: 4", "parts: [matrix]"),
        "7:",
        Code::InvalidScenario,
        &["`parts`", "`kind: traps`"],
    );
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
fn mistakes_in_a_section_are_shown_where_they_stand() {
    let with = |lines: &str| format!("{TRAPS}{lines}\n");
    assert_points(&with("traps: {prts: [matrix]}"), "4:", Code::UnknownKey, &["`prts`", "did you mean `parts`?"]);
    assert_points(&with("traps:\n  parts: [latency]\n  share: full"), "6:3", Code::InvalidScenario, &["`share`"]);
    assert_points(&with("traps: {share: full}\nparts: [matrix]"), "5:", Code::InvalidScenario, &["`traps`"]);
    assert_points(&with("pipeline: {calls: [read]}"), "4:", Code::InvalidScenario, &["`kind: pipeline`"]);
    assert_points(&with("traps: full"), "4:", Code::InvalidScenario, &["\"full\""]);
    assert_points(&with("traps: {share: full}\ntraps: {share: full}"), "1:", Code::InvalidScenario, &["`traps`"]);
    assert_points(&with("workload: {a: 1}"), "4:", Code::InvalidScenario, &["`kind: workload`"]);
}

#[test]
fn guests_of_ones_own_are_flavours_of_one_workload_and_are_all_given_the_same() {
    let text = "name: mine\n\
                wasm: {no-std: a.wasm}\n\
                cargo: {std: {dir: ., bin: app}}\n\
                command: {c: {build: make, out: c.wasm, dir: sub}}\n\
                argv0: me\nargs: [x]\nenv: {A: 1, B: two}\ndir: [data, out::., {host: h, guest: g, shared: true}]\n\
                stdin: in.txt\ninvoke: f\nstart_first: true\n";
    let scenario = parse(Path::new("at/mine.yaml"), text).expect("valid");
    let cases = scenario.cases();
    let ids: Vec<String> = cases.iter().map(Case::id).collect();
    let wanted = ["mine/no-std/cranelift", "mine/std/cranelift", "mine/c/cranelift"];
    assert_eq!(ids, wanted);
    for Case { input, .. } in &cases {
        assert_eq!((input.argv0.as_deref(), input.invoke.as_deref(), input.start_first), (Some("me"), Some("f"), true));
        assert_eq!(input.environment, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "two".to_owned())]);
        let folders: Vec<(&str, &str, bool)> = input
            .directories
            .iter()
            .map(|folder| (folder.host.to_str().unwrap(), folder.guest.as_str(), folder.shared))
            .collect();
        assert_eq!(folders, [("at/out", ".", false), ("at/data", "data", false), ("at/h", "g", true)]);
    }
    let GuestSource::Command(command) = &cases[2].guest else { panic!("{:?}", cases[2].guest) };
    assert_eq!((command.dir.as_path(), command.out.as_path()), (Path::new("at/sub"), Path::new("at/sub/c.wasm")));
}

#[test]
fn a_native_guest_has_no_engine() {
    let text = "name: mine\ncargo: {std: {dir: ., bin: app}, own: {dir: ., bin: app, target: native}}\n\
                engines: [cranelift, winch]\ndir: [data, out::.]\n";
    let scenario = parse(Path::new("at/mine.yaml"), text).expect("valid");
    let ids: Vec<String> = scenario.cases().iter().map(Case::id).collect();
    assert_eq!(ids, ["mine/std/cranelift", "mine/std/winch", "mine/own/native"]);
}

#[test]
fn guests_that_do_not_go_together_are_refused_where_they_stand() {
    for (text, place, what) in [
        ("name: a\nwasm: {a/b: x.wasm}\n", "2:8", "`a/b`"),
        ("name: a\nwasm: {a: x.wasm, a: y.wasm}\n", "2:", "`a`"),
        ("name: a\nwasm: {a: x.wasm}\ncommand: {build: make, out: b.wasm}\n", "3:1", "`command: {std: …}`"),
        ("name: a\nwasm: {a: x.wasm}\ncommand: {a: {build: make, out: b.wasm}}\n", "3:", "`a`"),
        ("name: a\ncargo: {std: {dir: ., bin: a, targte: x}}\n", "2:", "`targte`"),
        ("name: a\ncargo: {dir: ., bin: a, target: x86_64}\n", "2:", "`x86_64`"),
        ("name: a\nwasm: {}\n", "2:", ""),
        ("name: a\nwasm: x.wasm\ndir: [a, b::a]\n", "3:", "`a`"),
        ("name: a\nwasm: x.wasm\nenv: {A=B: c}\n", "3:", "`A=B`"),
        ("name: a\nwasm: x.wasm\nstart_first: true\n", "3:1", "`invoke`"),
        ("name: a\nkind: traps\nstdin: x\n", "3:1", "`stdin`"),
        ("name: a\nwasm: x.wasm\nbudgets: {fuel: 1, fuel: 2}\n", "3:", "twice"),
        ("name: a\nwasm: x.wasm\nargs: [\"a\\0b\"]\n", "3:1", "NUL"),
        ("name: a\nwasm: x.wasm\ndir: [a::x, b::./x/]\n", "3:", "`x`"),
        ("name: a\ncargo: {dir: ., bin: a, target: native}\ndir: ../data\n", "3:", "`../data`"),
        ("name: a\ncargo: {dir: ., bin: a, target: native}\ndir: [a::x, b::x/y]\n", "3:", "`x/y`"),
        ("name: a\ncargo: {dir: ., bin: a, target: native}\ninvoke: f\n", "3:1", "`invoke`"),
    ] {
        let code = if what == "`targte`" { Code::UnknownKey } else { Code::InvalidScenario };
        assert_points(text, place, code, &[what]);
    }
}

#[test]
fn what_the_phases_of_a_kind_measure_has_a_row_in_the_table() {
    for kind in crate::ALL {
        for phase in Phase::REPORTED {
            let metric = kind.phase_metric(phase);
            assert!(metrics::find(metrics::DURATIONS, &metric).is_some(), "{}: {metric}", kind.name());
        }
    }
}
