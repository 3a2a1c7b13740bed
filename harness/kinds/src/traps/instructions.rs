//! The instructions of a cell: its operand, its body, and what tells a right result from a wrong one.

use wasm_encoder::{HeapType, Instruction, MemArg, ValType};

use super::cell::{Address, Cell, SHIFT, Shape, Split};
use super::operation::{Effect, Type, Update};
use super::oracle::{self, ELSEWHERE, FROM, OPERAND};

/// A constant of 32 or 64 bits; what lies above is cut.
pub(super) fn constant(bits: u32, value: u64) -> Instruction<'static> {
    if bits == 64 {
        Instruction::I64Const(value.cast_signed())
    } else {
        Instruction::I32Const(low_half(value.into()).cast_signed())
    }
}

/// Instructions that make a result into whether it differs from what is right, bit by bit.
pub(super) fn differs(ty: ValType, right: u128) -> Vec<Instruction<'static>> {
    let narrow = [value(Type::I32, right), Instruction::I32Ne];
    let wide = [value(Type::I64, right), Instruction::I64Ne];
    match ty {
        ValType::I32 => narrow.to_vec(),
        ValType::I64 => wide.to_vec(),
        ValType::F32 => [Instruction::I32ReinterpretF32].into_iter().chain(narrow).collect(),
        ValType::F64 => [Instruction::I64ReinterpretF64].into_iter().chain(wide).collect(),
        _ => vec![value(Type::V128, right), Instruction::V128Xor, Instruction::V128AnyTrue],
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
pub(super) const fn low_half(value: u128) -> u32 {
    value as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
pub(super) const fn low_long(value: u128) -> u64 {
    value as u64
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A value of an operand's type.
pub(super) fn value(ty: Type, bits: u128) -> Instruction<'static> {
    match ty {
        Type::I32 => Instruction::I32Const(low_half(bits).cast_signed()),
        Type::I64 => Instruction::I64Const(low_long(bits).cast_signed()),
        Type::F32 => Instruction::F32Const(f32::from_bits(low_half(bits)).into()),
        Type::F64 => Instruction::F64Const(f64::from_bits(low_long(bits)).into()),
        Type::V128 => Instruction::V128Const(bits.cast_signed()),
    }
}

/// The instructions that leave the operand with the address on the stack.
pub(super) fn operand(cell: &Cell, address: &Address) -> Vec<Instruction<'static>> {
    let bits = cell.index_bits();
    let wide = bits == 64;
    let (add, shift) =
        if wide { (Instruction::I64Add, Instruction::I64Shl) } else { (Instruction::I32Add, Instruction::I32Shl) };
    let fixed = constant(bits, address.constant);
    match cell.shape {
        Shape::Constant => vec![fixed],
        Shape::Parameter => vec![Instruction::LocalGet(0)],
        Shape::AddedConstant => vec![Instruction::LocalGet(0), fixed, add],
        Shape::Added => vec![Instruction::LocalGet(0), Instruction::LocalGet(1), add],
        Shape::Shifted => vec![Instruction::LocalGet(0), constant(bits, SHIFT.into()), shift, fixed, add],
        Shape::Extended if !wide => vec![Instruction::LocalGet(2), Instruction::I32WrapI64],
        Shape::Extended if address.signed => vec![Instruction::LocalGet(2), Instruction::I64ExtendI32S],
        Shape::Extended => vec![Instruction::LocalGet(2), Instruction::I64ExtendI32U],
    }
}

/// All instructions of a cell. `index` is that of the memory or table, `called` the type of what tables hold.
pub(super) fn body(cell: &Cell, address: &Address, index: u32, called: u32) -> Vec<Instruction<'static>> {
    let (operation, bits) = (cell.operation, cell.layout.address_bits());
    let mut body = operand(cell, address);
    let Some(encode) = operation.encode else {
        around(cell, &mut body, bits, index, called);
        return body;
    };
    // Atomic accesses must say their width, others may say anything up to it, right or wrong.
    let is_natural = operation.atomic || cell.split == Split::Mixed;
    let align = if is_natural { operation.width.trailing_zeros() } else { 0 };
    let place = oracle::operand(cell, address) + u128::from(address.offset);
    let there = u64::try_from(place).map_or(0, |place| oracle::bytes_at(place, operation.width));
    match operation.effect {
        Effect::LoadLane(_) | Effect::Store | Effect::StoreLane(_) => body.push(value(operation.ty, OPERAND)),
        Effect::Update(Update::CompareExchange) => {
            body.extend([value(operation.ty, there), value(operation.ty, OPERAND)]);
        }
        Effect::Update(Update::CompareFail) => {
            body.extend([value(operation.ty, !there), value(operation.ty, OPERAND)]);
        }
        Effect::Update(_) => body.push(value(operation.ty, OPERAND)),
        Effect::Wait => body.extend([value(operation.ty, !there), Instruction::I64Const(0)]),
        Effect::Notify => body.push(Instruction::I32Const(1)),
        _ => {}
    }
    body.push(encode(MemArg { offset: address.offset, align, memory_index: index }));
    body
}

/// What stands around the address in operations with several operands.
pub(super) fn around(cell: &Cell, body: &mut Vec<Instruction<'static>>, bits: u32, index: u32, called: u32) {
    let operation = cell.operation;
    let width = u64::try_from(cell.width()).unwrap_or(u64::MAX);
    let length = constant(bits, width);
    let short_length = constant(32, width);
    let null = Instruction::RefNull(HeapType::FUNC);
    let of_tables = operation.is_of_tables();
    let source = cell.layout.indices().1.filter(|_| cell.copies_from_other()).unwrap_or(index);
    let (copy, init) = if of_tables {
        (
            Instruction::TableCopy { src_table: index, dst_table: index },
            Instruction::TableInit { elem_index: 0, table: index },
        )
    } else {
        (
            Instruction::MemoryCopy { src_mem: source, dst_mem: index },
            Instruction::MemoryInit { mem: index, data_index: 0 },
        )
    };
    match operation.effect {
        Effect::Fill if of_tables => body.extend([null, length, Instruction::TableFill(index)]),
        Effect::Fill => {
            let byte = Instruction::I32Const(i32::from(OPERAND.to_le_bytes()[0]));
            body.extend([byte, length, Instruction::MemoryFill(index)]);
        }
        Effect::CopyTo => body.extend([constant(bits, FROM), length, copy]),
        Effect::CopyFrom => {
            body.insert(0, constant(bits, ELSEWHERE));
            body.extend([length, copy]);
        }
        Effect::InitTo => body.extend([Instruction::I32Const(0), short_length, init]),
        Effect::InitFrom => {
            body.insert(0, constant(bits, ELSEWHERE));
            body.extend([short_length, init]);
        }
        Effect::Grow if of_tables => {
            body.insert(0, null);
            body.push(Instruction::TableGrow(index));
        }
        Effect::Grow => body.push(Instruction::MemoryGrow(index)),
        Effect::Get => body.extend([Instruction::TableGet(index), Instruction::RefIsNull]),
        Effect::Set => body.extend([null, Instruction::TableSet(index)]),
        _ => body.push(Instruction::CallIndirect { type_index: called, table_index: index }),
    }
}
