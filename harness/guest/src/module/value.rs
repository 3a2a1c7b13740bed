//! Arguments of functions as people write them.

use wasmparser::ValType;
use wast::parser::{self, Parse, ParseBuffer};
use wast::token::{F32, F64};

/// A number as wasm has it; of floats the bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// An `i32`.
    I32(i32),
    /// An `i64`.
    I64(i64),
    /// An `f32`.
    F32(u32),
    /// An `f64`.
    F64(u64),
}

/// The type of a [`Number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberType {
    /// `i32`, signed or unsigned.
    I32,
    /// `i64`, signed or unsigned.
    I64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
}

impl NumberType {
    /// The type of a parameter, if it is a number.
    pub(super) fn of(ty: ValType) -> Option<Self> {
        match ty {
            ValType::I32 => Some(Self::I32),
            ValType::I64 => Some(Self::I64),
            ValType::F32 => Some(Self::F32),
            ValType::F64 => Some(Self::F64),
            ValType::V128 | ValType::Ref(_) => None,
        }
    }
}

impl Number {
    /// Reads a number as WebAssembly's text format writes it (`-5`, `0xff`, `4294967295`, `1_000`, `1e3`, `0x1p4`, `inf`, `nan`), and floats
    /// also as Rust does (`.5`, `NaN`, `infinity`). `None` when it is not one, or out of range.
    #[must_use]
    pub fn parse(ty: NumberType, text: &str) -> Option<Self> {
        match ty {
            NumberType::I32 => literal(text).map(Self::I32),
            NumberType::I64 => literal(text).map(Self::I64),
            NumberType::F32 => {
                let bits = literal(text).map(|F32 { bits }| bits);
                bits.or_else(|| text.parse().ok().map(f32::to_bits)).map(Self::F32)
            }
            NumberType::F64 => {
                let bits = literal(text).map(|F64 { bits }| bits);
                bits.or_else(|| text.parse().ok().map(f64::to_bits)).map(Self::F64)
            }
        }
    }
}

/// A literal of the text format, and nothing besides: no spaces, no comments.
fn literal<T: for<'a> Parse<'a>>(text: &str) -> Option<T> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._:".contains(&byte)) {
        return None;
    }
    let buffer = ParseBuffer::new(text).ok()?;
    parser::parse(&buffer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_decimal_or_hexadecimal_signed_or_unsigned() {
        let i32 = |text| Number::parse(NumberType::I32, text);
        for (text, value) in [
            ("0x10", 16),
            ("-0x1", -1),
            ("+7", 7),
            ("1_000", 1_000),
            ("4294967295", -1),
            ("0xffffffff", -1),
            ("-2147483648", i32::MIN),
        ] {
            assert_eq!(i32(text), Some(Number::I32(value)), "{text}");
        }
        for text in ["", "4294967296", "-2147483649", "0x", "1.5", "x", "1 ", "1(;c;)", "0b1", "_1", "1__0"] {
            assert_eq!(i32(text), None, "{text}");
        }
        let i64 = |text| Number::parse(NumberType::I64, text);
        assert_eq!(i64("18446744073709551615"), Some(Number::I64(-1)));
        assert_eq!(i64("-0x8000000000000000"), Some(Number::I64(i64::MIN)));
        assert_eq!(i64("18446744073709551616"), None);
    }

    #[test]
    fn floats_are_numbers_infinities_and_nan() {
        let f64 = |text| match Number::parse(NumberType::F64, text) {
            Some(Number::F64(bits)) => Some(f64::from_bits(bits)),
            _ => None,
        };
        for (text, value) in [
            ("1", 1.0),
            ("-2.5", -2.5),
            ("1e3", 1e3),
            (".5", 0.5),
            ("0x10", 16.0),
            ("0x1p4", 16.0),
            ("inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("infinity", f64::INFINITY),
        ] {
            assert_eq!(f64(text), Some(value), "{text}");
        }
        assert!(f64("nan").is_some_and(f64::is_nan) && f64("NaN").is_some_and(f64::is_nan));
        assert_eq!((f64("one"), f64("")), (None, None));
        // Rounded once: by way of an f64 it would be another.
        assert_eq!(Number::parse(NumberType::F32, "0.1"), Some(Number::F32(0.1_f32.to_bits())));
    }
}
