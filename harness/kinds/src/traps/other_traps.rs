//! Traps that have nothing to do with the edge of memory: each with the code, the message and the backtrace that it must
//! have.

/// What a trap needs of its engine and store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Fuel that runs out.
    Fuel,
    /// An epoch that is over.
    Epoch,
    /// A limit on memory that is an error to pass.
    MemoryLimit,
}

/// One trap.
#[derive(Clone, Copy, Debug)]
pub struct OtherTrap {
    /// Its name.
    pub name: &'static str,
    /// A module that exports `run`, which traps.
    pub wat: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// The engine's name of the trap; `None` where it is an error of the host's.
    pub code: Option<&'static str>,
    /// What the message says.
    pub message: &'static str,
    /// The functions that were active, the innermost first, as far as they matter.
    pub backtrace: &'static [&'static str],
}

/// `inner` does something, in a call of a call, so that there is a backtrace to be right.
macro_rules! three_deep {
    ($before:literal, $body:literal) => {
        concat!(
            "(module ",
            $before,
            "(func $inner (param i32) ",
            $body,
            ") (func $middle (param i32) local.get 0 call $inner) (func $outer (export \"run\") i32.const 0 call $middle))"
        )
    };
}

const THREE: &[&str] = &["inner", "middle", "outer"];

const fn plain(name: &'static str, wat: &'static str, code: &'static str, message: &'static str) -> OtherTrap {
    OtherTrap { name, wat, needs: Needs::Nothing, code: Some(code), message, backtrace: THREE }
}

const ZERO: &str = "IntegerDivisionByZero";
const ZERO_MESSAGE: &str = "integer divide by zero";
const OVERFLOW: &str = "IntegerOverflow";
const OVERFLOW_MESSAGE: &str = "integer overflow";
const CONVERSION: &str = "BadConversionToInteger";
const CONVERSION_MESSAGE: &str = "invalid conversion to integer";

