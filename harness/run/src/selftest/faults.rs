//! Faults of the machine, and of who uses it, each with what must come of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use rustix::process::Signal;

use super::stage::{Ended, Stage, outcome_of, said};
use super::{Failure, WALL};
use wasiscope_model::record::{Record, Status};
use wasiscope_model::report::CaptureStatus;

type Fault = (&'static str, &'static str, fn(&Stage) -> Result<String, Failure>);

/// All of them.
pub(super) const FAULTS: &[Fault] = &[
    ("worker-killed", "a worker is killed, at any moment, five times", worker_killed),
    ("worker-stopped", "a worker is stopped, and never goes on", worker_stopped),
    ("run-killed", "the run is killed, at any moment, five times", run_killed),
    ("run-stopped", "the run is stopped for longer than its limit, and goes on", run_stopped),
    ("run-interrupted", "Ctrl-C in the middle", run_interrupted),
    ("disk-full", "the disk of the report is full", disk_full),
    ("read-only-output", "the report's folder cannot be written", read_only_output),
    ("output-is-a-folder", "the report is to go where a folder is", output_is_a_folder),
    ("output-is-anothers", "the report is to go where another file is", output_is_anothers),
    ("full-stdout", "stdout takes nothing", full_stdout),
    ("full-stderr", "stderr takes nothing", full_stderr),
    ("closed-pipe", "who reads stdout goes away", closed_pipe),
    ("clock-step", "the clock goes back an hour, and forth", clock_step),
    ("no-proc", "there is no /proc", no_proc),
    ("no-tracefs", "there is no tracefs", no_tracefs),
    ("no-btf", "the kernel does not show its types", no_btf),
    ("no-sysfs", "there is no /sys", no_sysfs),
    ("little-memory", "a container has less memory than the guest takes", little_memory),
    ("one-place-twice", "two runs at once, to the same report", one_place_twice),
    ("two-at-once", "two runs at once, to two reports", two_at_once),
    ("read-while-written", "a report is read all the time while it is replaced", read_while_written),
];

/// Stands for what an earlier run left.
const EARLIER: &str = "{\"schema_version\": 1, \"earlier\": true}\n";

fn broken<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Broken(why.into()))
}

fn ended_with(ended: &Ended, code: i32, part: &str) -> Result<(), Failure> {
    let all = format!("{}{}", ended.stdout, ended.stderr);
    if ended.code == Some(code) && all.contains(part) && !all.contains("panicked") {
        return Ok(());
    }
    broken(format!("exit status {:?} and not {code} with {part:?}: {}", ended.code, ended.stderr.trim()))
}

/// What it says is wrong, as far as it is an error.
fn error_of(ended: &Ended) -> String {
    let line = ended.stderr.lines().find(|line| line.starts_with("error")).unwrap_or_default();
    line.to_owned()
}

/// A second guest that is as good as the first.
fn two_good(stage: &Stage) -> Result<(), Failure> {
    fs::copy(stage.path("good.wat"), stage.path("bad.wat"))?;
    let scenario = fs::read_to_string(stage.path("bad.yaml"))?.replace("bad.wasm", "bad.wat");
    Ok(fs::write(stage.path("bad.yaml"), scenario)?)
}

/// A run of both guests with so many workers of each.
fn long_run(stage: &Stage, processes: &str) -> Result<Command, Failure> {
    two_good(stage)?;
    let mut command = stage.run_of(&["bad.yaml", "good.yaml"]);
    command.args(["--processes", processes]);
    Ok(command)
}

fn a_moment() -> Duration {
    Duration::from_millis(rand::rng().random_range(0..400))
}

