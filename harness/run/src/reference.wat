;; The reference case: one chain of dependent multiplications, some five milliseconds of it. It must never change, because
;; reports of different times are compared by it.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  ;; The marks: `MARK_START` and `MARK_END` of the crate wasiscope-workloads.
  (func (export "_start") (local $left i32) (local $x i64)
    (drop (call $clock (i32.const 1) (i64.const MARK_START) (i32.const 0)))
    (local.set $left (i32.const 4000000))
    (loop $again
      (local.set $x (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.store (i32.const 8) (local.get $x))
    (drop (call $clock (i32.const 1) (i64.const MARK_END) (i32.const 0)))))
