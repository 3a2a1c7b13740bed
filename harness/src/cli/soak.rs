//! `wasiscope soak`.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use rustix::process::{Pid, Signal};

use super::{Exit, print, run, stopped_early};
use crate::cli::tables::soak;
use crate::interrupt::Interrupt;
use crate::places::Places;
use crate::report::table::Style;
use crate::soak::{Held, courses};

const EXAMPLES: &str = "\
Examples:
  wasiscope soak                          the default scenarios for an hour
  wasiscope soak startup --time 10m       one scenario
  wasiscope soak my.wasm --capture on     a guest of your own, with the kernel watched

Exit status: 0 nothing grows · 1 something does, or a run failed · 2 bad usage or input · 130 interrupted";

/// A round takes this long at least, however little there is to do: looking must not be most of it.
const SHORTEST_ROUND: Duration = Duration::from_millis(200);

/// How often a waiting parent looks for Ctrl-C.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[group(skip)]
pub(super) struct Arguments {
    /// How long, for example 10m
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    time: Duration,
    /// To be the process that is watched.
    #[arg(long, hide = true)]
    watched: bool,
    /// How each run is.
    #[command(flatten)]
    run: run::Arguments,
}

pub(super) fn run(places: &Places, arguments: Arguments) -> anyhow::Result<Exit> {
    if arguments.watched { rounds(places, arguments) } else { watch(places, &arguments) }
}

/// Runs again and again; after each says so, and goes on when it is told to.
fn rounds(places: &Places, mut arguments: Arguments) -> anyhow::Result<Exit> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let folder = env::temp_dir();
    let report = arguments.run.out.get_or_insert_with(|| folder.join("report.json")).clone();
    arguments.run.sinks.ask_for("html", folder.join("report.html"));
    let mut go_on = io::stdin().lock();
    loop {
        let began = Instant::now();
        let exit = run::once(places, &arguments.run, Some(&interrupt))?;
        if exit != Exit::Done {
            return Ok(exit);
        }
        std::thread::sleep(SHORTEST_ROUND.saturating_sub(began.elapsed()));
        print(&format!("{}\n", fs::metadata(&report).map_or(0, |report| report.len())))?;
        if go_on.read_line(&mut String::new())? == 0 {
            return Ok(Exit::Done);
        }
    }
}

/// Watches a process that does the rounds.
fn watch(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::on_signals().context("cannot listen for Ctrl-C")?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut watched = start(&folder)?;
    let told = watched.stdout.take().context("no pipe from the process that is watched")?;
    let mut to = watched.stdin.take().context("no pipe to the process that is watched")?;
    let began = Instant::now();
    let mut rounds = Vec::new();
    let lines = lines_of(told);
    let mut is_told_to_stop = false;
    loop {
        if interrupt.raised() && !is_told_to_stop {
            // A terminal signals both, `kill` only this one. What has ended already needs no signal.
            let _ = rustix::process::kill_process(Pid::from_child(&watched), Signal::TERM);
            is_told_to_stop = true;
        }
        let line = match lines.recv_timeout(INTERRUPT_POLL) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let report_bytes = line.trim().parse().unwrap_or(0);
        let held = Held::of(watched.id(), folder.path(), &places.state)?;
        rounds.push(Held { at: began.elapsed(), report_bytes, ..held });
        if interrupt.raised() || began.elapsed() >= arguments.time || to.write_all(b"\n").is_err() {
            break;
        }
    }
    drop(to);
    let status = watched.wait()?;
    if rounds.is_empty() && interrupt.raised() {
        return Err(stopped_early());
    }
    if rounds.is_empty() {
        tell!("error: the first run failed");
        return Ok(if status.code() == Some(1) { Exit::CaseFailed } else { Exit::BadInput });
    }
    let courses = courses(&rounds);
    print(&(soak::table(&rounds, &courses, began.elapsed()).text(Style::Plain) + "\n"))?;
    Ok(if interrupt.raised() {
        Exit::Interrupted
    } else if !status.success() {
        tell!("error: a run failed in round {} (its message is above)", rounds.len() + 1);
        Exit::CaseFailed
    } else if courses.is_empty() {
        tell!("error: of fewer than ten rounds nothing can be said: name a longer --time, or less to run");
        Exit::BadInput
    } else if courses.iter().any(|course| course.grows) {
        Exit::CaseFailed
    } else {
        Exit::Done
    })
}

/// Lines as they come, so that waiting for the next can be interrupted.
fn lines_of(told: ChildStdout) -> Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(told).lines().try_for_each(|line| sender.send(line)));
    receiver
}

/// This same command once more, with temporary files where they can be counted.
fn start(folder: &tempfile::TempDir) -> anyhow::Result<Child> {
    let mut arguments = env::args_os().skip(1);
    // `--root DIR` may come before the verb, so the flag comes last, as flags may.
    let mut command = Command::new("/proc/self/exe");
    command.args(&mut arguments).arg("--watched").env("TMPDIR", folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().context("cannot start the process that is watched")
}
