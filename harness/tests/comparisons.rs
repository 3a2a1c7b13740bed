//! `wasiscope compare`: a slower twin is found, on its case alone; what cannot be compared is said to be so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{Run, WASISCOPE, copy_guests, fails_with, file, is_bad_usage, spin};
use serde_json::Value;
use wasiscope::code::Code;

fn compare(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(folder).arg("compare").args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn rows<'a>(comparison: &'a Value, metric: &'a str) -> impl Iterator<Item = &'a Value> {
    comparison["rows"].as_array().unwrap().iter().filter(move |row| row["metric"] == metric)
}

#[test]
fn a_much_slower_twin_is_regressed_and_the_other_way_round_improved() {
    let folder = tempfile::tempdir().unwrap();
    let (base, new) = (file(&folder, "a.wat", spin(400_000)), file(&folder, "b.wat", spin(800_000)));
    let options = ["--metric", "phase.run", "--format", "json"];
    let output = compare(folder.path(), &[&[base.as_str(), &new], &options[..]].concat());
    let comparison = json(&output);
    assert_eq!(comparison["schema_version"], 1);
    assert_eq!(comparison["verdict"], "regressed");
    let row = rows(&comparison, "phase.run").next().unwrap();
    assert_eq!(row["case"], "b/custom/cranelift");
    // One ratio of one run: twice the loop is twice the time, within what a busy machine makes of it.
    assert!(row["ratio"].as_f64().is_some_and(|ratio| (1.5..2.7).contains(&ratio)), "{row}");
    assert_eq!(output.status.code(), Some(1));
    let output = compare(folder.path(), &[&[new.as_str(), &base], &options[..]].concat());
    assert_eq!(json(&output)["verdict"], "improved");
    assert_eq!(output.status.code(), Some(0));
    let never = compare(folder.path(), &[&[base.as_str(), &new], &options[..], &["--fail-on", "never"]].concat());
    assert_eq!(never.status.code(), Some(0));
}

#[test]
fn a_build_against_itself_is_unchanged_without_being_timed() {
    let folder = tempfile::tempdir().unwrap();
    let (one, copy) = (file(&folder, "a.wat", spin(1_000)), file(&folder, "copy.wat", spin(1_000)));
    let output = compare(folder.path(), &[&one, &copy]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("unchanged:") && text.contains("identical code"), "{text}");
}

#[test]
fn engines_are_compared_on_one_guest() {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "a.wat", spin(200_000));
    let engines = ["--base-engine", "cranelift", "--engine", "pulley", "--metric", "phase.run", "--format", "json"];
    let comparison = json(&compare(folder.path(), &[&[guest.as_str(), &guest], &engines[..]].concat()));
    // An interpreter against compiled code: ten times and more.
    assert_eq!(comparison["verdict"], "regressed");
    assert_eq!(rows(&comparison, "phase.run").next().unwrap()["case"], "a/custom/pulley");
}

#[test]
fn two_reports_of_one_guest_are_identical_code() {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "a.wat", spin(1_000));
    let few = ["--capture", "off", "--processes", "8", "--iterations", "2"];
    let run = Run::in_folder(folder, &[&[guest.as_str()], &few[..]].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert_eq!(run.report()["reference"]["id"], "reference/custom/cranelift");
    let output = compare(run.folder.path(), &["report.json", "report.json", "--format", "json"]);
    let comparison = json(&output);
    assert_eq!((comparison["verdict"].as_str(), output.status.code()), (Some("unchanged"), Some(0)));
    let row = rows(&comparison, "phase.run").next().unwrap();
    assert!(row["note"].as_str().is_some_and(|note| note.starts_with("identical code")), "{row}");
}

#[test]
fn reports_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "a.wat", spin(10));
    let few = ["--capture", "off", "--processes", "1", "--iterations", "1"];
    let run = Run::in_folder(folder, &[&[guest.as_str()], &few[..]].concat());
    let good = fs::read_to_string(run.folder.path().join("report.json")).unwrap();
    let sample = "\"samples\": [";
    let at = good.find(sample).unwrap();
    let digits = at + good[at..].find(|c: char| c.is_ascii_digit()).unwrap();
    let with = |text: &str| format!("{}{text}{}", &good[..digits], &good[digits..]);
    for (name, text, code) in [
        ("other.json", good.replacen("\"schema_version\": 1", "\"schema_version\": 2", 1), Code::OtherVersion),
        ("cut.json", good[..good.len() / 2].to_owned(), Code::NotAReport),
        ("nan.json", with("NaN"), Code::NotAReport),
        ("negative.json", with("-"), Code::NotAReport),
        ("none.json", "{}".to_owned(), Code::NotAReport),
        ("source.json", good.replacen("\"workload\":", "\"source\": 7, \"workload\":", 1), Code::NotAReport),
        (
            "shard.json",
            good.replacen("\"seed\":", "\"shard\": {\"index\": 1, \"count\": 4000000000}, \"seed\":", 1),
            Code::NotAReport,
        ),
    ] {
        let path = file(&run.folder, name, text);
        fails_with(&compare(run.folder.path(), &[&path, "report.json"]), code, &[name]);
    }
    let output = compare(run.folder.path(), &["report.json", "report.json", "--fail-on", "inconclusive"]);
    assert_eq!(output.status.code(), Some(0), "identical code, if only one process of it");
}