fn worker_killed(stage: &Stage) -> Result<String, Failure> {
    let mut told = String::new();
    for _ in 0..5 {
        let mut running = stage.start(long_run(stage, "12")?)?;
        running.wait_for(|stage| stage.worker().is_some());
        thread::sleep(a_moment());
        let killed = running.wait_for(|stage| {
            stage.worker().is_some_and(|worker| rustix::process::kill_process(worker, Signal::KILL).is_ok())
        });
        let ended = running.end()?;
        if !killed {
            return broken("no worker was there to be killed");
        }
        let report = stage.report()?;
        let outcomes = [outcome_of(&report, "bad")?, outcome_of(&report, "good")?];
        let lost: Vec<_> = outcomes.iter().filter(|outcome| outcome.status != Status::Ok).collect();
        let says_so =
            |detail: &Option<String>| detail.as_deref().is_some_and(|detail| detail.contains("killed by SIGKILL"));
        match lost[..] {
            // It was a worker of the reference, or one that had said all it had to say.
            [] if ended.code == Some(0) => {}
            [one] if ended.code == Some(1) && says_so(&one.detail) => told = said(one),
            _ => {
                return broken(format!("exit status {:?}; {}; {}", ended.code, said(&outcomes[0]), said(&outcomes[1])));
            }
        }
    }
    Ok(told)
}

fn worker_stopped(stage: &Stage) -> Result<String, Failure> {
    let run = long_run(stage, "12")?;
    ["bad", "good"].into_iter().try_for_each(|scenario| stage.allow_little_time(scenario))?;
    let mut running = stage.start(run)?;
    let stopped = running.wait_for(|stage| {
        stage.worker().is_some_and(|worker| rustix::process::kill_process(worker, Signal::STOP).is_ok())
    });
    let ended = running.end()?;
    if !stopped {
        return broken("no worker was there to be stopped");
    }
    let report = stage.report()?;
    let outcomes = [outcome_of(&report, "bad")?, outcome_of(&report, "good")?];
    match outcomes.iter().find(|outcome| outcome.status != Status::Ok) {
        Some(outcome) if outcome.status == Status::Timeout => Ok(said(outcome)),
        Some(outcome) => broken(said(outcome)),
        None if ended.code == Some(0) => Ok("it was one of the reference's".to_owned()),
        None => broken(format!("exit status {:?}", ended.code)),
    }
}

fn run_killed(stage: &Stage) -> Result<String, Failure> {
    let mut kept = 0;
    for _ in 0..5 {
        fs::write(stage.path("report.json"), EARLIER)?;
        let mut running = stage.start(long_run(stage, "10000")?)?;
        running.wait_for(|stage| stage.worker().is_some());
        thread::sleep(a_moment());
        running.signal(Signal::KILL)?;
        running.end()?;
        if fs::read_to_string(stage.path("report.json"))? != EARLIER {
            return broken("the earlier report is not what it was");
        }
        let journal = fs::read_to_string(stage.path("report.records.partial.jsonl"))?;
        let whole = |line: &&str| serde_json::from_str::<Record>(line).is_ok();
        // The last line may be half a one.
        let lines = journal.lines().count();
        kept = journal.lines().filter(whole).count();
        if kept + 1 < lines {
            return broken(format!("{lines} lines in the journal, {kept} of them records"));
        }
    }
    // The next run takes away what was left.
    let ended = stage.run(stage.run_of(&["good.yaml"]))?;
    ended_with(&ended, 0, "")?;
    fs::remove_file(stage.path("report.records.jsonl"))?;
    Ok(format!("the earlier report stays, {kept} records of the last are kept, the next run clears up"))
}

fn run_stopped(stage: &Stage) -> Result<String, Failure> {
    let run = long_run(stage, "20")?;
    ["bad", "good"].into_iter().try_for_each(|scenario| stage.allow_little_time(scenario))?;
    let mut running = stage.start(run)?;
    running.wait_for(|stage| stage.worker().is_some());
    thread::sleep(a_moment());
    running.signal(Signal::STOP)?;
    thread::sleep(WALL + Duration::from_secs(1));
    running.signal(Signal::CONT)?;
    let ended = running.end()?;
    ended_with(&ended, 0, "")?;
    let report = stage.report()?;
    stage.is_whole(&report, "bad")?;
    stage.is_whole(&report, "good")?;
    Ok("no row is the worse for it".to_owned())
}

fn run_interrupted(stage: &Stage) -> Result<String, Failure> {
    let mut running = stage.start(long_run(stage, "10000")?)?;
    let journal = stage.path("report.records.partial.jsonl");
    running.wait_for(|_| {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"record\":\"process\",\"case\":0,"))
    });
    running.signal(Signal::INT)?;
    let ended = running.end()?;
    ended_with(&ended, 130, "interrupted")?;
    let report = stage.report()?;
    if report.interrupted {
        Ok("a report marked `interrupted`".to_owned())
    } else {
        broken("the report does not say so")
    }
}

