//! Real workers: child processes of this same executable.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use procfs::{Current, VmStat};
use rustix::process::{Resource, Rlimit};

use wasiscope_capture::ebpf::enter_watched;
use wasiscope_capture::{Pipeline, WatchedWorker};
use wasiscope_kinds::{FlowError, Leader};
use wasiscope_model::units;
use wasiscope_scenario::engine;
use wasiscope_sys::before_exec::BeforeExec;
use wasiscope_sys::clock;
use wasiscope_sys::interrupt::Interrupt;
use wasiscope_sys::machine::{self, Counters};
use wasiscope_sys::socket;
use wasiscope_worker::heartbeat::HeartbeatPage;
use wasiscope_worker::{self as worker, Message, Request, Task};

use super::heartbeat::{POLL, Patience};
use super::{Death, WorkerRun, Workers};

/// Workers that are this same executable, even if the file it came from has been replaced since.
#[must_use]
pub fn workers(interrupt: &Interrupt) -> ChildWorkers {
    ChildWorkers::new(PathBuf::from("/proc/self/exe"), interrupt.clone())
}

/// Starts one child after the other.
#[derive(Debug)]
pub struct ChildWorkers {
    executable: PathBuf,
    interrupt: Interrupt,
}

impl ChildWorkers {
    /// `executable` is a wasiscope binary.
    fn new(executable: PathBuf, interrupt: Interrupt) -> Self {
        Self { executable, interrupt }
    }

    /// What runs the guest. A native executable's worker is ours.
    fn program(&self, request: &Request) -> io::Result<PathBuf> {
        let Some(program) = engine::program(&request.subject.program) else { return Ok(self.executable.clone()) };
        let found = program.executable().map_err(|name| io::Error::other(format!("{name} is not there any more")))?;
        Ok(found.unwrap_or_else(|| self.executable.clone()))
    }

