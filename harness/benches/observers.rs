//! What it costs to be watched: the same program, which does nothing but write single bytes, alone, under wasiscope's
//! kernel programs, `strace -c -f`, `perf trace -s` and bpftrace counting the same, in turn. Needs root; an observer that
//! is not installed, or that fails, is left out, with the reason.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use wasiscope::before_exec::BeforeExec;
use wasiscope::capture::Capture;
use wasiscope::capture::ebpf::{EbpfCapture, Options, enter_watched};
use wasiscope::stats;
use wasiscope::units;

/// Makes the executable the program that is watched: `… write-bytes N FILE`.
const VERB: &str = "write-bytes";

const ROUNDS: usize = 11;

/// Latency by system call, as a histogram, of one process: what wasiscope's programs give.
const BPFTRACE: &str = "
tracepoint:raw_syscalls:sys_enter /pid == cpid/ { @entered[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /@entered[tid]/ {
    @latency[args->id] = hist(nsecs - @entered[tid]); @total[args->id] = sum(nsecs - @entered[tid]); delete(@entered[tid]); }";

/// Somebody who watches.
struct Observer {
    name: &'static str,
    /// What the program is started with, or nothing when it is started as it is.
    prefix: &'static [&'static str],
    /// How many bytes are written: fewer where each takes long.
    calls: u32,
    by_wasiscope: bool,
}

const OBSERVERS: [Observer; 5] = [
    Observer { name: "nobody", prefix: &[], calls: 200_000, by_wasiscope: false },
    Observer { name: "wasiscope", prefix: &[], calls: 200_000, by_wasiscope: true },
    Observer { name: "bpftrace", prefix: &["bpftrace", "-e", BPFTRACE, "-c"], calls: 200_000, by_wasiscope: false },
    Observer { name: "perf trace -s", prefix: &["perf", "trace", "-s"], calls: 100_000, by_wasiscope: false },
    Observer { name: "strace -c -f", prefix: &["strace", "-c", "-f"], calls: 5_000, by_wasiscope: false },
];

/// Writes single bytes, and then into a file how long that took: stdout is shared with whoever watches.
fn write_bytes(count: u32, result: &Path) -> io::Result<()> {
    let file: File = tempfile::tempfile()?;
    let start = Instant::now();
    for index in 0..count {
        file.write_all_at(b"x", u64::from(index % 4096))?;
    }
    fs::write(result, start.elapsed().as_nanos().to_string())
}

/// The program under an observer, which is to write its result into a file.
fn observed(observer: &Observer, result: &Path) -> anyhow::Result<Command> {
    let own = env::current_exe()?;
    let result = result.to_str().context("the temporary folder has a name that is not UTF-8")?;
    let arguments = [VERB, &observer.calls.to_string(), result];
    let mut command = match observer.prefix {
        [] => Command::new(&own),
        // bpftrace takes a command in one word.
        ["bpftrace", options @ ..] => {
            let mut command = Command::new("bpftrace");
            command.args(options).arg(format!("{} {}", own.display(), arguments.join(" ")));
            return Ok(command);
        }
        [program, options @ ..] => {
            let mut command = Command::new(program);
            command.args(options).arg(&own);
            command
        }
    };
    command.args(arguments);
    Ok(command)
}

/// Nanoseconds of one write.
fn run(observer: &Observer, capture: &mut EbpfCapture) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let result = folder.path().join("nanoseconds");
    let mut command = observed(observer, &result)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if observer.by_wasiscope {
        capture.arm()?;
        let worker = capture.open(1, "")?;
        // SAFETY: the descriptors are the capture's, which outlives the spawning.
        unsafe { BeforeExec::default().then(move || enter_watched(&worker)) }.apply(&mut command);
    }
    let output = command.spawn().context("cannot be started")?.wait_with_output()?;
    if observer.by_wasiscope {
        let events = capture.collect(1)?;
        let counted: u64 = events.values().filter_map(|phase| phase.syscalls.get("pwrite64")).map(|c| c.count).sum();
        if counted != u64::from(observer.calls) {
            bail!("{counted} of {} writes counted", observer.calls);
        }
        capture.disarm()?;
    }
    // An observer may fail after the program has ended well, and then it has observed nothing.
    if !output.status.success() {
        bail!("{}; it said: {}", output.status, said(&output));
    }
    let Ok(ns) = fs::read_to_string(&result) else {
        bail!("the program that it ran left no result; it said: {}", said(&output));
    };
    Ok(ns.parse::<f64>()? / f64::from(observer.calls))
}