/// Only root may change what is mounted where.
fn needs_root() -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::NotTried("needs root: mounts of its own".to_owned()));
    }
    match Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::NotTried("needs the command unshare (util-linux), and to be let mount".to_owned())),
    }
}

fn disk_full(stage: &Stage) -> Result<String, Failure> {
    needs_root()?;
    fs::create_dir(stage.path("full"))?;
    let script = format!(
        "mount -t tmpfs -o size=8k tmpfs full\nprintf '{}' >full/report.json\nhead -c 4096 /dev/zero >full/rest",
        EARLIER.trim_end().replace('"', "\\042")
    );
    let ended = stage.run(stage.run_after(&script, "full/report.json", &["good.yaml"]))?;
    ended_with(&ended, 2, "No space left on device")?;
    if !ended.stdout.contains("good/custom/cranelift") {
        return broken("what was measured is not printed");
    }
    let kept = fs::read_dir(stage.path("tmp"))?.flatten().map(|entry| entry.path()).next();
    let Some(kept) = kept else { return broken("what was measured is nowhere") };
    let Some(name) = kept.to_str().filter(|name| ended.stderr.contains(name)) else {
        return broken("where the report is kept is not said");
    };
    let report = stage.report_at(name)?;
    stage.is_whole(&report, "good")?;
    fs::remove_file(&kept)?;
    Ok(error_of(&ended).replace(name, "TMPDIR/…"))
}

/// It is refused before anything runs, and the message says what to do.
fn refused(stage: &Stage, out: &str, part: &str) -> Result<String, Failure> {
    let mut running = stage.start(stage.run_to(out, &["good.yaml"]))?;
    let has_run = running.wait_for(|stage| stage.worker().is_some());
    let ended = running.end()?;
    if has_run {
        return broken("a worker was started all the same");
    }
    ended_with(&ended, 2, part)?;
    Ok(error_of(&ended))
}

fn read_only_output(stage: &Stage) -> Result<String, Failure> {
    // Nobody may make files there, not even root.
    refused(stage, "/proc/report.json", "name another place with --out")
}

fn output_is_a_folder(stage: &Stage) -> Result<String, Failure> {
    refused(stage, "tmp", "name another place with --out")
}

fn output_is_anothers(stage: &Stage) -> Result<String, Failure> {
    let told = refused(stage, "good.wat", "not overwritten; name another place with --out")?;
    if fs::read_to_string(stage.path("good.wat"))?.starts_with("(module") {
        Ok(told)
    } else {
        broken("it was overwritten")
    }
}

/// A run one of whose streams takes nothing: `number` of them is /dev/full.
fn full(stage: &Stage, number: u32) -> Result<Ended, Failure> {
    let mut command = Command::new("sh");
    let own = stage.run_of(&["good.yaml"]);
    command
        .arg("-c")
        .arg(format!("exec \"$@\" {number}>/dev/full"))
        .arg("sh")
        .arg(own.get_program())
        .args(own.get_args());
    for (name, value) in own.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.current_dir(stage.path(""));
    stage.run(command)
}

fn full_stdout(stage: &Stage) -> Result<String, Failure> {
    let ended = full(stage, 1)?;
    ended_with(&ended, 2, "stdout: No space left on device")?;
    stage.is_whole(&stage.report()?, "good")?;
    Ok(format!("{}; the report is written", error_of(&ended)))
}

fn full_stderr(stage: &Stage) -> Result<String, Failure> {
    let ended = full(stage, 2)?;
    ended_with(&ended, 0, "good/custom/cranelift")?;
    stage.is_whole(&stage.report()?, "good")?;
    Ok("the report is written, the table printed".to_owned())
}

fn closed_pipe(stage: &Stage) -> Result<String, Failure> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = stage.run_of(&["good.yaml"]);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
    let ended = stage.spawn(command, None)?.end()?;
    ended_with(&ended, 0, "")?;
    stage.is_whole(&stage.report()?, "good")?;
    Ok("the report is written; that is no error".to_owned())
}

