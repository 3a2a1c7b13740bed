use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::files::{kept_of, short};
use super::*;
use wasiscope_model::record::Outcome;
use wasiscope_model::report::ArtifactReport;

fn case(facts: Value, budgets: &[(&str, Option<u64>)]) -> CaseReport {
    let facts: Facts = serde_json::from_value(facts).unwrap();
    let artifact = ArtifactReport {
        sha256: "1".into(),
        bytes: 1,
        toolchain: Some("rustc 1.95.0 (59807616e 2026-04-14)".into()),
        flags: None,
    };
    serde_json::from_value(json!({
        "id": "hello/std/cranelift", "workload": "hello", "flavour": "std", "engine": "cranelift", "n": null,
        "artifact": artifact, "outcome": Outcome::ok(), "facts": facts, "measurements": [], "observer_ratio": null, "kernel": null,
        "budgets": budgets.iter().copied().collect::<BTreeMap<&str, Option<u64>>>(),
    }))
    .unwrap()
}

/// One that a scenario brings along.
fn own(facts: Value) -> CaseReport {
    CaseReport { id: "hello/custom/cranelift".into(), flavour: "custom".into(), ..case(facts, &[]) }
}

fn small() -> Value {
    json!({"check": "a", "size.wasm": 100, "size.section.code": 60, "size.section.data": 30, "size.framing": 10, "size.gzip": 50,
        "size.native_code": 400, "imports": ["a.b"], "size.by_crate": {"app": 40, "core": 20}})
}

fn large() -> Value {
    json!({"check": "a", "size.wasm": 160, "size.section.code": 70, "size.section.data": 80, "size.framing": 10, "size.gzip": 55,
        "size.native_code": 500, "imports": ["a.b"], "size.by_crate": {"app": 50, "core": 20}})
}

#[test]
fn what_is_accepted_is_the_same_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let case = case(small(), &[]);
    let first = check(folder.path(), "startup", &case, "48.0.8").unwrap();
    assert_eq!((&first.state, first.passes()), (&State::New, false));
    let names = ["guests/hello-std@rustc-1.95.0.snap", "guests/hello-std-cranelift@rustc-1.95.0.snap"];
    assert_eq!(first.changes().collect::<Vec<_>>(), names.map(|name| folder.path().join(name)));
    accept(&first).unwrap();
    let second = check(folder.path(), "startup", &case, "48.0.8").unwrap();
    assert_eq!((&second.state, second.passes()), (&State::Same, true));
    // What depends on the processor is not in it, and so cannot differ.
    let of_bytes = second.files[0].contents.as_deref().unwrap();
    assert!(of_bytes.contains("size.wasm") && !of_bytes.contains("native_code"), "{of_bytes}");
    assert_eq!(second.files[1].contents.as_deref().unwrap().matches("check: a").count(), 1);
}

#[test]
fn growth_names_the_fact_and_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let old = case(small(), &[]);
    accept(&check(folder.path(), "startup", &old, "48.0.8").unwrap()).unwrap();
    let State::Differs(differences) = check(folder.path(), "startup", &case(large(), &[]), "48.0.8").unwrap().state
    else {
        panic!("it differs");
    };
    let names: Vec<&str> = differences.iter().map(|difference| difference.fact.as_str()).collect();
    assert_eq!(names, ["size.wasm", "size.gzip"], "the parts are told with the whole");
    let parts: Vec<(&str, u64, u64)> =
        differences[0].parts.iter().map(|part| (part.name.as_str(), part.old, part.new)).collect();
    assert_eq!(parts, [("section data", 30, 80), ("crate app", 40, 50), ("section code", 60, 70)]);
}

#[test]
fn a_budget_takes_the_place_of_the_exact_value() {
    let folder = tempfile::tempdir().unwrap();
    let old = case(small(), &[]);
    accept(&check(folder.path(), "startup", &old, "48.0.8").unwrap()).unwrap();
    let check = |budgets: &[_]| check(folder.path(), "startup", &case(large(), budgets), "48.0.8").unwrap();
    assert!(check(&[("size.wasm", Some(160)), ("size.*", None)]).passes());
    let above = check(&[("size.wasm", Some(159)), ("size.*", None)]);
    assert_eq!(above.state, State::Same);
    assert_eq!(above.excesses.len(), 1);
    assert_eq!(above.excesses[0].found, Some(("size.wasm".to_owned(), json!(160))));
    assert!(!above.passes() && !above.can_be_accepted(), "accepting facts raises no budget");
    let misspelt = check(&[("size.wsam", Some(1)), ("size.*", None)]);
    assert_eq!(misspelt.excesses[0].found, None);
    // What is no number can be under no budget.
    assert_eq!(check(&[("check", Some(1)), ("size.*", None)]).excesses.len(), 1);
}

#[test]
fn another_toolchain_is_neither_the_same_nor_different() {
    let folder = tempfile::tempdir().unwrap();
    let old = case(small(), &[]);
    accept(&check(folder.path(), "startup", &old, "48.0.8").unwrap()).unwrap();
    let by = |toolchain: &str| {
        let mut other = case(large(), &[]);
        other.artifact.as_mut().unwrap().toolchain = Some(toolchain.to_owned());
        check(folder.path(), "startup", &other, "48.0.8").unwrap()
    };
    let known = vec!["rustc 1.95.0 (59807616e 2026-04-14)".to_owned()];
    assert_eq!(by("rustc 1.96.0 (0123 2026-06-01)").state, State::OtherToolchain(known.clone()));
    // The same version, and yet another compiler.
    let rebuilt = by("rustc 1.95.0 (59807616e 2026-04-14) (Debian)");
    assert_eq!((&rebuilt.state, rebuilt.passes()), (&State::OtherToolchain(known), false));
}