#[test]
fn what_is_not_alike_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "a.wat", spin(10));
    for (arguments, code, value) in [
        (vec![&*guest, "nothing.json"], Code::UnlikeSides, "nothing.json"),
        (vec!["nothing.json", "nothing.json"], Code::NoSuchFile, "nothing.json"),
        (vec!["nowhere", "nowhere"], Code::NoRepository, ""),
        (vec![&guest, &guest, "startup"], Code::OptionDoesNotApply, "a.wat"),
        (vec![&guest, &guest, "--engine", "wnich"], Code::UnknownName, "did you mean `winch`?"),
    ] {
        fails_with(&compare(folder.path(), &arguments), code, &[value]);
    }
    for (option, value, named) in
        [("--metric", "phase.rnu", "did you mean `phase.run`?"), ("--tolerance", "phase.run=much", "phase.run=much")]
    {
        is_bad_usage(&compare(folder.path(), &[&guest, &guest, option, value]), &[option, named]);
    }
}

#[test]
fn a_scenario_named_by_its_path_has_each_revisions_guest() {
    let folder = tempfile::tempdir().unwrap();
    let checkout = folder.path();
    fs::create_dir(checkout.join("scenarios")).unwrap();
    fs::write(checkout.join("scenarios/tiny.yaml"), "name: tiny\nwasm: ../tiny.wat\n").unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let output = Command::new("git").current_dir(checkout).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet"]);
    for pages in [2, 4] {
        let text = format!("(module (memory (export \"memory\") {pages}) (func (export \"_start\")))");
        fs::write(checkout.join("tiny.wat"), text).unwrap();
        git(&["add", "scenarios", "tiny.wat"]);
        git(&["commit", "--quiet", "-m", "pages"]);
    }
    for scenario in ["tiny", "scenarios/tiny.yaml", "./scenarios/../scenarios/tiny.yaml"] {
        let options = ["--metric", "phase.run", "--processes", "1", "--format", "json"];
        let comparison = json(&compare(checkout, &[&["HEAD~1", "HEAD", scenario], &options[..]].concat()));
        let facts: Vec<&Value> = comparison["facts"].as_array().unwrap().iter().map(|row| &row["fact"]).collect();
        assert!(facts.contains(&&Value::from("memory.initial_pages")), "{scenario}: {comparison}");
    }
}

#[test]
fn revisions_are_told_apart_on_the_case_that_changed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let checkout = folder.path();
    copy_guests(checkout);
    fs::write(checkout.join(".gitignore"), "target\n").unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let output = Command::new("git").current_dir(checkout).args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let scenario = "name: two\nworkloads: [hello, {name: dispatch, n: 20000}]\nflavours: [tinygo-like]\n";
    fs::write(checkout.join("scenarios/two.yaml"), scenario).unwrap();
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "before"]);
    let source = checkout.join("scenarios/workloads/src/dispatch.rs");
    let text = fs::read_to_string(&source).unwrap();
    // The same answer by twice the way.
    let slower = text.replace("Ok(state)", "core::hint::black_box(again(&functions, n));\n        Ok(state)").replace(
        "/// Odd, so that",
        "fn again(functions: &[fn(u64) -> u64; 8], n: u64) -> u64 {\n    (0..n).fold(SEED, |state, _| functions[(state >> 61) as usize](state))\n}\n\n/// Odd, so that",
    );
    assert_ne!(text, slower);
    fs::write(&source, slower).unwrap();
    git(&["commit", "--quiet", "-a", "-m", "after"]);

    let options = ["two", "--metric", "phase.run", "--format", "json"];
    let output = compare(checkout, &[&["HEAD~1", "HEAD"], &options[..]].concat());
    let comparison = json(&output);
    assert_eq!(output.status.code(), Some(1), "{comparison}");
    for row in comparison["rows"].as_array().unwrap() {
        let expected = if row["case"] == "dispatch/tinygo-like/cranelift" { "regressed" } else { "unchanged" };
        assert_eq!(row["verdict"], expected, "{row}");
    }
    assert_eq!(comparison["base"]["git"]["commit"].as_str().map(str::len), Some(40));
    assert!(comparison["facts"].as_array().unwrap().iter().all(|row| row["case"] == "dispatch/tinygo-like/cranelift"));

    let output = compare(checkout, &[&["HEAD", "HEAD"], &options[..]].concat());
    assert_eq!((json(&output)["verdict"].as_str(), output.status.code()), (Some("unchanged"), Some(0)));
    assert_eq!(git(&["worktree", "list"]).lines().count(), 1, "no worktree is left");
}
