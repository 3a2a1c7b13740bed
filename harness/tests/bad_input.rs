//! Bad input: an error that says where and what to do, exit status 2, and nothing lost.

mod common;

use std::process::{Command, Output};

use common::{Run, WASISCOPE, command, fails_with, file, guest, is_bad_usage};
use wasiscope::code::Code;

/// The run ended with an error of this code, whose message has all of `values`, and printed no result.
#[track_caller]
fn assert_refused(run: &Run, code: Code, values: &[&str]) {
    run.fails_with(code, values);
    assert!(run.stdout().is_empty());
}

/// `wasiscope run ARGUMENTS` ends with an error of this code, whose message has all of `values`.
#[track_caller]
fn assert_run_refused(folder: &tempfile::TempDir, arguments: &[&str], code: Code, values: &[&str]) {
    fails_with(&command(folder).args(arguments).output().expect("wasiscope starts"), code, values);
}

/// `wasiscope ARGUMENTS` in a folder that is no checkout.
fn outside(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(WASISCOPE).current_dir(folder.path()).args(arguments).output().expect("wasiscope starts")
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: a\nworkloads: [hello]\nflavours: [std]\nprocesess: 3\n";
    let path = file(&folder, "bad.yaml", text);
    let run = Run::in_folder(folder, &[&path]);
    assert_refused(&run, Code::UnknownKey, &["bad.yaml:4:1", "`procesess`", "did you mean `processes`?"]);
}

#[test]
fn a_workload_that_does_not_exist_names_the_nearest_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "bad.yaml", "name: a\nworkloads: [sha265]\nflavours: [std]\n");
    let run = Run::in_folder(folder, &[&path]);
    assert_refused(&run, Code::UnknownName, &["bad.yaml:2:13", "`sha265`", "did you mean `sha256`?"]);
}

#[test]
fn one_bad_scenario_among_good_ones_stops_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "bad.yaml", "name: a\nworkloads: [hello]\nflavours: [sdt]\n");
    let run = Run::in_folder(folder, &["startup", &path]);
    assert_refused(&run, Code::UnknownName, &["bad.yaml:3:12", "did you mean `std`?"]);
}

#[test]
fn a_scenario_name_that_does_not_exist_lists_those_that_do() {
    assert_refused(&Run::new(&["startpu"]), Code::NoSuchScenario, &["`startpu`", "did you mean `startup`?"]);
}

#[test]
fn a_missing_scenario_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fails_with(&outside(&folder, &["run", "startup"]), Code::NoScenarioFolder, &["--root"]);
    assert!(!folder.path().join("target").exists(), "nothing was made in a folder that is no checkout");
}

#[test]
fn files_that_are_no_guests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let junk = file(&folder, "junk.wasm", "surely not wasm");
    let cut = file(&folder, "cut.wasm", &guest("")[..60]);
    let library = file(&folder, "library.wat", "(module)");
    let text = file(&folder, "text.wat", "(module (func (export \"_start\") i32.add))");
    for (path, code, value) in [
        (&junk, Code::NotWebassembly, "junk.wasm"),
        (&cut, Code::NotWebassembly, "cut.wasm"),
        (&library, Code::NoSuchFunction, "`_start`"),
        (&text, Code::NotWebassembly, "text.wat"),
    ] {
        assert_run_refused(&folder, &[path], code, &[value]);
    }
}

#[test]
fn what_a_guest_is_given_is_checked_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = file(&folder, "a.wasm", guest(""));
    let library = file(&folder, "b.wat", "(module (func (export \"add\") (param i32)))");
    let here = folder.path().to_str().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    for (arguments, code, values) in [
        (vec![&*wasm, "--dir", &wasm], Code::NotAFolder, ["--dir", "a.wasm"]),
        (vec![&wasm, "--dir", "nowhere"], Code::NoSuchFile, ["--dir", "nowhere"]),
        (vec![&wasm, "--dir", here, "--dir", &format!("d::{here}")], Code::SameName, ["--dir", here]),
        (vec![&wasm, "--stdin", here], Code::CannotRead, ["--stdin", here]),
        (vec![&wasm, "--stdin", "nothing"], Code::NoSuchFile, ["--stdin", "nothing"]),
        (vec![&wasm, "--env", "A=1", "--env", "A=2"], Code::SameName, ["--env", "`A`"]),
        (vec![&library, "--invoke", "add", "--arg", "x"], Code::WrongArguments, ["`add`", "(i32)"]),
        (vec![&library, "--invoke", "add"], Code::WrongArguments, ["(i32)", "--arg"]),
        (vec![&library, "--invoke", "sub"], Code::NoSuchFunction, ["`sub`", "add"]),
    ] {
        assert_run_refused(&folder, &arguments, code, &values);
    }
    for (option, value) in [("--dir", "d::"), ("--env", "=b")] {
        is_bad_usage(
            &command(&folder).args([&wasm, option, value]).output().expect("wasiscope starts"),
            &[option, value],
        );
    }
}