    /// `inherited` are descriptors that the worker is to have beside its standard streams.
    fn start(
        &self,
        watched: Option<&WatchedWorker>,
        mut inherited: Vec<RawFd>,
        (stderr, heartbeat): (&File, &HeartbeatPage),
        request: &Request,
    ) -> io::Result<Child> {
        let executable = self.program(request)?;
        let is_foreign = executable != self.executable;
        let mut command = Command::new(executable);
        // Nothing of the environment is a guest's business, nor a worker's.
        command.env_clear().arg(worker::VERB).arg(heartbeat.fd().to_string());
        inherited.push(heartbeat.fd());
        inherited.extend(request.subject.code);
        if let Some(WatchedWorker { cells_fd, cell_index, slot, .. }) = watched {
            command.args([cells_fd.to_string(), cell_index.to_string(), slot.to_string()]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        // A group of its own, so that Ctrl-C reaches only the parent, which then decides.
        command.process_group(0);
        let mut setup = BeforeExec::default().end_with_parent().inherit(inherited);
        if let Some(stack) = stack_limit(request)? {
            setup = setup.stack_limit(stack);
        }
        if let Some(watched) = watched.copied() {
            // SAFETY: between fork and exec, as it is meant; the descriptors are the capture's, which outlives the start of its workers.
            setup = unsafe { setup.then(move || enter_watched(&watched)) };
        }
        // Ours gives up its privileges itself, when it has opened what the request names.
        if is_foreign {
            setup = setup.unprivileged();
        }
        setup.apply(&mut command);
        command.spawn()
    }
}

impl Workers for ChildWorkers {
    fn run(&mut self, request: &Request, watched: Option<&WatchedWorker>) -> WorkerRun {
        self.run_with(request, watched, Vec::new())
    }

    fn run_flow(
        &mut self,
        request: &Request,
        (leader, iterations): (&dyn Leader, u32),
        kernel: &mut dyn Pipeline,
    ) -> (WorkerRun, Result<BTreeMap<String, u64>, FlowError>) {
        let failed = |error| (WorkerRun::default(), Err(error));
        let cpu = request.cpu.and_then(|cpu| machine::processors().into_iter().find(|other| *other != cpu));
        let (ours, theirs) = match socket::pair() {
            Ok(pair) => pair,
            Err(error) => return failed(FlowError::Source(error)),
        };
        let source = match leader.start(&self.executable, cpu) {
            Ok(source) => source,
            Err(error) => return failed(error),
        };
        let mut request = request.clone();
        let mut inherited = vec![theirs.as_raw_fd()];
        if let Task::Flow { maps, socket, .. } = &mut request.task {
            *socket = theirs.as_raw_fd();
            inherited.extend([maps.ring_fd, maps.reader_fd, maps.joint.fd]);
            inherited.extend(maps.granted.iter().map(|map| map.fd));
        }
        thread::scope(|scope| {
            let source = source.as_ref();
            let leader = scope.spawn(move || source.lead(iterations, &ours, kernel));
            // The worker has its own copy of this end; ours would keep the leader waiting for a worker that has died.
            let run = self.run_with_own(&request, inherited, theirs);
            // Else the leader would wait for calls that nobody handles.
            source.end();
            (run, leader.join().unwrap_or_else(|_| Err(FlowError::Source(io::Error::other("the leader panicked")))))
        })
    }
}

impl ChildWorkers {
    fn run_with(&self, request: &Request, watched: Option<&WatchedWorker>, inherited: Vec<RawFd>) -> WorkerRun {
        self.run_started(request, |shared| self.start(watched, inherited, shared, request))
    }

    /// As [`run_with`](Self::run_with), with a descriptor that is closed here as soon as the worker has it.
    fn run_with_own(&self, request: &Request, inherited: Vec<RawFd>, theirs: OwnedFd) -> WorkerRun {
        self.run_started(request, |shared| {
            let started = self.start(None, inherited, shared, request);
            drop(theirs);
            started
        })
    }

    fn run_started(
        &self,
        request: &Request,
        start: impl FnOnce((&File, &HeartbeatPage)) -> io::Result<Child>,
    ) -> WorkerRun {
        let mut run = WorkerRun::default();
        // A file and not a pipe: nobody has to read it while the worker lives.
        let mut stderr = match tempfile::tempfile() {
            Ok(file) => file,
            Err(error) => return WorkerRun::not_started(format!("cannot make a temporary file: {error}")),
        };
        let heartbeat = match HeartbeatPage::new() {
            Ok(page) => page,
            Err(error) => return WorkerRun::not_started(format!("cannot make a page to share with a worker: {error}")),
        };
        let _neighbours = match Neighbours::start(&self.executable, request) {
            Ok(neighbours) => neighbours,
            Err(error) => return WorkerRun::not_started(format!("cannot start a busy process: {error}")),
        };
        let kills_before = out_of_memory_kills();
        let counters = Counters::now();
        let before_ns = clock::monotonic_ns();
        let mut child = match start((&stderr, &heartbeat)) {
            Ok(child) => child,
            Err(error) => return WorkerRun::not_started(format!("cannot start a worker: {error}")),
        };
        run.pid = child.id();
        let said = read_messages(&mut child);
        hand_over(&mut child, request);
        let mut unfinished = false;
        let patience = Patience::new(&heartbeat, request.subject.limits.wall);
        let death = self.listen(&said, patience, &mut run, &mut unfinished);
        if death.is_some() {
            // A worker that has just ended on its own is no error here.
            let _ = child.kill();
        }
        let status = child.wait();
        // What the worker managed to say before it died counts.
        for said in said {
            match said {
                Received::Message(message) => run.messages.push(*message),
                Received::Unfinished => unfinished = true,
                Received::Garbled(_) => {}
            }
        }
        if let Some(Message::Ready { at_ns }) = run.messages.first()
            && clock::is_shared_with_children()
        {
            run.spawn_ns = Some(at_ns.saturating_sub(before_ns));
        }
        run.interference = counters.until_now();
        run.limits = heartbeat.limits_met();
        let died = || death_of(status, &mut stderr, out_of_memory_kills() > kills_before);
        run.death = death.or_else(died).or_else(|| unfinished.then(cut_off));
        run
    }

    /// Takes messages until the worker closes its end; `Some` when it must be killed.
    fn listen(
        &self,
        said: &Receiver<Received>,
        mut patience: Patience<'_>,
        run: &mut WorkerRun,
        unfinished: &mut bool,
    ) -> Option<Death> {
        loop {
            let began = Instant::now();
            let wait = patience.wait(began);
            let heard = said.recv_timeout(wait);
            patience.was_away(began.elapsed().saturating_sub(wait + POLL));
            match heard {
                Ok(Received::Message(message)) => {
                    run.messages.push(*message);
                    patience.heard();
                }
                Ok(Received::Garbled(what)) => return Some(Death::Lost(what)),
                Ok(Received::Unfinished) => *unfinished = true,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if self.interrupt.raised() => return Some(Death::Interrupted),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(stuck) = patience.look() {
                        return Some(Death::TimedOut(stuck));
                    }
                }
            }
        }
    }
}

/// The limit on the worker's own stack, on which its guest's lies too; `None` where the inherited one is large enough.
///
/// # Errors
/// When this process may not set one that is.
fn stack_limit(request: &Request) -> io::Result<Option<Rlimit>> {
    /// What the worker itself needs besides.
    const OWN_BYTES: u64 = 2 << 20;
    let mut guest = request.subject.limits.stack_bytes;
    if let Task::Compare { other, .. } = &request.task {
        guest = guest.max(other.limits.stack_bytes);
    }
    let needed = guest.saturating_add(OWN_BYTES);
    let Rlimit { current, maximum } = rustix::process::getrlimit(Resource::Stack);
    if current.is_none_or(|current| current >= needed) {
        return Ok(None);
    }
    match maximum {
        Some(maximum) if maximum < needed => Err(io::Error::other(format!(
            "a call stack of {} is larger than what this process may have: a smaller --stack, or a larger `ulimit -Hs`",
            units::bytes(guest)
        ))),
        maximum => Ok(Some(Rlimit { current: Some(needed), maximum })),
    }
}

/// Processes that keep the processor of a worker busy, until they are dropped.
struct Neighbours(Vec<Child>);

impl Neighbours {
    fn start(executable: &PathBuf, request: &Request) -> io::Result<Self> {
        let mut neighbours = Self(Vec::new());
        for _ in 0..request.neighbours {
            let cpu = request.cpu.map_or("-".to_owned(), |cpu| cpu.to_string());
            let mut command = Command::new(executable);
            command.args([worker::BUSY_VERB, &cpu]).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            BeforeExec::default().end_with_parent().apply(&mut command);
            neighbours.0.push(command.spawn()?);
        }
        Ok(neighbours)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for neighbour in &mut self.0 {
            // One that is gone already does no harm.
            let _ = neighbour.kill();
            let _ = neighbour.wait();
        }
    }
}

fn read_messages(child: &mut Child) -> Receiver<Received> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            receive(BufReader::new(stdout), ReceiveLimits::default(), &mut |said| sender.send(said).is_ok())
        });
    }
    receiver
}

