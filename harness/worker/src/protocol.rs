//! What parent and worker say to each other: one JSON request on the worker's stdin, JSON lines on its stdout.
//! (The guest's own stdio never touches these: it is held in memory.)

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wasiscope_ebpf_abi::Phase;
pub use wasiscope_model::comparison::Side;

use super::limits::LimitMet;
use wasiscope_capture::{Distribution, PipelineMaps};
use wasiscope_model::engine;
use wasiscope_model::names;
use wasiscope_model::record::{Facts, Span, Totals};
use wasiscope_model::report::Planted;
use wasiscope_model::work::Spec;
use wasiscope_scenario::Limits;

use super::written::Output;
use wasiscope_sys::folder::Workspace;

/// Version of what parent and worker say to each other. docs/worker-protocol.md describes it.
pub const PROTOCOL: u32 = 1;

/// What one worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL`] of the parent. A worker refuses another.
    pub protocol: u32,
    /// With what.
    pub subject: Subject,
    /// The processor to stay on; `None` to go wherever the kernel likes.
    pub cpu: Option<usize>,
    /// What to do.
    pub task: Task,
    /// Busy processes on its processor, which the parent starts and ends.
    #[serde(default)]
    pub neighbours: u32,
    /// The process that asks. A worker whose parent is another by now does nothing.
    pub parent: u32,
}

impl Request {
    /// A request of this process.
    #[must_use]
    pub fn new(subject: Subject, cpu: Option<usize>, task: Task) -> Self {
        Self { protocol: PROTOCOL, subject, cpu, task, neighbours: 0, parent: std::process::id() }
    }
}

/// A guest and all that decides how it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// The guest; empty for [`Task::Check`].
    #[serde(with = "names::path")]
    pub guest: PathBuf,
    /// Whether it is a native executable and no wasm.
    pub native: bool,
    /// Whether it is known to mark its measured part. If not, all of `_start` is the phase `run`.
    pub marked: bool,
    /// What comes last before the guest traps, if it is known to trap: from there on it is in the phase `trap`.
    pub traps_after: Option<LastMark>,
    /// The name under which it is called, its first argument.
    pub name: String,
    /// What it is given.
    pub input: GuestInput,
    /// Whether every pass tells what the guest wrote.
    #[serde(default)]
    pub tells_output: bool,
    /// A folder that only this worker uses, preopened as `.` where the guest has a folder of its own.
    #[serde(with = "names::path")]
    pub directory: PathBuf,
    /// The program that runs it, by its name in the table; empty for a native executable.
    #[serde(default)]
    pub program: String,
    /// How its engine is set: a value of the program's own.
    pub engine: engine::Settings,
    /// Memory for compiled code, inherited from the parent: the task `facts` leaves it there for workers that do not compile.
    #[serde(default)]
    pub code: Option<RawFd>,
    /// Bounds on the guest; the wall-clock limit is the parent's to enforce.
    pub limits: Limits,
}

impl Subject {
    /// The guest's folders, as every pass is to find them.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn workspaces(&self) -> io::Result<Vec<Workspace>> {
        let own = Workspace::new(None, self.directory.clone());
        let given = self.input.folders.iter().filter(|folder| folder.original.is_some());
        let given = given.map(|folder| Workspace::new(folder.original.clone(), folder.place.clone()));
        [own].into_iter().chain(given).collect()
    }
}

/// What a guest is given besides its own folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestInput {
    /// Arguments, without its own name.
    pub args: Vec<String>,
    /// Environment variables. Nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// Whether it has an empty folder of its own.
    pub own_folder: bool,
    /// Folders besides that.
    pub folders: Vec<Folder>,
    /// The file that holds its standard input; empty when `None`.
    #[serde(default, with = "names::optional_path")]
    pub stdin: Option<PathBuf>,
    /// The exported function that is measured; `None` for `_start`.
    pub invoke: Option<String>,
    /// Whether `_start` is called before that function, as a part of `init`.
    #[serde(default)]
    pub start_first: bool,
    /// Whether imports that the host does not provide trap when they are called.
    #[serde(default)]
    pub stub_imports: bool,
}

