//! Codes of errors and of outcomes: short names that do not change when a message is worded better, for scripts and tests.
//!
//! The command prints `error[CODE]: MESSAGE`, and an outcome in a report has a `code`. `docs/errors.md` lists all of them.

use std::error::Error;
use std::{fmt, io};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as it is printed and stored.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    // Names and options on the command line.
    /// No scenario has this name.
    NoSuchScenario = "no-such-scenario",
    /// The project has no folder of scenarios.
    NoScenarioFolder = "no-scenario-folder",
    /// The scenario is in the checkout and in neither revision.
    NotCommitted = "not-committed",
    /// No scenario is marked `default: true`.
    NoDefaultScenario = "no-default-scenario",
    /// The guests of a scenario are built from a checkout, and this is none.
    NoCheckout = "no-checkout",
    /// A name of an engine, a metric or the like that does not exist.
    UnknownName = "unknown-name",
    /// A pattern or an id that nothing matches.
    NothingMatches = "nothing-matches",
    /// A pattern that is none.
    InvalidPattern = "invalid-pattern",
    /// An option that what was named has no use for.
    OptionDoesNotApply = "option-does-not-apply",
    /// Two sides that are not of one kind, such as a guest and a report.
    UnlikeSides = "unlike-sides",
    /// Two things of one name.
    SameName = "same-name",
    /// One file named for two purposes.
    SameFile = "same-file",
    /// More iterations than a report holds.
    TooManyIterations = "too-many-iterations",

    // Files.
    /// Nothing is at this path.
    NoSuchFile = "no-such-file",
    /// A file or folder that cannot be read.
    CannotRead = "cannot-read",
    /// A file or folder that cannot be written.
    CannotWrite = "cannot-write",
    /// A file that wasiscope did not write stands where a result would go.
    WouldOverwrite = "would-overwrite",
    /// A file stands where a folder must be.
    NotAFolder = "not-a-folder",

    // Scenario files.
    /// A key that scenarios do not have.
    UnknownKey = "unknown-key",
    /// A file that is no scenario.
    NotAScenario = "not-a-scenario",
    /// A scenario with a value or a combination of values that cannot be.
    InvalidScenario = "invalid-scenario",

    // Guests and engines.
    /// Bytes that are no WebAssembly.
    NotWebassembly = "not-webassembly",
    /// Text that is no WebAssembly.
    InvalidText = "invalid-text",
    /// A pointer of Git LFS in place of the file.
    LfsPointer = "lfs-pointer",
    /// A component where a module is wanted.
    Component = "component",
    /// The guest exports no such function.
    NoSuchFunction = "no-such-function",
    /// The function takes other arguments.
    WrongArguments = "wrong-arguments",
    /// The guest imports what the host does not provide.
    UnknownImports = "unknown-imports",
    /// The engine refuses its settings.
    InvalidEngine = "invalid-engine",
    /// The program of an engine is not installed.
    NoEngine = "no-engine",
    /// A compiler, or its target, is not installed.
    NoToolchain = "no-toolchain",
    /// The crate has no such binary.
    NoSuchBinary = "no-such-binary",
    /// The workload is not written in this flavour.
    NoSource = "no-source",
    /// The compiler refused the sources.
    BuildFailed = "build-failed",
    /// The guest is in a revision neither as a file nor as a crate.
    NotInRevision = "not-in-revision",

    // Reports and other documents.
    /// A file that is no report.
    NotAReport = "not-a-report",
    /// A document of another version.
    OtherVersion = "other-version",
    /// There are no reports.
    NoReports = "no-reports",
    /// The report lacks what the output is made of.
    NotInReport = "not-in-report",
    /// The report contradicts itself.
    InvalidReport = "invalid-report",
    /// Reports of different commits, versions or settings.
    ReportsDiffer = "reports-differ",
    /// One case in two of the reports.
    CaseTwice = "case-twice",
    /// One case with different guests.
    GuestsDiffer = "guests-differ",
    /// A part of a sharded run is missing.
    ShardMissing = "shard-missing",
    /// The report is of no commit.
    NoCommit = "no-commit",
    /// The report is of changes that are not committed.
    UncommittedChanges = "uncommitted-changes",
    /// The report is of a run that a history must not have.
    UnusualRun = "unusual-run",
    /// A file that is no snapshot of facts.
    NotASnapshot = "not-a-snapshot",
    /// A manifest of a conformance suite that cannot be.
    InvalidManifest = "invalid-manifest",
    /// A file that is no stored capture.
    NotACapture = "not-a-capture",
    /// A stored capture of another run.
    OtherCapture = "other-capture",

    // Git.
    /// git cannot be run.
    NoGit = "no-git",
    /// The folder is in no repository.
    NoRepository = "no-repository",
    /// The repository has no commits.
    NoCommits = "no-commits",
    /// The repository has no such revision.
    NoSuchRevision = "no-such-revision",
    /// The clone lacks older commits.
    ShallowClone = "shallow-clone",
    /// git refused.
    GitFailed = "git-failed",
    /// Both revisions are one commit.
    SameCommit = "same-commit",
    /// A commit is not among those that another grew from.
    NotAnAncestor = "not-an-ancestor",

    // The machine, and what is beyond it.
    /// There is no `/proc`.
    NoProc = "no-proc",
    /// A program that an option needs is not installed.
    NoProgram = "no-program",
    /// The kernel cannot be watched here.
    CaptureUnavailable = "capture-unavailable",
    /// The kernel refused while it was being watched.
    CaptureFailed = "capture-failed",
    /// The URL of a receiver of metrics, or a variable about it, is invalid.
    InvalidReceiver = "invalid-receiver",
    /// The receiver did not take the metrics.
    MetricsNotSent = "metrics-not-sent",
    /// Ctrl-C.
    Interrupted = "interrupted",
    /// A fault was planted and no check failed.
    FaultNotFound = "fault-not-found",

    // Endings of guests.
    /// The guest trapped.
    Trapped = "trapped",
    /// The guest trapped by something else than expected.
    OtherTrap = "other-trap",
    /// The guest was expected to trap and did not.
    NoTrap = "no-trap",
    /// The guest exited with another code than expected.
    WrongExitCode = "wrong-exit-code",
    /// The guest computed something else.
    WrongCheck = "wrong-check",
    /// The guest printed no check.
    NoCheck = "no-check",
    /// The guest did another workload, or another size of it.
    OtherWork = "other-work",
    /// The guest printed something else.
    WrongOutput = "wrong-output",
    /// The guest answered otherwise than another flavour of its workload.
    AnswersDiffer = "answers-differ",
    /// A fact is above the budget that the scenario gives it.
    OverBudget = "over-budget",
    /// A budget of a fact that the case does not have.
    NoSuchFact = "no-such-fact",
    /// The guest met a limit.
    LimitMet = "limit-met",
    /// The guest took longer than it may.
    TimedOut = "timed-out",
    /// The function was called without the `_start` that the guest exports, too.
    StartNotCalled = "start-not-called",
    /// The guest ended neither by returning nor by a trap.
    GuestFailed = "guest-failed",

    // Endings of workers and checks.
    /// The worker could not run the guest.
    NotRun = "not-run",
    /// The worker died.
    WorkerDied = "worker-died",
    /// The worker sent a sample that cannot be, or of a metric that its kind does not have.
    InvalidSample = "invalid-sample",
    /// Some of what a check tried is wrong.
    CheckFailed = "check-failed",
    /// A check tried nothing.
    NothingTried = "nothing-tried",
    /// The engine does not offer it.
    NotOffered = "not-offered",
    /// The case was not reached before the run ended.
    NotReached = "not-reached",
    /// Events of a flow are missing, or counted differently on both sides.
    WrongCounts = "wrong-counts",
    /// The kernel saw something else than the worker reported.
    KernelDisagrees = "kernel-disagrees",
    /// The manifest of a guest asks for what wasiscope does not do.
    NotSupported = "not-supported",
}