fn clock_step(stage: &Stage) -> Result<String, Failure> {
    use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
    if !stage.may_set_clock {
        return Err(Failure::NotTried("sets the clock of the whole machine: ask for it with --set-clock".to_owned()));
    }
    let mut running = stage.start(long_run(stage, "12")?)?;
    running.wait_for(|stage| stage.worker().is_some());
    let began = Instant::now();
    let real = clock_gettime(ClockId::Realtime);
    let moved = |seconds: i64| clock_settime(ClockId::Realtime, Timespec { tv_sec: real.tv_sec + seconds, ..real });
    if moved(-3600).is_err() {
        running.end()?;
        return Err(Failure::NotTried("this user may not set the clock".to_owned()));
    }
    thread::sleep(Duration::from_millis(500));
    let _ = moved(7200);
    thread::sleep(Duration::from_millis(500));
    // Back to where it would be.
    let now = real.tv_nsec + i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
    let back = Timespec { tv_sec: real.tv_sec + now / 1_000_000_000, tv_nsec: now % 1_000_000_000 };
    let _ = clock_settime(ClockId::Realtime, back);
    let took = began.elapsed();
    let ended = running.end()?;
    ended_with(&ended, 0, "")?;
    let report = stage.report()?;
    stage.is_whole(&report, "bad")?;
    stage.is_whole(&report, "good")?;
    let samples = report.scenarios.iter().flat_map(|scenario| &scenario.cases).flat_map(|case| &case.measurements);
    let longest =
        samples.flat_map(|metric| metric.samples.iter().flatten()).fold(0.0_f64, |most, sample| most.max(*sample));
    if longest > 60e9 || report.duration_s > 60.0 || report.duration_s < took.as_secs_f64() {
        return broken(format!("a sample of {longest} ns, {} s in all", report.duration_s));
    }
    Ok(format!("no sample above {:.0} ms, {:.1} s in all", longest / 1e6, report.duration_s))
}

fn no_proc(stage: &Stage) -> Result<String, Failure> {
    needs_root()?;
    let ended = stage.run(stage.run_after("mount -t tmpfs tmpfs /proc", "report.json", &["good.yaml"]))?;
    ended_with(&ended, 2, "/proc")?;
    Ok(error_of(&ended))
}

/// Runs the good guest in a machine that lacks something, which is no reason not to run it.
fn without(stage: &Stage, script: &str) -> Result<(CaptureStatus, String), Failure> {
    needs_root()?;
    let ended = stage.run(stage.run_after(script, "report.json", &["good.yaml"]))?;
    if stage.capture == "on" && ended.code == Some(4) {
        return Ok((CaptureStatus::Unavailable, error_of(&ended)));
    }
    ended_with(&ended, 0, "")?;
    let report = stage.report()?;
    stage.is_whole(&report, "good")?;
    Ok((report.capture.status, report.capture.reason.unwrap_or_default()))
}

fn no_tracefs(stage: &Stage) -> Result<String, Failure> {
    let hidden = ["/sys/kernel/tracing", "/sys/kernel/debug"];
    let script = hidden.map(|place| format!("if [ -d {place} ]; then mount -t tmpfs tmpfs {place}; fi\n")).concat();
    match without(stage, &script)? {
        (CaptureStatus::Live, _) => Ok("capture: live all the same".to_owned()),
        (CaptureStatus::Off, _) => Ok("the case is measured".to_owned()),
        (_, reason) if stage.capture == "auto" => Ok(format!("capture: unavailable ({reason})")),
        (_, reason) => broken(reason),
    }
}

fn no_btf(stage: &Stage) -> Result<String, Failure> {
    if !Path::new("/sys/kernel/btf").exists() {
        return Err(Failure::NotTried("this kernel shows none".to_owned()));
    }
    match without(stage, "mount -t tmpfs tmpfs /sys/kernel/btf")? {
        (CaptureStatus::Unavailable, reason) if reason.contains("BTF") => {
            Ok(format!("capture: unavailable ({reason})"))
        }
        (CaptureStatus::Off, _) => Ok("the case is measured".to_owned()),
        (_, reason) => broken(format!("the capture says {reason:?}")),
    }
}

