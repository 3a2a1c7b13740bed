//! Adversarial guests, each with how its row must end.

use std::fmt::Write;

use wasiscope_model::record::Status;

/// One of them.
pub struct Guest {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Its bytes, which need not be wasm.
    pub bytes: fn() -> Vec<u8>,
    /// How its row must end.
    pub status: Status,
    /// What the row must say; nothing for a row that is as it should be.
    pub says: &'static str,
}

/// Where the secret lies that no guest may read, seen from the guest's folder.
pub const SECRET: &str = "../../secret";

const fn guest(
    name: &'static str,
    does: &'static str,
    bytes: fn() -> Vec<u8>,
    status: Status,
    says: &'static str,
) -> Guest {
    Guest { name, does, bytes, status, says }
}

/// All of them. They run with a limit of 64 MiB, and of two seconds where they are to end by that.
pub const GUESTS: &[Guest] = &[
    guest("endless-loop", "never ends", || command("(loop (br 0))"), Status::Timeout, "in run for"),
    guest("endless-sleep", "sleeps for a century", endless_sleep, Status::Timeout, "in run for"),
    guest("endless-recursion", "calls itself", endless_recursion, Status::Trapped, "stack limit met in run"),
    guest("slow-compilation", "is one function of 6 MB", slow_compilation, Status::Timeout, "in compile for"),
    guest(
        "memory-bomb",
        "grows its memory and writes to it until refused",
        memory_bomb,
        Status::Failed,
        "memory limit met in run",
    ),
    guest(
        "large-memory",
        "has 1.2 GiB from the start",
        || module(r#"(memory 20000) (func (export "_start"))"#),
        Status::Failed,
        "memory",
    ),
    guest("many-memories", "has a hundred memories of 60 MiB", many_memories, Status::Failed, "memor"),
    guest(
        "table-bomb",
        "grows its table until refused",
        table_bomb,
        Status::Failed,
        "memory limit met in run by a table",
    ),
    guest(
        "large-table",
        "has 400 million elements from the start",
        || module(r#"(table 400000000 funcref) (func (export "_start"))"#),
        Status::Failed,
        "table",
    ),
    guest("garbage-bomb", "keeps arrays on the engine's heap until refused", garbage_bomb, Status::Trapped, "GC heap"),
    guest(
        "output-bomb",
        "writes to stdout forever, whatever the host says",
        output_bomb,
        Status::Timeout,
        "output limit met in run",
    ),
    guest("file-bomb", "makes files forever", file_bomb, Status::Timeout, "in run for"),
    guest("large-file", "writes one file until refused", large_file, Status::Failed, "file size limit met in run"),
    guest(
        "open-files",
        "opens a file again and again, until refused",
        open_files,
        Status::Failed,
        "descriptor limit met in run",
    ),
    guest("closed-stdout", "closes stdout and writes to it", closed_stdout, Status::Failed, "exited with code 8"),
    guest(
        "exit-code",
        "exits with 3",
        || command("(call $proc_exit (i32.const 3))"),
        Status::Failed,
        "exited with code 3",
    ),
    guest("odd-exit-code", "exits with -1", || command("(call $proc_exit (i32.const -1))"), Status::Failed, "exit"),
    guest("no-marks", "never marks its measured part", || command(""), Status::Ok, ""),
    guest("marks-in-disorder", "marks the end before the start", disorder, Status::Failed, "before the start"),
    guest(
        "start-mark-only",
        "marks the start and never the end",
        || command(&mark(START)),
        Status::Failed,
        "never the end",
    ),
    guest("a-million-marks", "marks the start a million times", million_marks, Status::Ok, ""),
    guest("start-traps", "traps in its start function", start_traps, Status::Trapped, "start function"),
    guest("no-entry", "exports nothing", || module(""), Status::Failed, "_start"),
    guest("many-imports", "imports 50,000 functions", many_imports, Status::Failed, "import"),
    guest("long-import", "imports a name of 80 KB", long_import, Status::Failed, "import"),
    guest("not-wasm", "is text", || b"#!/bin/sh\necho no wasm\n".to_vec(), Status::Failed, ""),
    guest("empty", "is empty", Vec::new, Status::Failed, ""),
    guest("truncated", "is the first half of a module", truncated, Status::Failed, ""),
    guest("bit-flipped", "is a module with one bit the other way round", flipped, Status::Failed, ""),
    guest("deep-nesting", "has 5,000 blocks in each other", deep_nesting, Status::Ok, ""),
    guest("path-up", "opens ../../secret, and fails if it can", || opens(SECRET), Status::Ok, ""),
    guest(
        "path-around",
        "opens ./x/../../../secret, and fails if it can",
        || opens("./x/../../../secret"),
        Status::Ok,
        "",
    ),
    guest("absolute-path", "opens /etc/passwd, and fails if it can", || opens("/etc/passwd"), Status::Ok, ""),
    guest("symlink", "opens the secret through a link, and fails if it can", symlink, Status::Ok, ""),
    guest(
        "process-folder",
        "opens /proc/self/environ by any descriptor, and fails if it can",
        process_folder,
        Status::Ok,
        "",
    ),
    guest(
        "wild-pointers",
        "gives the host pointers outside its memory",
        wild_pointers,
        Status::Failed,
        "out of bounds",
    ),
    guest("environment", "counts environment variables, and fails if there are any", environment, Status::Ok, ""),
    guest(
        "terminal-codes",
        "writes codes for terminals to stderr",
        terminal_codes,
        Status::Failed,
        "exited with code 3",
    ),
];

const START: u64 = 0x5741_5349_5343_4f01;
const END: u64 = 0x5741_5349_5343_4f02;

fn mark(tag: u64) -> String {
    format!("(drop (call $clock (i32.const 1) (i64.const {tag}) (i32.const 32)))")
}

/// Text that is known to be valid; of text that is not, nothing, which no trial takes for a guest.
fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_default()
}

fn module(fields: &str) -> Vec<u8> {
    wat(&format!("(module {fields})"))
}

/// A command with one page of memory, in which there is a buffer of 32 KiB for `fd_write` at 0, and what WASI offers.
fn command(body: &str) -> Vec<u8> {
    command_with("", body)
}

fn command_with(fields: &str, body: &str) -> Vec<u8> {
    let mut imports = String::new();
    for (name, signature) in [
        ("proc_exit", "(param i32)"),
        ("fd_write", "(param i32 i32 i32 i32) (result i32)"),
        ("fd_close", "(param i32) (result i32)"),
        ("fd_pwrite", "(param i32 i32 i32 i64 i32) (result i32)"),
        ("path_open", "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)"),
        ("path_symlink", "(param i32 i32 i32 i32 i32) (result i32)"),
        ("poll_oneoff", "(param i32 i32 i32 i32) (result i32)"),
        ("random_get", "(param i32 i32) (result i32)"),
        ("environ_sizes_get", "(param i32 i32) (result i32)"),
        ("args_get", "(param i32 i32) (result i32)"),
    ] {
        let _ = writeln!(imports, r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} {signature}))"#);
    }
    imports += r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#;
    wat(&format!(
        r#"(module {imports} {fields}
            (memory (export "memory") 1)
            ;; Where the buffer is and how long; the name of a file at 1024.
            (data (i32.const 0) "\00\40\00\00\00\80\00\00")
            (data (i32.const 1024) "file-00000000")
            (global $count (mut i32) (i32.const 0))
            (func (export "_start") (local $i i32) (local $e i32) {body}))"#
    ))
}

