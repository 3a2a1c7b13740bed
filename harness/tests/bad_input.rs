//! Bad input: an error that says where and what to do, exit status 2, and nothing lost.

mod common;

use common::{Run, command, file, guest};

fn assert_refused(run: &Run, parts: &[&str]) {
    let stderr = run.stderr();
    assert_eq!(run.code(), 2, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in:\n{stderr}");
    }
    assert!(run.stdout().is_empty());
}

/// `wasiscope run ARGUMENTS` ends with status 2 and says all of `parts`.
fn assert_run_refused(folder: &tempfile::TempDir, arguments: &[&str], parts: &[&str]) {
    let output = command(folder).args(arguments).output().expect("wasiscope starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in:\n{stderr}");
    }
}

#[test]
fn a_scenario_with_an_unknown_key_names_file_line_and_the_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: a\nworkloads: [hello]\nflavours: [std]\nprocesess: 3\n";
    let path = file(&folder, "bad.yaml", text);
    let run = Run::in_folder(folder, &[&path]);
    assert_refused(&run, &["bad.yaml:4:1", "unknown field `procesess`", "did you mean `processes`?"]);
}

#[test]
fn a_workload_that_does_not_exist_names_the_nearest_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "bad.yaml", "name: a\nworkloads: [sha265]\nflavours: [std]\n");
    assert_refused(&Run::in_folder(folder, &[&path]), &["bad.yaml:2:13", "`sha265`", "did you mean `sha256`?"]);
}

#[test]
fn one_bad_scenario_among_good_ones_stops_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "bad.yaml", "name: a\nworkloads: [hello]\nflavours: [sdt]\n");
    let run = Run::in_folder(folder, &["startup", &path]);
    assert_refused(&run, &["bad.yaml:3:12", "did you mean `std`?"]);
}

#[test]
fn a_scenario_name_that_does_not_exist_lists_those_that_do() {
    assert_refused(&Run::new(&["startpu"]), &["no scenario `startpu`", "did you mean `startup`?"]);
}

#[test]
fn a_missing_scenario_folder_is_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut wasiscope = std::process::Command::new(common::WASISCOPE);
    let output = wasiscope.current_dir(folder.path()).args(["run", "startup"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("no scenario folder") && stderr.contains("--root"), "{stderr}");
    assert!(!folder.path().join("target").exists(), "nothing was made in a folder that is no checkout");
}

#[test]
fn files_that_are_no_guests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let junk = file(&folder, "junk.wasm", "surely not wasm");
    let cut = file(&folder, "cut.wasm", &guest("")[..60]);
    let library = file(&folder, "library.wat", "(module)");
    let text = file(&folder, "text.wat", "(module (func (export \"_start\") i32.add))");
    for (path, part) in [
        (&junk, "junk.wasm: not a WebAssembly module"),
        (&cut, "cut.wasm: not a WebAssembly module"),
        (&library, "exports no function `_start`"),
        (&text, "text.wat"),
    ] {
        assert_run_refused(&folder, &[path], &[part]);
    }
}

#[test]
fn what_a_guest_is_given_is_checked_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = file(&folder, "a.wasm", guest(""));
    let library = file(&folder, "b.wat", "(module (func (export \"add\") (param i32)))");
    let here = folder.path().to_str().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    for (arguments, part) in [
        (vec![&*wasm, "--dir", &wasm], "a.wasm: not a folder"),
        (vec![&wasm, "--dir", "nowhere"], "--dir nowhere"),
        (vec![&wasm, "--dir", "d::"], "write HOST or HOST::GUEST"),
        (vec![&wasm, "--dir", here, "--dir", &format!("d::{here}")], "two folders would be"),
        (vec![&wasm, "--stdin", here], "a folder, not a file"),
        (vec![&wasm, "--stdin", "nothing"], "--stdin nothing"),
        (vec![&wasm, "--env", "=b"], "write NAME=VALUE"),
        (vec![&wasm, "--env", "A=1", "--env", "A=2"], "`A` is given twice"),
        (vec![&library, "--invoke", "add", "--arg", "x"], "`add` takes (i32) and was given x"),
        (vec![&library, "--invoke", "add"], "`add` takes (i32) and was given none"),
        (vec![&library, "--invoke", "sub"], "it exports add"),
    ] {
        assert_run_refused(&folder, &arguments, &[part]);
    }
}