/// What comes over a worker's stdout.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Message(Box<Message>),
    /// A line that is none, and why. Nothing is read behind it.
    Garbled(String),
    /// The end, in the middle of a line: usually the worker was killed there, which its ending says better.
    Unfinished,
}

/// How much of a worker is listened to. What a message of ours holds is bounded, so more can only come from one that has gone astray, and it must
/// not take its parent's memory with it.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveLimits {
    /// Longest line.
    pub line_bytes: usize,
    /// All lines together.
    pub all_bytes: usize,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        // A million iterations, the most that there can be, are half a gigabyte.
        Self { line_bytes: 16 << 20, all_bytes: 2 << 30 }
    }
}

/// Gives on what a worker says, until it ends, says something that is no message, or nobody wants it any more.
pub fn receive(mut stdout: impl BufRead, limits: ReceiveLimits, each: &mut dyn FnMut(Received) -> bool) {
    let mut line = Vec::new();
    let mut left = limits.all_bytes;
    loop {
        line.clear();
        let room = limits.line_bytes.min(left);
        let Ok(read) = stdout.by_ref().take(room as u64 + 1).read_until(b'\n', &mut line) else { return };
        if read > room {
            let (what, most) = if room < left { ("one line", room) } else { ("all", limits.all_bytes) };
            each(Received::Garbled(format!("the worker said more than {most} bytes in {what}")));
            return;
        }
        left -= read;
        match line.pop_if(|last| *last == b'\n') {
            None if line.is_empty() => return,
            None => _ = each(Received::Unfinished),
            Some(_) => match serde_json::from_slice(&line) {
                Ok(message) => {
                    if each(Received::Message(Box::new(message))) {
                        continue;
                    }
                }
                Err(error) => _ = each(Received::Garbled(format!("malformed message from worker: {error}"))),
            },
        }
        return;
    }
}