/// Opens the path at `at` in the first folder that was given, with whatever rights.
fn open(at: &str, length: usize, flags: u32) -> String {
    format!(
        "(call $path_open (i32.const 3) (i32.const 1) {at} (i32.const {length}) (i32.const {flags}) (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 512))"
    )
}

/// Writes the next number, in letters, behind `file-`.
const NEXT_NAME: &str = "(global.set $count (i32.add (global.get $count) (i32.const 1)))
    (local.set $i (i32.const 0))
    (loop $digit
        (i32.store8 (i32.add (i32.const 1029) (local.get $i))
            (i32.add (i32.const 97) (i32.and (i32.shr_u (global.get $count) (i32.mul (local.get $i) (i32.const 4))) (i32.const 15))))
        (br_if $digit (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8))))";

fn endless_sleep() -> Vec<u8> {
    // One subscription: the monotonic clock, relative, three thousand million million nanoseconds.
    command(
        "(i32.store (i32.const 2064) (i32.const 1))
        (i64.store (i32.const 2072) (i64.const 3000000000000000000))
        (drop (call $poll_oneoff (i32.const 2048) (i32.const 3072) (i32.const 1) (i32.const 512)))",
    )
}

fn endless_recursion() -> Vec<u8> {
    wat(r#"(module (func $f (export "_start") (call $f)))"#)
}

fn slow_compilation() -> Vec<u8> {
    let line = "(local.set $i (i32.xor (i32.mul (local.get $i) (local.get $e)) (i32.rotl (local.get $e) (local.get $i))))\n\
        (br_if 0 (i32.eq (local.get $i) (i32.const 77)))\n";
    command(&format!("(block {})", line.repeat(300_000)))
}

fn memory_bomb() -> Vec<u8> {
    command(
        "(loop $more
            (local.set $e (memory.grow (i32.const 1)))
            (if (i32.eq (local.get $e) (i32.const -1)) (then (call $proc_exit (i32.const 7))))
            (memory.fill (i32.mul (local.get $e) (i32.const 65536)) (i32.const 1) (i32.const 65536))
            (br $more))",
    )
}

