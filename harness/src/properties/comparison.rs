//! Comparisons of reports.

use std::collections::BTreeMap;
use std::path::Path;

#[cfg(feature = "html")]
use super::markup;
use super::{has_no_tags, is_plain, survives_being_stored};
use crate::compare::Differences;
use crate::compare::reports::compare;
use crate::compare::{Row, SideReport, Tolerances};
use crate::report::comparison::render;
#[cfg(feature = "html")]
use crate::report::html;
use crate::report::table::Style;
use crate::report::{Report, json};
use crate::stats::Verdict;
use wasiscope_model::metrics;

/// What stands between the two reports. With one only, the other is made of it.
const BETWEEN: u8 = 0;

/// A report that is compared with itself has not changed, and the way back says the opposite of the way there.
pub fn comparison(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == BETWEEN);
    let mut read = || json::parse(Path::new("fuzzed.json"), parts.next()?).ok();
    let Some(base) = read() else { return };
    let new = read().unwrap_or_else(|| slower(&base));
    for report in [&base, &new] {
        let same = compare(report, report, &Tolerances::default(), &|_| true);
        for row in &same.rows {
            assert!(!row.verdict.is_change(), "changed against itself: {row:?}");
        }
        assert!(same.facts.is_empty() && same.kernel.is_empty(), "{:?} {:?}", same.facts, same.kernel);
    }
    // 3 % more is not 3 % less the other way round, so only without tolerance the two must mirror each other.
    let exact = Tolerances::new(metrics::of_phases().map(|metric| (metric, 0.0)).collect::<BTreeMap<_, _>>());
    mirror(&compare(&base, &new, &exact, &|_| true), &compare(&new, &base, &exact, &|_| true));
    let (there, back) = (
        compare(&base, &new, &Tolerances::default(), &|_| true),
        compare(&new, &base, &Tolerances::default(), &|_| true),
    );
    for (key, row) in by_name(&there) {
        let other = by_name(&back)[&key].verdict;
        let contradicts = row.verdict.is_change() && (other == row.verdict || other == Verdict::Unchanged);
        assert!(!contradicts, "{key:?} is {:?} in both ways: {row:?}", row.verdict);
    }
    can_be_shown(there);
}

/// Every sample longer by half, by another guest.
fn slower(base: &Report) -> Report {
    let mut new = base.clone();
    for case in new.scenarios.iter_mut().flat_map(|scenario| &mut scenario.cases) {
        case.measurements
            .iter_mut()
            .flat_map(|of| &mut of.samples)
            .flatten()
            .for_each(|sample| *sample = (*sample * 1.5).min(f64::MAX));
        case.artifact.iter_mut().for_each(|artifact| artifact.sha256.push('0'));
    }
    new
}

/// A case by all that it is called, the machine, and the metric.
type Key<'a> = (Vec<(&'a str, Option<&'a str>)>, Option<&'a str>, &'a str);

fn by_name(of: &Differences) -> BTreeMap<Key<'_>, &Row> {
    let rows = of.rows.iter();
    rows.map(|row| ((names(row), row.machine.as_deref(), &*row.metric), row)).collect()
}

/// Id and scenario, of a renamed case both old and new: which of them is the row's own depends on the direction.
fn names(row: &Row) -> Vec<(&str, Option<&str>)> {
    let scenario = row.scenario.as_deref();
    let old = row.renamed_from.as_deref().map(|old| {
        // `SCENARIO: ID` where only the scenario has another name.
        let moved = old.strip_suffix(&*row.case).and_then(|rest| rest.strip_suffix(": "));
        moved.map_or((old, scenario), |from| (&*row.case, scenario.map(|_| from)))
    });
    let mut names: Vec<_> = [(&*row.case, scenario)].into_iter().chain(old).collect();
    names.sort_unstable();
    names
}

/// What a case is called in both directions.
fn name<'a>(of: &'a Differences, case: &'a str) -> &'a str {
    let row = of.rows.iter().find(|row| row.case == case);
    row.map_or(case, |row| names(row)[0].0)
}

fn mirror(there: &Differences, back: &Differences) {
    let (there_rows, back_rows) = (by_name(there), by_name(back));
    assert_eq!(there_rows.keys().collect::<Vec<_>>(), back_rows.keys().collect::<Vec<_>>());
    for (key, row) in &there_rows {
        let other = back_rows[key];
        let wanted = match row.verdict {
            // What was right and fails has got worse; what failed and is right says nothing of time.
            _ if row.failed => continue,
            Verdict::Regressed => Verdict::Improved,
            Verdict::Improved => Verdict::Regressed,
            same => same,
        };
        assert_eq!(other.verdict, wanted, "{key:?}: {row:?}\n{other:?}");
        assert_eq!((row.base, row.new), (other.new, other.base), "{key:?}");
    }
    let turned: Vec<_> =
        back.facts.iter().map(|fact| (name(back, &fact.case), &fact.fact, &fact.new, &fact.base)).collect();
    let facts: Vec<_> =
        there.facts.iter().map(|fact| (name(there, &fact.case), &fact.fact, &fact.base, &fact.new)).collect();
    assert_eq!(facts.len(), turned.len());
    assert!(facts.iter().all(|fact| turned.contains(fact)), "{facts:?}\n{turned:?}");
    assert_eq!(there.kernel.len(), back.kernel.len(), "{:?}\n{:?}", there.kernel, back.kernel);
}

fn can_be_shown(differences: Differences) {
    let comparison = differences.between(SideReport::default(), SideReport::default());
    survives_being_stored(&comparison);
    is_plain(&render(&comparison, Style::Plain));
    has_no_tags(&render(&comparison, Style::Markdown));
    #[cfg(feature = "html")]
    markup::is_well_formed(&html::comparison_page(&comparison));
}
