//! Scenarios that are made of parts.

use wasiscope_scenario::{Flavour, Problem};

/// A part of a kind's scenarios.
pub(crate) trait Part: Copy + PartialEq + 'static {
    /// Every part of the kind, in the order of its scenarios.
    const ALL: &'static [Self];

    /// The name in scenario files.
    fn name(self) -> &'static str;

    /// Whether it is done in every flavour of the scenario.
    fn has_flavours(self) -> bool;
}

/// The parts that a file names. An empty list, and a part that is named twice, are mistakes.
pub(crate) fn named<P: Part>(parts: Option<Vec<P>>) -> Result<Option<Vec<P>>, Problem> {
    let Some(parts) = parts else { return Ok(None) };
    if parts.is_empty() {
        return Err(Problem::of_key("parts", "the list is empty: nothing would run".to_owned()));
    }
    let twice = parts.iter().enumerate().find(|(at, part)| parts[..*at].contains(part));
    match twice {
        Some((_, part)) => Err(Problem::of_key("parts", format!("part `{}` is listed twice", part.name()))),
        None => Ok(Some(parts)),
    }
}

/// Refuses flavours where no part has any, and those that this kind cannot have.
pub(crate) fn check_flavours<P: Part>(
    parts: &[P],
    flavours: Option<&[Flavour]>,
    can_be: &[Flavour],
) -> Result<(), Problem> {
    let Some(flavours) = flavours else { return Ok(()) };
    if !parts.iter().any(|part| part.has_flavours()) {
        let parts: Vec<&str> = P::ALL.iter().filter(|part| part.has_flavours()).map(|part| part.name()).collect();
        let message = format!("`flavours` are for the parts {}, of which none is listed", parts.join(", "));
        return Err(Problem::of_key("flavours", message));
    }
    match flavours.iter().find(|flavour| !can_be.contains(flavour)) {
        Some(other) => {
            let names: Vec<String> = can_be.iter().map(|flavour| format!("`{}`", flavour.name())).collect();
            let (other, names) = (other.name(), names.join(", "));
            let message = format!("flavour `{other}` is not for this kind of scenario: write some of {names}");
            Err(Problem::of_key("flavours", message))
        }
        None => Ok(()),
    }
}
