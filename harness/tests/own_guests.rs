//! Guests from elsewhere get what the command line says: arguments, variables, folders, standard input, an entry point.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Run, ended, file, guest};
use serde_json::Value;
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

fn run(folder: tempfile::TempDir, arguments: &[&str]) -> Run {
    let run = Run::in_folder(folder, &[arguments, &FEW].concat());
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    run
}

/// A guest that exits with 0 when `call` leaves `expected` in memory at 100, else with 1.
fn expects(imports: &str, call: &str, expected: &[u8]) -> Vec<u8> {
    let compare: String = expected
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            let load = format!("(i32.load8_u (i32.const {}))", 100 + index);
            format!("(if (i32.ne {load} (i32.const {byte})) (then (call $proc_exit (i32.const 1))))")
        })
        .collect();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            {imports}
            (memory (export "memory") 1)
            ;; A vector of one buffer: 64 bytes at 100.
            (data (i32.const 0) "\64\00\00\00\40\00\00\00")
            (data (i32.const 40) "note.txt")
            (func (export "_start") {call} {compare}))"#
    );
    wat::parse_str(text).unwrap()
}

fn wasi(name: &str, params: &str) -> String {
    format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param {params}) (result i32)))")
}

#[test]
fn arguments() {
    let folder = tempfile::tempdir().unwrap();
    let call = "(drop (call $args_get (i32.const 16) (i32.const 100)))";
    let wasm = expects(&wasi("args_get", "i32 i32"), call, b"guest.wasm\0-x\0two words\0");
    let path = file(&folder, "guest.wasm", wasm);
    let run = run(folder, &[&path, "--arg", "-x", "--arg", "two words"]);
    assert_eq!(run.case("guest/custom/cranelift")["args"], serde_json::json!(["-x", "two words"]));
}

#[test]
fn arguments_after_two_dashes() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", "(module (func (export \"_start\")))");
    let arguments = [&[path.as_str(), "--arg", "first"], &FEW[..], &["--", "foo", "--bar"]].concat();
    let run = Run::in_folder(folder, &arguments);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert_eq!(run.case("guest/custom/cranelift")["args"], serde_json::json!(["first", "foo", "--bar"]));
}

#[test]
fn numbers_as_people_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"(module (func (export "same") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
        local.get 0 local.get 1 local.get 2 local.get 3))"#;
    let path = file(&folder, "same.wat", text);
    for (arguments, results) in [
        (["0x10", "-0x1", "inf", "nan"], ["16", "-1", "inf", "NaN"]),
        (["4294967295", "18446744073709551615", "-1.5", "1e3"], ["-1", "-1", "-1.5", "1000"]),
        (["1_000", "+7", "0x10", ".5"], ["1000", "7", "16", "0.5"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let given = arguments.map(|argument| format!("--arg={argument}"));
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let run = run(folder, &[&[path.as_str(), "--invoke", "same"], &given[..]].concat());
        assert_eq!(run.case("same/custom/cranelift")["facts"]["result"], serde_json::json!(results));
    }
}

#[test]
fn environment_variables_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let call = "(drop (call $environ_get (i32.const 16) (i32.const 100)))";
    let wasm = expects(&wasi("environ_get", "i32 i32"), call, b"A=1\0B=two=2\0\0");
    let path = file(&folder, "guest.wasm", wasm);
    run(folder, &[&path, "--env", "A=1", "--env", "B=two=2"]);
}

#[test]
fn standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let call = "(drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))";
    let wasm = expects(&wasi("fd_read", "i32 i32 i32 i32"), call, b"from a file");
    let (path, input) = (file(&folder, "guest.wasm", wasm), file(&folder, "input", "from a file"));
    run(folder, &[&path, "--stdin", &input]);
}

#[test]
fn a_folder_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("note.txt"), "in the folder").unwrap();
    let imports = wasi("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32")
        + &wasi("fd_read", "i32 i32 i32 i32")
        + &wasi("fd_prestat_dir_name", "i32 i32 i32");
    // Descriptor 3 is the guest's own folder, 4 the one given. Right 2 is reading.
    let call = "(drop (call $path_open (i32.const 4) (i32.const 0) (i32.const 40) (i32.const 8) (i32.const 0)
            (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 20)))
        (drop (call $fd_read (i32.load (i32.const 20)) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $fd_prestat_dir_name (i32.const 4) (i32.const 150) (i32.const 5)))
        (memory.copy (i32.const 113) (i32.const 150) (i32.const 5))";
    let path = file(&folder, "guest.wasm", expects(&imports, call, b"in the folder/data"));
    let dir = format!("{}::/data", host.display());
    run(folder, &[&path, "--dir", &dir]);
}

#[test]
fn a_reactor_is_initialised_and_its_function_called() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"(module
        (global $ready (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $ready (i32.const 40)))
        (func (export "add") (param i32) (result i32) (i32.add (local.get 0) (global.get $ready))))"#;
    let path = file(&folder, "reactor.wat", text);
    let run = run(folder, &[&path, "--invoke", "add", "--arg", "2"]);
    let case = run.case("reactor/custom/cranelift");
    assert_eq!(case["facts"]["result"], serde_json::json!(["42"]));
    let metrics: Vec<&Value> =
        case["measurements"].as_array().unwrap().iter().map(|metric| &metric["metric"]).collect();
    assert!(metrics.contains(&&Value::from("phase.init")) && metrics.contains(&&Value::from("phase.run")));
}

