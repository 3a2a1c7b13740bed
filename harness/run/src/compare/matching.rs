//! Which case of one side is which of the other.

/// What a case is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The scenario that it is of.
    pub scenario: String,
    /// `workload/flavour/engine`.
    pub id: String,
    /// What is done with the guest: engine, size, arguments.
    pub work: String,
    /// The hash of the guest; `None` where there is none.
    pub guest: Option<String>,
}

/// A case that both sides have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its index on the base's side.
    pub base: usize,
    /// Its index on the new side.
    pub new: usize,
    /// Whether it has another name there.
    pub renamed: bool,
}

/// What both sides have, and what only one of them has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// In the order of the new side.
    pub both: Vec<Matched>,
    /// Indexes of what only the base has.
    pub only_base: Vec<usize>,
    /// Indexes of what only the new side has.
    pub only_new: Vec<usize>,
}

/// Matches cases by scenario and id. Of those that are left, one under the same id in another scenario is the same case when the same is
/// done with it, and one under any name when the guest is the same file besides.
#[must_use]
pub fn pair_up(base: &[Key], new: &[Key]) -> Matching {
    let same_name = |old: &Key, now: &Key| old.scenario == now.scenario && old.id == now.id;
    let same_id = |old: &Key, now: &Key| old.id == now.id && old.work == now.work;
    let same_guest = |old: &Key, now: &Key| old.guest.is_some() && old.guest == now.guest && old.work == now.work;
    let rules: [fn(&Key, &Key) -> bool; 3] = [same_name, same_id, same_guest];
    let mut matching = Matching::default();
    let (mut old, mut now): (Vec<usize>, Vec<usize>) = ((0..base.len()).collect(), (0..new.len()).collect());
    for (at, rule) in rules.into_iter().enumerate() {
        now.retain(|index| {
            let Some(place) = old.iter().position(|other| rule(&base[*other], &new[*index])) else { return true };
            matching.both.push(Matched { base: old.remove(place), new: *index, renamed: at > 0 });
            false
        });
    }
    matching.both.sort_by_key(|matched| matched.new);
    Matching { only_base: old, only_new: now, ..matching }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scenario: &str, id: &str, guest: &str) -> Key {
        Key { scenario: scenario.into(), id: id.into(), work: "cranelift".into(), guest: Some(guest.into()) }
    }

    fn matched(base: usize, new: usize, renamed: bool) -> Matched {
        Matched { base, new, renamed }
    }

    #[test]
    fn names_come_first_then_what_is_the_same_under_another_name() {
        let base = [key("s", "a", "1"), key("s", "b", "2"), key("s", "gone", "3"), key("old", "c", "4")];
        let new = [key("s", "added", "9"), key("s", "a", "1"), key("s", "z", "2"), key("young", "c", "5")];
        let matching = pair_up(&base, &new);
        assert_eq!(matching.both, [matched(0, 1, false), matched(1, 2, true), matched(3, 3, true)]);
        assert_eq!((matching.only_base, matching.only_new), (vec![2], vec![0]));
    }

    #[test]
    fn the_same_guest_that_does_something_else_is_another_case() {
        let (base, new) = ([key("s", "a", "1")], [Key { work: "winch".into(), ..key("s", "b", "1") }]);
        assert_eq!(pair_up(&base, &new).both, []);
        let nothing = Key { guest: None, ..key("s", "a", "") };
        assert_eq!(pair_up(std::slice::from_ref(&nothing), &[Key { id: "b".into(), ..nothing.clone() }]).both, []);
    }

    #[test]
    fn a_copy_is_added_and_not_renamed() {
        let (base, new) = ([key("s", "a", "1")], [key("s", "copy", "1"), key("s", "a", "1")]);
        let matching = pair_up(&base, &new);
        assert_eq!((matching.both, matching.only_new), (vec![matched(0, 1, false)], vec![0]));
    }
}
