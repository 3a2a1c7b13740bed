//! In place of `specification.rs` without the feature `spec-tests`: there are no files and nothing that could run them.

use crate::traps::specification::Group;
use wasiscope_model::record::{Tally, Totals};
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::protocol::{Message, Subject};

/// Says why nothing was tried.
pub(super) fn run(
    group: Group,
    _slowly: bool,
    _subject: &Subject,
    _cell: PhaseCell,
    send: &mut dyn FnMut(&Message) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let reason = "this binary was built without them: install wasiscope with `--features spec-tests`";
    let mut nothing = Totals::default();
    nothing.tallies.insert(group.name().to_owned(), Tally { unsupported: 1, ..Tally::default() });
    nothing.unsupported.insert(reason.to_owned(), 1);
    send(&Message::Checked(nothing))
}
