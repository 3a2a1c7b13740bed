//! `wasiscope selftest`.

use anyhow::Context;
use clap::{Args, ValueEnum};
use globset::Glob;

use super::capture::When;
use super::{Exit, ListFormat, print};
use crate::cli::tables::selftest;
use crate::code::{Code, fail};
use crate::interrupt::Interrupt;
use crate::report::table::Style;
use crate::selftest::{Held, Settings, trials};

const EXAMPLES: &str = "\
Examples:
  wasiscope selftest                     every trial; as root also those of mounts, capture and little memory
  wasiscope selftest --only '*-bomb'     some of them
  wasiscope selftest --list              what there is

Exit status: 0 all that was tried held · 1 something did not · 2 bad usage · 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Only trials whose name matches
    #[arg(long, value_name = "GLOB")]
    only: Option<String>,
    /// Watch the kernel in the runs within: where possible, always, or not at all
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    capture: When,
    /// Also set the clock of this machine an hour back and forth, for a second: only where nobody minds (needs CAP_SYS_TIME)
    #[arg(long)]
    set_clock: bool,
    /// Only say what trials there are
    #[arg(long)]
    list: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let only = arguments.only.as_deref().map(Glob::new).transpose();
    let only = only.map_err(|error| Code::InvalidPattern.error(error)).context("--only")?;
    let only = only.map(|glob| glob.compile_matcher());
    let chosen: Vec<_> =
        trials().into_iter().filter(|trial| only.as_ref().is_none_or(|only| only.is_match(trial.name))).collect();
    if chosen.is_empty() {
        fail!(NothingMatches, "--only: no trial matches; `wasiscope selftest --list` names them");
    }
    if arguments.list {
        print(&(selftest::list(&chosen).text(Style::Plain) + "\n"))?;
        return Ok(Exit::Done);
    }
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let capture = arguments.capture.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let settings = Settings { capture: &capture, may_set_clock: arguments.set_clock };
    let progress = super::progress::Progress::of(chosen.len(), "trials");
    let mut tried = Vec::new();
    for trial in &chosen {
        if interrupt.raised() {
            break;
        }
        progress.next(trial.name);
        tried.push(trial.make(settings, &interrupt));
        progress.done();
    }
    progress.finish();
    print(&match arguments.format {
        ListFormat::Table => selftest::table(&tried).text(Style::Plain) + "\n",
        ListFormat::Json => serde_json::to_string_pretty(&tried)? + "\n",
    })?;
    Ok(if interrupt.raised() {
        Exit::Interrupted
    } else if tried.iter().any(|tried| tried.held == Held::No) {
        Exit::CaseFailed
    } else {
        Exit::Done
    })
}