fn many_memories() -> Vec<u8> {
    module(&format!(r#"{} (func (export "_start"))"#, "(memory 960)".repeat(100)))
}

fn table_bomb() -> Vec<u8> {
    command_with(
        "(table $t 1 funcref)",
        "(loop $more
            (if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then (call $proc_exit (i32.const 7))))
            (br $more))",
    )
}

fn garbage_bomb() -> Vec<u8> {
    wat(r#"(module
            (type $bytes (array (mut i8)))
            (type $list (struct (field (ref null $list)) (field (ref $bytes))))
            (global $kept (mut (ref null $list)) (ref.null $list))
            (func (export "_start")
                (loop $more
                    (global.set $kept (struct.new $list (global.get $kept) (array.new $bytes (i32.const 1) (i32.const 1000000))))
                    (br $more))))"#)
}

fn output_bomb() -> Vec<u8> {
    command("(loop $more (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 512))) (br $more))")
}

fn file_bomb() -> Vec<u8> {
    let open = open("(i32.const 1024)", 13, 1);
    command(&format!(
        "(loop $more {NEXT_NAME} (drop {open}) (drop (call $fd_close (i32.load (i32.const 512)))) (br $more))"
    ))
}

fn large_file() -> Vec<u8> {
    let open = open("(i32.const 1024)", 13, 1);
    command(&format!(
        "(if (local.tee $e {open}) (then (call $proc_exit (i32.const 99))))
        (loop $more
            (local.set $e (call $fd_pwrite (i32.load (i32.const 512)) (i32.const 0) (i32.const 1)
                (i64.mul (i64.extend_i32_u (local.get $i)) (i64.const 67108864)) (i32.const 520)))
            (if (local.get $e) (then (call $proc_exit (local.get $e))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $more))"
    ))
}

fn open_files() -> Vec<u8> {
    let open = open("(i32.const 1024)", 13, 1);
    command(&format!(
        "(loop $more (local.set $e {open}) (if (local.get $e) (then (call $proc_exit (local.get $e)))) (br $more))"
    ))
}

fn closed_stdout() -> Vec<u8> {
    command(
        "(drop (call $fd_close (i32.const 1)))
        (call $proc_exit (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 512)))",
    )
}

fn disorder() -> Vec<u8> {
    command(&(mark(END) + &mark(START)))
}

fn million_marks() -> Vec<u8> {
    let again = "(br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000000)))";
    command(&format!("(loop $again {} {again}) {}", mark(START), mark(END)))
}