/// Of a worker that ended in order and not with a whole line.
pub fn cut_off() -> Death {
    Death::Lost("the worker's last message has no end".to_owned())
}

fn hand_over(child: &mut Child, request: &Request) {
    let Some(mut stdin) = child.stdin.take() else { return };
    if let Ok(mut line) = serde_json::to_vec(request) {
        line.push(b'\n');
        // A worker that is dead already says so by its exit status.
        let _ = stdin.write_all(&line);
    }
}

/// How often the kernel has killed a process for its memory since the machine's start; 0 where it does not say.
fn out_of_memory_kills() -> i64 {
    VmStat::current().ok().and_then(|counts| counts.0.get("oom_kill").copied()).unwrap_or(0)
}

fn death_of(status: io::Result<ExitStatus>, stderr: &mut File, memory_ran_out: bool) -> Option<Death> {
    const KEPT_BYTES: usize = 2_000;
    let status = match status {
        Ok(status) if status.success() => return None,
        Ok(status) => status,
        Err(error) => return Some(Death::Lost(format!("cannot wait for the worker: {error}"))),
    };
    let mut said = Vec::new();
    let length = stderr.metadata().map_or(0, |metadata| metadata.len());
    let end = io::SeekFrom::Start(length.saturating_sub(KEPT_BYTES as u64));
    let _ = stderr.seek(end).and_then(|_| stderr.read_to_end(&mut said));
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(KEPT_BYTES)..]).trim().to_owned();
    let how = match (status.signal(), status.code()) {
        (Some(libc::SIGKILL), _) if memory_ran_out => {
            "worker killed by SIGKILL: the memory of this machine, or of the container, ran out".to_owned()
        }
        (Some(signal), _) => format!("worker killed by {}", signal_name(signal)),
        (None, Some(code)) => format!("worker exited with status {code}"),
        (None, None) => "worker ended in an unknown way".to_owned(),
    };
    Some(Death::Lost(if said.is_empty() { how } else { format!("{how}: {said}") }))
}

fn signal_name(signal: i32) -> String {
    signal_hook::low_level::signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "{\"ready\":{\"at_ns\":1}}\n";

    /// How many messages there are, and what came last if it was none.
    fn heard(said: &str, limits: ReceiveLimits) -> (usize, Option<Received>) {
        let (mut messages, mut last) = (0, None);
        receive(said.as_bytes(), limits, &mut |said| {
            match said {
                Received::Message(_) => messages += 1,
                other => last = Some(other),
            }
            true
        });
        (messages, last)
    }

    #[test]
    fn a_malformed_message_ends_the_reading() {
        let garbled = heard(&format!("{READY}nonsense\n{READY}"), ReceiveLimits::default());
        assert!(matches!(garbled, (1, Some(Received::Garbled(_)))));
        assert!(matches!(heard(&READY.repeat(2), ReceiveLimits::default()), (2, None)));
        assert!(matches!(heard(&format!("{READY}{{\"rea"), ReceiveLimits::default()), (1, Some(Received::Unfinished))));
    }

    #[test]
    fn messages_are_limited_by_line_and_in_all() {
        let limits = ReceiveLimits { line_bytes: 100, all_bytes: 60 };
        let of_all = heard(&READY.repeat(9), limits);
        assert!(matches!(of_all, (2, Some(Received::Garbled(what))) if what.contains("60 bytes")));
        let limits = ReceiveLimits { line_bytes: 10, all_bytes: 1_000 };
        let of_line = heard(READY, limits);
        assert!(matches!(of_line, (0, Some(Received::Garbled(what))) if what.contains("10 bytes")));
    }
}
