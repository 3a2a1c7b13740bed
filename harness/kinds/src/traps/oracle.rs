//! What the specification says of a cell, in integers of 128 bits, which do not wrap. No engine is asked.
//!
//! An access of `width` bytes at `operand + immediate` is in bounds when `operand + immediate + width <= size`, added as
//! mathematicians do (WebAssembly core specification, 4.6.8 "Memory Instructions"). The operand alone wraps, because the
//! instructions that make it do.

use super::cell::{Address, Cell, SHIFT, Shape};
use super::layout::OTHER_LARGER;
use super::operation::{Effect, SEGMENT_LENGTH, Update};

/// Why an operation must trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Code {
    /// Outside memory.
    MemoryOutOfBounds,
    /// Outside a table.
    TableOutOfBounds,
    /// Not a multiple of the width of an atomic access.
    Unaligned,
    /// Waiting on memory that is not shared.
    NotShared,
    /// A call of nothing.
    Null,
}

/// What must come of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A trap, for any of these reasons: where there are several, the specification does not say which comes first.
    Trap(Vec<Code>),
    /// A result, if it has one, as bits; and what is stored: from where, which bytes or elements.
    Done {
        /// The result.
        result: Option<u128>,
        /// What is stored.
        stored: Option<Stored>,
    },
}

/// What an operation stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Bytes from this address on.
    Bytes(u64, Vec<u8>),
    /// Elements of a table from this one on: the numbers of their functions.
    Elements(u64, Vec<Option<u32>>),
    /// It has this size afterwards, in pages or elements.
    Size(u64),
}

/// The operand of everything that takes one, cut to its type.
pub const OPERAND: u128 = 0xF1E2_D3C4_B5A6_9788_796A_5B4C_3D2E_1F01;
/// Where copies and initialisations that are about their source go.
pub const ELSEWHERE: u64 = 3;
/// From where copies come that are about their destination.
pub const FROM: u64 = 8;

/// The byte that the memory under test has at an address before anything is tried.
#[must_use]
pub const fn byte_at(address: u64) -> u8 {
    // A multiplicative hash: neighbours differ, and no page is like another.
    (address.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56).to_le_bytes()[0]
}

/// What the bytes of the other memory in a module differ by.
pub const OTHER_MASK: u8 = 0x33;
const PAGE: u64 = 1 << 16;

/// The byte of the data segment.
#[must_use]
pub const fn segment_byte(at: u64) -> u8 {
    !byte_at(at.wrapping_mul(7) + 1)
}

/// The function that a table has at an index before anything is tried; every third place is empty.
#[must_use]
pub const fn element_at(index: u64) -> Option<u32> {
    match index % 3 {
        1 => None,
        _ => Some(function_of(index)),
    }
}

/// The function that the element segment has.
#[must_use]
pub const fn segment_element(at: u64) -> Option<u32> {
    Some(function_of(at + 5))
}

#[expect(clippy::cast_possible_truncation, reason = "below the number of functions")]
const fn function_of(index: u64) -> u32 {
    (index % FUNCTIONS as u64) as u32
}

/// Functions that tables hold. Each gives its own number.
pub const FUNCTIONS: u32 = 8;

/// The operand with the address, as the instructions in front make it.
#[must_use]
pub fn operand(cell: &Cell, address: &Address) -> u128 {
    let modulus = 1_u128 << cell.index_bits();
    let [first, second] = address.parameters.map(u128::from);
    let (constant, other) = (u128::from(address.constant), u128::from(address.other));
    match cell.shape {
        Shape::Constant => constant,
        Shape::Parameter => first,
        Shape::AddedConstant => (first + constant) % modulus,
        Shape::Added => (first + second) % modulus,
        Shape::Shifted => ((first << SHIFT) % modulus + constant) % modulus,
        Shape::Extended if cell.index_bits() == 32 => other % modulus,
        // From 32 bits to 64: a negative one is a large one.
        Shape::Extended if address.signed && other >= 1 << 31 => modulus - (1 << 32) + other,
        Shape::Extended => other,
    }
}