/// Every other trap.
pub const OTHER_TRAPS: &[OtherTrap] = &[
    plain(
        "unreachable",
        three_deep!("", "unreachable"),
        "UnreachableCodeReached",
        "`unreachable` instruction executed",
    ),
    plain("i32.div_s-zero", three_deep!("", "i32.const 7 local.get 0 i32.div_s drop"), ZERO, ZERO_MESSAGE),
    plain("i32.div_u-zero", three_deep!("", "i32.const 7 local.get 0 i32.div_u drop"), ZERO, ZERO_MESSAGE),
    plain("i32.rem_s-zero", three_deep!("", "i32.const 7 local.get 0 i32.rem_s drop"), ZERO, ZERO_MESSAGE),
    plain("i32.rem_u-zero", three_deep!("", "i32.const 7 local.get 0 i32.rem_u drop"), ZERO, ZERO_MESSAGE),
    plain(
        "i64.div_s-zero",
        three_deep!("", "i64.const 7 local.get 0 i64.extend_i32_s i64.div_s drop"),
        ZERO,
        ZERO_MESSAGE,
    ),
    plain(
        "i64.div_u-zero",
        three_deep!("", "i64.const 7 local.get 0 i64.extend_i32_s i64.div_u drop"),
        ZERO,
        ZERO_MESSAGE,
    ),
    plain(
        "i64.rem_s-zero",
        three_deep!("", "i64.const 7 local.get 0 i64.extend_i32_s i64.rem_s drop"),
        ZERO,
        ZERO_MESSAGE,
    ),
    plain(
        "i64.rem_u-zero",
        three_deep!("", "i64.const 7 local.get 0 i64.extend_i32_s i64.rem_u drop"),
        ZERO,
        ZERO_MESSAGE,
    ),
    plain(
        "i32.div_s-overflow",
        three_deep!("", "i32.const 0x80000000 local.get 0 i32.const 1 i32.sub i32.div_s drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i64.div_s-overflow",
        three_deep!("", "i64.const 0x8000000000000000 local.get 0 i32.const 1 i32.sub i64.extend_i32_s i64.div_s drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i32.trunc_f32_s-nan",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const nan f32.add i32.trunc_f32_s drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i32.trunc_f32_s-range",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const 2147483648 f32.add i32.trunc_f32_s drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i32.trunc_f32_u-nan",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const nan f32.add i32.trunc_f32_u drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i32.trunc_f32_u-range",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const -1 f32.add i32.trunc_f32_u drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i32.trunc_f64_s-nan",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const nan f64.add i32.trunc_f64_s drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i32.trunc_f64_s-range",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const 2147483648 f64.add i32.trunc_f64_s drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i32.trunc_f64_u-nan",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const nan f64.add i32.trunc_f64_u drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i32.trunc_f64_u-range",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const -1 f64.add i32.trunc_f64_u drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i64.trunc_f32_s-nan",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const nan f32.add i64.trunc_f32_s drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i64.trunc_f32_s-range",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const 9223372036854775808 f32.add i64.trunc_f32_s drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i64.trunc_f32_u-nan",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const nan f32.add i64.trunc_f32_u drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i64.trunc_f32_u-range",
        three_deep!("", "local.get 0 f32.convert_i32_s f32.const -1 f32.add i64.trunc_f32_u drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i64.trunc_f64_s-nan",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const nan f64.add i64.trunc_f64_s drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i64.trunc_f64_s-range",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const 9223372036854775808 f64.add i64.trunc_f64_s drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "i64.trunc_f64_u-nan",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const nan f64.add i64.trunc_f64_u drop"),
        CONVERSION,
        CONVERSION_MESSAGE,
    ),
    plain(
        "i64.trunc_f64_u-range",
        three_deep!("", "local.get 0 f64.convert_i32_s f64.const -1 f64.add i64.trunc_f64_u drop"),
        OVERFLOW,
        OVERFLOW_MESSAGE,
    ),
    plain(
        "call_indirect-null",
        three_deep!("(type $f (func)) (table 4 funcref)", "local.get 0 call_indirect (type $f)"),
        "IndirectCallToNull",
        "uninitialized element",
    ),
    plain(
        "call_indirect-type",
        three_deep!(
            "(type $f (func (result i64))) (table 4 funcref) (elem (i32.const 0) $other) (func $other)",
            "local.get 0 call_indirect (type $f) drop"
        ),
        "BadSignature",
        "indirect call type mismatch",
    ),
    plain(
        "call_indirect-bounds",
        three_deep!("(type $f (func)) (table 4 funcref)", "local.get 0 i32.const 4 i32.add call_indirect (type $f)"),
        "TableOutOfBounds",
        "out of bounds table access",
    ),
    plain(
        "table.get-bounds",
        three_deep!("(table 4 funcref)", "local.get 0 i32.const 4 i32.add table.get 0 drop"),
        "TableOutOfBounds",
        "out of bounds table access",
    ),
    plain(
        "load-bounds",
        three_deep!("(memory (export \"memory\") 1)", "local.get 0 i32.const 65536 i32.add i32.load drop"),
        "MemoryOutOfBounds",
        "out of bounds memory access",
    ),
    plain(
        "store-bounds",
        three_deep!("(memory (export \"memory\") 1)", "local.get 0 i32.const 65533 i32.add i32.const 1 i32.store"),
        "MemoryOutOfBounds",
        "out of bounds memory access",
    ),
    plain(
        "atomic-unaligned",
        three_deep!("(memory (export \"memory\") 1)", "local.get 0 i32.const 2 i32.add i32.atomic.load drop"),
        "HeapMisaligned",
        "unaligned atomic",
    ),
    plain(
        "wait-unshared",
        three_deep!("(memory (export \"memory\") 1)", "local.get 0 i32.const 0 i64.const 0 memory.atomic.wait32 drop"),
        "AtomicWaitNonSharedMemory",
        "atomic wait on non-shared memory",
    ),
    plain(
        "table.init-dropped",
        three_deep!(
            "(table 4 funcref) (elem $e func $inner)",
            "elem.drop $e local.get 0 i32.const 0 i32.const 1 table.init $e"
        ),
        "TableOutOfBounds",
        "out of bounds table access",
    ),
    plain(
        "memory.init-dropped",
        three_deep!("(memory 1) (data $d \"abc\")", "data.drop $d local.get 0 i32.const 0 i32.const 1 memory.init $d"),
        "MemoryOutOfBounds",
        "out of bounds memory access",
    ),
    OtherTrap {
        name: "stack-overflow",
        wat: "(module (func $deeper (export \"run\") call $deeper call $deeper))",
        needs: Needs::Nothing,
        code: Some("StackOverflow"),
        message: "call stack exhausted",
        backtrace: &["deeper", "deeper", "deeper"],
    },
    OtherTrap {
        name: "out-of-fuel",
        wat: "(module (func $spin (export \"run\") (loop br 0)))",
        needs: Needs::Fuel,
        code: Some("OutOfFuel"),
        message: "all fuel consumed",
        backtrace: &["spin"],
    },
    OtherTrap {
        name: "epoch",
        wat: "(module (func $spin (export \"run\") (loop br 0)))",
        needs: Needs::Epoch,
        code: Some("Interrupt"),
        message: "interrupt",
        backtrace: &["spin"],
    },
    OtherTrap {
        name: "memory-limit",
        wat: "(module (memory 1) (func $ask (export \"run\") i32.const 100 memory.grow drop))",
        needs: Needs::MemoryLimit,
        code: None,
        message: "forcing trap when growing memory",
        backtrace: &["ask"],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mishap_is_a_module_with_a_name_of_its_own() {
        let names: BTreeSet<&str> = OTHER_TRAPS.iter().map(|trap| trap.name).collect();
        assert_eq!(names.len(), OTHER_TRAPS.len());
        for trap in OTHER_TRAPS {
            if let Err(error) = wat::parse_str(trap.wat) {
                panic!("{}: {error}", trap.name);
            }
        }
    }
}
