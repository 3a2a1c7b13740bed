//! What is known of a guest once its facts are.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use wasiscope_scenario::plan::Step;
use wasiscope_worker::{LastMark, Request};

/// What the facts pass found out that the timed passes need.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) marked: bool,
    /// What comes last before it traps, if it does.
    pub(super) traps_after: Option<LastMark>,
    /// The check that every pass must print.
    pub(super) check: Option<String>,
    /// Warm passes in one iteration, so that it is long enough to be timed.
    pub(super) repeats: u32,
    /// How long one compilation takes, roughly.
    pub(super) compile_ns: Option<u64>,
    /// How long one warm pass takes, roughly.
    pub(super) pass_ns: Option<u64>,
    /// The compiled code, where compiling takes so long that not every iteration does.
    pub(super) code: Option<PathBuf>,
}

/// Nanoseconds of compiling that a worker may spend, roughly. A guest whose iterations all compile within it does so in each.
pub(super) const COMPILE_SHARE_NS: u64 = 250_000_000;
/// Workers that compile a guest even once where that takes longer than a worker's share: as many as an interval needs, and some to see
/// what the kernel does.
const COMPILING: u32 = 8;
const COMPILING_WATCHED: u32 = 2;

impl Known {
    /// How many iterations of a worker compile; `None` where all do.
    pub(super) fn compilations(&self, iterations: u32, step: Step) -> Option<u32> {
        self.code.as_ref()?;
        let share = u32::try_from(COMPILE_SHARE_NS / self.compile_ns?.max(1)).unwrap_or(u32::MAX);
        let compiling = if step.watched { COMPILING_WATCHED } else { COMPILING };
        let most = if share > 0 { share } else { u32::from(step.process < compiling) };
        (most < iterations).then_some(most)
    }

    /// Lets a worker have the compiled code, whose file must stay open until it is started.
    pub(super) fn give_code(&self, request: &mut Request) -> Option<File> {
        let file = File::open(self.code.as_ref()?).ok()?;
        request.subject.code = Some(file.as_raw_fd());
        Some(file)
    }
}
