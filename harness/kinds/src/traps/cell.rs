//! One cell of the matrix: an operation, the memory it is about, and how its address comes about.

use std::fmt;

use super::layout::{Layout, TABLE_ELEMENTS_MAX};
use super::operation::{ENDLESS, Effect, Operation, SEGMENT_LENGTH};
use wasiscope_scenario::{BoundsChecks, EngineSettings};

/// Where an access begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// At address 0.
    Start,
    /// Somewhere inside.
    Inside,
    /// Where it just fits: an access of one byte is at the last byte in bounds.
    ExactFit,
    /// One further: only its last byte is outside.
    OnePast,
    /// Half of it is outside.
    Straddling,
    /// At the last byte in bounds, which is its only one inside.
    LastByte,
    /// At the first byte outside.
    End,
    /// A megabyte outside.
    FarPast,
    /// One before the end of the guard.
    BeforeGuardEnd,
    /// At the end of the guard.
    GuardEnd,
    /// One behind the end of the guard.
    BehindGuardEnd,
    /// At 2^32 and a little, which 32 bits would take for a little.
    Wrap32,
    /// At 2^64 and a little, which 64 bits would take for a little.
    Wrap64,
    /// At the largest address there is.
    Top,
}

impl Position {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Start,
        Self::Inside,
        Self::ExactFit,
        Self::OnePast,
        Self::Straddling,
        Self::LastByte,
        Self::End,
        Self::FarPast,
        Self::BeforeGuardEnd,
        Self::GuardEnd,
        Self::BehindGuardEnd,
        Self::Wrap32,
        Self::Wrap64,
        Self::Top,
    ];

    /// The name in cells.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Inside => "inside",
            Self::ExactFit => "exact-fit",
            Self::OnePast => "one-past",
            Self::Straddling => "straddling",
            Self::LastByte => "last-byte",
            Self::End => "end",
            Self::FarPast => "far-past",
            Self::BeforeGuardEnd => "before-guard-end",
            Self::GuardEnd => "guard-end",
            Self::BehindGuardEnd => "behind-guard-end",
            Self::Wrap32 => "wrap-32",
            Self::Wrap64 => "wrap-64",
            Self::Top => "top",
        }
    }
}

/// How an address is divided between the operand on the stack and the immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// All in the operand.
    Index,
    /// All in the immediate, the operand is 0.
    Immediate,
    /// Some in both.
    Mixed,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Index, Self::Immediate, Self::Mixed];

    /// The name in cells.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Immediate => "immediate",
            Self::Mixed => "mixed",
        }
    }
}

/// How the operand with the address comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// A constant.
    Constant,
    /// A parameter.
    Parameter,
    /// A parameter and a constant, added.
    AddedConstant,
    /// Two parameters, added; they may wrap.
    Added,
    /// A parameter whose upper bits are shifted out, and a constant.
    Shifted,
    /// Wrapped from 64 bits, or extended from 32.
    Extended,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Constant, Self::Parameter, Self::AddedConstant, Self::Added, Self::Shifted, Self::Extended];

    /// The name in cells.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Parameter => "parameter",
            Self::AddedConstant => "added-constant",
            Self::Added => "added",
            Self::Shifted => "shifted",
            Self::Extended => "extended",
        }
    }
}

/// One cell.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// What is done.
    pub operation: &'static Operation,
    /// To what.
    pub layout: Layout,
    /// Where.
    pub position: Position,
    /// By what immediate.
    pub split: Split,
    /// By what operand.
    pub shape: Shape,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, layout, position, split, shape } = self;
        let names = [operation.name, layout.name(), position.name(), split.name(), shape.name()];
        f.write_str(&names.join(" / "))
    }
}

/// What an engine sets aside around a memory of 32 and of 64 bits: it decides where the guard ends, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Bytes of address space for a memory, at least.
    pub reservation: u64,
    /// Bytes of address space behind a memory that is larger than that.
    pub growth: u64,
    /// Bytes behind it that are never mapped.
    pub guard: u64,
}

impl Reserved {
    /// wasmtime's own choice on 64-bit machines.
    pub const WASMTIME: Self = Self { reservation: 4 << 30, growth: 2 << 30, guard: 32 << 20 };

    /// What an engine of these settings sets aside.
    #[must_use]
    pub fn of(settings: EngineSettings) -> Self {
        let guard = match settings.bounds_checks {
            BoundsChecks::Explicit => 0,
            BoundsChecks::Guard => settings.memory_guard.unwrap_or(Self::WASMTIME.guard),
        };
        Self { reservation: settings.memory_reservation.unwrap_or(Self::WASMTIME.reservation), guard, ..Self::WASMTIME }
    }

    /// Where the guard behind a memory ends that has this size when it is made.
    fn guard_end(self, size: u64) -> u128 {
        let (size, growth) = (u128::from(size), u128::from(self.growth));
        let reservation = u128::from(self.reservation);
        let reserved = if size <= reservation { reservation } else { size + growth };
        reserved + u128::from(self.guard)
    }
}

/// How a cell's address comes about: what the operation is encoded with and called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The immediate.
    pub offset: u64,
    /// The constant that is part of the operand.
    pub constant: u64,
    /// Parameters as wide as an address.
    pub parameters: [u64; 2],
    /// The parameter of the other width.
    pub other: u64,
    /// Whether `other` of 32 bits is extended by its sign.
    pub signed: bool,
}