/// A folder that a guest is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Where the guest works.
    #[serde(with = "names::path")]
    pub place: PathBuf,
    /// The name under which the guest finds it.
    pub guest: String,
    /// What each pass finds in it; `None` to leave it as the pass before left it.
    #[serde(default, with = "names::optional_path")]
    pub original: Option<PathBuf>,
}

/// What to do with the guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One pass with fuel counting, untimed.
    Facts,
    /// Timed iterations.
    Iterate {
        /// How many.
        iterations: u32,
        /// Warm passes in each iteration.
        repeats: u32,
        /// How many of them compile, from the first on; the others load the code that was compiled before. All where it is `None`.
        #[serde(default)]
        compilations: Option<u32>,
    },
    /// One iteration of which every event is told, after some that are not.
    Trace {
        /// How many come before it.
        warm_ups: u32,
    },
    /// A few passes whose instructions callgrind counts, under which the worker must have been started.
    Instructions,
    /// What needs no guest: the worker makes its modules.
    Check {
        /// The kind of scenario that knows how.
        kind: String,
        /// What to check.
        spec: Spec,
        /// A fault that is put in on purpose.
        planted: Option<Planted>,
        /// Whether everything is announced before it is tried.
        slowly: bool,
    },
    /// An experiment, again and again.
    Experiment {
        /// The kind of scenario that knows how.
        kind: String,
        /// Which.
        spec: Spec,
        /// How often.
        iterations: u32,
    },
    /// Flows of kernel events into the guest.
    Flow {
        /// The kind of scenario that knows how.
        kind: String,
        /// Which.
        spec: Spec,
        /// How often.
        iterations: u32,
        /// What was inherited from the parent.
        maps: PipelineMaps,
        /// The socket over which both say how far they are.
        socket: RawFd,
    },
    /// Timed passes of two guests, alternating A B B A, B A A B, …
    Compare {
        /// The other guest, B.
        other: Box<Subject>,
        /// How many quads of passes.
        quads: u32,
        /// How many quads of compilations; with 0 each is compiled once.
        compilations: u32,
        /// Warm passes in each.
        repeats: u32,
        /// Whether B begins. Workers take turns, so that what the order does is noise and no bias.
        other_first: bool,
    },
}

/// What a worker says, in order: `Ready`, then `Facts`, or many `Iteration`s or `Compared`s, then it exits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Message {
    /// The process is up.
    Ready {
        /// CLOCK_MONOTONIC in nanoseconds, which parent and child share.
        at_ns: u64,
    },
    /// The answer to [`Task::Facts`].
    Facts {
        /// Whether the guest marked its measured part.
        marked: bool,
        /// What came last before the guest trapped; `None` when it did not.
        traps_after: Option<LastMark>,
        /// What the engine and the guest tell: `check`, `fuel`, `size.native_code`.
        facts: Facts,
        /// The protocol line that the guest printed.
        line: Option<ProtocolLine>,
        /// How the guest ended.
        ending: Ending,
        /// What the guest wrote, where that was asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outputs: Vec<Output>,
        /// How long things take.
        pace: Pace,
    },
    /// One pass of [`Task::Iterate`].
    Iteration(Iteration),
    /// One pass of [`Task::Compare`].
    Compared {
        /// Whose.
        side: Side,
        /// The pass, of some phases only.
        iteration: Iteration,
    },
    /// What a part of [`Task::Check`] came to.
    Checked(Totals),
    /// What is tried next.
    Trying {
        /// Its name.
        what: String,
    },
    /// The engine or the linker refused before the guest could start.
    Refused {
        /// The engine's reason.
        reason: String,
    },
}

/// The latest thing a guest has said of where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LastMark {
    /// Nothing.
    None,
    /// That its measured part begins.
    Start,
    /// That its measured part has ended.
    End,
    /// That it is about to trap.
    Fault,
}