/// What must come of a cell.
#[must_use]
pub fn expected(cell: &Cell, address: &Address) -> Expected {
    let operation = cell.operation;
    let width = cell.width();
    let place = operand(cell, address) + u128::from(address.offset);
    if operation.effect == Effect::Grow {
        return grown(cell, place);
    }
    let mut reasons = Vec::new();
    let others_in_bounds = other_place_is_in_bounds(cell);
    if place + width > u128::from(cell.size()) || !others_in_bounds {
        reasons.push(if operation.is_of_tables() { Code::TableOutOfBounds } else { Code::MemoryOutOfBounds });
    }
    if operation.atomic && !place.is_multiple_of(width) {
        reasons.push(Code::Unaligned);
    }
    if operation.effect == Effect::Wait && !cell.layout.is_shared() {
        reasons.push(Code::NotShared);
    }
    let at = u64::try_from(place).unwrap_or(u64::MAX);
    if reasons.is_empty() && operation.effect == Effect::Call && element_at(at).is_none() {
        reasons.push(Code::Null);
    }
    if !reasons.is_empty() {
        return Expected::Trap(reasons);
    }
    if operation.is_of_tables() { done_in_table(cell, at) } else { done_in_memory(cell, at) }
}

/// Whether the place at the other end of a copy or initialisation, which is always the same, is there at all.
fn other_place_is_in_bounds(cell: &Cell) -> bool {
    let width = cell.width();
    let space = if cell.operation.is_of_tables() { cell.layout.elements() } else { cell.layout.bytes() };
    // Between two memories of a module, bytes come from the other one, which is larger.
    let from_other = cell.copies_from_other().then(|| u128::from(cell.layout.bytes() + OTHER_LARGER * PAGE));
    let (space, ends) = (u128::from(space), |from: u64| u128::from(from) + width);
    match cell.operation.effect {
        Effect::CopyTo => ends(FROM) <= from_other.unwrap_or(space),
        Effect::CopyFrom | Effect::InitFrom => ends(ELSEWHERE) <= space,
        Effect::InitTo => width <= u128::from(SEGMENT_LENGTH),
        _ => true,
    }
}

/// `place` is what the operand says, without what is there already.
fn grown(cell: &Cell, delta: u128) -> Expected {
    let failed = if cell.layout.address_bits() == 64 { u64::MAX } else { u64::from(u32::MAX) };
    let present = u128::from(cell.present());
    let (result, size) = if present + delta <= u128::from(cell.size()) {
        (cell.present(), u64::try_from(present + delta).unwrap_or(u64::MAX))
    } else {
        (failed, cell.present())
    };
    Expected::Done { result: Some(result.into()), stored: Some(Stored::Size(size)) }
}

fn done_in_table(cell: &Cell, at: u64) -> Expected {
    let width = u64::from(cell.operation.width);
    let stored = |from: u64, element: &dyn Fn(u64) -> Option<u32>| {
        Some(Stored::Elements(from, (0..width).map(element).collect()))
    };
    let (result, stored) = match cell.operation.effect {
        Effect::Get => (Some(u128::from(element_at(at).is_none())), None),
        Effect::Call => (element_at(at).map(u128::from), None),
        Effect::Set | Effect::Fill => (None, stored(at, &|_| None)),
        Effect::CopyTo => (None, stored(at, &|index| element_at(FROM + index))),
        Effect::CopyFrom => (None, stored(ELSEWHERE, &|index| element_at(at + index))),
        Effect::InitTo => (None, stored(at, &segment_element)),
        _ => (None, stored(ELSEWHERE, &|index| segment_element(at + index))),
    };
    Expected::Done { result, stored }
}

