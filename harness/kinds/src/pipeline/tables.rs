//! A scenario of kernel events into handlers for a reader: how fast, how late, what went wrong, and that nothing is missing.

use super::Pipeline;
use crate::endings;
use crate::pipeline::{
    ERRORS, EVENTS_PER_SECOND, GENERATED, HANDLED, HANDLER_SWAPS, LOST, MISUSE, PROBE_LATENCY, PROGRAM_SWAPS, REPLACED,
    Reason,
};
use wasiscope_model::report::{CaseReport, Measurement, ScenarioReport};
use wasiscope_model::units;
use wasiscope_render::grid::Grid;
use wasiscope_render::table::Style;
use wasiscope_render::{Titled, View};
use wasiscope_stats as stats;

impl View for Pipeline {
    fn tables(&self, scenario: &ScenarioReport, _exact: bool) -> Option<Vec<Titled>> {
        Some(sections(scenario))
    }

    fn below(&self, scenario: &ScenarioReport, _style: Style) -> String {
        let pointer = if sections(scenario).is_empty() { "" } else { "docs/pipeline.md reads these tables.\n\n" };
        pointer.to_owned() + &endings::without_figures(scenario)
    }
}

/// Its tables, each with what it is about.
fn sections(scenario: &ScenarioReport) -> Vec<Titled> {
    let sections = [
        ("from the kernel's stamp to the handler's return (probe_latency_us)", latencies(scenario)),
        ("what became of every event", accounts(scenario)),
        ("what was swapped, replaced and refused meanwhile", others(scenario)),
    ];
    sections.into_iter().filter_map(|(title, table)| Some((title, table?))).collect()
}

fn measured<'a>(case: &'a CaseReport, metric: &str) -> Option<&'a Measurement> {
    case.measurements.iter().find(|found| found.metric == metric)
}

fn count(case: &CaseReport, name: &str) -> Option<u64> {
    case.facts.get(name).and_then(serde_json::Value::as_u64)
}

fn latencies(scenario: &ScenarioReport) -> Option<Grid> {
    let mut table = Grid::new(&["case", "events a second", "p50", "p90", "p99", "max", "events"]);
    for case in &scenario.cases {
        let Some(spread) = measured(case, PROBE_LATENCY).and_then(|found| found.spread.as_ref()) else {
            if count(case, HANDLED).is_some() {
                let nothing = std::iter::repeat_n("–".to_owned(), 5);
                table.add_row([case.id.clone()].into_iter().chain(nothing).chain(["0".to_owned()]));
            }
            continue;
        };
        let rate = measured(case, EVENTS_PER_SECOND).map(|found| format!("{:.0}", found.summary.median));
        let quantiles = [spread.p50, spread.p90, spread.p99, spread.max].map(|us| units::duration(us * 1_000.0));
        let events = stats::total(spread.buckets.iter().map(|(_, count)| *count));
        let row = [case.id.clone(), rate.unwrap_or("–".to_owned())].into_iter().chain(quantiles);
        table.add_row(row.chain([events.to_string()]));
    }
    table.if_any()
}

fn accounts(scenario: &ScenarioReport) -> Option<Grid> {
    let reasons = Reason::ALL.map(Reason::name);
    let header: Vec<&str> = ["case", "generated", "handled", "lost", "errors"].into_iter().chain(reasons).collect();
    let mut table = Grid::new(&header);
    for case in scenario.cases.iter().filter(|case| case.facts.contains_key(GENERATED)) {
        let errors = reasons.map(|reason| format!("{ERRORS}.{reason}"));
        let names = [GENERATED, HANDLED, LOST, ERRORS].map(str::to_owned).into_iter().chain(errors);
        let counts = names.map(|name| count(case, &name).map_or("–".to_owned(), |count| count.to_string()));
        table.add_row([case.id.clone()].into_iter().chain(counts));
    }
    table.note("Generated: by the count of the process that made the calls. Handled: taken out of the ring buffer, whatever became of it then; the errors are part of \
                it. A case in which the two and what was lost do not add up has failed.");
    for case in &scenario.cases {
        let (Some(handled), Some(errors)) = (count(case, HANDLED), count(case, ERRORS)) else { continue };
        if errors > handled / 2 {
            table.note(format!("{}: its handler failed at {errors} of {handled} events.", case.id));
        }
    }
    table.if_any()
}

fn others(scenario: &ScenarioReport) -> Option<Grid> {
    let names = [HANDLER_SWAPS, PROGRAM_SWAPS, REPLACED, MISUSE];
    let mut table =
        Grid::new(&["case", "handlers swapped", "programs swapped", "instances replaced", "requests refused"]);
    for case in &scenario.cases {
        let counts = names.map(|name| count(case, name).unwrap_or(0));
        if counts.iter().any(|count| *count > 0) {
            table.add_row([case.id.clone()].into_iter().chain(counts.map(|count| count.to_string())));
        }
    }
    table.if_any()
}
