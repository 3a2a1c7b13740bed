//! A comparison of two revisions says what only one of them has, and compares the rest.

mod common;

use common::repository::Repository;
use common::spin;
use serde_json::{Value, json};
use wasiscope::code::Code;

/// Four scenarios: one guest is to change, one to move, one to go, one to stay.
fn before() -> Repository {
    let repository = Repository::new();
    for (name, turns) in [("slow", 1_000_000), ("old", 2_001), ("gone", 2_002), ("same", 2_003)] {
        repository.add_guest(name, &spin(turns));
    }
    repository.commit("before");
    repository
}

fn reshape(repository: &Repository) {
    repository.add_guest("added", &spin(2_004));
    for name in ["gone.wat", "scenarios/gone.yaml", "old.wat", "scenarios/old.yaml"] {
        repository.remove(name);
    }
    repository.add_guest("young", &spin(2_001));
}

fn said(row: &Value) -> Value {
    json!([row["case"], row["verdict"], row["only_in"], row["renamed_from"]])
}

#[test]
fn a_guest_added_one_renamed_one_removed_and_one_slower_are_four_rows() {
    let repository = before();
    reshape(&repository);
    repository.write("slow.wat", spin(1_050_000));
    repository.commit("after");
    let compared = repository.compare(&["HEAD~1", "HEAD", "--fail-on", "inconclusive"]);
    let rows: Vec<Value> = compared.rows().into_iter().filter(|row| row["case"] != "same/custom/cranelift").collect();
    let expected = [
        json!(["slow/custom/cranelift", "regressed", null, null]),
        json!(["young/custom/cranelift", "unchanged", null, "old/custom/cranelift"]),
        json!(["gone/custom/cranelift", "unchanged", "base", null]),
        json!(["added/custom/cranelift", "unchanged", "new", null]),
    ];
    assert_eq!(rows.iter().map(said).collect::<Vec<_>>(), expected, "{:#}", compared.json());
    assert_eq!((compared.json()["verdict"].as_str(), compared.code()), (Some("regressed"), Some(1)));
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1, "no worktree is left");
}

#[test]
fn what_one_side_lacks_is_neither_a_doubt_nor_a_failure() {
    let repository = before();
    reshape(&repository);
    repository.commit("after");
    for (base, new) in [("HEAD~1", "HEAD"), ("HEAD", "HEAD~1")] {
        let compared = repository.compare(&[base, new, "--fail-on", "inconclusive"]);
        assert_eq!(compared.code(), Some(0), "{}", compared.stderr());
        assert_eq!(compared.json()["verdict"], "unchanged");
    }
}

#[test]
fn a_file_a_crate_a_binary_an_engine_and_a_function_that_one_side_lacks_are_rows() {
    let repository = Repository::new();
    let own = |bin: &str| format!("name: {bin}\ncargo: {{dir: .., bin: {bin}}}\n");
    repository.write("scenarios/there.yaml", "name: there\nwasm: ../there.wat\n");
    repository.write("there.wat", spin(2_000));
    repository.write("scenarios/file.yaml", "name: file\nwasm: ../file.wat\n");
    repository.write("scenarios/start.yaml", "name: start\nwasm: ../start.wat\n");
    repository.write("start.wat", "(module (func (export \"other\")))");
    repository.write("scenarios/crate.yaml", own("crate"));
    repository.commit("before");
    repository.write("scenarios/there.yaml", "name: there\nwasm: ../there.wat\nengines: [cranelift, winch]\n");
    repository.write("file.wat", spin(2_001));
    repository.write("start.wat", spin(2_002));
    repository.write("Cargo.toml", "[package]\nname = \"own\"\nedition = \"2024\"\n[workspace]\n");
    repository.write("src/bin/crate.rs", "fn main() {}\n");
    repository.commit("after");
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    assert_eq!(compared.code(), Some(0), "{}", compared.stderr());
    assert_eq!(compared.row("there/custom/cranelift")["only_in"], Value::Null);
    for case in ["there/custom/winch", "file/custom/cranelift", "start/custom/cranelift", "crate/custom/cranelift"] {
        let row = compared.row(case);
        assert_eq!((&row["only_in"], &row["verdict"]), (&json!("new"), &json!("unchanged")), "{row}");
    }
    let back = repository.compare(&["HEAD", "HEAD~1", "--only", "file/*"]);
    assert_eq!((back.row("file/custom/cranelift")["only_in"].as_str(), back.code()), (Some("base"), Some(0)));
}

#[test]
fn a_workload_of_the_catalogue_that_one_side_lacks_is_a_row() {
    let repository = Repository::new();
    common::copy_guests(repository.path());
    let scenario = "name: two\nworkloads: [hello, {name: dispatch, n: 1000}]\nflavours: [tinygo-like]\n";
    repository.write("scenarios/two.yaml", scenario);
    let (source, manifest) = ("guest-tinygo-like/src/bin/dispatch.rs", "guest-tinygo-like/Cargo.toml");
    let read = |name: &str| std::fs::read_to_string(repository.path().join(name)).expect("a file of the guests");
    let (text, with) = (read(source), read(manifest));
    let without = with.replace("[[bin]]\nname = \"dispatch\"\ntest = false\nbench = false\n", "");
    assert_ne!(with, without);
    repository.remove(source);
    repository.write(manifest, without);
    repository.commit("before");
    repository.write(source, text);
    repository.write(manifest, with);
    repository.commit("after");
    let compared = repository.compare(&["HEAD~1", "HEAD", "two"]);
    assert_eq!(compared.code(), Some(0), "{:#}", compared.json());
    assert_eq!(compared.row("dispatch/tinygo-like/cranelift")["only_in"], "new");
    assert_eq!(compared.row("hello/tinygo-like/cranelift")["only_in"], Value::Null);
}

