//! A scenario of traps for a reader: the grid, how traps were caught, the specification's files, how guests die, what a trap
//! costs, and what its safety does.

use std::fmt::Write;

use serde_json::Value;
use wasiscope_ebpf_abi::Phase;

use super::{Family, TESTSUITE, Traps};
use wasiscope_model::record::{Status, TRAP_LATENCY};
use wasiscope_model::report::{CaseReport, CheckOverhead, ScenarioReport};
use wasiscope_model::units;
use wasiscope_render::grid::Grid;
use wasiscope_render::table::{INTERVAL, Style};
use wasiscope_render::{Titled, View};
use wasiscope_scenario::Engine;
use wasiscope_stats as stats;

impl View for Traps {
    fn tables(&self, scenario: &ScenarioReport, exact: bool) -> Option<Vec<Titled>> {
        Some(sections(scenario, exact))
    }

    fn below(&self, scenario: &ScenarioReport, style: Style) -> String {
        failures(scenario, style)
    }
}

/// Its tables, each with what it is about.
fn sections(scenario: &ScenarioReport, exact: bool) -> Vec<Titled> {
    let sections = [
        ("cells of the matrix that passed, of those tried", grid(scenario)),
        ("how the traps of the matrix were caught", caught(scenario, exact)),
        ("other traps, and the signal that each comes from", other_traps(scenario)),
        ("directives of the specification's tests that passed, of those tried", specification(scenario)),
        ("how guests that make mistakes die", mistakes(scenario)),
        ("from the faulting access to control in the host: median, 99 % interval", latency(scenario, exact)),
        ("what explicit bounds checks cost, in `run`", prices(&scenario.prices)),
    ];
    sections.into_iter().filter_map(|(title, table)| Some((title, table?))).collect()
}

/// Engines in the order of the scenario.
fn engines<'a>(cases: impl Iterator<Item = &'a CaseReport>) -> Vec<&'a str> {
    let mut engines: Vec<&str> = Vec::new();
    for case in cases {
        if !engines.contains(&case.engine.as_str()) {
            engines.push(&case.engine);
        }
    }
    engines
}

fn count(case: &CaseReport, fact: &str) -> u64 {
    case.facts.get(fact).and_then(Value::as_u64).unwrap_or(0)
}

/// `1436`, or `1434 of 1436` where some failed, or why there are none.
fn passed(case: &CaseReport, unit: &str) -> String {
    let [tried, passed] = ["tried", "passed"].map(|which| count(case, &format!("{unit}.{which}")));
    match case.outcome.status {
        Status::Skipped if count(case, &format!("{unit}.unsupported")) > 0 => "not offered".to_owned(),
        Status::Skipped => "not reached".to_owned(),
        Status::Ok if tried == passed => tried.to_string(),
        _ if tried == passed => format!("{tried}, FAILED"),
        _ => format!("{passed} of {tried} FAILED"),
    }
}

/// Operations × engines, and for each family the operations that are not all right.
fn grid(scenario: &ScenarioReport) -> Option<Grid> {
    let cases: Vec<&CaseReport> = scenario.cases.iter().filter(|case| is_family(case)).collect();
    let engines = engines(cases.iter().copied());
    let mut header = vec!["operations"];
    header.extend(&engines);
    let mut table = Grid::new(&header);
    let mut rows: Vec<&str> = Vec::new();
    for case in &cases {
        if !rows.contains(&case.workload.as_str()) {
            rows.push(&case.workload);
        }
    }
    for workload in &rows {
        let mut row = vec![(*workload).to_owned()];
        row.extend(engines.iter().map(|engine| {
            let found = cases.iter().find(|case| case.workload == *workload && case.engine == *engine);
            found.map_or("–".to_owned(), |case| passed(case, "cells"))
        }));
        table.add_row(row);
    }
    let sum = |fact: &str| stats::total(cases.iter().map(|case| count(case, fact)));
    let (tried, all_passed) = (sum("cells.tried"), sum("cells.passed"));
    let unsupported = sum("cells.unsupported");
    let is_full = cases.iter().any(|case| case.facts.get("cells.share").is_some_and(|share| share == "full"));
    let share = if is_full { "all there are" } else { "the default share: --full tries all" };
    let mut text = format!("{tried} cells tried ({share}), {all_passed} passed");
    if unsupported > 0 {
        let _ = write!(text, "; {unsupported} not offered by their engine ({})", reasons(&cases).join("; "));
    }
    let wrong = wrong_operations(&cases);
    if !wrong.is_empty() {
        /// The report has them all.
        const SHOWN: usize = 20;
        let more = wrong.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let shown: Vec<&str> = wrong.iter().take(SHOWN).map(String::as_str).collect();
        let _ = write!(text, "\nnot as they must be: {}{more}", shown.join(", "));
    }
    table.note(text);
    table.if_any()
}

