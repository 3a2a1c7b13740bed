//! A folder in which the real binary runs a bad case and a good one, and what is looked at afterwards.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::{self, Process};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::guests::Guest;
use super::{AMPLE_WALL, Failure, LIMIT, Settings, WALL};
use wasiscope_model::record::{Outcome, Status};
use wasiscope_model::report::Report;
use wasiscope_sys::interrupt::Interrupt;
use wasiscope_worker as worker;

/// What no guest may read.
const SECRET: &str = "the secret of a stage";

/// A guest that works for some milliseconds, and is beside every bad one.
const GOOD: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (local $i i32)
    (loop $again (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000000))))))"#;

pub(super) struct Stage {
    folder: TempDir,
    executable: PathBuf,
    pub(super) capture: String,
    pub(super) may_set_clock: bool,
    interrupt: Interrupt,
}

/// A run that has ended.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// As a limit of a scenario.
fn wall(limit: Duration) -> String {
    format!("wall: {}s", limit.as_secs())
}

impl Stage {
    pub(super) fn new(settings: Settings<'_>, interrupt: Interrupt) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("wasiscope-").tempdir()?;
        let place = |name: &str| folder.path().join(name);
        fs::create_dir_all(place("target/wasiscope"))?;
        fs::create_dir(place("tmp"))?;
        fs::write(place("target/wasiscope/secret"), SECRET)?;
        fs::write(place("good.wat"), GOOD)?;
        let limits = format!("limits: {{{}, memory: 64MiB}}", wall(AMPLE_WALL));
        for name in ["bad", "good"] {
            let kind = if name == "good" { "wat" } else { "wasm" };
            let scenario = format!(
                "name: {name}\nwasm: {name}.{kind}\nengines: [cranelift]\nprocesses: 1\niterations: 2\n{limits}\n"
            );
            fs::write(place(&format!("{name}.yaml")), scenario)?;
        }
        let Settings { capture, may_set_clock } = settings;
        let executable = std::env::current_exe()?;
        Ok(Self { folder, executable, capture: capture.to_owned(), may_set_clock, interrupt })
    }

    /// Gives the iterations of a scenario only [`WALL`], for what is to end by it.
    pub(super) fn allow_little_time(&self, scenario: &str) -> io::Result<()> {
        let path = self.path(&format!("{scenario}.yaml"));
        let text = fs::read_to_string(&path)?;
        fs::write(path, text.replace(&wall(AMPLE_WALL), &wall(WALL)))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `wasiscope run SCENARIO... --out report.json`, ready for more arguments.
    pub(super) fn run_of(&self, scenarios: &[&str]) -> Command {
        self.run_to("report.json", scenarios)
    }

    /// The same with another place for the report.
    pub(super) fn run_to(&self, out: &str, scenarios: &[&str]) -> Command {
        self.dress(Command::new(&self.executable), out, scenarios)
    }

    /// The same, started by a shell after `script`, in which the file systems are its own to change.
    pub(super) fn run_after(&self, script: &str, out: &str, scenarios: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg(format!("set -e\n{script}\nexec \"$@\"")).arg("sh").arg(&self.executable);
        self.dress(command, out, scenarios)
    }

    fn dress(&self, mut command: Command, out: &str, scenarios: &[&str]) -> Command {
        command.current_dir(self.folder.path()).arg("run").args(scenarios).arg("--root").arg(self.folder.path());
        command.args(["--capture", &self.capture, "--out", out]);
        command.env("TMPDIR", self.path("tmp")).env("NO_COLOR", "1");
        command
    }

    /// Starts it, with what it prints going to files, so that nobody has to read it meanwhile.
    pub(super) fn start(&self, mut command: Command) -> Result<Running<'_>, Failure> {
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        self.spawn(command, Some((stdout, stderr)))
    }