#[test]
fn a_guest_that_a_scenario_brings_is_checked_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("app/src")).unwrap();
    std::fs::write(folder.path().join("app/src/main.rs"), "fn main() {}").unwrap();
    let manifest = "[package]\nname = \"app\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.path().join("app/Cargo.toml"), manifest).unwrap();
    for (text, code, values) in [
        ("name: a\nwasm: none.wasm\n", Code::InvalidScenario, ["s.yaml:2:1", "none.wasm"]),
        ("name: a\ncargo: {dir: none, bin: app}\n", Code::InvalidScenario, ["s.yaml:2:1", "none"]),
        ("name: a\ncargo: {dir: app, bin: app, target: x86_64}\n", Code::InvalidScenario, ["s.yaml:2:37", "x86_64"]),
        ("name: a\ncargo: {dir: app, bin: ap}\n", Code::NoSuchBinary, ["`ap`", "app"]),
    ] {
        let path = file(&folder, "s.yaml", text);
        assert_run_refused(&folder, &[&path], code, &values);
    }
}

#[test]
fn engines_that_cannot_be_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (engine, code, values) in [
        ("{name: w, compiler: winch, opt_level: none}", Code::InvalidScenario, ["s.yaml:4:", "`opt_level`"]),
        ("{name: w, compiler: winch, bounds_checks: explicit}", Code::InvalidEngine, ["engine w", "Winch"]),
        ("{name: w, compiler: wnich}", Code::UnknownName, ["s.yaml:4:", "did you mean `winch`?"]),
        ("{name: w, memory_guard: much}", Code::InvalidScenario, ["s.yaml:4:", "`much`"]),
    ] {
        let text = format!("name: s\nworkloads: [hello]\nflavours: [std]\nengines: [{engine}]\n");
        let path = file(&folder, "s.yaml", text);
        assert_run_refused(&folder, &[&path], code, &values);
    }
}

#[test]
fn what_is_no_module_has_no_size() {
    let folder = tempfile::tempdir().unwrap();
    let junk = file(&folder, "junk.wasm", "");
    for more in [&["--size"][..], &[]] {
        fails_with(&outside(&folder, &[&["build", &junk], more].concat()), Code::NotWebassembly, &["junk.wasm"]);
    }
}

#[test]
fn one_guest_named_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one = file(&folder, "a.wasm", guest(""));
    assert_refused(&Run::in_folder(folder, &[&one, "./a.wasm"]), Code::SameName, &["a/custom/cranelift"]);
}

#[test]
fn a_word_that_was_meant_for_the_guest_is_refused_with_the_option_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "a.wasm", guest(""));
    for (word, code, hint) in [
        ("foo", Code::NoSuchScenario, "--arg foo"),
        ("two words", Code::NoSuchScenario, "--arg 'two words'"),
        ("./foo", Code::NoSuchFile, "--arg ./foo"),
    ] {
        assert_run_refused(&folder, &[&path, word], code, &[hint]);
        // Without a project, too.
        fails_with(&outside(&folder, &["run", &path, word]), code, &[hint]);
    }
}

#[test]
fn a_valid_scenario_outside_a_checkout_is_refused_with_the_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mine.yaml", "name: mine\nworkloads: [hello]\nflavours: [std]\n");
    fails_with(&outside(&folder, &["run", &path]), Code::NoCheckout, &["--root"]);
}

#[test]
fn a_report_does_not_go_over_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mine.wat", "(module (func (export \"_start\")))");
    fails_with(&outside(&folder, &["run", &path, "--out", &path]), Code::WouldOverwrite, &["--out", "mine.wat"]);
    assert!(std::fs::read_to_string(path).unwrap().starts_with("(module"));
}

#[test]
fn a_good_report_survives_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "report.json", "the good one");
    let path = file(&folder, "bad.yaml", "name: a\n");
    let run = Run::in_folder(folder, &[&path]);
    run.fails_with(Code::InvalidScenario, &["bad.yaml"]);
    assert_eq!(std::fs::read_to_string(good).unwrap(), "the good one");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_anything_runs() {
    let place = "/proc/nowhere/report.json";
    let mut wasiscope = Command::new(WASISCOPE);
    wasiscope.args(["run", "startup", "--root"]).arg(common::root()).args(["--out", place]);
    fails_with(&wasiscope.output().unwrap(), Code::CannotWrite, &["--out", place]);
}

#[test]
fn more_samples_than_a_report_holds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mine.wat", "(module (func (export \"_start\")))");
    let arguments = [path.as_str(), "--processes", "10000", "--iterations", "1000"];
    assert_run_refused(&folder, &arguments, Code::TooManyIterations, &["10000000", "mine/custom/cranelift", "2000000"]);
}