#[test]
fn a_scenario_that_cannot_be_read_costs_its_own_cases_only() {
    let repository = Repository::new();
    repository.add_guest("good", &spin(2_000));
    repository.add_guest("bad", &spin(2_001));
    repository.commit("good");
    repository.write("scenarios/bad.yaml", "name: bad\nwasm: ../bad.wat\nengines: [warpdrive]\n");
    repository.commit("bad");
    // What was broken before is history; what is broken now is a failure.
    for (base, new, side, code) in [("HEAD", "HEAD~1", "new", 0), ("HEAD~1", "HEAD", "base", 1)] {
        let compared = repository.compare(&[base, new]);
        let row = compared.row("bad/custom/cranelift");
        assert_eq!((row["only_in"].as_str(), row["failed"].as_bool()), (Some(side), Some(code == 1)), "{row}");
        assert!(row["note"].as_str().is_some_and(|note| note.contains("`warpdrive`")), "{row}");
        assert_eq!(compared.row("good/custom/cranelift")["failed"], false);
        assert_eq!(compared.code(), Some(code), "{}", compared.stderr());
    }
}

#[test]
fn a_guest_that_was_added_and_does_not_build_is_a_failure() {
    let repository = Repository::new();
    repository.add_guest("good", &spin(2_000));
    repository.commit("before");
    repository.add_guest("broken", "(module (func (export \"_start\") (oops)))");
    repository.commit("after");
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    let row = compared.row("broken/custom/cranelift");
    assert_eq!((row["only_in"].as_str(), row["failed"].as_bool(), compared.code()), (Some("new"), Some(true), Some(1)));
    let gone = repository.compare(&["HEAD", "HEAD~1"]);
    assert_eq!((gone.row("broken/custom/cranelift")["failed"].as_bool(), gone.code()), (Some(false), Some(0)));
}

#[test]
fn a_guest_that_was_added_and_ends_badly_is_a_failure() {
    let repository = Repository::new();
    repository.add_guest("there", &spin(2_000));
    repository.commit("before");
    repository.add_guest("traps", "(module (func (export \"_start\") unreachable))");
    repository.commit("after");
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    let row = compared.row("traps/custom/cranelift");
    assert_eq!((&row["only_in"], &row["failed"], compared.code()), (&json!("new"), &json!(true), Some(1)), "{row}");
    // In the base it is history.
    assert_eq!(repository.compare(&["HEAD", "HEAD~1"]).code(), Some(0));
}

#[test]
fn a_scenario_of_another_name_or_with_other_arguments_is_compared_as_far_as_it_can_be() {
    let repository = Repository::new();
    repository.write("guest.wat", spin(2_000));
    repository.write("scenarios/one.yaml", "name: one\nwasm: ../guest.wat\n");
    repository.write("scenarios/args.yaml", "name: args\nwasm: ../other.wat\nargs: [\"1\"]\n");
    repository.write("other.wat", spin(2_001));
    repository.commit("before");
    repository.remove("scenarios/one.yaml");
    repository.write("scenarios/two.yaml", "name: two\nwasm: ../guest.wat\n");
    repository.write("scenarios/args.yaml", "name: args\nwasm: ../other.wat\nargs: [\"2\"]\n");
    repository.commit("after");
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    assert_eq!(compared.row("guest/custom/cranelift")["renamed_from"], "one: guest/custom/cranelift");
    let row = compared.row("other/custom/cranelift");
    assert_eq!((row["metric"].as_str(), row["verdict"].as_str()), (Some("phase.run"), Some("inconclusive")), "{row}");
    assert!(row["note"].as_str().is_some_and(|note| note.starts_with("different arguments")), "{row}");
}

#[test]
fn a_function_that_one_of_two_files_lacks_is_a_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let with = common::file(&folder, "with.wat", "(module (func (export \"f\")))");
    let without = common::file(&folder, "without.wat", "(module (func (export \"g\")))");
    let compare = |base: &str, new: &str| {
        let options = ["--invoke", "f", "--engine", "cranelift", "--engine", "winch", "--fail-on", "inconclusive"];
        common::repository::compare(folder.path(), &[&[base, new], &options[..]].concat())
    };
    let compared = compare(&without, &with);
    assert_eq!(compared.code(), Some(0), "{}", compared.stderr());
    for engine in ["cranelift", "winch"] {
        assert_eq!(compared.row(&format!("with/custom/{engine}"))["only_in"], "new");
    }
    assert_eq!(compare(&with, &without).row("without/custom/winch")["only_in"], "base");
    assert_eq!(compare(&without, &without).code(), Some(2), "neither has it");
}

#[test]
fn files_in_neither_revision_are_reported() {
    let repository = Repository::new();
    repository.write("scenarios/built.yaml", "name: built\nwasm: ../target/built.wat\n");
    repository.commit("before");
    repository.commit("after");
    repository.write("target/built.wat", spin(2_000));
    let compared = repository.compare(&["HEAD~1", "HEAD"]);
    let row = compared.row("built/custom/cranelift");
    assert_eq!((row["failed"].as_bool(), compared.code()), (Some(true), Some(1)), "{row}");
    assert!(
        row["note"].as_str().is_some_and(|note| note.contains("target/built.wat") && note.contains("`cargo:`")),
        "{row}"
    );
    let nothing = repository.compare(&["HEAD~1", "HEAD", "bilt"]);
    nothing.fails_with(Code::NoSuchScenario, &["did you mean `built`?"]);
    repository.write("scenarios/later.yaml", "name: later\nwasm: ../target/built.wat\n");
    let later = repository.compare(&["HEAD~1", "HEAD", "later"]);
    later.fails_with(Code::NotCommitted, &["`later`"]);
}