    /// Starts it with its streams as the command has them.
    pub(super) fn spawn(&self, mut command: Command, said: Option<(File, File)>) -> Result<Running<'_>, Failure> {
        // A group of its own: Ctrl-C here must not look like one there.
        command.process_group(0);
        let child = command.spawn().map_err(|error| Failure::Broken(format!("cannot start the run: {error}")))?;
        Ok(Running { child, said, stage: self, began: Instant::now() })
    }

    pub(super) fn run(&self, command: Command) -> Result<Ended, Failure> {
        self.start(command)?.end()
    }

    /// Runs a bad guest and the good one, and gives what the row of the bad one says.
    pub(super) fn try_guest(&self, guest: &Guest) -> Result<String, Failure> {
        fs::write(self.path("bad.wasm"), (guest.bytes)())?;
        if guest.status == Status::Timeout {
            self.allow_little_time("bad")?;
        }
        let ended = self.run(self.run_of(&["bad.yaml", "good.yaml"]))?;
        let report = self.report()?;
        self.is_whole(&report, "good")?;
        let outcome = outcome_of(&report, "bad")?;
        let said = said(&outcome);
        let expected = i32::from(guest.status != Status::Ok);
        if ended.code != Some(expected) {
            return Err(Failure::Broken(format!(
                "exit status {:?} and not {expected}; {said}; {}",
                ended.code,
                ended.stderr.trim()
            )));
        }
        let detail = outcome.detail.unwrap_or_default();
        if outcome.status != guest.status || !detail.contains(guest.says) {
            let wanted = serde_name(guest.status);
            return Err(Failure::Broken(format!("the row says {said}, and not {wanted}: …{}…", guest.says)));
        }
        const LONGEST: usize = 4 << 10;
        if detail.len() > LONGEST {
            return Err(Failure::Broken(format!("the reason is {} bytes long", detail.len())));
        }
        let printed = ended.stdout + &ended.stderr;
        if let Some(odd) = printed.chars().find(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}') {
            return Err(Failure::Broken(format!("{odd:?} reaches the terminal")));
        }
        Ok(said)
    }

    pub(super) fn report(&self) -> Result<Report, Failure> {
        self.report_at("report.json")
    }

    pub(super) fn report_at(&self, name: &str) -> Result<Report, Failure> {
        let bytes = fs::read(self.path(name)).map_err(|error| Failure::Broken(format!("{name}: {error}")))?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::Broken(format!("{name} is no report: {error}")))
    }

    /// The case of this scenario is as if nothing had happened.
    pub(super) fn is_whole(&self, report: &Report, scenario: &str) -> Result<(), Failure> {
        let outcome = outcome_of(report, scenario)?;
        let case =
            report.scenarios.iter().find(|report| report.name == scenario).and_then(|report| report.cases.first());
        let is_measured = case.is_some_and(|case| !case.measurements.is_empty());
        if outcome.status == Status::Ok && is_measured {
            Ok(())
        } else {
            Err(Failure::Broken(format!("the good case beside it is not whole: {}", said(&outcome))))
        }
    }

    /// No process, no temporary file, no folder of guests, and the secret as it was.
    pub(super) fn nothing_is_left(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.processes().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let mut left: Vec<String> =
            self.processes().iter().map(|pid| format!("process {}", pid.as_raw_pid())).collect();
        for folder in ["tmp", "target/wasiscope"] {
            let entries = fs::read_dir(self.path(folder))?.flatten().map(|entry| entry.file_name());
            let names = entries.map(|name| name.to_string_lossy().into_owned());
            left.extend(names.filter(|name| folder == "tmp" || name.starts_with("work-")));
        }
        if fs::read(self.path("target/wasiscope/secret"))? != SECRET.as_bytes() {
            left.push("a change of the secret".to_owned());
        }
        let broken = || Failure::Broken(format!("left behind: {}", left.join(", ")));
        if left.is_empty() { Ok(()) } else { Err(broken()) }
    }

    /// The processes that were started in this folder or below it.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let Ok(folder) = fs::canonicalize(self.folder.path()) else { return Vec::new() };
        let is_here = |process: &Process| process.cwd().is_ok_and(|cwd| cwd.starts_with(&folder));
        let processes = process::all_processes().into_iter().flatten().flatten();
        processes.filter(is_here).filter_map(|process| Pid::from_raw(process.pid)).collect()
    }

    /// A worker of a run here, if there is one.
    pub(super) fn worker(&self) -> Option<Pid> {
        let is_worker = |pid: &Pid| {
            let line = Process::new(pid.as_raw_pid()).and_then(|process| process.cmdline()).unwrap_or_default();
            line.get(1).is_some_and(|verb| verb == worker::VERB)
        };
        self.processes().into_iter().find(is_worker)
    }
}

/// How the case of a scenario ended.
pub(super) fn outcome_of(report: &Report, scenario: &str) -> Result<Outcome, Failure> {
    let case = report.scenarios.iter().find(|report| report.name == scenario).and_then(|report| report.cases.first());
    case.map(|case| case.outcome.clone())
        .ok_or_else(|| Failure::Broken(format!("the report has no case of {scenario}")))
}

fn serde_name(status: Status) -> String {
    serde_json::to_value(status).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The row, as it is read.
pub(super) fn said(outcome: &Outcome) -> String {
    const KEPT: usize = 110;
    let detail = outcome.detail.as_deref().unwrap_or_default();
    let line = detail.lines().next().unwrap_or_default();
    let kept: String = line.chars().take(KEPT).collect();
    let dots = if kept.len() < detail.len() { "…" } else { "" };
    let status = serde_name(outcome.status);
    if kept.is_empty() { status } else { format!("{status}: {kept}{dots}") }
}

/// A run that goes on.
pub(super) struct Running<'a> {
    child: Child,
    said: Option<(File, File)>,
    stage: &'a Stage,
    began: Instant,
}

impl Running<'_> {
    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        rustix::process::kill_process(self.pid(), signal).map_err(|error| Failure::Broken(error.to_string()))
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for something to become true while the run goes on; whether it did.
    pub(super) fn wait_for(&mut self, mut reached: impl FnMut(&Stage) -> bool) -> bool {
        while self.began.elapsed() < LIMIT && !self.has_ended() {
            if reached(self.stage) {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// Waits for its end; one that hangs is ended.
    pub(super) fn end(mut self) -> Result<Ended, Failure> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.began.elapsed() > LIMIT || self.stage.interrupt.raised() {
                self.child.kill()?;
                self.child.wait()?;
                return Err(Failure::Broken(format!("it hangs: killed after {} s", self.began.elapsed().as_secs())));
            }
            thread::sleep(Duration::from_millis(2));
        };
        let (mut stdout, mut stderr) = Default::default();
        if let Some((out, err)) = self.said {
            (stdout, stderr) = (text(out)?, text(err)?);
        }
        Ok(Ended { code: status.code(), stdout, stderr })
    }
}

fn text(mut file: File) -> io::Result<String> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