/// The end of what a program printed, stderr first, in one line.
fn said(output: &Output) -> String {
    let lines = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(5)..].iter().map(|line| (*line).to_owned()).collect()
    };
    let all = [lines(&output.stderr), lines(&output.stdout)].concat();
    if all.is_empty() { "nothing".to_owned() } else { all.join(" / ") }
}

fn is_installed(observer: &Observer) -> bool {
    let Some(program) = observer.prefix.first() else { return true };
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn side_by_side() -> anyhow::Result<()> {
    let start = Instant::now();
    let mut capture = EbpfCapture::load(&Options::default())?;
    let loaded = start.elapsed();
    let start = Instant::now();
    capture.arm()?;
    let attached = start.elapsed();
    let start = Instant::now();
    capture.disarm()?;
    let shown = |duration: Duration| units::duration(duration.as_nanos() as f64);
    println!(
        "{} programs: loaded in {}, attached in {}, detached in {}",
        capture.programs()?.len(),
        shown(loaded),
        shown(attached),
        shown(start.elapsed())
    );

    let (present, absent): (Vec<_>, Vec<_>) = OBSERVERS.iter().partition(|observer| is_installed(observer));
    for observer in absent {
        println!("{} is not installed: left out", observer.name);
    }
    print(&sample(&present, &mut capture)?);
    Ok(())
}

/// What each observer makes of one write, in nanoseconds, round by round; without those that failed.
fn sample(
    observers: &[&'static Observer],
    capture: &mut EbpfCapture,
) -> anyhow::Result<Vec<(&'static Observer, Vec<f64>)>> {
    let mut samples: Vec<(&Observer, Vec<f64>)> = observers.iter().map(|observer| (*observer, Vec::new())).collect();
    for round in 0..ROUNDS {
        // Each begins a round in turn, so that drift hits all alike.
        let mut failed = Vec::new();
        for place in 0..samples.len() {
            let index = (round + place) % samples.len();
            let (observer, of_it) = &mut samples[index];
            match run(observer, capture) {
                Ok(ns) => of_it.push(ns),
                // All others are set beside these two.
                Err(error) if observer.prefix.is_empty() => return Err(error.context(observer.name)),
                Err(error) => {
                    println!("{} failed in round {}: left out ({error:#})", observer.name, round + 1);
                    failed.push(observer.name);
                }
            }
        }
        samples.retain(|(observer, _)| !failed.contains(&observer.name));
    }
    Ok(samples)
}

fn print(samples: &[(&Observer, Vec<f64>)]) {
    let medians: Vec<f64> = samples.iter().filter_map(|(_, samples)| stats::median(samples)).collect();
    let (alone, ours) = (medians[0], medians[1] - medians[0]);
    println!("\n{:<16} {:>10} {:>10} {:>12}", "observer", "one write", "added", "of wasiscope");
    for ((observer, _), median) in samples.iter().zip(&medians) {
        let added = median - alone;
        println!(
            "{:<16} {:>10} {:>10} {:>12}",
            observer.name,
            units::duration(*median),
            units::duration(added),
            if observer.name == "nobody" { "–".to_owned() } else { format!("× {:.2}", added / ours) },
        );
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    match arguments.get(1..) {
        Some([verb, count, result]) if verb == VERB => Ok(write_bytes(count.parse()?, Path::new(result))?),
        _ => side_by_side(),
    }
}
