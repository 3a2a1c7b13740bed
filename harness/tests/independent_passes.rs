//! Every pass of a guest finds the same: folders, standard input and its own name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Run, command, file};
use serde_json::json;
use wasiscope::code::Code;

const FEW: [&str; 6] = ["--capture", "off", "--processes", "2", "--iterations", "2"];

/// Traps unless it can make the folder "made" in the folder at descriptor 4, and remove the file "note".
const CHANGES_A_FOLDER: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_create_directory" (func $make (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 32) "madenote")
    (func (export "_start")
        (if (call $make (i32.const 4) (i32.const 32) (i32.const 4)) (then unreachable))
        (if (call $unlink (i32.const 4) (i32.const 36) (i32.const 4)) (then unreachable))))"#;

/// Exits with 7 unless standard input is `hello`.
const NEEDS_INPUT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\40\00\00\00\10\00\00\00")
    (func (export "_start")
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
        (if (i32.or (i32.ne (i32.load (i32.const 16)) (i32.const 5)) (i32.ne (i32.load (i32.const 64)) (i32.const 0x6c6c6568)))
            (then (call $exit (i32.const 7))))))"#;

/// Exits with its own name's length.
const TELLS_ITS_NAME: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (call $exit (i32.load (i32.const 4)))))"#;

fn folder_with_note() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/note"), "as it was").unwrap();
    folder
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_folder_is_as_it_was_in_every_pass_and_afterwards() {
    let folder = folder_with_note();
    let (guest, data) = (file(&folder, "g.wat", CHANGES_A_FOLDER), folder.path().join("data"));
    let place = format!("{}::data", data.display());
    let output = command(&folder).args([guest.as_str(), "--dir", &place]).args(FEW).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(names_in(&data), ["note"]);
}

#[test]
fn both_sides_of_a_comparison_have_folders_of_their_own() {
    let folder = folder_with_note();
    let old = file(&folder, "old.wat", CHANGES_A_FOLDER);
    let new = file(&folder, "new.wat", CHANGES_A_FOLDER.replace("(func (export", "(func) (func (export"));
    let place = format!("{}::data", folder.path().join("data").display());
    let few = ["--processes", "1", "--iterations", "2", "--capture", "off", "--format", "json"];
    let mut wasiscope = std::process::Command::new(common::WASISCOPE);
    let output = wasiscope.args(["compare", &old, &new, "--dir", &place]).args(few).output().unwrap();
    let comparison: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{comparison}");
    assert!(comparison["rows"].as_array().unwrap().iter().all(|row| row["failed"] == false), "{comparison}");
    assert_eq!(names_in(&folder.path().join("data")), ["note"]);
}

#[test]
fn the_folder_around_everything_can_be_given() {
    // Its report and copies lie below it, in target/.
    let folder = folder_with_note();
    std::fs::rename(folder.path().join("data/note"), folder.path().join("note")).unwrap();
    let guest = file(&folder, "g.wat", CHANGES_A_FOLDER);
    let mut wasiscope = std::process::Command::new(common::WASISCOPE);
    let output =
        wasiscope.current_dir(folder.path()).args(["run", &guest, "--dir", ".::all"]).args(FEW).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(names_in(folder.path()), ["data", "g.wat", "note", "target"]);
}

#[test]
fn a_shared_folder_keeps_what_a_guest_does() {
    let folder = folder_with_note();
    let (guest, data) = (file(&folder, "g.wat", CHANGES_A_FOLDER), folder.path().join("data"));
    let place = format!("{}::data", data.display());
    let output = command(&folder).args([guest.as_str(), "--dir-shared", &place]).args(FEW).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the second pass finds the folder made");
    assert_eq!(names_in(&data), ["made"]);
}

#[test]
fn input_from_a_pipe_reaches_every_pass() {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "g.wat", NEEDS_INPUT);
    let mut command = command(&folder);
    command.args([guest.as_str(), "--stdin", "/dev/stdin"]).args(FEW);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn input_from_a_fifo_reaches_every_pass() {
    let folder = tempfile::tempdir().unwrap();
    let (guest, fifo) = (file(&folder, "g.wat", NEEDS_INPUT), folder.path().join("fifo"));
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    let fifo_path = fifo.display().to_string();
    let writer = std::thread::spawn(move || std::fs::write(fifo, "hello").unwrap());
    let run = Run::in_folder(folder, &[&[guest.as_str(), "--stdin", &fifo_path], &FEW[..]].concat());
    assert_eq!(run.code(), 0, "{}", run.stdout());
    writer.join().unwrap();
}

#[test]
fn without_end_input_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "g.wat", NEEDS_INPUT);
    let run = Run::in_folder(folder, &[&guest, "--stdin", "/dev/zero"]);
    run.fails_with(Code::CannotRead, &["--stdin", "256 MiB"]);
}

#[test]
fn a_guest_has_one_name_whatever_its_file_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let short = file(&folder, "a.wat", TELLS_ITS_NAME);
    let long = file(&folder, "a-much-longer-name.wat", TELLS_ITS_NAME);
    let run = Run::in_folder(folder, &[&[short.as_str(), &long], &FEW[..]].concat());
    let code = |id: &str| run.case(id)["facts"]["exit.code"].clone();
    assert_eq!(code("a/custom/cranelift"), json!("guest.wasm\0".len()));
    assert_eq!(code("a-much-longer-name/custom/cranelift"), code("a/custom/cranelift"));
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "a.wat", TELLS_ITS_NAME);
    let run = Run::in_folder(folder, &[&[guest.as_str(), "--argv0", "busybox"], &FEW[..]].concat());
    assert_eq!(run.case("a/custom/cranelift")["facts"]["exit.code"], json!("busybox\0".len()));
}
