;; What ci/kernels watches on other kernels: how often each thing happens is known beforehand. Between the marks it writes 7 bytes,
;; each by itself, touches 24 fresh pages of 4 KiB and sleeps 20 ms; then it loads from behind its memory, which is one SIGSEGV.
(module
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    ;; One buffer: the byte at 64. Behind it the name of a file, in the folder that every guest has as descriptor 3.
    (data (i32.const 0) "\40\00\00\00\01\00\00\00")
    (data (i32.const 64) "xwritten")

    (func $must_be_0 (param $errno i32) (if (local.get $errno) (then unreachable)))
    ;; `_start` marks by the precision that it asks the clock for: "WASISCO", then 1 for the start, 3 for a trap to come.
    (func $mark (param $which i64)
        (call $must_be_0 (call $clock
            (i32.const 1) (i64.or (i64.const 0x5741534953434f00) (local.get $which)) (i32.const 128))))

    (func (export "_start") (local $left i32) (local $page i32)
        (call $must_be_0 (call $open
            (i32.const 3) (i32.const 0) (i32.const 65) (i32.const 7) (i32.const 1)
            (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 136)))
        ;; Two pages of wasm are 32 of the kernel's. The first is left alone: growing itself must not have touched any.
        (local.set $page (i32.mul (memory.grow (i32.const 2)) (i32.const 65536)))
        ;; A clock that is relative and monotonic, at 256; the event goes to 320.
        (i32.store8 (i32.const 264) (i32.const 0))
        (i32.store (i32.const 272) (i32.const 1))
        (i64.store (i32.const 280) (i64.const 20000000))

        (call $mark (i64.const 1))
        (local.set $left (i32.const 7))
        (loop $writes
            (call $must_be_0 (call $write (i32.load (i32.const 136)) (i32.const 0) (i32.const 1) (i32.const 140)))
            (br_if $writes (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (local.set $left (i32.const 24))
        (loop $pages
            (i32.store (local.get $page) (i32.const 1))
            (local.set $page (i32.add (local.get $page) (i32.const 4096)))
            (br_if $pages (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $must_be_0 (call $poll (i32.const 256) (i32.const 320) (i32.const 1) (i32.const 144)))
        (call $mark (i64.const 3))
        (drop (i32.load (i32.const 0x7fff0000)))))
