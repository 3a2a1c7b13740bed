;; The `writes` workload written by hand: a guest of which every instruction is known, for calibrating the capture.
;;
;; Between the marks it makes exactly n one-byte calls of fd_write, to `writes.dat` in the first preopened directory,
;; and no other call. n is the first argument, in decimal, and 16 without one. Exit code 2: n is not a number;
;; 1: a WASI call failed.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; Where things are in memory:
  ;;     0  argc, later the open file's descriptor
  ;;     4  the size of the arguments' text, later the number of bytes written
  ;;     8  the time, which nobody looks at
  ;;    16  ciovec: address, length
  ;;    24  the byte to be written
  ;;    32  the result line, built from its end at 128 towards its beginning
  ;;   128  fixed text
  ;;   256  pointers to the arguments, and then the arguments
  (memory (export "memory") 1)
  (data (i32.const 128) "writes.dat")
  (data (i32.const 144) "writes n=")
  (data (i32.const 160) " check=")
  (data (i32.const 176) "error: n must be a decimal number\n")
  (data (i32.const 224) "error: a WASI call failed\n")

  ;; The start of the result line so far.
  (global $line (mut i32) (i32.const 128))

  (func $_start (export "_start")
    (local $n i64) (local $i i64) (local $check i64) (local $fd i32)
    (local.set $n (call $size))
    ;; oflags: creat | trunc; rights: fd_write
    (call $require (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 10)
      (i32.const 9) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)))
    (local.set $fd (i32.load (i32.const 0)))
    (local.set $check (i64.const 0xcbf29ce484222325))

    (call $mark (i64.const 0x5741534953434f01))
    (block $done
      (loop $next
        (br_if $done (i64.eq (local.get $i) (local.get $n)))
        (i32.store8 (i32.const 24)
          (i32.add (i32.const 97) (i32.wrap_i64 (i64.rem_u (local.get $i) (i64.const 26)))))
        (call $write (local.get $fd) (i32.const 24) (i32.const 1))
        (local.set $check (i64.mul (i64.const 0x100000001b3)
          (i64.xor (local.get $check) (i64.load8_u (i32.const 24)))))
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br $next)))
    (call $mark (i64.const 0x5741534953434f02))

    (call $require (call $fd_close (local.get $fd)))
    (call $prepend_byte (i32.const 10))
    (call $prepend_number (local.get $check) (i64.const 16) (i32.const 16))
    (call $prepend (i32.const 160) (i32.const 7))
    (call $prepend_number (local.get $n) (i64.const 10) (i32.const 1))
    (call $prepend (i32.const 144) (i32.const 9))
    (call $write (i32.const 1) (global.get $line) (i32.sub (i32.const 128) (global.get $line))))

  ;; n, from the first argument if there is one.
  (func $size (result i64)
    (local $argc i32) (local $end i32) (local $at i32) (local $digit i64) (local $n i64)
    (call $require (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (local.set $argc (i32.load (i32.const 0)))
    (if (i32.lt_u (local.get $argc) (i32.const 2)) (then (return (i64.const 16))))
    ;; The text goes behind the pointers. A page for every 64 KiB or part of it, beside the one there is.
    (local.set $at (i32.add (i32.const 256) (i32.shl (local.get $argc) (i32.const 2))))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 4))))
    (if (i32.eq (i32.const -1) (memory.grow (i32.shr_u (local.get $end) (i32.const 16))))
      (then (call $fail (i32.const 1) (i32.const 224) (i32.const 26))))
    (call $require (call $args_get (i32.const 256) (local.get $at)))
    (local.set $at (i32.load (i32.const 260)))
    (block $not_a_number
      (br_if $not_a_number (i32.eqz (i32.load8_u (local.get $at))))
      (loop $next
        (local.set $digit (i64.sub (i64.load8_u (local.get $at)) (i64.const 48)))
        (br_if $not_a_number (i64.gt_u (local.get $digit) (i64.const 9)))
        ;; Would ten times n, plus the digit, go beyond 64 bits?
        (br_if $not_a_number (i64.gt_u (local.get $n)
          (i64.div_u (i64.sub (i64.const -1) (local.get $digit)) (i64.const 10))))
        (local.set $n (i64.add (local.get $digit) (i64.mul (local.get $n) (i64.const 10))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.load8_u (local.get $at))))
      (return (local.get $n)))
    (call $fail (i32.const 2) (i32.const 176) (i32.const 34))
    (unreachable))

  ;; Calls clock_time_get for the monotonic clock with the mark as precision.
  (func $mark (param $mark i64)
    (call $require (call $clock_time_get (i32.const 1) (local.get $mark) (i32.const 8))))

  ;; Writes in one call, and fails if that does not write everything.
  (func $write (param $fd i32) (param $start i32) (param $length i32)
    (i32.store (i32.const 16) (local.get $start))
    (i32.store (i32.const 20) (local.get $length))
    (call $require (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 4)))
    (call $require (i32.ne (i32.load (i32.const 4)) (local.get $length))))

  ;; Ends the program unless the errno is that of success.
  (func $require (param $errno i32)
    (if (local.get $errno) (then (call $fail (i32.const 1) (i32.const 224) (i32.const 26)))))

  ;; Ends the program with a message on standard error.
  (func $fail (param $code i32) (param $start i32) (param $length i32)
    (i32.store (i32.const 16) (local.get $start))
    (i32.store (i32.const 20) (local.get $length))
    (drop (call $fd_write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 4)))
    (call $proc_exit (local.get $code))
    (unreachable))

  (func $prepend_byte (param $byte i32)
    (global.set $line (i32.sub (global.get $line) (i32.const 1)))
    (i32.store8 (global.get $line) (local.get $byte)))

  (func $prepend (param $start i32) (param $length i32)
    (global.set $line (i32.sub (global.get $line) (local.get $length)))
    (memory.copy (global.get $line) (local.get $start) (local.get $length)))

  ;; With at least so many digits.
  (func $prepend_number (param $number i64) (param $radix i64) (param $digits i32)
    (local $digit i32)
    (block $done
      (loop $next
        (br_if $done (i32.and (i64.eqz (local.get $number)) (i32.le_s (local.get $digits) (i32.const 0))))
        (local.set $digit (i32.wrap_i64 (i64.rem_u (local.get $number) (local.get $radix))))
        (call $prepend_byte (i32.add (local.get $digit)
          (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
        (local.set $number (i64.div_u (local.get $number) (local.get $radix)))
        (local.set $digits (i32.sub (local.get $digits) (i32.const 1)))
        (br $next)))))