#[test]
fn a_guest_of_sightglass_is_measured_between_its_calls() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"(module
        (import "bench" "start" (func $start))
        (import "bench" "end" (func $end))
        (func (export "_start") (local $i i32)
            (call $start)
            (loop $again
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))
            (call $end)))"#;
    let path = file(&folder, "sightglass.wat", text);
    let case = run(folder, &[&path]).case("sightglass/custom/cranelift");
    let metrics: Vec<&Value> =
        case["measurements"].as_array().unwrap().iter().map(|metric| &metric["metric"]).collect();
    assert!(metrics.contains(&&Value::from("phase.init")), "{metrics:?}");
    assert!(case["facts"]["fuel"].as_u64().is_some_and(|fuel| fuel > 5_000), "the loop lies between the calls");
}

#[test]
fn a_short_guest_is_passed_many_times_and_a_long_one_once() {
    let folder = tempfile::tempdir().unwrap();
    let short = file(&folder, "short.wat", "(module (func (export \"_start\")))");
    let spin = "(module (func (export \"_start\") (local $left i32) (local.set $left (i32.const 50000000))
        (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))";
    let long = file(&folder, "long.wat", spin);
    let run = run(folder, &[&short, &long]);
    assert!(run.case("short/custom/cranelift")["batch"].as_u64().is_some_and(|batch| batch > 1));
    assert_eq!(run.case("long/custom/cranelift")["batch"], 1);
}

#[test]
fn memory_that_a_guest_touches_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    // Grows by 10 pages of 64 KiB and fills the last 5 of them.
    let text = r#"(module (memory (export "memory") 1)
        (func (export "_start")
            (drop (memory.grow (i32.const 10)))
            (memory.fill (i32.const 393216) (i32.const 1) (i32.const 327680))))"#;
    let path = file(&folder, "grower.wat", text);
    let case = run(folder, &[&path]).case("grower/custom/cranelift");
    assert_eq!(case["facts"]["memory.initial_pages"], 1);
    assert_eq!(case["facts"]["memory.final_pages"], 11);
    let metrics = case["measurements"].as_array().unwrap();
    let median = |name: &str| {
        let found = metrics.iter().find(|metric| metric["metric"] == name).unwrap();
        found["summary"]["median"].as_f64().unwrap()
    };
    // Exactly what was filled, unless the kernel backs it with huge pages.
    let touched = median("memory.touched");
    assert!((327_680.0..=11.0 * 65_536.0).contains(&touched), "{touched}");
    assert!(median("memory.rss.run") >= median("memory.touched"));
    assert!(median("memory.rss.instantiate") > 0.0);
}

#[test]
fn a_scenario_brings_a_file_or_a_crate() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("app/src");
    std::fs::create_dir_all(&source).unwrap();
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.path().join("app/Cargo.toml"), manifest).unwrap();
    std::fs::copy(common::root().join("rust-toolchain.toml"), folder.path().join("app/rust-toolchain.toml")).unwrap();
    let program = "fn main() { assert_eq!(std::env::args().nth(1).as_deref(), Some(\"given\")); }";
    std::fs::write(source.join("main.rs"), program).unwrap();
    let by_crate = file(&folder, "crate.yaml", "name: crate\ncargo: {dir: app, bin: app}\nargs: [given]\n");
    file(&folder, "guest.wat", "(module (func (export \"_start\")))");
    let by_file = file(&folder, "file.yaml", "name: file\nwasm: guest.wat\nengines: [cranelift, cranelift-checked]\n");
    let run = run(folder, &[&by_crate, &by_file]);
    let app = run.case("app/custom/cranelift");
    assert!(app["artifact"]["toolchain"].as_str().is_some_and(|toolchain| toolchain.starts_with("rustc")), "{app}");
    assert_eq!(run.case("guest/custom/cranelift-checked")["outcome"]["status"], "ok");
}

#[test]
fn a_guest_that_is_expected_to_trap_is_measured_and_one_that_does_not_fails() {
    let run = |body: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "g.wasm", guest(body));
        let few = ["--expect-trap", "--capture", "off", "--processes", "1", "--iterations", "2"];
        Run::in_folder(folder, &[&[path.as_str()], &few[..]].concat())
    };
    let traps = run("unreachable");
    assert_eq!(traps.code(), 0, "{}", traps.stderr());
    let case = traps.case("g/custom/cranelift");
    assert_eq!(
        (&case["outcome"]["status"], &case["facts"]["trap.code"]),
        (&"trapped".into(), &"UnreachableCodeReached".into())
    );
    assert!(case["measurements"].as_array().unwrap().iter().any(|metric| metric["metric"] == "phase.trap"));
    let returns = run("nop");
    assert_eq!(returns.code(), 1);
    ended(&returns.case("g/custom/cranelift"), "failed", Code::NoTrap, &[]);
}

#[test]
fn guests_of_one_name_are_each_measured() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scenarios")).unwrap();
    for (name, pages) in [("a", 3), ("b", 9)] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let text = format!("(module (memory (export \"memory\") {pages}) (func (export \"_start\")))");
        std::fs::write(folder.path().join(name).join("reference.wat"), text).unwrap();
        let scenario = format!("name: {name}\nwasm: ../{name}/reference.wat\n");
        std::fs::write(folder.path().join(format!("scenarios/{name}.yaml")), scenario).unwrap();
    }
    // As the fixed guest is called too, that runs beside all others.
    let (a, b) = (folder.path().join("scenarios/a.yaml"), folder.path().join("scenarios/b.yaml"));
    let run = run(folder, &[a.to_str().unwrap(), b.to_str().unwrap()]);
    let report = run.report();
    let pages = |index: usize| report["scenarios"][index]["cases"][0]["facts"]["memory.initial_pages"].clone();
    assert_eq!([pages(0), pages(1)], [3, 9]);
    assert_eq!(report["reference"]["facts"]["memory.initial_pages"], 1);
}