fn is_family(case: &CaseReport) -> bool {
    Family::ALL.iter().any(|family| family.name() == case.workload)
}

/// Why engines do not offer something, and which.
fn reasons(cases: &[&CaseReport]) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    for case in cases {
        for reason in case.facts.keys().filter_map(|name| name.strip_prefix("unsupported: ")) {
            let reason = format!("{}: {reason}", case.engine);
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    reasons
}

/// `i32.load on cranelift: 11/12`, for each that is not all right.
fn wrong_operations(cases: &[&CaseReport]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        for (name, value) in &case.facts {
            let (Some(operation), Some(text)) = (name.strip_prefix("cells.of."), value.as_str()) else { continue };
            if text.split_once('/').is_some_and(|(passed, tried)| passed != tried) {
                wrong.push(format!("{operation} on {}: {text}", case.engine));
            }
        }
    }
    wrong
}

/// What caught the traps, engine by engine, and whether the kernel agrees.
fn caught(scenario: &ScenarioReport, exact: bool) -> Option<Grid> {
    let cases: Vec<&CaseReport> = scenario.cases.iter().filter(|case| is_family(case)).collect();
    let mut table = Grid::new(&[
        "engine",
        "traps",
        "guard",
        "first page",
        "instruction",
        "no signal",
        "SIGSEGV, worker",
        "SIGSEGV, kernel",
    ]);
    for engine in engines(cases.iter().copied()) {
        let of_engine: Vec<&CaseReport> = cases.iter().copied().filter(|case| case.engine == engine).collect();
        let sum = |fact: &str| stats::total(of_engine.iter().map(|case| count(case, fact)));
        let by = ["traps", "by_guard", "by_null_page", "by_instruction", "without_signal"];
        let by = by.map(|name| sum(&format!("caught.{name}")));
        let watched = of_engine.iter().filter_map(|case| case.kernel.as_ref()).count() > 0;
        let seen: Option<u64> = of_engine
            .iter()
            .filter(|case| count(case, "caught.traps") > 0)
            .map(|case| {
                let trap = case.kernel.as_ref()?.phases.get(Phase::Trap.name())?;
                trap.signals.as_ref()?.get("SIGSEGV").copied()
            })
            .try_fold(0, |sum: u64, seen| Some(sum.saturating_add(seen?)));
        let seen = seen.filter(|_| watched);
        let mut row = vec![engine.to_owned()];
        row.extend(by.iter().map(u64::to_string));
        row.extend([by[1].saturating_add(by[2]).to_string(), kernel_count(seen, exact)]);
        table.add_row(row);
    }
    table.if_any()
}

/// What the kernel counted; `–` where nobody did.
fn kernel_count(seen: Option<u64>, exact: bool) -> String {
    let at_least = if exact { "" } else { "≥ " };
    seen.map_or("–".to_owned(), |seen| format!("{at_least}{seen}"))
}

/// Traps × engines: the signal, or that there was none.
fn other_traps(scenario: &ScenarioReport) -> Option<Grid> {
    let is_trap = |name: &str| name.starts_with("trap.") && name != "trap.code";
    let cases: Vec<&CaseReport> =
        scenario.cases.iter().filter(|case| case.facts.keys().any(|name| is_trap(name))).collect();
    let engines = engines(cases.iter().copied());
    let mut header = vec!["trap", "code"];
    header.extend(&engines);
    let mut table = Grid::new(&header);
    let mut traps: Vec<(&String, &Value)> = Vec::new();
    for (name, fact) in cases.iter().flat_map(|case| &case.facts).filter(|(name, _)| is_trap(name)) {
        if !traps.iter().any(|(known, _)| *known == name) {
            traps.push((name, fact));
        }
    }
    traps.sort_by_key(|(name, _)| *name);
    for (name, fact) in traps {
        let code = fact["code"].as_str().unwrap_or("error of the host's");
        let mut row = vec![name["trap.".len()..].to_owned(), code.to_owned()];
        row.extend(engines.iter().map(|engine| {
            let found = cases.iter().find(|case| case.engine == *engine).and_then(|case| case.facts.get(name));
            found.map_or("–".to_owned(), |fact| fact["signal"].as_str().unwrap_or("none").to_owned())
        }));
        table.add_row(row);
    }
    let [tried, passed] =
        ["cells.tried", "cells.passed"].map(|fact| stats::total(cases.iter().map(|case| count(case, fact))));
    table.note(format!("{tried} tried, {passed} as they must be, by code, message, backtrace and signals"));
    table.align_left(&[0, 1]).if_any()
}

