//! A scenario of scheduling for a reader: how late sleepers wake, how fast a guest is stopped, how a crowd shares.

use wasiscope_ebpf_abi::Phase;

use super::Scheduler;
use crate::endings;
use crate::scheduler::{
    CLOCK_READ, CLOCK_STEP, FAIRNESS, HAND_OVER, ITEMS, LIGHT_LATENCY, MEMORY_EACH, OVERSLEEP, PREEMPT, ROUND_TRIP,
    SPEED_UP, STARVATION, STOPPED_AFTER, THROUGHPUT, WAKE,
};
use crate::traps::tables as traps;
use wasiscope_model::events::Distribution;
use wasiscope_model::report::{CaseReport, KernelPhase, Measurement, ScenarioReport};
use wasiscope_model::units;
use wasiscope_render::grid::Grid;
use wasiscope_render::table::Style;
use wasiscope_render::{Titled, View};

impl View for Scheduler {
    fn tables(&self, scenario: &ScenarioReport, exact: bool) -> Option<Vec<Titled>> {
        Some(sections(scenario, exact))
    }

    fn below(&self, scenario: &ScenarioReport, _style: Style) -> String {
        "docs/scheduler.md reads these tables.\n\n".to_owned() + &endings::without_figures(scenario)
    }
}

/// Its tables, each with what it is about.
fn sections(scenario: &ScenarioReport, exact: bool) -> Vec<Titled> {
    let sections = [
        ("how late sleepers wake, as the guest sees it", sleeps(scenario)),
        ("where that comes from, on average of one sleep in watched workers", lateness(scenario)),
        ("workers that share the one thread of their guest", pools(scenario)),
        ("how fast a guest that never yields is stopped", stops(scenario)),
        ("many guests on few threads", crowds(scenario)),
        ("one guest with real threads", threads(scenario)),
        ("what the kernel saw of each, per iteration", kernel(scenario, exact)),
        ("what the checks that make guests yield cost, in `run`", traps::prices(&scenario.prices)),
    ];
    sections.into_iter().filter_map(|(title, table)| Some((title, table?))).collect()
}

/// The measurement of a case whose name begins so.
fn measured<'a>(case: &'a CaseReport, name: &str) -> Option<&'a Measurement> {
    case.measurements.iter().find(|found| found.metric == name || found.metric.starts_with(&format!("{name}.")))
}

/// p50, p90, p99 and max, as durations.
fn percentiles(measurement: &Measurement) -> Option<[String; 4]> {
    let spread = measurement.spread.as_ref()?;
    Some([spread.p50, spread.p90, spread.p99, spread.max].map(units::duration))
}

/// The case without the name of a flavour that all share.
fn short(case: &CaseReport) -> String {
    match case.flavour.as_str() {
        crate::traps::GENERATED => format!("{}/{}", case.workload, case.engine),
        _ => case.id.clone(),
    }
}

fn sleeps(scenario: &ScenarioReport) -> Option<Grid> {
    let mut table = Grid::new(&["case", "p50", "p90", "p99", "max", "sleeps"]);
    for case in &scenario.cases {
        let Some(oversleep) = measured(case, OVERSLEEP) else { continue };
        let row = [short(case)].into_iter().chain(percentiles(oversleep)?);
        table.add_row(row.chain([oversleep.summary.n.to_string()]));
    }
    let clock = scenario.cases.iter().find_map(|case| Some((measured(case, CLOCK_READ)?, measured(case, CLOCK_STEP)?)));
    let clock = clock.map(|(read, step)| {
        let (read, step) = (units::duration(read.summary.median), units::duration(step.summary.min));
        format!("A reading of the clock takes {read}; the smallest step between two is {step}.")
    });
    clock.into_iter().for_each(|clock| table.note(clock));
    table.if_any()
}

/// The kernel's side of the phase in which everything happens.
fn run_of(case: &CaseReport) -> Option<&KernelPhase> {
    case.kernel.as_ref()?.phases.get(Phase::Run.name())
}