#[test]
fn toolchains_are_names_of_files() {
    assert_eq!(short("rustc 1.97.0-nightly (0fa1 2026-05-01)"), "rustc-1.97.0-nightly-2026-05-01");
    assert_eq!(short("go1.27/../x y z"), "go1.27-..-x-y");
}

#[test]
fn snapshots_of_cases_that_are_gone_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let old = own(small());
    let checked = check(folder.path(), "startup", &old, "48.0.8").unwrap();
    accept(&checked).unwrap();
    assert_eq!(without_case(folder.path(), "startup", [&old]), [] as [PathBuf; 0]);
    let mut other = own(small());
    other.id = "hello/custom/winch".into();
    assert_eq!(without_case(folder.path(), "startup", [&other]), [checked.files[1].path.clone()]);
}

#[test]
fn a_file_that_is_no_snapshot_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let case = case(small(), &[]);
    let path = check(folder.path(), "startup", &case, "48.0.8").unwrap().files[1].path.clone();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "---\nsource: x\n---\n<<<<<<< HEAD\n").unwrap();
    let error = check(folder.path(), "startup", &case, "48.0.8").unwrap_err();
    assert!(matches!(&error, SnapshotError::NotKept { path: named, .. } if *named == path), "{error}");
}

#[test]
fn how_deep_a_recursion_got_is_not_kept() {
    let kept = |code: &str| {
        let [_, of_run] = kept_of(&case(json!({"fuel": 7, "trap.code": code}), &[]), "48");
        of_run.facts.contains_key("fuel")
    };
    assert_eq!([kept("StackOverflow"), kept("MemoryOutOfBounds")], [false, true]);
}

#[test]
fn what_says_nothing_is_not_kept() {
    let function = |name: &str| json!({"name": name, "bytes": 9});
    let facts = json!({"size.wasm": 1, "table.elements": null, "exit.code": null, "functions.largest":
        [function("function 140"), function("app::main"), function("function pointer")]});
    let [of_bytes, of_run] = kept_of(&case(facts, &[]), "48");
    let expected = json!({"size.wasm": 1, "functions.largest": [function("app::main"), function("function pointer")]});
    assert_eq!(serde_json::to_value(of_bytes.facts).unwrap(), expected);
    assert_eq!(of_run.facts.len(), 0);
    let [of_bytes, _] = kept_of(&case(json!({"functions.largest": [function("function 1")]}), &[]), "48");
    assert_eq!(of_bytes.facts.len(), 0);
}

#[test]
fn scenarios_share_guests_of_the_catalogue_and_not_those_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let state = |scenario: &str, case: &CaseReport| check(folder.path(), scenario, case, "48.0.8").unwrap().state;
    let catalogue = case(small(), &[]);
    accept(&check(folder.path(), "one", &catalogue, "48.0.8").unwrap()).unwrap();
    assert_eq!(state("two", &catalogue), State::Same);
    let sized = CaseReport { n: Some(7), ..catalogue };
    assert_eq!(state("two", &sized), State::New, "another size comes to something else");
    accept(&check(folder.path(), "one", &own(small()), "48.0.8").unwrap()).unwrap();
    assert_eq!(state("two", &own(small())), State::New);
}

#[test]
fn a_second_engine_adds_what_comes_of_running_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = own(small());
    accept(&check(folder.path(), "mine", &first, "48.0.8").unwrap()).unwrap();
    let second = CaseReport { id: "hello/custom/winch".into(), engine: "winch".into(), ..own(small()) };
    let checked = check(folder.path(), "mine", &second, "48.0.8").unwrap();
    assert_eq!(checked.state, State::New);
    assert_eq!(
        checked.changes().collect::<Vec<_>>(),
        [folder.path().join("mine/hello-custom-winch@rustc-1.95.0.snap")]
    );
}

#[test]
fn a_snapshot_of_former_times_is_read_and_written_anew_with_the_first_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine/hello-custom-cranelift@rustc-1.95.0.snap");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let former = "---\nsource: tests/scenarios.rs\n---\ntoolchain: rustc 1.95.0 (59807616e 2026-04-14)\nwasmtime: 48.0.8\nfacts:\n  \
        check: a\n  imports:\n  - a.b\n  size.by_crate:\n    app: 40\n    core: 20\n  size.framing: 10\n  size.gzip: 50\n  \
        size.section.code: 60\n  size.section.data: 30\n  size.wasm: 100\n  memory.maximum_pages: null\n  \
        functions.largest:\n  - bytes: 7\n    name: function 3\n";
    fs::write(&path, former).unwrap();
    let same = check(folder.path(), "mine", &own(small()), "48.0.8").unwrap();
    assert!(same.passes(), "{:?}", same.state);
    assert_eq!(same.files[0].contents, None);
    assert_eq!(same.files[1].contents.as_deref(), Some(former.split_once("rs\n---\n").unwrap().1));
    let grown = check(folder.path(), "mine", &own(large()), "48.0.8").unwrap();
    assert!(matches!(grown.state, State::Differs(_)), "{:?}", grown.state);
    assert_eq!(grown.changes().count(), 2);
    accept(&grown).unwrap();
    assert!(check(folder.path(), "mine", &own(large()), "48.0.8").unwrap().passes());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("---\nsource: tests/scenarios.rs\n---\n") && !text.contains("size.wasm"), "{text}");
}
