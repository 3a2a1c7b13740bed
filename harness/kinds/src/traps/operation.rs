//! The operations of the matrix: how each is encoded, how much it touches, and what it does.

use wasm_encoder::{Instruction, MemArg};

/// Operations that behave alike; one case of the matrix tries all of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Loads of integers and floats, of every width.
    Loads,
    /// Stores of integers and floats, of every width.
    Stores,
    /// Loads and stores of vectors: whole, splat, extended, zero-filled, by lane.
    Vectors,
    /// Atomic loads and stores, `wait`, `notify`.
    Atomics,
    /// Atomic read-modify-write operations.
    AtomicUpdates,
    /// `memory.copy`, `memory.fill`, `memory.init`.
    Bulk,
    /// `memory.grow` up to its limit and beyond.
    Grow,
    /// Access to tables and calls through them.
    Tables,
}

impl Family {
    /// All of them, in the order of the grid.
    pub const ALL: [Self; 8] = [
        Self::Loads,
        Self::Stores,
        Self::Vectors,
        Self::Atomics,
        Self::AtomicUpdates,
        Self::Bulk,
        Self::Grow,
        Self::Tables,
    ];

    /// The name in case ids.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loads => "loads",
            Self::Stores => "stores",
            Self::Vectors => "vectors",
            Self::Atomics => "atomics",
            Self::AtomicUpdates => "atomic-updates",
            Self::Bulk => "bulk",
            Self::Grow => "grow",
            Self::Tables => "tables",
        }
    }
}

/// The type of what an operation takes or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `i32`.
    I32,
    /// `i64`.
    I64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `v128`.
    V128,
}

impl Type {
    /// Bytes of a value.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
            Self::V128 => 16,
        }
    }
}

/// What an atomic update does with the old value and its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Adds.
    Add,
    /// Subtracts.
    Sub,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Puts the operand in its place.
    Exchange,
    /// Puts the operand in its place when it is what is expected, which it is.
    CompareExchange,
    /// Leaves it, because it is not what is expected.
    CompareFail,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Gives the bytes, extended to the type: by their sign or with zeros.
    Load {
        /// Whether by their sign.
        signed: bool,
    },
    /// Gives the bytes over and over.
    Splat,
    /// Gives lanes of twice the width.
    Widen {
        /// Bytes of a lane in memory.
        lane_bytes: u32,
        /// Whether lanes are extended by their sign.
        signed: bool,
    },
    /// Puts the bytes into one lane of the operand.
    LoadLane(u8),
    /// Stores the low bytes of the operand.
    Store,
    /// Stores one lane of the operand.
    StoreLane(u8),
    /// Gives the old value, with zeros above, and stores what becomes of it.
    Update(Update),
    /// Waits for a value that is not there, which ends at once with 1.
    Wait,
    /// Wakes nobody, which gives 0.
    Notify,
    /// `memory.fill`, `table.fill`: one value again and again.
    Fill,
    /// `memory.copy`, `table.copy` to the place in question, from one in bounds.
    CopyTo,
    /// `memory.copy`, `table.copy` from the place in question, to one in bounds.
    CopyFrom,
    /// `memory.init`, `table.init` to the place in question, from the beginning of a segment.
    InitTo,
    /// `memory.init`, `table.init` from the place in question in a segment, to one in bounds.
    InitFrom,
    /// `memory.grow`, `table.grow` by so much that the size is the place in question.
    Grow,
    /// `table.get`, of which only is told whether it gave null.
    Get,
    /// `table.set` to null.
    Set,
    /// `call_indirect` of a function that gives its own number.
    Call,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name in the text format, with what is special in brackets.
    pub name: &'static str,
    /// Where it belongs.
    pub family: Family,
    /// What it does.
    pub effect: Effect,
    /// What it takes or gives.
    pub ty: Type,
    /// How many bytes, or elements of a table, it touches.
    pub width: u32,
    /// Whether its address must be a multiple of the width.
    pub atomic: bool,
    /// The instruction, where an address in memory and an immediate are all that it takes besides its operand.
    pub encode: Option<fn(MemArg) -> Instruction<'static>>,
}

/// The width of an operation that touches as many bytes as an address can say.
pub const ENDLESS: u32 = u32::MAX;
/// Bytes or elements of what can be filled, copied and initialised from.
pub const SEGMENT_LENGTH: u32 = 24;

type Encode = fn(MemArg) -> Instruction<'static>;

