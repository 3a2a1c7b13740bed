//! The facts of a case as kept under `snapshots/`: those that the tree alone decides.

use crate::record::Facts;
use crate::scenario::Flavour;

/// Facts that depend on the machine besides the tree, and so are in reports but not in snapshots: native code is made
/// for the processor at hand.
const OF_THE_MACHINE: [&str; 1] = ["size.native_code"];

/// The facts that must be the same wherever the same commit is built with the same toolchain.
#[must_use]
pub fn of_the_tree(facts: &Facts) -> Facts {
    facts
        .iter()
        .filter(|(name, _)| !OF_THE_MACHINE.contains(&name.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// Whether the tree decides the guests of this flavour: those in Rust are compiled for wasm by the pinned toolchain, the
/// others by whatever compiler or linker the machine has.
#[must_use]
pub fn belongs_to_the_tree(flavour: &str) -> bool {
    [Flavour::TinygoLike, Flavour::Std].iter().any(|pinned| pinned.name() == flavour)
}

/// The name of a case's snapshot: its id as a file name.
#[must_use]
pub fn name(id: &str) -> String {
    id.replace('/', "-")
}