/// Groups × engines, and the files that did not pass as a whole.
fn specification(scenario: &ScenarioReport) -> Option<Grid> {
    let cases: Vec<&CaseReport> = scenario.cases.iter().filter(|case| case.flavour == TESTSUITE).collect();
    let engines = engines(cases.iter().copied());
    let mut header = vec!["files", "number"];
    header.extend(&engines);
    let mut table = Grid::new(&header);
    let files = |case: &CaseReport| case.facts.keys().filter(|name| name.starts_with("assertions.of.")).count();
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for case in &cases {
        match groups.iter_mut().find(|(known, _)| *known == case.workload) {
            Some((_, number)) => *number = files(case).max(*number),
            None => groups.push((&case.workload, files(case))),
        }
    }
    for (group, number) in &groups {
        let mut row = vec![(*group).to_owned(), number.to_string()];
        row.extend(engines.iter().map(|engine| {
            let found = cases.iter().find(|case| case.workload == *group && case.engine == *engine);
            found.map_or("–".to_owned(), |case| passed(case, "assertions"))
        }));
        table.add_row(row);
    }
    if groups.is_empty() {
        return None;
    }
    let unsupported = reasons(&cases);
    if !unsupported.is_empty() {
        table.note(format!("not offered, by engine:\n  {}", unsupported.join("\n  ")));
    }
    let of_first = cases.iter().filter(|case| case.engine == engines[0]).flat_map(|case| &case.facts);
    let left_out = of_first.filter(|(name, _)| name.starts_with("left_out.")).filter_map(|(_, count)| count.as_u64());
    let left_out = stats::total(left_out);
    table.note(format!(
        "The report has the figures of each file. Left out: {left_out} assertions that a module is not valid, of which nothing runs."
    ));
    Some(table)
}

fn mistakes(scenario: &ScenarioReport) -> Option<Grid> {
    let cases: Vec<&CaseReport> = scenario.cases.iter().filter(|case| case.workload.starts_with("mistake-")).collect();
    let mut table =
        Grid::new(&["mistake", "flavour", "engine", "dies by", "size", "over abort", "stderr", "leaves", "last words"]);
    for case in &cases {
        let how = case.facts.get("trap.code").and_then(Value::as_str).map(str::to_owned);
        let how = how.unwrap_or_else(|| case.outcome.status.name().to_owned());
        let over = case.facts.get("size.over_abort").and_then(Value::as_i64);
        let left = case.facts.get("left.files").and_then(Value::as_array).map_or(0, Vec::len);
        let bytes = |stream: &str| match case.facts.get(&format!("{stream}.bytes")) {
            Some(bytes) => bytes.as_u64().unwrap_or(0),
            // As reports before 2026-11-27 have it.
            None => count(case, &format!("left.{stream}_bytes")),
        };
        table.add_row(vec![
            case.workload.trim_start_matches("mistake-").to_owned(),
            case.flavour.clone(),
            case.engine.clone(),
            how,
            case.artifact.as_ref().map_or("–".to_owned(), |artifact| units::bytes(artifact.bytes)),
            over.map_or("–".to_owned(), |over| format!("{over:+} B")),
            format!("{} B", bytes("stderr")),
            format!("{} B of stdout, {left} file(s)", bytes("stdout")),
            last_words(case),
        ]);
    }
    table.align_left(&[0, 1, 2, 3, 7, 8]).if_any()
}

/// The line of stderr that says most: that of the message, if there is one.
fn last_words(case: &CaseReport) -> String {
    const SHOWN: usize = 70;
    let detail = case.outcome.detail.as_deref().unwrap_or_default();
    let Some((_, stderr)) = detail.split_once("; stderr: ") else { return "none".to_owned() };
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
    let said = lines.iter().find(|line| !line.contains("panicked at")).or(lines.first());
    said.copied().unwrap_or_default().chars().take(SHOWN).collect()
}

