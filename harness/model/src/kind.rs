//! Kinds of scenario, as far as whoever reads a report must know them: by name.

/// The kind of cases whose guests are run through the phases, which no scenario need name.
pub const OF_GUESTS: &str = "workload";

/// The flavour of guests that wasiscope itself writes.
pub const GENERATED: &str = "generated";

/// Something that there is one of for each kind of scenario.
pub trait Named {
    /// The name of the kind, in scenario files and in reports.
    fn name(&self) -> &'static str;
}

/// The one of this name.
#[must_use]
pub fn find<T: Named + ?Sized>(kinds: &[&'static T], name: &str) -> Option<&'static T> {
    kinds.iter().find(|kind| kind.name() == name).copied()
}