const fn load(name: &'static str, ty: Type, width: u32, signed: bool, encode: Encode) -> Operation {
    let effect = Load { signed };
    Operation { name, family: Family::Loads, effect, ty, width, atomic: false, encode: Some(encode) }
}

const fn store(name: &'static str, ty: Type, width: u32, encode: Encode) -> Operation {
    Operation { name, family: Family::Stores, effect: Store, ty, width, atomic: false, encode: Some(encode) }
}

const fn vector(name: &'static str, width: u32, effect: Effect, encode: Encode) -> Operation {
    Operation { name, family: Family::Vectors, effect, ty: Type::V128, width, atomic: false, encode: Some(encode) }
}

const fn atomic(name: &'static str, ty: Type, width: u32, effect: Effect, encode: Encode) -> Operation {
    Operation { name, family: Family::Atomics, effect, ty, width, atomic: true, encode: Some(encode) }
}

const fn update(name: &'static str, ty: Type, width: u32, update: Update, encode: Encode) -> Operation {
    let effect = Effect::Update(update);
    Operation { name, family: Family::AtomicUpdates, effect, ty, width, atomic: true, encode: Some(encode) }
}

const fn many(name: &'static str, family: Family, width: u32, effect: Effect) -> Operation {
    Operation { name, family, effect, ty: I32, width, atomic: false, encode: None }
}

use Effect::{
    Call, CopyFrom, CopyTo, Fill, Get, Grow, InitFrom, InitTo, Load, LoadLane, Notify, Set, Splat, Store, StoreLane,
    Wait, Widen,
};
use Type::{F32, F64, I32, I64};
use Update::{Add, And, CompareExchange, CompareFail, Exchange, Or, Sub, Xor};

