//! The command line: one file per verb, and nothing in them that a user of the library would miss.

/// A line on stderr. Where that takes nothing, there is nobody to be told.
macro_rules! tell {
    ($($message:tt)*) => { $crate::cli::say(&format!($($message)*)) };
}

mod bisect;
mod build;
mod calibrate;
mod capture;
mod compare;
mod conformance;
mod doctor;
mod export;
mod features;
mod history;
#[cfg(feature = "html")]
mod html;
mod input;
mod list;
mod merge;
mod parse;
mod progress;
mod run;
mod selection;
mod selftest;
mod sinks;
mod snapshot;
mod soak;
mod suite;
pub(crate) mod tables;
#[cfg_attr(not(feature = "otlp"), path = "no_telemetry.rs")]
mod telemetry;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::code::{Code, code_of, fail};
use crate::places::Places;
use crate::report::document::Invocation;
use crate::units;

const EXAMPLES: &str = "\
Examples:
  wasiscope run                              every default scenario, with the kernel watched where possible
  wasiscope run startup --capture on         one scenario; without live capture this is an error
  wasiscope run my.wasm --iterations 50      a guest of your own
  wasiscope run --only '*/std/*' --format markdown
  wasiscope compare old.wasm new.wasm        did it get worse?
  wasiscope doctor                           what is missing here, and how to fix it

Exit status: 0 done · 1 a case failed or a regression was confirmed · 2 bad usage or input · 3 inconclusive, where that was
asked to fail · 4 a required capability, or the receiver of metrics, is missing · 130 interrupted";

/// What a WebAssembly guest really costs, with the kernel watched at the same time.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Cli {
    /// The project: the folder with scenarios/ and snapshots/ [default: the one around the current folder]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build, run, capture, print, write the report
    Run(Box<run::Arguments>),
    /// Compile the guests only; print path, hash, size
    Build(build::Arguments),
    /// Two .wasm files, two git revisions, or two reports: what got slower, and how sure that is
    Compare(Box<compare::Arguments>),
    /// Run every guest of a folder and hold it to the manifest beside it, as WebAssembly/wasi-testsuite has them
    Conformance(conformance::Arguments),
    /// The facts of a report against those in snapshots/
    Snapshot(snapshot::Arguments),
    /// Several reports as one: shards of a suite, other machines
    Merge(merge::Arguments),
    /// Reports kept by commit: a metric over commits, and the commits at which it stepped
    History(Box<history::Arguments>),
    /// Which commit made the difference, by comparing those between a good one and a bad one
    Bisect(bisect::Arguments),
    /// Reports for other tools: samples in Parquet, figures for OpenTelemetry and Prometheus, cases as tests in JUnit XML, pages, timelines
    Export(export::Arguments),
    /// One page for each report, and an index with history across commits
    #[cfg(feature = "html")]
    Html(html::Arguments),
    /// How often comparisons raise false alarms on this machine, and how small a slowdown they find
    Calibrate(calibrate::Arguments),
    /// The same run again and again, to see that nothing grows: memory, descriptors, threads, kernel objects, files
    Soak(Box<soak::Arguments>),
    /// Adversarial guests and faults of the machine, tried on this very binary: whether it holds
    Selftest(selftest::Arguments),
    /// Cases as tests, for the crate wasiscope-test; answers are JSON
    #[command(hide = true)]
    Suite(suite::Arguments),
    /// Scenarios, workloads, flavours, engines
    List(list::Arguments),
    /// Toolchains, kernel features, privileges; each line says how to fix it
    Doctor(doctor::Arguments),
}

impl Cli {
    /// What the command line says. If it says nothing that can be done, or asks for help, that is printed and the process ends.
    #[must_use]
    pub fn of_command_line() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        Self::parse_words(&words).unwrap_or_else(|error| error.exit())
    }

    /// What these words say, the first of which is the program's name.
    ///
    /// # Errors
    /// When they are no command of wasiscope's, or ask for help.
    pub fn parse_words(words: &[OsString]) -> Result<Self, clap::Error> {
        parse::parse(words)
    }

    fn set_invocation(&mut self, invocation: Invocation) {
        if let Verb::Run(arguments) = &mut self.verb {
            arguments.invocation = Some(invocation);
        }
    }

    #[cfg(test)]
    fn invocation(&self) -> Option<&Invocation> {
        match &self.verb {
            Verb::Run(arguments) => arguments.invocation.as_ref(),
            _ => None,
        }
    }

    /// Calls the verb.
    ///
    /// # Errors
    /// When the verb could not do what it is for; [`Exit::of`] gives the exit status.
    pub fn run(self) -> anyhow::Result<Exit> {
        // The worker is this very file, whatever its name may be by now.
        let starts_workers = !matches!(self.verb, Verb::Doctor(_) | Verb::List(_));
        if starts_workers && !Path::new("/proc/self/exe").exists() {
            fail!(
                NoProc,
                "there is no /proc here, without which no worker can be started or looked at: mount -t proc proc /proc"
            );
        }
        let places = Places::find(self.root.as_deref());
        match self.verb {
            Verb::Run(arguments) => run::run(&places, &arguments),
            Verb::Build(arguments) => build::run(&places, &arguments),
            Verb::Compare(arguments) => compare::run(&places, &arguments),
            Verb::Conformance(arguments) => conformance::run(&places, &arguments),
            Verb::Snapshot(arguments) => snapshot::run(&places, &arguments),
            Verb::Merge(arguments) => merge::run(&arguments),
            Verb::History(arguments) => history::run(&places, &arguments),
            Verb::Bisect(arguments) => bisect::run(&places, &arguments),
            Verb::Export(arguments) => export::run(&arguments),
            #[cfg(feature = "html")]
            Verb::Html(arguments) => html::run(&places, &arguments),
            Verb::Calibrate(arguments) => calibrate::run(&places, &arguments),
            Verb::Soak(arguments) => soak::run(&places, *arguments),
            Verb::Selftest(arguments) => selftest::run(&arguments),
            Verb::Suite(arguments) => suite::run(&places, &arguments),
            Verb::List(arguments) => list::run(&places, &arguments),
            Verb::Doctor(arguments) => doctor::run(&places, &arguments),
        }
    }
}

