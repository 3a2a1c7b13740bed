use serde_json::json;

use super::*;
use crate::record::Outcome;
use crate::report::document::ArtifactReport;

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
    assert!(first.path.ends_with("startup/hello-std-cranelift@rustc-1.95.0.snap"), "{}", first.path.display());
    accept(&first, &case, "48.0.8").unwrap();
    let second = check(folder.path(), "startup", &case, "48.0.8").unwrap();
    assert_eq!((&second.state, second.passes()), (&State::Same, true));
    // What depends on the processor is not in it, and so cannot differ.
    assert!(!second.present.unwrap().contains("native_code"));
}

#[test]
fn growth_names_the_fact_and_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let old = case(small(), &[]);
    accept(&check(folder.path(), "startup", &old, "48.0.8").unwrap(), &old, "48.0.8").unwrap();
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
    accept(&check(folder.path(), "startup", &old, "48.0.8").unwrap(), &old, "48.0.8").unwrap();
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
    accept(&check(folder.path(), "startup", &old, "48.0.8").unwrap(), &old, "48.0.8").unwrap();
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
    let old = case(small(), &[]);
    let checked = check(folder.path(), "startup", &old, "48.0.8").unwrap();
    accept(&checked, &old, "48.0.8").unwrap();
    assert_eq!(without_case(folder.path(), "startup", ["hello/std/cranelift"]), [] as [PathBuf; 0]);
    assert_eq!(without_case(folder.path(), "startup", ["hello/std/winch"]), [checked.path]);
}

#[test]
fn a_file_that_is_no_snapshot_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let case = case(small(), &[]);
    let path = check(folder.path(), "startup", &case, "48.0.8").unwrap().path;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "---\nsource: x\n---\n<<<<<<< HEAD\n").unwrap();
    let error = check(folder.path(), "startup", &case, "48.0.8").unwrap_err().to_string();
    assert!(error.contains("hello-std-cranelift") && error.contains("accept the facts anew"), "{error}");
}

#[test]
fn how_deep_a_recursion_got_is_not_kept() {
    let kept =
        |code: &str| Kept::of(&case(json!({"fuel": 7, "trap.code": code}), &[]), "48").facts.contains_key("fuel");
    assert_eq!([kept("StackOverflow"), kept("MemoryOutOfBounds")], [false, true]);
}