/// How the lateness of a sleep divides: the timer, the run queue, the rest of the call, and what lies above the kernel.
fn lateness(scenario: &ScenarioReport) -> Option<Grid> {
    let header =
        ["case", "guest sees", "timer", "run queue", "rest of the call", "above the kernel", "calls", "preempted"];
    let mut table = Grid::new(&header);
    for case in &scenario.cases {
        let Some((oversleep, run)) = measured(case, OVERSLEEP).zip(run_of(case)) else { continue };
        let Some(asked_ns) = asked_ns(case) else { continue };
        let Some(sleep) = run.syscalls.get("clock_nanosleep").and_then(|calls| calls.latency_ns.as_ref()) else {
            continue;
        };
        let (Some(seen), Some(off), Some(call)) =
            (oversleep.spread.as_ref().and_then(|spread| spread.watched_mean), run.off_cpu_ns.as_ref(), sleep.mean())
        else {
            continue;
        };
        let preempted = run.switches.map_or("–".to_owned(), |switches| switches.involuntary.to_string());
        let each = |sum: u64| sum as f64 / sleep.count as f64;
        let (timer, queue) = (each(off.blocked) - asked_ns, each(off.runnable));
        let rest = call - asked_ns - timer - queue;
        let above = seen - (call - asked_ns);
        let mut row = [seen, timer, queue, rest, above].map(units::duration);
        if run.switches.is_none_or(|switches| switches.involuntary > 0) {
            row[3..].fill("–".to_owned());
        }
        table.add_row([short(case)].into_iter().chain(row).chain([sleep.count.to_string(), preempted]));
    }
    table.note("The four add up to what the guest sees. Timer: from the wanted end to the wake-up. Run queue: from there to\n\
               running, and every other wait for a processor: where the thread was preempted besides, the last two cannot be\n\
               told. Sleeps of 0 are left out: the host makes no call for them.");
    table.if_any()
}

