//! A guest's own folder: an empty one by default, a folder of the user's in its place (`--dir D::.`), or none (`--no-dir`).

mod common;

use common::{Run, file};

const FEW: [&str; 6] = ["--capture", "off", "--processes", "1", "--iterations", "2"];

/// WASI's errno for a bad descriptor.
const BAD_DESCRIPTOR: u32 = 8;

/// A guest that exits with 1 unless asking for the preopened folder at `descriptor` gives `errno`.
fn asks_for(descriptor: u32, errno: u32) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (if (i32.ne (call $prestat (i32.const {descriptor}) (i32.const 8)) (i32.const {errno}))
                    (then (call $exit (i32.const 1))))))"#
    )
}

/// A guest that exits with 1 unless descriptor 3 is a folder in which `note.txt` can be opened for reading.
const OPENS_NOTE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 40) "note.txt")
    (func (export "_start")
        (if (call $open (i32.const 3) (i32.const 0) (i32.const 40) (i32.const 8) (i32.const 0)
                (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 20))
            (then (call $exit (i32.const 1))))))"#;

fn assert_runs(folder: tempfile::TempDir, arguments: &[&str]) {
    let run = Run::in_folder(folder, &[arguments, &FEW].concat());
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
}

#[test]
fn by_default_it_is_descriptor_3() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", asks_for(3, 0));
    assert_runs(folder, &[&path]);
}

#[test]
fn without_one_there_is_no_preopened_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", asks_for(3, BAD_DESCRIPTOR));
    assert_runs(folder, &[&path, "--no-dir"]);
}

#[test]
fn without_one_a_given_folder_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", OPENS_NOTE);
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/note.txt"), "").unwrap();
    assert_runs(folder, &[&path, "--no-dir", "--dir", "data"]);
}

#[test]
fn a_given_folder_takes_its_place_in_either_order() {
    for order in [["data::.", "other"], ["other", "data::."]] {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "guest.wat", OPENS_NOTE);
        for name in ["data", "other"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("data/note.txt"), "").unwrap();
        assert_runs(folder, &[&path, "--dir", order[0], "--dir", order[1]]);
    }
}

#[test]
fn the_same_folder_named_twice_is_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wat", asks_for(5, BAD_DESCRIPTOR));
    std::fs::create_dir(folder.path().join("data")).unwrap();
    assert_runs(folder, &[&path, "--dir", "data", "--dir", "data"]);
}

#[test]
fn two_guests_may_have_the_same_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (file(&folder, "one.wat", OPENS_NOTE), file(&folder, "two.wat", OPENS_NOTE));
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/note.txt"), "").unwrap();
    assert_runs(folder, &[&one, &two, "--dir", "data::."]);
}
