//! What both sides of a pair are given.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::runner::Pair;

/// Folders of the same content are the same input, whichever revision they are taken from.
pub(super) fn share_input(pair: &mut Pair) {
    let new = &pair.new.case.input;
    let base = &mut pair.base.case.input;
    for (old, now) in base.directories.iter_mut().zip(&new.directories) {
        let is_copied = !old.shared && !now.shared;
        if is_copied && old.guest == now.guest && same_content(&old.host, &now.host, DEPTH_MAX) {
            old.host.clone_from(&now.host);
        }
    }
}

/// Deepest folder that is looked into.
const DEPTH_MAX: u32 = 64;

fn same_content(one: &Path, other: &Path, depth: u32) -> bool {
    if one == other {
        return true;
    }
    if !one.is_dir() || !other.is_dir() {
        let read = |path: &Path| fs::read(path).ok();
        return one.is_dir() == other.is_dir() && read(one).is_some_and(|bytes| read(other) == Some(bytes));
    }
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).ok()?;
        Some(entries.flatten().map(|entry| entry.file_name()).collect::<BTreeSet<_>>())
    };
    let Some(inside) = names(one).filter(|inside| names(other).as_ref() == Some(inside)) else { return false };
    depth > 0 && inside.iter().all(|name| same_content(&one.join(name), &other.join(name), depth - 1))
}