/// Engines × depths.
fn latency(scenario: &ScenarioReport, exact: bool) -> Option<Grid> {
    let timed = |case: &CaseReport| {
        case.measurements.iter().find(|measurement| measurement.metric == TRAP_LATENCY).map(|m| m.summary.clone())
    };
    let cases: Vec<(&CaseReport, _)> = scenario.cases.iter().filter_map(|case| Some((case, timed(case)?))).collect();
    let mut depths: Vec<&str> = Vec::new();
    for (case, _) in &cases {
        if !depths.contains(&case.workload.as_str()) {
            depths.push(&case.workload);
        }
    }
    let mut header = vec!["engine"];
    header.extend(&depths);
    header.extend(["traps watched", "SIGSEGV, kernel"]);
    let mut table = Grid::new(&header);
    for engine in engines(cases.iter().map(|(case, _)| *case)) {
        let of_engine = || cases.iter().filter(|(case, _)| case.engine == engine);
        let mut row = vec![engine.to_owned()];
        row.extend(depths.iter().map(|depth| {
            let found = of_engine().find(|(case, _)| case.workload == *depth);
            found.map_or("–".to_owned(), |(_, summary)| {
                let interval = summary
                    .ci_low
                    .zip(summary.ci_high)
                    .map(|(low, high)| format!(" ({} … {})", units::duration(low), units::duration(high)));
                units::duration(summary.median) + &interval.unwrap_or_default()
            })
        }));
        let phases = || of_engine().filter_map(|(case, _)| case.kernel.as_ref()?.phases.get(Phase::Trap.name()));
        let traps = stats::total(phases().map(|phase| phase.iterations));
        let signals: Option<u64> = phases()
            .map(|phase| phase.signals.as_ref().map(|signals| signals.get("SIGSEGV").copied().unwrap_or(0)))
            .try_fold(0, |sum: u64, signals| Some(sum.saturating_add(signals?)));
        let seen = if traps == 0 { None } else { signals };
        row.extend([traps.to_string(), kernel_count(seen, exact)]);
        table.add_row(row);
    }
    let timed: Vec<&CaseReport> = cases.iter().map(|(case, _)| *case).collect();
    let disturbed = disturbances(&timed);
    if !disturbed.is_empty() {
        table.note(disturbed);
    }
    table.note(
        "The depth is that of active functions in the guest. wasmtime's own figure is 2.6 µs, for\n`unreachable` on its authors' machine in 2022 (bytecodealliance/wasmtime, pull request 4431).",
    );
    table.if_any()
}

pub(crate) fn prices(prices: &[CheckOverhead]) -> Option<Grid> {
    let mut table = Grid::new(&["case", "against", "without", "with", "ratio", INTERVAL, "workers"]);
    for price in prices {
        let time = |ns: Option<f64>| ns.map_or("–".to_owned(), units::duration);
        let interval = price.ci_low.zip(price.ci_high).map(|(low, high)| format!("×{low:.3} … ×{high:.3}"));
        let note = price.note.clone().unwrap_or_else(|| "–".to_owned());
        table.add_row(vec![
            price.case.clone(),
            price.base.clone(),
            time(price.base_ns),
            time(price.checked_ns),
            price.ratio.map_or("–".to_owned(), |ratio| format!("×{ratio:.3}")),
            interval.unwrap_or(note),
            price.log_ratios.len().to_string(),
        ]);
    }
    table.if_any()
}

/// Every row that is not as it must be, with what reproduces it.
fn failures(scenario: &ScenarioReport, style: Style) -> String {
    let mut text = String::new();
    for case in scenario.cases.iter().filter(|case| !case.outcome.expected) {
        let detail = case.outcome.detail.as_deref().unwrap_or_default();
        // Writing to a String cannot fail, here and below.
        let mut lines = format!("FAILED {}: {detail}\n", case.id);
        for failure in &case.failures {
            let _ = writeln!(lines, "  {}", failure.what);
            let _ = writeln!(lines, "    expected {}\n    got      {}", failure.expected, failure.got);
        }
        if let Some(wat) = case.failures.iter().find_map(|failure| failure.wat.as_ref()) {
            let how = match Engine::preset(&case.engine) {
                Some(engine) => format!("wasiscope run it.wat --engine {}", engine.name),
                None => format!("a scenario with `wasm: it.wat` and the engine {}", case.engine),
            };
            let _ = writeln!(lines, "\n  the first by hand, by {how}, with this as it.wat:\n\n{wat}");
        }
        let _ = match style {
            Style::Plain => writeln!(text, "{lines}"),
            Style::Markdown => writeln!(text, "```text\n{lines}```\n"),
        };
    }
    text
}

/// What disturbed the timed cases, each once.
fn disturbances(cases: &[&CaseReport]) -> String {
    let disturbed = cases.iter().filter_map(|case| {
        let note = case.disturbance.as_ref()?.note.as_ref()?;
        Some(format!("disturbed: {}: {note}", case.id))
    });
    disturbed.collect::<Vec<_>>().join("\n")
}
