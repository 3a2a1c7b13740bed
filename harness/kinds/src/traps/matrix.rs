//! Which cells there are, in which order, and which of them a share holds.

use serde::{Deserialize, Serialize};

use super::cell::{Address, Cell, Position, Reserved, Shape, Split};
use super::layout::Layout;
use super::operation::{Family, OPERATIONS, Operation};

/// How much of the matrix is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// Every operation at every position of every layout: by its operand alone, as a parameter, and by one other split and
    /// shape, which take turns.
    #[default]
    Default,
    /// Everything.
    Full,
}

/// Cells that are tried in one instance of one module.
#[derive(Clone, Debug)]
pub struct Block {
    /// What they all are about.
    pub layout: Layout,
    /// The cells.
    pub cells: Vec<(Cell, Address)>,
}

/// The plainest way to an address: one that no compiler knows before.
const PLAIN: (Split, Shape) = (Split::Index, Shape::Parameter);

/// Most cells of a block: a module that compiles in well under a second on any engine.
pub const BLOCK_CELLS: usize = 1_000;

/// The cells of a family, in blocks: always the same, in the same order.
#[must_use]
pub fn blocks(family: Family, share: Share, reserved: Reserved) -> Vec<Block> {
    let mut blocks = Vec::new();
    for layout in Layout::ALL {
        for of_tables in [false, true] {
            let cells: Vec<(Cell, Address)> = OPERATIONS
                .iter()
                .filter(|operation| operation.family == family && operation.is_of_tables() == of_tables)
                .filter(|_| !of_tables || layout.is_of_tables())
                .enumerate()
                .flat_map(|(turn, operation)| at_layout(operation, layout, turn + 5 * layout as usize, share, reserved))
                .collect();
            let block = |cells: &[(Cell, Address)]| Block { layout, cells: cells.to_vec() };
            blocks.extend(cells.chunks(BLOCK_CELLS).map(block));
        }
    }
    blocks
}

fn at_layout(
    operation: &'static Operation,
    layout: Layout,
    turn: usize,
    share: Share,
    reserved: Reserved,
) -> Vec<(Cell, Address)> {
    let mut chosen = Vec::new();
    for (step, position) in Position::ALL.into_iter().enumerate() {
        let all: Vec<(Cell, Address)> = Split::ALL
            .into_iter()
            .flat_map(|split| Shape::ALL.map(|shape| Cell { operation, layout, position, split, shape }))
            .filter_map(|cell| Some((cell, cell.address(reserved)?)))
            .collect();
        match share {
            Share::Full => chosen.extend(all),
            // 7 is prime to the 18 ways in which an address can come about, so that each has its turn.
            Share::Default => {
                let turn = all.get((turn + 7 * step) % all.len().max(1));
                let plain = all.iter().find(|(cell, _)| (cell.split, cell.shape) == PLAIN);
                let plain = plain.filter(|(cell, _)| {
                    turn.is_some_and(|(turn, _)| (turn.split, turn.shape) != PLAIN && turn.position == cell.position)
                });
                chosen.extend(turn.into_iter().chain(plain).copied());
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::traps::Expected;
    use crate::traps::oracle::{expected, operand};

    fn all(share: Share) -> impl Iterator<Item = (Cell, Address)> {
        Family::ALL
            .into_iter()
            .flat_map(move |family| blocks(family, share, Reserved::WASMTIME).into_iter().flat_map(|block| block.cells))
    }

    #[test]
    fn every_cell_is_there_once() {
        let mut names = BTreeSet::new();
        for (cell, _) in all(Share::Full) {
            assert!(names.insert(cell.to_string()), "{cell}");
        }
        assert!(names.len() > 100_000, "{}", names.len());
    }

    #[test]
    fn the_default_share_has_every_operation_at_every_place_in_every_way() {
        let ways = |share| -> BTreeSet<_> {
            all(share).map(|(cell, _)| (cell.operation.name, cell.layout, cell.position)).collect()
        };
        assert_eq!(ways(Share::Default), ways(Share::Full));
        let forms: BTreeSet<_> = all(Share::Default).map(|(cell, _)| (cell.split, cell.shape)).collect();
        assert_eq!(forms.len(), Split::ALL.len() * Shape::ALL.len());
    }

    #[test]
    fn addresses_come_out_where_they_are_meant_to_be() {
        for (cell, address) in all(Share::Full) {
            let place = operand(&cell, &address) + u128::from(address.offset) + u128::from(cell.present());
            assert_eq!(Some(place), cell.place(Reserved::WASMTIME), "{cell} {address:?}");
        }
    }

    /// Said here in words once more, because the whole matrix hangs on it.
    #[test]
    fn the_edge_is_where_the_specification_has_it() {
        for (cell, address) in all(Share::Full) {
            if cell.layout != Layout::One || cell.operation.encode.is_none() || cell.operation.atomic {
                continue;
            }
            let traps = matches!(expected(&cell, &address), Expected::Trap(_));
            let inside = matches!(cell.position, Position::Start | Position::Inside | Position::ExactFit);
            assert_eq!(traps, !inside, "{cell}");
        }
    }

    #[test]
    fn there_are_cells_of_both_kinds_in_every_family_and_layout() {
        for family in Family::ALL {
            let both: BTreeSet<bool> = blocks(family, Share::Default, Reserved::WASMTIME)
                .iter()
                .flat_map(|block| &block.cells)
                .map(|(cell, address)| matches!(expected(cell, address), Expected::Trap(_)))
                .collect();
            let wanted = if family == Family::Grow { 1 } else { 2 };
            assert_eq!(both.len(), wanted, "{}", family.name());
        }
    }
}
