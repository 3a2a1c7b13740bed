//! Why two sides of a case do not spend the same phases on the same work. Then there is no verdict on those phases.

use wasiscope_ebpf_abi::Phase;

use wasiscope_scenario::plan::{Case, Input};
use wasiscope_worker::LastMark;

/// The phases whose times are not those of the same work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// Why.
    pub reason: String,
    /// Which.
    pub phases: &'static [Phase],
    /// Whether it is because the two are given something else to do, so that their answers say nothing of each other either.
    pub of_input: bool,
}

/// What a guest spends on what it was given.
const OF_INPUT: &[Phase] = &[Phase::Init, Phase::Run, Phase::Trap];
/// What a guest's marks divide.
const OF_MARKS: &[Phase] = &[Phase::Init, Phase::Run];

/// Because of what they are given.
#[must_use]
pub fn of_input(base: &Case, new: &Case) -> Option<Unlike> {
    let (old, now) = (&base.input, &new.input);
    // Every field, so that a new one is not forgotten.
    let Input { argv0, args, environment, directories, no_own_folder, stdin, invoke, start_first, stub_imports } = old;
    let names = |case: &Case| case.input.directories.iter().map(|folder| folder.guest.clone()).collect::<Vec<_>>();
    let reason = sizes(base.n, new.n).or_else(|| arguments(args, &now.args)).or_else(|| {
        if *invoke != now.invoke {
            let shown = |invoke: &Option<String>| invoke.clone().unwrap_or_else(|| "_start".to_owned());
            return Some(format!("different functions: {} in base, {} in new", shown(invoke), shown(&now.invoke)));
        }
        let differs = [
            ("environment variables", *environment != now.environment),
            ("folders", names(base) != names(new) || *directories != now.directories),
            ("folders", *no_own_folder != now.no_own_folder),
            ("standard input", *stdin != now.stdin),
            ("names of the guest (argv0)", *argv0 != now.argv0),
            ("ways to start (start_first)", *start_first != now.start_first),
            ("imports (stub_imports)", *stub_imports != now.stub_imports),
        ];
        let (what, _) = differs.into_iter().find(|(_, differs)| *differs)?;
        Some(format!("different {what}"))
    });
    reason.map(|reason| Unlike { reason, phases: OF_INPUT, of_input: true })
}

/// Likewise of two reports, which hold less.
#[must_use]
pub fn of_sizes_and_arguments(base: (Option<u64>, &[String]), new: (Option<u64>, &[String])) -> Option<Unlike> {
    let reason = sizes(base.0, new.0).or_else(|| arguments(base.1, new.1));
    reason.map(|reason| Unlike { reason, phases: OF_INPUT, of_input: true })
}

fn sizes(base: Option<u64>, new: Option<u64>) -> Option<String> {
    let shown = |n: Option<u64>| n.map_or("none".to_owned(), |n| n.to_string());
    (base != new).then(|| format!("different sizes: n {} in base, {} in new", shown(base), shown(new)))
}

fn arguments(base: &[String], new: &[String]) -> Option<String> {
    let shown = |args: &[String]| if args.is_empty() { "none".to_owned() } else { format!("`{}`", args.join(" ")) };
    (base != new).then(|| format!("different arguments: {} in base, {} in new", shown(base), shown(new)))
}

/// Because one marks its measured part and the other does not.
#[must_use]
pub fn of_marks(base: bool, new: bool) -> Option<Unlike> {
    let with = if base { "base" } else { "new" };
    let reason = format!("only {with} marks its measured part, so `run` is not the same span");
    (base != new).then_some(Unlike { reason, phases: OF_MARKS, of_input: false })
}

/// Because they trap at different places.
#[must_use]
pub fn of_traps(base: Option<LastMark>, new: Option<LastMark>) -> Option<Unlike> {
    let place = |mark: Option<LastMark>| match mark {
        None => "nowhere",
        Some(LastMark::None) => "before any mark",
        Some(LastMark::Start) => "inside the measured part",
        Some(LastMark::End) => "behind the measured part",
        Some(LastMark::Fault) => "where it says that it will",
    };
    let reason = format!("they trap at different places: base {}, new {}", place(base), place(new));
    (base != new).then_some(Unlike { reason, phases: OF_INPUT, of_input: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_not_unlike() {
        let arguments = ["1".to_owned()];
        assert_eq!(of_sizes_and_arguments((Some(1), &arguments), (Some(1), &arguments)), None);
        assert_eq!(of_marks(true, true), None);
        assert_eq!(of_traps(Some(LastMark::Start), Some(LastMark::Start)), None);
    }

    #[test]
    fn what_differs_is_named_with_its_phases() {
        let unlike = of_sizes_and_arguments((None, &["1".to_owned()]), (None, &[])).unwrap();
        assert!(unlike.of_input && unlike.reason.contains("`1` in base, none in new"), "{unlike:?}");
        let unlike = of_marks(false, true).unwrap();
        assert!(
            unlike.phases == [Phase::Init, Phase::Run] && unlike.reason.starts_with("only new marks"),
            "{unlike:?}"
        );
        assert!(of_traps(None, Some(LastMark::End)).unwrap().phases.contains(&Phase::Trap));
    }
}
