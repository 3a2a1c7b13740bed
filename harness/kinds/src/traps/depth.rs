//! Guests that trap at a call depth, to time the way from the faulting access to the host.

use wasiscope_workloads::MARK_TRAP;

/// Call depths at which the latency of a trap is measured: functions that are active, `_start` included.
pub const DEPTHS: [u32; 3] = [1, 10, 100];

/// A command that reads past its memory when so many of its functions are active, and marks the moment before.
///
/// The address comes from a global that could change, so that no compiler knows it before. The page that the clock's answer goes
/// to is touched first: to find it missing is a page fault of its own, and would be part of what is timed.
#[must_use]
pub fn trapping_at(depth: u32) -> String {
    let fault = format!(
        "(i32.store (i32.const 0) (i32.const 1)) (drop (call $clock (i32.const 1) (i64.const {MARK_TRAP}) (i32.const 0))) (i32.load (global.get $past))"
    );
    let start = match depth {
        0 | 1 => fault.clone(),
        deeper => format!("(call $down (i32.const {}))", deeper - 2),
    };
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (global $past (mut i32) (i32.const 65536))
  ;; What is added behind the call keeps it from being the last thing that is done.
  (func $down (param $left i32) (result i32)
    (if (result i32) (local.get $left)
      (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $left) (i32.const 1)))))
      (else {fault})))
  (func (export "_start") {start} (drop)))
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_commands() {
        for depth in DEPTHS {
            let wasm = wat::parse_str(trapping_at(depth)).expect("it is text that can be read");
            wasiscope_guest::module::check(&wasm, ("_start", &[]), None).expect("it is a command");
        }
    }
}