/// The first `width` bytes at an address of the untouched memory, the first lowest.
#[must_use]
pub fn bytes_at(address: u64, width: u32) -> u128 {
    (0..width.min(16))
        .fold(0, |bits, index| bits | u128::from(byte_at(address.wrapping_add(index.into()))) << (8 * index))
}

/// The low bytes of a value, the lowest first.
fn low_bytes(value: u128, width: u32) -> Vec<u8> {
    value.to_le_bytes()[..width as usize].to_vec()
}

/// A value cut to so many bytes.
const fn cut(value: u128, bytes: u32) -> u128 {
    if bytes >= 16 { value } else { value & ((1 << (8 * bytes)) - 1) }
}

/// Extended from some bytes to more.
const fn extend(value: u128, from: u32, to: u32, signed: bool) -> u128 {
    let is_negative = signed && value >> (8 * from - 1) & 1 == 1;
    if is_negative { cut(value | !cut(u128::MAX, from), to) } else { value }
}

fn done_in_memory(cell: &Cell, at: u64) -> Expected {
    let operation = cell.operation;
    let (width, whole) = (operation.width, operation.ty.bytes());
    let there = bytes_at(at, width);
    let operand = cut(OPERAND, whole);
    let lane_of = |lane: u8| 8 * width * u32::from(lane);
    let bytes =
        |from: u64, byte: &dyn Fn(u64) -> u8| Some(Stored::Bytes(from, (0..u64::from(width)).map(byte).collect()));
    let (result, stored) = match operation.effect {
        Effect::Load { signed } => (Some(extend(there, width, whole, signed)), None),
        Effect::Splat => {
            let lanes = 16 / width;
            (Some((0..lanes).fold(0, |vector, lane| vector | there << (8 * width * lane))), None)
        }
        Effect::Widen { lane_bytes, signed } => {
            let lane = |index: u32| {
                let narrow = cut(there >> (8 * lane_bytes * index), lane_bytes);
                extend(narrow, lane_bytes, 2 * lane_bytes, signed) << (16 * lane_bytes * index)
            };
            (Some((0..8 / lane_bytes).fold(0, |vector, index| vector | lane(index))), None)
        }
        Effect::LoadLane(lane) => {
            let hole = operand & !(cut(u128::MAX, width) << lane_of(lane));
            (Some(hole | there << lane_of(lane)), None)
        }
        Effect::Store => (None, Some(Stored::Bytes(at, low_bytes(operand, width)))),
        Effect::StoreLane(lane) => (None, Some(Stored::Bytes(at, low_bytes(operand >> lane_of(lane), width)))),
        Effect::Update(Update::CompareFail) => (Some(there), None),
        Effect::Update(update) => {
            (Some(there), Some(Stored::Bytes(at, low_bytes(updated(update, there, operand), width))))
        }
        Effect::Wait => (Some(1), None),
        Effect::Notify => (Some(0), None),
        Effect::Fill => (None, bytes(at, &|_| OPERAND.to_le_bytes()[0])),
        Effect::CopyTo if cell.copies_from_other() => (None, bytes(at, &|index| byte_at(FROM + index) ^ OTHER_MASK)),
        Effect::CopyTo => (None, bytes(at, &|index| byte_at(FROM + index))),
        Effect::CopyFrom => (None, bytes(ELSEWHERE, &|index| byte_at(at + index))),
        Effect::InitTo => (None, bytes(at, &segment_byte)),
        Effect::InitFrom => (None, bytes(ELSEWHERE, &|index| segment_byte(at + index))),
        Effect::Grow | Effect::Get | Effect::Set | Effect::Call => (None, None),
    };
    Expected::Done { result, stored }
}

const fn updated(update: Update, old: u128, operand: u128) -> u128 {
    match update {
        Update::Add => old.wrapping_add(operand),
        Update::Sub => old.wrapping_sub(operand),
        Update::And => old & operand,
        Update::Or => old | operand,
        Update::Xor => old ^ operand,
        Update::Exchange | Update::CompareExchange | Update::CompareFail => operand,
    }
}