fn no_sysfs(stage: &Stage) -> Result<String, Failure> {
    match without(stage, "mount -t tmpfs tmpfs /sys")? {
        (CaptureStatus::Live | CaptureStatus::Off, _) => Ok("the case is measured".to_owned()),
        (_, reason) if reason.is_empty() => broken("the capture says nothing"),
        (_, reason) => Ok(format!("capture: unavailable ({reason})")),
    }
}

/// What a container's memory is limited by, in the two ways there are; and what to do before with it.
fn limited(bytes: u64) -> Option<String> {
    let name = format!("wasiscope-{}", std::process::id());
    let old = Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let new = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap_or_default();
    let (group, limit) = if old.exists() {
        (format!("/sys/fs/cgroup/memory/{name}"), "memory.limit_in_bytes")
    } else if new.split_whitespace().any(|controller| controller == "memory") {
        (format!("/sys/fs/cgroup/{name}"), "memory.max")
    } else {
        return None;
    };
    Some(format!("mkdir -p {group}\necho {bytes} >{group}/{limit}\necho $$ >{group}/cgroup.procs"))
}

fn little_memory(stage: &Stage) -> Result<String, Failure> {
    needs_root()?;
    const BYTES: u64 = 160 << 20;
    let script = limited(BYTES)
        .ok_or_else(|| Failure::NotTried("needs a control group whose memory can be limited".to_owned()))?;
    let greedy = r#"(module (memory (export "memory") 1) (func (export "_start") (local $e i32)
        (loop $more
            (local.set $e (memory.grow (i32.const 16)))
            (if (i32.eq (local.get $e) (i32.const -1)) (then unreachable))
            (memory.fill (i32.mul (local.get $e) (i32.const 65536)) (i32.const 1) (i32.const 1048576))
            (br $more))))"#;
    fs::write(stage.path("bad.wat"), greedy)?;
    let scenario = fs::read_to_string(stage.path("bad.yaml"))?.replace("bad.wasm", "bad.wat").replace("64MiB", "2GiB");
    fs::write(stage.path("bad.yaml"), scenario)?;
    let ended = stage.run(stage.run_after(&script, "report.json", &["bad.yaml", "good.yaml"]))?;
    // Both kinds; who is not there any more is no concern.
    let name = format!("wasiscope-{}", std::process::id());
    for group in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] {
        let _ = fs::remove_dir(Path::new(group).join(&name));
    }
    ended_with(&ended, 1, "")?;
    let report = stage.report()?;
    stage.is_whole(&report, "good")?;
    let outcome = outcome_of(&report, "bad")?;
    let detail = outcome.detail.as_deref().unwrap_or_default();
    if detail.contains("SIGKILL") && detail.contains("memory") { Ok(said(&outcome)) } else { broken(said(&outcome)) }
}

fn one_place_twice(stage: &Stage) -> Result<String, Failure> {
    let mut first = stage.start(long_run(stage, "10000")?)?;
    first.wait_for(|stage| stage.worker().is_some());
    let second = stage.run(stage.run_of(&["good.yaml"]))?;
    ended_with(&second, 2, "another run is writing")?;
    first.signal(Signal::INT)?;
    ended_with(&first.end()?, 130, "")?;
    Ok(error_of(&second))
}

fn two_at_once(stage: &Stage) -> Result<String, Failure> {
    let first = stage.start(long_run(stage, "20")?)?;
    let mut command = stage.run_to("second.json", &["good.yaml"]);
    command.args(["--processes", "20"]);
    let second = stage.run(command)?;
    ended_with(&first.end()?, 0, "")?;
    ended_with(&second, 0, "")?;
    for (report, scenario) in [("report.json", "bad"), ("report.json", "good"), ("second.json", "good")] {
        stage.is_whole(&stage.report_at(report)?, scenario)?;
    }
    Ok("both are whole".to_owned())
}

fn read_while_written(stage: &Stage) -> Result<String, Failure> {
    ended_with(&stage.run(stage.run_of(&["good.yaml"]))?, 0, "")?;
    let mut reads = 0;
    for _ in 0..5 {
        let mut running = stage.start(stage.run_of(&["good.yaml"]))?;
        while !running.has_ended() {
            stage.report()?;
            reads += 1;
        }
        ended_with(&running.end()?, 0, "")?;
    }
    Ok(format!("{reads} reads, all of whole reports"))
}