/// One pass through the phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Every phase that was passed to its end, in order.
    pub timed: Vec<Timed>,
    /// Phases entered, also those that did not end (a trap in `run` ends no `run`). Of the first pass only, which is the
    /// one that the kernel's counts are of.
    pub entered: Vec<Phase>,
    /// When the phases were passed; of a traced iteration only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
    /// Bytes of memory, by metric.
    pub memory: Vec<(String, u64)>,
    /// What an experiment measured, by metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<(String, Vec<f64>)>,
    /// What a flow of events counted, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<(String, u64)>,
    /// How durations of a flow are spread, by metric, in nanoseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spreads: Vec<(String, Distribution)>,
    /// How often the kernel took the processor away; `None` where it does not tell.
    pub preemptions: Option<u64>,
    /// The protocol line that the guest printed.
    pub line: Option<ProtocolLine>,
    /// How the guest ended.
    pub ending: Ending,
    /// What the guest wrote in its passes, where that was asked for: each different output once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// What one phase took. A phase of a short guest is passed several times, because a single pass is shorter than a clock
/// can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// The phase.
    pub phase: Phase,
    /// Nanoseconds of all passes together.
    pub total_ns: u64,
    /// How often it was passed.
    pub passes: u32,
}

impl Timed {
    /// A phase that was passed once.
    #[must_use]
    pub const fn once(phase: Phase, total_ns: u64) -> Self {
        Self { phase, total_ns, passes: 1 }
    }

    /// Nanoseconds of one pass.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.total_ns as f64 / f64::from(self.passes.max(1))
    }
}

/// Rough durations that only serve to plan the passes to come; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Nanoseconds of one warm pass: instantiate to teardown.
    pub pass_ns: Option<u64>,
    /// Nanoseconds of one compilation.
    pub compile_ns: Option<u64>,
}

/// How a guest ended, in the function that is measured or before it got there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It returned, or called `proc_exit(0)`.
    Returned,
    /// It called `proc_exit` with another code.
    Exited {
        /// The code.
        code: i32,
        /// The end of what it wrote to stderr.
        stderr: String,
        /// Where it was, and what stood in its way.
        #[serde(default)]
        context: EndingContext,
    },
    /// It trapped.
    Trapped {
        /// The engine's name of the trap.
        trap: String,
        /// The end of what it wrote to stderr.
        stderr: String,
        /// Where it was, and what stood in its way.
        #[serde(default)]
        context: EndingContext,
    },
    /// The host could not go on with it (for one, more output than a worker holds).
    Broken {
        /// The reason.
        reason: String,
        /// Where it was, and what stood in its way.
        #[serde(default)]
        context: EndingContext,
    },
}

/// Where a guest was when it ended badly, and which limits it had met by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingContext {
    /// The phase, where it did not get to the function that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<Phase>,
    /// The limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitMet>,
}

/// What guests print after their measured part: `sha256 n=65536 check=0123456789abcdef`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolLine {
    /// The workload that the guest says it is.
    pub workload: String,
    /// Its size.
    pub n: u64,
    /// Its answer, 16 hexadecimal digits.
    pub check: String,
}

impl ProtocolLine {
    /// The last protocol line in a guest's output; `None` when there is none, as with guests that nobody here wrote.
    #[must_use]
    pub fn last_in(output: &str) -> Option<Self> {
        output.lines().rev().find_map(Self::parse)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (workload, n, check) = (words.next()?, words.next()?, words.next()?);
        let line = Self {
            workload: workload.to_owned(),
            n: n.strip_prefix("n=")?.parse().ok()?,
            check: check.strip_prefix("check=")?.to_owned(),
        };
        (words.next().is_none() && !line.check.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_line_is_found_behind_other_output() {
        let line = ProtocolLine::last_in("hello, world\nhello n=1 check=00000000000000ff\n").expect("there is one");
        assert_eq!((line.workload.as_str(), line.n, line.check.as_str()), ("hello", 1, "00000000000000ff"));
    }

    #[test]
    fn other_output_is_not_taken_for_it() {
        for output in ["", "hello", "a n=1", "a n=x check=1", "a n=1 check=", "a n=1 check=1 more"] {
            assert_eq!(ProtocolLine::last_in(output), None, "{output:?}");
        }
    }
}