/// Every operation, family by family.
pub const OPERATIONS: &[Operation] = &[
    load("i32.load", I32, 4, false, Instruction::I32Load),
    load("i64.load", I64, 8, false, Instruction::I64Load),
    load("f32.load", F32, 4, false, Instruction::F32Load),
    load("f64.load", F64, 8, false, Instruction::F64Load),
    load("i32.load8_s", I32, 1, true, Instruction::I32Load8S),
    load("i32.load8_u", I32, 1, false, Instruction::I32Load8U),
    load("i32.load16_s", I32, 2, true, Instruction::I32Load16S),
    load("i32.load16_u", I32, 2, false, Instruction::I32Load16U),
    load("i64.load8_s", I64, 1, true, Instruction::I64Load8S),
    load("i64.load8_u", I64, 1, false, Instruction::I64Load8U),
    load("i64.load16_s", I64, 2, true, Instruction::I64Load16S),
    load("i64.load16_u", I64, 2, false, Instruction::I64Load16U),
    load("i64.load32_s", I64, 4, true, Instruction::I64Load32S),
    load("i64.load32_u", I64, 4, false, Instruction::I64Load32U),
    store("i32.store", I32, 4, Instruction::I32Store),
    store("i64.store", I64, 8, Instruction::I64Store),
    store("f32.store", F32, 4, Instruction::F32Store),
    store("f64.store", F64, 8, Instruction::F64Store),
    store("i32.store8", I32, 1, Instruction::I32Store8),
    store("i32.store16", I32, 2, Instruction::I32Store16),
    store("i64.store8", I64, 1, Instruction::I64Store8),
    store("i64.store16", I64, 2, Instruction::I64Store16),
    store("i64.store32", I64, 4, Instruction::I64Store32),
    vector("v128.load", 16, Load { signed: false }, Instruction::V128Load),
    vector("v128.load8x8_s", 8, Widen { lane_bytes: 1, signed: true }, Instruction::V128Load8x8S),
    vector("v128.load8x8_u", 8, Widen { lane_bytes: 1, signed: false }, Instruction::V128Load8x8U),
    vector("v128.load16x4_s", 8, Widen { lane_bytes: 2, signed: true }, Instruction::V128Load16x4S),
    vector("v128.load16x4_u", 8, Widen { lane_bytes: 2, signed: false }, Instruction::V128Load16x4U),
    vector("v128.load32x2_s", 8, Widen { lane_bytes: 4, signed: true }, Instruction::V128Load32x2S),
    vector("v128.load32x2_u", 8, Widen { lane_bytes: 4, signed: false }, Instruction::V128Load32x2U),
    vector("v128.load8_splat", 1, Splat, Instruction::V128Load8Splat),
    vector("v128.load16_splat", 2, Splat, Instruction::V128Load16Splat),
    vector("v128.load32_splat", 4, Splat, Instruction::V128Load32Splat),
    vector("v128.load64_splat", 8, Splat, Instruction::V128Load64Splat),
    vector("v128.load32_zero", 4, Load { signed: false }, Instruction::V128Load32Zero),
    vector("v128.load64_zero", 8, Load { signed: false }, Instruction::V128Load64Zero),
    vector("v128.load8_lane", 1, LoadLane(11), |memarg| Instruction::V128Load8Lane { memarg, lane: 11 }),
    vector("v128.load16_lane", 2, LoadLane(5), |memarg| Instruction::V128Load16Lane { memarg, lane: 5 }),
    vector("v128.load32_lane", 4, LoadLane(2), |memarg| Instruction::V128Load32Lane { memarg, lane: 2 }),
    vector("v128.load64_lane", 8, LoadLane(1), |memarg| Instruction::V128Load64Lane { memarg, lane: 1 }),
    vector("v128.store", 16, Store, Instruction::V128Store),
    vector("v128.store8_lane", 1, StoreLane(11), |memarg| Instruction::V128Store8Lane { memarg, lane: 11 }),
    vector("v128.store16_lane", 2, StoreLane(5), |memarg| Instruction::V128Store16Lane { memarg, lane: 5 }),
    vector("v128.store32_lane", 4, StoreLane(2), |memarg| Instruction::V128Store32Lane { memarg, lane: 2 }),
    vector("v128.store64_lane", 8, StoreLane(1), |memarg| Instruction::V128Store64Lane { memarg, lane: 1 }),
    atomic("i32.atomic.load", I32, 4, Load { signed: false }, Instruction::I32AtomicLoad),
    atomic("i64.atomic.load", I64, 8, Load { signed: false }, Instruction::I64AtomicLoad),
    atomic("i32.atomic.load8_u", I32, 1, Load { signed: false }, Instruction::I32AtomicLoad8U),
    atomic("i32.atomic.load16_u", I32, 2, Load { signed: false }, Instruction::I32AtomicLoad16U),
    atomic("i64.atomic.load8_u", I64, 1, Load { signed: false }, Instruction::I64AtomicLoad8U),
    atomic("i64.atomic.load16_u", I64, 2, Load { signed: false }, Instruction::I64AtomicLoad16U),
    atomic("i64.atomic.load32_u", I64, 4, Load { signed: false }, Instruction::I64AtomicLoad32U),
    atomic("i32.atomic.store", I32, 4, Store, Instruction::I32AtomicStore),
    atomic("i64.atomic.store", I64, 8, Store, Instruction::I64AtomicStore),
    atomic("i32.atomic.store8", I32, 1, Store, Instruction::I32AtomicStore8),
    atomic("i32.atomic.store16", I32, 2, Store, Instruction::I32AtomicStore16),
    atomic("i64.atomic.store8", I64, 1, Store, Instruction::I64AtomicStore8),
    atomic("i64.atomic.store16", I64, 2, Store, Instruction::I64AtomicStore16),
    atomic("i64.atomic.store32", I64, 4, Store, Instruction::I64AtomicStore32),
    atomic("memory.atomic.wait32", I32, 4, Wait, Instruction::MemoryAtomicWait32),
    atomic("memory.atomic.wait64", I64, 8, Wait, Instruction::MemoryAtomicWait64),
    atomic("memory.atomic.notify", I32, 4, Notify, Instruction::MemoryAtomicNotify),
    update("i32.atomic.rmw.add", I32, 4, Add, Instruction::I32AtomicRmwAdd),
    update("i64.atomic.rmw.add", I64, 8, Add, Instruction::I64AtomicRmwAdd),
    update("i32.atomic.rmw8.add_u", I32, 1, Add, Instruction::I32AtomicRmw8AddU),
    update("i32.atomic.rmw16.add_u", I32, 2, Add, Instruction::I32AtomicRmw16AddU),
    update("i64.atomic.rmw8.add_u", I64, 1, Add, Instruction::I64AtomicRmw8AddU),
    update("i64.atomic.rmw16.add_u", I64, 2, Add, Instruction::I64AtomicRmw16AddU),
    update("i64.atomic.rmw32.add_u", I64, 4, Add, Instruction::I64AtomicRmw32AddU),
    update("i32.atomic.rmw.sub", I32, 4, Sub, Instruction::I32AtomicRmwSub),
    update("i64.atomic.rmw.sub", I64, 8, Sub, Instruction::I64AtomicRmwSub),
    update("i32.atomic.rmw8.sub_u", I32, 1, Sub, Instruction::I32AtomicRmw8SubU),
    update("i32.atomic.rmw16.sub_u", I32, 2, Sub, Instruction::I32AtomicRmw16SubU),
    update("i64.atomic.rmw8.sub_u", I64, 1, Sub, Instruction::I64AtomicRmw8SubU),
    update("i64.atomic.rmw16.sub_u", I64, 2, Sub, Instruction::I64AtomicRmw16SubU),
    update("i64.atomic.rmw32.sub_u", I64, 4, Sub, Instruction::I64AtomicRmw32SubU),
    update("i32.atomic.rmw.and", I32, 4, And, Instruction::I32AtomicRmwAnd),
    update("i64.atomic.rmw.and", I64, 8, And, Instruction::I64AtomicRmwAnd),
    update("i32.atomic.rmw8.and_u", I32, 1, And, Instruction::I32AtomicRmw8AndU),
    update("i32.atomic.rmw16.and_u", I32, 2, And, Instruction::I32AtomicRmw16AndU),
    update("i64.atomic.rmw8.and_u", I64, 1, And, Instruction::I64AtomicRmw8AndU),
    update("i64.atomic.rmw16.and_u", I64, 2, And, Instruction::I64AtomicRmw16AndU),
    update("i64.atomic.rmw32.and_u", I64, 4, And, Instruction::I64AtomicRmw32AndU),
    update("i32.atomic.rmw.or", I32, 4, Or, Instruction::I32AtomicRmwOr),
    update("i64.atomic.rmw.or", I64, 8, Or, Instruction::I64AtomicRmwOr),
    update("i32.atomic.rmw8.or_u", I32, 1, Or, Instruction::I32AtomicRmw8OrU),
    update("i32.atomic.rmw16.or_u", I32, 2, Or, Instruction::I32AtomicRmw16OrU),
    update("i64.atomic.rmw8.or_u", I64, 1, Or, Instruction::I64AtomicRmw8OrU),
    update("i64.atomic.rmw16.or_u", I64, 2, Or, Instruction::I64AtomicRmw16OrU),
    update("i64.atomic.rmw32.or_u", I64, 4, Or, Instruction::I64AtomicRmw32OrU),
    update("i32.atomic.rmw.xor", I32, 4, Xor, Instruction::I32AtomicRmwXor),
    update("i64.atomic.rmw.xor", I64, 8, Xor, Instruction::I64AtomicRmwXor),
    update("i32.atomic.rmw8.xor_u", I32, 1, Xor, Instruction::I32AtomicRmw8XorU),
    update("i32.atomic.rmw16.xor_u", I32, 2, Xor, Instruction::I32AtomicRmw16XorU),
    update("i64.atomic.rmw8.xor_u", I64, 1, Xor, Instruction::I64AtomicRmw8XorU),
    update("i64.atomic.rmw16.xor_u", I64, 2, Xor, Instruction::I64AtomicRmw16XorU),
    update("i64.atomic.rmw32.xor_u", I64, 4, Xor, Instruction::I64AtomicRmw32XorU),
    update("i32.atomic.rmw.xchg", I32, 4, Exchange, Instruction::I32AtomicRmwXchg),
    update("i64.atomic.rmw.xchg", I64, 8, Exchange, Instruction::I64AtomicRmwXchg),
    update("i32.atomic.rmw8.xchg_u", I32, 1, Exchange, Instruction::I32AtomicRmw8XchgU),
    update("i32.atomic.rmw16.xchg_u", I32, 2, Exchange, Instruction::I32AtomicRmw16XchgU),
    update("i64.atomic.rmw8.xchg_u", I64, 1, Exchange, Instruction::I64AtomicRmw8XchgU),
    update("i64.atomic.rmw16.xchg_u", I64, 2, Exchange, Instruction::I64AtomicRmw16XchgU),
    update("i64.atomic.rmw32.xchg_u", I64, 4, Exchange, Instruction::I64AtomicRmw32XchgU),
    update("i32.atomic.rmw.cmpxchg", I32, 4, CompareExchange, Instruction::I32AtomicRmwCmpxchg),
    update("i64.atomic.rmw.cmpxchg", I64, 8, CompareExchange, Instruction::I64AtomicRmwCmpxchg),
    update("i32.atomic.rmw8.cmpxchg_u", I32, 1, CompareExchange, Instruction::I32AtomicRmw8CmpxchgU),
    update("i32.atomic.rmw16.cmpxchg_u", I32, 2, CompareExchange, Instruction::I32AtomicRmw16CmpxchgU),
    update("i64.atomic.rmw8.cmpxchg_u", I64, 1, CompareExchange, Instruction::I64AtomicRmw8CmpxchgU),
    update("i64.atomic.rmw16.cmpxchg_u", I64, 2, CompareExchange, Instruction::I64AtomicRmw16CmpxchgU),
    update("i64.atomic.rmw32.cmpxchg_u", I64, 4, CompareExchange, Instruction::I64AtomicRmw32CmpxchgU),
    update("i32.atomic.rmw.cmpxchg (unequal)", I32, 4, CompareFail, Instruction::I32AtomicRmwCmpxchg),
    update("i64.atomic.rmw.cmpxchg (unequal)", I64, 8, CompareFail, Instruction::I64AtomicRmwCmpxchg),
    update("i32.atomic.rmw8.cmpxchg_u (unequal)", I32, 1, CompareFail, Instruction::I32AtomicRmw8CmpxchgU),
    update("i32.atomic.rmw16.cmpxchg_u (unequal)", I32, 2, CompareFail, Instruction::I32AtomicRmw16CmpxchgU),
    update("i64.atomic.rmw8.cmpxchg_u (unequal)", I64, 1, CompareFail, Instruction::I64AtomicRmw8CmpxchgU),
    update("i64.atomic.rmw16.cmpxchg_u (unequal)", I64, 2, CompareFail, Instruction::I64AtomicRmw16CmpxchgU),
    update("i64.atomic.rmw32.cmpxchg_u (unequal)", I64, 4, CompareFail, Instruction::I64AtomicRmw32CmpxchgU),
    many("memory.fill", Family::Bulk, 17, Fill),
    many("memory.fill (endless)", Family::Bulk, ENDLESS, Fill),
    many("memory.fill (nothing)", Family::Bulk, 0, Fill),
    many("memory.copy (to)", Family::Bulk, 17, CopyTo),
    many("memory.copy (from)", Family::Bulk, 17, CopyFrom),
    many("memory.copy (endless)", Family::Bulk, ENDLESS, CopyTo),
    many("memory.copy (nothing)", Family::Bulk, 0, CopyTo),
    many("memory.init (to)", Family::Bulk, 17, InitTo),
    many("memory.init (from)", Family::Bulk, 17, InitFrom),
    many("memory.init (nothing)", Family::Bulk, 0, InitTo),
    many("memory.grow", Family::Grow, 0, Grow),
    many("table.grow", Family::Grow, 0, Grow),
    many("table.get", Family::Tables, 1, Get),
    many("table.set", Family::Tables, 1, Set),
    many("call_indirect", Family::Tables, 1, Call),
    many("table.fill", Family::Tables, 5, Fill),
    many("table.fill (nothing)", Family::Tables, 0, Fill),
    many("table.fill (endless)", Family::Tables, ENDLESS, Fill),
    many("table.copy (to)", Family::Tables, 5, CopyTo),
    many("table.copy (from)", Family::Tables, 5, CopyFrom),
    many("table.init (to)", Family::Tables, 5, InitTo),
    many("table.init (from)", Family::Tables, 5, InitFrom),
];

impl Operation {
    /// Whether it is about a table rather than a memory.
    #[must_use]
    pub fn is_of_tables(&self) -> bool {
        self.family == Family::Tables || self.name.starts_with("table.")
    }

    /// Whether the place in question is one in a segment.
    #[must_use]
    pub fn is_of_segments(&self) -> bool {
        self.effect == InitFrom
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_family_some() {
        let names: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        for family in Family::ALL {
            assert!(OPERATIONS.iter().any(|operation| operation.family == family), "{}", family.name());
        }
    }

    /// The instructions are asked what they are called: a slip in the table above would test one twice and one never.
    #[test]
    fn the_instructions_are_those_that_the_names_say() {
        let memory = MemArg { offset: 0, align: 0, memory_index: 0 };
        for operation in OPERATIONS {
            let Some(encode) = operation.encode else { continue };
            let called = format!("{:?}", encode(memory));
            let called: String = called.chars().take_while(char::is_ascii_alphanumeric).collect();
            let plain = operation.name.split(' ').next().expect("a name");
            let wanted: String = plain.split(['.', '_']).map(|part| part[..1].to_uppercase() + &part[1..]).collect();
            assert_eq!(called.to_lowercase(), wanted.to_lowercase());
        }
    }
}
