//! What it costs to be watched: the same program, which does nothing but write single bytes, alone, under wasiscope's
//! kernel programs, `strace -c -f`, `perf trace -s` and bpftrace counting the same, in turn. Needs root; an observer that
//! is not installed is left out, and says so.

use std::env;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use wasiscope::capture::Capture;
use wasiscope::capture::ebpf::{EbpfCapture, Options, enter_watched};
use wasiscope::stats;
use wasiscope::units;

/// Makes the executable the program that is watched: `… write-bytes N`.
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

/// Writes single bytes and prints how long that took.
fn write_bytes(count: u32) -> io::Result<()> {
    let file: File = tempfile::tempfile()?;
    let start = Instant::now();
    for index in 0..count {
        file.write_all_at(b"x", u64::from(index % 4096))?;
    }
    println!("nanoseconds={}", start.elapsed().as_nanos());
    Ok(())
}

/// Nanoseconds of one write.
fn run(observer: &Observer, capture: &mut EbpfCapture) -> anyhow::Result<f64> {
    let own = env::current_exe()?;
    let arguments = [VERB.to_owned(), observer.calls.to_string()];
    let mut command = match observer.prefix {
        [] => Command::new(&own),
        // bpftrace takes a command in one word.
        ["bpftrace", options @ ..] => {
            let mut command = Command::new("bpftrace");
            command.args(options).arg(format!("{} {}", own.display(), arguments.join(" ")));
            command
        }
        [program, options @ ..] => {
            let mut command = Command::new(program);
            command.args(options).arg(&own);
            command
        }
    };
    if observer.prefix.first() != Some(&"bpftrace") {
        command.args(&arguments);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    if observer.by_wasiscope {
        capture.arm()?;
        let worker = capture.open(1, "")?;
        // SAFETY: the descriptors are the capture's, which outlives the spawning.
        unsafe { command.pre_exec(move || enter_watched(&worker)) };
    }
    let child = command.spawn().with_context(|| observer.name)?;
    let output = child.wait_with_output()?;
    if observer.by_wasiscope {
        let events = capture.collect(1)?;
        let counted: u64 = events.values().filter_map(|phase| phase.syscalls.get("pwrite64")).map(|c| c.count).sum();
        if counted != u64::from(observer.calls) {
            bail!("{counted} of {} writes counted", observer.calls);
        }
        capture.disarm()?;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let ns = text.lines().find_map(|line| line.strip_prefix("nanoseconds=")).with_context(|| text.to_string())?;
    Ok(ns.parse::<f64>()? / f64::from(observer.calls))
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
    let mut samples = vec![Vec::new(); present.len()];
    for round in 0..ROUNDS {
        // Each begins a round in turn, so that drift hits all alike.
        for place in 0..present.len() {
            let index = (round + place) % present.len();
            samples[index].push(run(present[index], &mut capture)?);
        }
    }
    let medians: Vec<f64> = samples.iter().filter_map(|samples| stats::median(samples)).collect();
    let (alone, ours) = (medians[0], medians[1] - medians[0]);
    println!("\n{:<16} {:>10} {:>10} {:>12}", "observer", "one write", "added", "of wasiscope");
    for (observer, median) in present.iter().zip(&medians) {
        let added = median - alone;
        println!(
            "{:<16} {:>10} {:>10} {:>12}",
            observer.name,
            units::duration(*median),
            units::duration(added),
            if observer.name == "nobody" { "–".to_owned() } else { format!("× {:.2}", added / ours) },
        );
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    match arguments.get(1..) {
        Some([verb, count]) if verb == VERB => Ok(write_bytes(count.parse()?)?),
        _ => side_by_side(),
    }
}