#[test]
fn a_guest_that_a_scenario_brings_is_checked_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("app/src")).unwrap();
    std::fs::write(folder.path().join("app/src/main.rs"), "fn main() {}").unwrap();
    let manifest = "[package]\nname = \"app\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.path().join("app/Cargo.toml"), manifest).unwrap();
    for (text, parts) in [
        ("name: a\nwasm: none.wasm\n", ["s.yaml:2:1", "none.wasm"]),
        ("name: a\ncargo: {dir: none, bin: app}\n", ["s.yaml:2:1", "no crate in"]),
        ("name: a\ncargo: {dir: app, bin: app, target: x86_64}\n", ["s.yaml:2:37", "no target of WebAssembly"]),
        ("name: a\ncargo: {dir: app, bin: ap}\n", ["no binary `ap`", "there are: app"]),
    ] {
        let path = file(&folder, "s.yaml", text);
        assert_run_refused(&folder, &[&path], &parts);
    }
}

#[test]
fn engines_that_cannot_be_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (engine, parts) in [
        ("{name: w, compiler: winch, opt_level: none}", ["s.yaml:4:", "winch has no `opt_level`"]),
        ("{name: w, compiler: winch, bounds_checks: explicit}", ["engine w: wasmtime refuses it", "Winch requires"]),
        ("{name: w, compiler: wnich}", ["s.yaml:4:", "did you mean `winch`?"]),
        ("{name: w, memory_guard: much}", ["s.yaml:4:", "`much` is not a size"]),
    ] {
        let text = format!("name: s\nworkloads: [hello]\nflavours: [std]\nengines: [{engine}]\n");
        let path = file(&folder, "s.yaml", text);
        assert_run_refused(&folder, &[&path], &parts);
    }
}

#[test]
fn what_is_no_module_has_no_size() {
    let folder = tempfile::tempdir().unwrap();
    let junk = file(&folder, "junk.wasm", "");
    for more in [&["--size"][..], &[]] {
        let output = std::process::Command::new(common::WASISCOPE).args(["build", &junk]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("not a WebAssembly module"));
    }
}

#[test]
fn one_guest_named_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one = file(&folder, "a.wasm", guest(""));
    assert_refused(&Run::in_folder(folder, &[&one, "./a.wasm"]), &["two cases would be a/custom/cranelift"]);
}

#[test]
fn a_word_that_was_meant_for_the_guest_is_told_how_to_get_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "a.wasm", guest(""));
    for (word, hint) in [("foo", "--arg foo"), ("two words", "--arg 'two words'"), ("./foo", "--arg ./foo")] {
        assert_run_refused(&folder, &[&path, word], &[hint]);
        // Without a project, too.
        let mut wasiscope = std::process::Command::new(common::WASISCOPE);
        let output = wasiscope.current_dir(folder.path()).args(["run", &path, word]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(hint));
    }
}

#[test]
fn a_valid_scenario_outside_a_checkout_is_refused_with_the_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mine.yaml", "name: mine\nworkloads: [hello]\nflavours: [std]\n");
    let mut wasiscope = std::process::Command::new(common::WASISCOPE);
    let output = wasiscope.current_dir(folder.path()).args(["run", &path]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("is no checkout of wasiscope") && stderr.contains("--root"), "{stderr}");
}

#[test]
fn a_report_does_not_go_over_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mine.wat", "(module (func (export \"_start\")))");
    let mut wasiscope = std::process::Command::new(common::WASISCOPE);
    let output = wasiscope.current_dir(folder.path()).args(["run", &path, "--out", &path]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("not overwritten"), "{stderr}");
    assert!(std::fs::read_to_string(path).unwrap().starts_with("(module"));
}

#[test]
fn a_good_report_survives_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "report.json", "the good one");
    let path = file(&folder, "bad.yaml", "name: a\n");
    let run = Run::in_folder(folder, &[&path]);
    assert_eq!(run.code(), 2);
    assert_eq!(std::fs::read_to_string(good).unwrap(), "the good one");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_anything_runs() {
    let output = std::process::Command::new(common::WASISCOPE)
        .args(["run", "startup", "--root"])
        .arg(common::root())
        .args(["--out", "/proc/nowhere/report.json"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--out"), "{stderr}");
}

#[test]
fn more_samples_than_a_report_holds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "mine.wat", "(module (func (export \"_start\")))");
    let arguments = [path.as_str(), "--processes", "10000", "--iterations", "1000"];
    assert_run_refused(&folder, &arguments, &["10000000 iterations", "mine/custom/cranelift", "2000000 is the most"]);
}