/// An error as it is printed: `error[CODE]: MESSAGE`.
#[must_use]
pub fn shown(error: &anyhow::Error) -> String {
    coded(code_of(error), &format!("{error:#}"))
}

fn coded(code: Option<Code>, message: &str) -> String {
    code.map_or_else(|| format!("error: {message}"), |code| format!("error[{code}]: {message}"))
}

/// An error that does not end the command at once.
fn tell_error(code: Code, message: &str) {
    say(&coded(Some(code), message));
}

fn stopped_early() -> anyhow::Error {
    Code::Interrupted.error("interrupted before anything was measured").into()
}

fn is_stopped_early(error: &anyhow::Error) -> bool {
    code_of(error) == Some(Code::Interrupted)
}

/// How the command ends, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Done = 0,
    /// A case failed.
    CaseFailed = 1,
    /// Bad usage or bad input.
    BadInput = 2,
    /// Inconclusive, where that was asked to fail.
    Inconclusive = 3,
    /// A capability that was required is missing, or a receiver that was to take the metrics.
    CapabilityMissing = 4,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The status that belongs to an error.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        code_of(error).map_or(Self::BadInput, Self::of_code)
    }

    /// The status that belongs to a code of an error.
    #[must_use]
    pub const fn of_code(code: Code) -> Self {
        match code {
            Code::CaptureUnavailable | Code::CaptureFailed | Code::MetricsNotSent => Self::CapabilityMissing,
            Code::Interrupted => Self::Interrupted,
            Code::FaultNotFound => Self::CaseFailed,
            _ => Self::BadInput,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people
    #[default]
    Table,
    /// For scripts
    Json,
}

/// A line on stderr, for people; an error that cannot be said is none to end for.
pub fn say(line: &str) {
    use std::io::{Write, stderr};
    let _ = writeln!(stderr(), "{}", units::printable(line));
}

/// Prints to stdout, in which text of guests may be. A reader that went away (`| head`) ends the output, and that is no error.
///
/// # Errors
/// When stdout cannot take it for any other reason.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write, stdout};
    match stdout().write_all(units::printable(text).as_bytes()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(Code::CannotWrite.error(error)).context("stdout"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The rows of the table under a heading of docs/errors.md: code, and what stands in the second column.
    fn rows(heading: &str) -> Vec<(Code, String)> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the heading");
        let section = section.split("\n## ").next().unwrap_or_default();
        let row = |line: &str| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`'));
            let name = cells.next()?;
            Some((Code::from_name(name).unwrap_or_else(|| panic!("no code `{name}`")), cells.next()?.to_owned()))
        };
        section.lines().filter_map(row).collect()
    }

    #[test]
    fn the_page_of_errors_has_every_code_once_with_its_exit_status() {
        let (errors, outcomes) = (rows("Errors"), rows("Outcomes"));
        for table in [&errors, &outcomes] {
            let distinct: BTreeSet<Code> = table.iter().map(|(code, _)| *code).collect();
            assert_eq!(distinct.len(), table.len());
        }
        for (code, exit) in &errors {
            assert_eq!((*code, exit), (*code, &(Exit::of_code(*code) as u8).to_string()));
        }
        let listed: BTreeSet<Code> = errors.into_iter().chain(outcomes).map(|(code, _)| code).collect();
        let missing: Vec<Code> = Code::ALL.iter().copied().filter(|code| !listed.contains(code)).collect();
        assert_eq!(missing, []);
    }

    #[test]
    fn an_error_is_printed_with_its_code() {
        let error = anyhow::Error::new(Code::NoCommits.error("a")).context("b");
        assert_eq!((shown(&error).as_str(), Exit::of(&error)), ("error[no-commits]: b: a", Exit::BadInput));
        assert_eq!(shown(&anyhow::anyhow!("c")), "error: c");
        assert_eq!(Exit::of(&stopped_early()), Exit::Interrupted);
    }
}