fn start_traps() -> Vec<u8> {
    wat(r#"(module (func $start unreachable) (start $start) (func (export "_start")))"#)
}

fn many_imports() -> Vec<u8> {
    let imports: String = (0..50_000).map(|index| format!(r#"(import "env" "f{index}" (func))"#)).collect();
    module(&(imports + r#"(func (export "_start"))"#))
}

fn long_import() -> Vec<u8> {
    module(&format!(r#"(import "env" "{}" (func)) (func (export "_start"))"#, "x".repeat(80_000)))
}

fn truncated() -> Vec<u8> {
    let mut bytes = memory_bomb();
    bytes.truncate(bytes.len() / 2);
    bytes
}

fn flipped() -> Vec<u8> {
    let mut bytes = memory_bomb();
    if let Some(byte) = bytes.get_mut(9) {
        *byte ^= 1;
    }
    bytes
}

fn deep_nesting() -> Vec<u8> {
    command(&format!("{}{}", "block ".repeat(5_000), "end ".repeat(5_000)))
}

/// Exits with the number of times that something was opened.
fn opens(path: &str) -> Vec<u8> {
    let (length, again) = (path.len(), open("(i32.const 1600)", path.len(), 0));
    command_with(
        &format!(r#"(data (i32.const 1600) "{path}")"#),
        &format!("(call $proc_exit (i32.eqz {again})) ;; {length}\n"),
    )
}

fn symlink() -> Vec<u8> {
    let (length, open) = (SECRET.len(), open("(i32.const 1024)", 13, 0));
    command_with(
        &format!(r#"(data (i32.const 1600) "{SECRET}")"#),
        &format!(
            "(drop (call $path_symlink (i32.const 1600) (i32.const {length}) (i32.const 3) (i32.const 1024) (i32.const 13)))
            (call $proc_exit (i32.eqz {open}))"
        ),
    )
}

fn process_folder() -> Vec<u8> {
    let path = "/proc/self/environ";
    command_with(
        &format!(r#"(data (i32.const 1600) "{path}")"#),
        &format!(
            "(loop $more
                (local.set $e (i32.add (local.get $e) (i32.eqz (call $path_open (local.get $i) (i32.const 1) (i32.const 1600)
                    (i32.const {}) (i32.const 0) (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 512)))))
                (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))
            (call $proc_exit (local.get $e))",
            path.len()
        ),
    )
}

fn wild_pointers() -> Vec<u8> {
    let calls = [
        "(call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 512))",
        "(call $fd_write (i32.const 1) (i32.const 0) (i32.const 0x7fffffff) (i32.const 512))",
        "(call $random_get (i32.const 0) (i32.const -1))",
        "(call $random_get (i32.const 65530) (i32.const 7))",
        "(call $args_get (i32.const -4) (i32.const -4))",
        "(call $poll_oneoff (i32.const 0) (i32.const 0) (i32.const 0x10000000) (i32.const 512))",
        "(call $path_open (i32.const 3) (i32.const 1) (i32.const 65535) (i32.const 100) (i32.const 0) (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 512))",
    ];
    let count = |call: &&str| format!("(local.set $e (i32.add (local.get $e) (i32.eqz {call})))\n");
    command(&(calls.iter().map(count).collect::<String>() + "(call $proc_exit (local.get $e))"))
}

fn environment() -> Vec<u8> {
    command(
        "(drop (call $environ_sizes_get (i32.const 512) (i32.const 516)))
        (call $proc_exit (i32.load (i32.const 512)))",
    )
}

fn terminal_codes() -> Vec<u8> {
    command_with(
        r#"(data (i32.const 1600) "\1b[2J\1b]0;owned\07\1b[31m\e2\80\ae")
           (data (i32.const 1592) "\40\06\00\00\15\00\00\00")"#,
        "(drop (call $fd_write (i32.const 2) (i32.const 1592) (i32.const 1) (i32.const 512))) (call $proc_exit (i32.const 3))",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_is_what_it_says() {
        for guest in GUESTS.iter().filter(|guest| guest.name != "slow-compilation") {
            let bytes = (guest.bytes)();
            assert_eq!(bytes.is_empty(), guest.name == "empty", "{}: not valid text", guest.name);
        }
    }
}