/// By how many bits [`Shape::Shifted`] shifts.
pub const SHIFT: u32 = 3;
/// What [`Shape::AddedConstant`] adds. More than the smallest guard, so that no engine may leave it to that.
const ADDED: u64 = 0x1_2345;
/// The first of the parameters of [`Shape::Added`], which makes the sum wrap more often than not.
const FIRST: u64 = 0x9ABC_DEF1;
/// What lies above the 32 bits that [`Shape::Extended`] keeps.
const GARBAGE: u64 = 0xDEAD_BEEF_0000_0000;

impl Cell {
    /// The size of the space in which the position lies: bytes, elements, bytes of a segment, or pages.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.operation.effect {
            Effect::InitFrom => u64::from(SEGMENT_LENGTH),
            Effect::Grow if self.operation.is_of_tables() => TABLE_ELEMENTS_MAX,
            Effect::Grow => self.layout.pages_max(),
            _ if self.operation.is_of_tables() => self.layout.elements(),
            _ => self.layout.bytes(),
        }
    }

    /// What the space has before anything grows; 0 for operations that do not.
    #[must_use]
    pub fn present(&self) -> u64 {
        match self.operation.effect {
            Effect::Grow if self.operation.is_of_tables() => self.layout.elements(),
            Effect::Grow => self.layout.pages() + self.layout.grows_by(),
            _ => 0,
        }
    }

    /// Bits of a position: those in segments have 32 whatever the layout.
    #[must_use]
    pub fn index_bits(&self) -> u32 {
        if self.operation.is_of_segments() { 32 } else { self.layout.address_bits() }
    }

    /// How many bytes or elements it touches.
    #[must_use]
    pub fn width(&self) -> u128 {
        match self.operation.width {
            ENDLESS => (1 << self.layout.address_bits()) - 1,
            width => width.into(),
        }
    }

    /// Whether it copies from the other memory of its module.
    #[must_use]
    pub fn copies_from_other(&self) -> bool {
        let is_of_memory = !self.operation.is_of_tables();
        self.operation.effect == Effect::CopyTo && is_of_memory && self.layout.indices().1.is_some()
    }

    /// The address at which it begins; `None` where there is no such place, or where it would be the same as another.
    #[must_use]
    pub fn place(&self, reserved: Reserved) -> Option<u128> {
        /// A little behind a power of two.
        const LITTLE: u128 = 16;
        let (size, width) = (u128::from(self.size()), self.width());
        let guard_end = reserved.guard_end(self.layout.bytes_before());
        match self.position {
            Position::Start => Some(self.present().into()),
            Position::Inside => Some(size / 2 / 16 * 16).filter(|inside| *inside > 0),
            Position::ExactFit => size.checked_sub(width),
            Position::OnePast => (size + 1).checked_sub(width),
            Position::Straddling => size.checked_sub(width / 2).filter(|_| width >= 4),
            Position::LastByte => size.checked_sub(1).filter(|_| width > 2),
            Position::End => Some(size).filter(|_| width > 1),
            Position::FarPast => Some(size + (1 << 20)),
            Position::BeforeGuardEnd => guard_end.checked_sub(1),
            Position::GuardEnd => Some(guard_end),
            Position::BehindGuardEnd => Some(guard_end + 1),
            Position::Wrap32 => Some((1 << 32) + LITTLE),
            Position::Wrap64 => Some((1 << 64) + LITTLE).filter(|_| self.index_bits() == 64),
            Position::Top => Some((1 << self.index_bits()) - 1),
        }
    }

    /// How the address comes about; `None` where it cannot in that way.
    #[must_use]
    pub fn address(&self, reserved: Reserved) -> Option<Address> {
        let place = self.place(reserved)?;
        let most = (1_u128 << self.index_bits()) - 1;
        let has_offset = self.operation.encode.is_some();
        let (index, offset) = match self.split {
            Split::Index => (place.checked_sub(u128::from(self.present()))?, 0),
            Split::Immediate if has_offset && place > 0 => (0, place),
            Split::Mixed if has_offset && place > 1 => {
                let offset = if place > most { place - most } else { place / 3 + 1 };
                (place - offset, offset)
            }
            Split::Immediate | Split::Mixed => return None,
        };
        if index > most || offset > most {
            return None;
        }
        let (index, offset) = (u64::try_from(index).ok()?, u64::try_from(offset).ok()?);
        self.operand(index).map(|address| Address { offset, ..address })
    }

    /// How the operand comes about, without the immediate.
    fn operand(&self, index: u64) -> Option<Address> {
        let wide = self.index_bits() == 64;
        let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let none = Address { offset: 0, constant: 0, parameters: [0; 2], other: 0, signed: false };
        Some(match self.shape {
            Shape::Constant => Address { constant: index, ..none },
            Shape::Parameter => Address { parameters: [index, 0], ..none },
            Shape::AddedConstant => {
                Address { constant: ADDED, parameters: [index.wrapping_sub(ADDED) & mask, 0], ..none }
            }
            Shape::Added => Address { parameters: [FIRST, index.wrapping_sub(FIRST) & mask], ..none },
            Shape::Shifted => {
                // All bits that are shifted out are set.
                let lost = mask & !(mask >> SHIFT);
                Address { constant: index & ((1 << SHIFT) - 1), parameters: [index >> SHIFT | lost, 0], ..none }
            }
            Shape::Extended if !wide => Address { other: index | GARBAGE, ..none },
            Shape::Extended => {
                let low = index & u64::from(u32::MAX);
                let signed = index > u64::from(u32::MAX);
                let negative = low >> 31 == 1 && index >> 32 == u64::from(u32::MAX);
                return (!signed || negative).then_some(Address { other: low, signed, ..none });
            }
        })
    }
}