/// How long the guest of this case sleeps, by its name.
fn asked_ns(case: &CaseReport) -> Option<f64> {
    let name = case.workload.strip_prefix("sleep-")?.trim_end_matches("-busy");
    let number = name.trim_end_matches(|c: char| c.is_alphabetic());
    let scale = match &name[number.len()..] {
        "us" => 1e3,
        "ms" => 1e6,
        _ => 1.0,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

fn pools(scenario: &ScenarioReport) -> Option<Grid> {
    let header = [
        "case",
        "hand-over, p50",
        "p99",
        "max",
        "fairness",
        "longest wait for a turn",
        "items a second",
        "message and answer",
    ];
    let mut table = Grid::new(&header);
    for case in &scenario.cases {
        let Some(hand_over) = measured(case, HAND_OVER) else { continue };
        let median = |name: &str| measured(case, name).map(|found| found.summary.median);
        let time = |ns: Option<f64>| ns.map_or("–".to_owned(), units::duration);
        let spread = hand_over.spread.as_ref()?;
        let row = [short(case)];
        let hand_over = [spread.p50, spread.p99, spread.max].map(units::duration);
        let rest = [
            median(FAIRNESS).map_or("–".to_owned(), |index| format!("{index:.3}")),
            time(median(STARVATION)),
            median(ITEMS).map_or("–".to_owned(), |items| format!("{items:.0}")),
            time(median(ROUND_TRIP)),
        ];
        table.add_row(row.into_iter().chain(hand_over).chain(rest));
    }
    table.note("In a greedy pool one worker rarely yields; only its own code can change that.");
    table.if_any()
}

fn stops(scenario: &ScenarioReport) -> Option<Grid> {
    let header = ["case", "p50", "p90", "p99", "max", "ran for, p50", "ran for, max", "stops"];
    let mut table = Grid::new(&header);
    for case in &scenario.cases {
        let Some(preempt) = measured(case, PREEMPT) else { continue };
        let ran = measured(case, STOPPED_AFTER).and_then(|ran| ran.spread.as_ref());
        let ran = ran.map_or([(); 2].map(|()| "–".to_owned()), |ran| [ran.p50, ran.max].map(units::duration));
        let row = [short(case)].into_iter().chain(percentiles(preempt)?).chain(ran);
        table.add_row(row.chain([preempt.summary.n.to_string()]));
    }
    table.note("From the deadline (the end of the epoch, or the last fuel) to control in the host; and how long it ran in all.");
    table.if_any()
}

fn crowds(scenario: &ScenarioReport) -> Option<Grid> {
    let header =
        ["case", "fairness", "throughput", "light guest late, p50", "p99", "max", "memory each", "times it ran"];
    let mut table = Grid::new(&header);
    for case in &scenario.cases {
        let Some(fairness) = measured(case, FAIRNESS).filter(|_| case.workload.starts_with("crowd-")) else { continue };
        let median = |name: &str| measured(case, name).map(|found| found.summary.median);
        let light = measured(case, LIGHT_LATENCY);
        let late = light.and_then(|light| light.spread.as_ref());
        let late =
            late.map_or([(); 3].map(|()| "–".to_owned()), |late| [late.p50, late.p99, late.max].map(units::duration));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a median of byte counts")]
        let memory = median(MEMORY_EACH).map_or("–".to_owned(), |bytes| units::bytes(bytes as u64));
        let throughput = median(THROUGHPUT).map_or("–".to_owned(), |ratio| format!("×{ratio:.2}"));
        let row = [short(case), format!("{:.3}", fairness.summary.median), throughput];
        let times = light.map_or(0, |light| light.summary.n).to_string();
        table.add_row(row.into_iter().chain(late).chain([memory, times]));
    }
    table.note("Fairness is Jain's index of how far the guests got in the same time; throughput is that of all together over that of\n\
               one alone. The light guest sleeps 1 ms at a time among them: late is from the wanted end to going on, which tokio looks at\n\
               every 61 turns.");
    table.if_any()
}

fn threads(scenario: &ScenarioReport) -> Option<Grid> {
    let mut table = Grid::new(&["case", "what", "p50", "p90", "p99", "max", "samples"]);
    let durations = [
        (WAKE, "from notify to running on the other thread"),
        ("lock.1t", "a turn with the lock, on one thread"),
        ("lock.2t", "a turn with the lock, two threads want it"),
    ];
    for case in &scenario.cases {
        for (name, what) in durations {
            let Some(found) = case.measurements.iter().find(|found| found.metric == name) else { continue };
            let row = [short(case), what.to_owned()].into_iter().chain(percentiles(found)?);
            table.add_row(row.chain([found.summary.n.to_string()]));
        }
        let Some((ratio, spread)) = measured(case, SPEED_UP).and_then(|ratio| Some((ratio, ratio.spread.as_ref()?)))
        else {
            continue;
        };
        let row = [short(case), "speed-up of divided work by a second thread".to_owned()].into_iter();
        let ratios = [spread.p50, spread.p90, spread.p99, spread.max].map(|ratio| format!("×{ratio:.2}"));
        table.add_row(row.chain(ratios).chain([ratio.summary.n.to_string()]));
    }
    table.align_left(&[0, 1]).if_any()
}

fn kernel(scenario: &ScenarioReport, exact: bool) -> Option<Grid> {
    let header = [
        "case",
        "gave way",
        "preempted",
        "migrations",
        "blocked",
        "runnable",
        "run queue p50 / p99 / max",
        "futex waits",
    ];
    let mut table = Grid::new(&header);
    for case in &scenario.cases {
        let Some(run) = run_of(case).filter(|run| run.iterations > 0) else { continue };
        let at_least = |text: String| if exact { text } else { format!("≥ {text}") };
        let count = |count: Option<u64>| {
            let each = count.and_then(|count| units::per_iteration(count, run.iterations));
            each.map_or("–".to_owned(), at_least)
        };
        let time = |ns: Option<u64>| {
            ns.map_or("–".to_owned(), |ns| at_least(units::duration(ns as f64 / run.iterations as f64)))
        };
        let off = run.off_cpu_ns.as_ref();
        table.add_row([
            short(case),
            count(run.switches.map(|switches| switches.voluntary)),
            count(run.switches.map(|switches| switches.involuntary)),
            count(run.migrations),
            time(off.map(|off| off.blocked)),
            time(off.map(|off| off.runnable)),
            waits(run.run_queue_ns.as_ref()),
            count(run.futex_waits_ns.as_ref().map(|waits| waits.count)),
        ]);
    }
    table.if_any()
}

fn waits(waits: Option<&Distribution>) -> String {
    let shown = |ns: Option<u64>| ns.map(|ns| units::duration(ns as f64));
    let text = waits.and_then(|waits| {
        Some([shown(waits.quantile(0.5))?, shown(waits.quantile(0.99))?, shown(waits.max)?].join(" / "))
    });
    text.unwrap_or_else(|| "–".to_owned())
}
