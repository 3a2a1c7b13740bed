//! The matrix of memory-bounds traps: every access, at every edge, in every kind of memory.
//!
//! What is here is pure: which cells there are, what the specification says of each, and how it is written as WebAssembly.
//! It knows no engine and no process; the worker tries the cells.

mod cell;
mod check;
mod depth;
mod matrix;
mod mishaps;
mod module;
mod operation;
mod oracle;
pub mod specification;
pub(crate) mod tables;
pub(crate) mod worker;
pub(crate) mod planted;
pub(crate) mod summary;

pub use cell::{Address, Cell, Layout, Position, Reserved, Shape, Split};
pub use check::{Check, GENERATED, TESTSUITE};
pub use depth::{DEPTHS, trapping_at};
pub use matrix::{BLOCK_CELLS, Block, Share, blocks};
pub use mishaps::{MISHAPS, Mishap, Needs};
pub use module::{
    ALIVE, GROW, MEMORY, OTHER, PEEK, TABLE, function_name, of_cells, parameter_types, reproduction, result_type, shown,
};
pub use operation::{Effect, Family, OPERATIONS, Operation, Type};
pub use oracle::{Code, Expected, OTHER_MASK, Stored, byte_at, element_at, expected};
pub use wasiscope_model::report::Planted;