impl Code {
    /// The code of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code of a file that could not be read.
    #[must_use]
    pub fn of_read(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::NoSuchFile } else { Self::CannotRead }
    }

    /// An error of this code, for what has no type of its own.
    pub fn error(self, error: impl Into<Box<dyn Error + Send + Sync>>) -> CodedError {
        CodedError { code: self, error: error.into() }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Reads a code. One that a newer version made up is none, as a field that this version does not know.
pub(crate) fn if_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Code>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|name| Code::from_name(&name)))
}

/// Returns an error of a code: `fail!(NoCommits, "{} has no commits", name)`.
#[macro_export]
macro_rules! fail {
    ($code:ident, $($message:tt)*) => {
        return Err($crate::code::Code::$code.error(format!($($message)*)).into())
    };
}

/// An error with a type that knows its code.
pub trait Coded: Error {
    /// The code.
    fn code(&self) -> Code;
}

/// A message, or another error, with a code. It prints as what it holds.
#[derive(Debug)]
pub struct CodedError {
    code: Code,
    error: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for CodedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl Error for CodedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl CodedError {
    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }
}

impl<E: Coded + Send + Sync + 'static> From<E> for CodedError {
    fn from(error: E) -> Self {
        error.code().error(error)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_in_kebab_case() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for name in names {
            assert!(
                name.split('-').all(|word| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase()))
            );
            assert_eq!(Code::from_name(name).map(Code::name), Some(name));
        }
    }

    #[test]
    fn a_coded_error_prints_as_what_it_holds() {
        let error = Code::NoGit.error("no git here");
        assert_eq!((error.to_string().as_str(), error.code()), ("no git here", Code::NoGit));
    }
}
