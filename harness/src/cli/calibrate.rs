//! `wasiscope calibrate`.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::Context;
use clap::Args;
use rand::RngExt;
use wasiscope_workloads::WORKLOADS;

use super::progress::Progress;
use super::{Exit, ListFormat, print};
use crate::calibrate::{self, AA_PROCESSES, Calibration, Effort, ITERATIONS, TRIAL_BUDGET};
use crate::code::fail;
use crate::guest;
use crate::interrupt::Interrupt;
use crate::places::Places;
use crate::plan::{Case, GuestSource, Input};
use crate::runner::{self, InputFiles, Pairs, Prepared, Settings};
use crate::scenario::{Engine, Flavour};
use crate::scratch;
use crate::units;

/// The workload whose work is proportional to its size, operation by operation.
const WORKLOAD: &str = "spin";
/// Its size: some eight milliseconds of work.
const N: u64 = 6_000_000;

const EXAMPLES: &str = "\
Examples:
  wasiscope calibrate                              both tables; 25 minutes on two processors
  wasiscope calibrate --comparisons 50 --trials 5  a rough idea in five minutes
  wasiscope calibrate --trials 0                   only the false alarms";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Comparisons of a guest with itself
    #[arg(long, value_name = "N", default_value_t = 300)]
    comparisons: u32,
    /// Trials of each slowdown
    #[arg(long, value_name = "N", default_value_t = 20)]
    trials: u32,
    /// Decides the order of workers [default: random; printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    if !places.is_checkout() {
        let root = places.root.display();
        fail!(
            NoCheckout,
            "{root} is no checkout of wasiscope, whose guest `{WORKLOAD}` is built: run inside one or name it with --root"
        );
    }
    if arguments.comparisons == 0 && arguments.trials == 0 {
        fail!(OptionDoesNotApply, "with no comparisons and no trials there is nothing to measure");
    }
    let progress = Progress::new();
    let wanted = BTreeSet::from([(Flavour::TinygoLike, WORKLOAD.to_owned())]);
    let built = guest::build(places, &wanted, &mut |line| progress.say(line)).into_values().next();
    let artifact = built.context("the catalogue has no such guest")?.map_err(|none| none.code.error(none.reason))?;
    let workload = WORKLOADS.iter().find(|workload| workload.name == WORKLOAD).context("no such workload")?;
    let slower_by = |slowdown: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few percent more of a count")]
        let n = N + (N as f64 * slowdown).round() as u64;
        Prepared {
            case: case(workload.name, n),
            guest: Ok(artifact.clone()),
            files: InputFiles::default(),
            watch: false,
        }
    };
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let scratch = scratch::create(&places.state).context("cannot make a folder for the guests")?;
    let seed = arguments.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));
    let mut workers = runner::workers(&interrupt);
    let walk = Settings::new(seed, scratch.path(), &interrupt);
    let mut runner = Pairs::new(&mut workers, &walk);
    let effort = Effort { comparisons: arguments.comparisons, trials: arguments.trials, seed, interrupt };
    let calibration = calibrate::calibrate(&slower_by, &mut runner, &effort, &mut |step| progress.on_step(step))?;
    progress.finish();
    print(&match arguments.format {
        ListFormat::Json => serde_json::to_string_pretty(&calibration)? + "\n",
        ListFormat::Table => render(&calibration, seed),
    })?;
    Ok(if calibration.interrupted { Exit::Interrupted } else { Exit::Done })
}

fn case(workload: &str, n: u64) -> Case {
    let flavour = Flavour::TinygoLike;
    let engine = Engine::usual();
    let guest = GuestSource::Built { flavour, workload: workload.to_owned() };
    Case {
        n: Some(n),
        input: Input { args: vec![n.to_string()], ..Input::default() },
        processes: AA_PROCESSES,
        iterations: ITERATIONS,
        ..Case::of_guest("calibrate", workload, flavour.name(), engine, guest)
    }
}

fn render(calibration: &Calibration, seed: u64) -> String {
    let mut text = String::new();
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let rate = |hits: u64, of: u64| if of == 0 { "–".to_owned() } else { percent(hits as f64 / of as f64) };
    let interval = |(low, high): (f64, f64)| format!("{} … {}", percent(low), percent(high));
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "false alarms: a guest against itself, {AA_PROCESSES} processes × {ITERATIONS} passes a side, `run` {}\n",
        units::duration(calibration.run_ns)
    );
    let _ = writeln!(text, "  {:<40} {:>11} {:>7} {:>7}  95 % interval", "what", "comparisons", "alarms", "rate");
    for row in &calibration.false_alarms {
        let what = match (row.what.as_str(), row.with_tolerance) {
            ("comparison", true) => "any row, as `compare` counts it".to_owned(),
            ("comparison", false) => "any row, tolerances at 0".to_owned(),
            (metric, _) => format!("{metric} alone, tolerance at 0"),
        };
        let (alarms, of) = (row.alarms, row.comparisons);
        let _ = writeln!(
            text,
            "  {what:<40} {of:>11} {alarms:>7} {:>7}  {}",
            rate(alarms, of),
            interval(row.rate_interval)
        );
    }
    if !calibration.power.is_empty() {
        let within = TRIAL_BUDGET.as_secs();
        let _ = writeln!(text, "\npower: slowdowns of `run` found and confirmed, within {within} s for each pair\n");
        let _ = writeln!(
            text,
            "  {:>8} {:>7} {:>6} {:>8}  {:<18} {:>9} {:>10}",
            "slowdown", "trials", "found", "rate", "95 % interval", "seconds", "estimate"
        );
        for row in &calibration.power {
            let _ = writeln!(
                text,
                "  {:>8} {:>7} {:>6} {:>8}  {:<18} {:>9.1} {:>10}",
                percent(row.slowdown),
                row.trials,
                row.found,
                rate(row.found, row.trials),
                interval(row.rate_interval),
                row.seconds,
                units::change(1.0 + row.estimate)
            );
        }
    }
    let _ = writeln!(text, "\n{:.0} s, seed {seed}", calibration.duration_s);
    text
}
