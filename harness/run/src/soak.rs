//! What a process holds, looked at from outside after every round of work, and whether any of it grows.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use procfs::process::{Process, Task};
use procfs::{ProcError, ProcResult};

use wasiscope_stats as stats;
use wasiscope_sys::scratch;

/// What was held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Since the beginning.
    pub at: Duration,
    /// Memory of its own that is in RAM, in bytes.
    pub memory_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Children, dead ones that nobody has waited for included.
    pub children: u64,
    /// Programs, links and maps of BPF that it holds.
    pub kernel_objects: u64,
    /// Files and folders of its own.
    pub files: u64,
    /// Bytes of the document it wrote last.
    pub report_bytes: u64,
}

impl Held {
    /// What process `pid` holds: of files, what lies below `temporary`, and in `state` below the folders that bear its number.
    ///
    /// # Errors
    /// When the process is gone, or `/proc` does not say.
    pub fn of(pid: u32, temporary: &Path, state: &Path) -> ProcResult<Self> {
        let process = Process::new(pid.cast_signed())?;
        let anonymous_kib = process.status()?.rssanon;
        let tasks: Vec<Task> = process.tasks()?.flatten().collect();
        // Children belong to the thread that started them.
        let children = tasks.iter().filter_map(|task| task.children().ok());
        let folder = Path::new("/proc").join(pid.to_string());
        Ok(Self {
            memory_bytes: anonymous_kib.ok_or_else(|| ProcError::Other("/proc does not say RssAnon".to_owned()))?
                * 1024,
            descriptors: descriptors(&folder)?,
            threads: tasks.len() as u64,
            children: children.map(|children| children.len() as u64).sum(),
            files: files_below(temporary) + files_of(pid, state),
            kernel_objects: kernel_objects(&folder),
            ..Self::default()
        })
    }
}

/// By hand: before Linux 6.2, procfs counts `.` and `..` as well.
fn descriptors(process: &Path) -> io::Result<u64> {
    Ok(fs::read_dir(process.join("fd"))?.flatten().count() as u64)
}

/// The numbers of programs, links and maps behind its descriptors. By hand: procfs does not read `fdinfo`.
fn kernel_objects(process: &Path) -> u64 {
    let infos = fs::read_dir(process.join("fdinfo")).into_iter().flatten().flatten();
    let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    let is_object = |line: &str| ["prog_id:", "link_id:", "map_id:"].iter().any(|name| line.starts_with(name));
    texts.filter(|text| text.lines().any(is_object)).count() as u64
}

fn files_of(pid: u32, state: &Path) -> u64 {
    let prefix = scratch::prefix(pid);
    let own = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    let folders = fs::read_dir(state).into_iter().flatten().flatten().filter(own);
    folders.map(|folder| 1 + files_below(&folder.path())).sum()
}

fn files_below(place: &Path) -> u64 {
    let Ok(found) = fs::read_dir(place) else { return 0 };
    let below = |path: &Path| if path.is_dir() && !path.is_symlink() { files_below(path) } else { 0 };
    found.flatten().map(|entry| 1 + below(&entry.path())).sum()
}

/// What may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// [`Held::memory_bytes`].
    Memory,
    /// [`Held::descriptors`].
    Descriptors,
    /// [`Held::threads`].
    Threads,
    /// [`Held::children`].
    Children,
    /// [`Held::kernel_objects`].
    KernelObjects,
    /// [`Held::files`].
    Files,
    /// [`Held::report_bytes`].
    ReportBytes,
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::Descriptors,
        Self::Threads,
        Self::Children,
        Self::KernelObjects,
        Self::Files,
        Self::ReportBytes,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::Children => "children",
            Self::KernelObjects => "BPF objects",
            Self::Files => "files",
            Self::ReportBytes => "report",
        }
    }

    /// Whether it is counted in bytes.
    #[must_use]
    pub fn is_bytes(self) -> bool {
        matches!(self, Self::Memory | Self::ReportBytes)
    }

    fn of(self, held: &Held) -> u64 {
        match self {
            Self::Memory => held.memory_bytes,
            Self::Descriptors => held.descriptors,
            Self::Threads => held.threads,
            Self::Children => held.children,
            Self::KernelObjects => held.kernel_objects,
            Self::Files => held.files,
            Self::ReportBytes => held.report_bytes,
        }
    }

    /// What is no growth: memory comes in pages and arenas, and the digits of a report's figures are not always as many.
    fn tolerance(self, start: f64) -> f64 {
        if self.is_bytes() { (start * 0.03).max(1_048_576.0) } else { 0.5 }
    }
}

/// How one figure went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// Which.
    pub figure: Figure,
    /// The median of the second tenth of the rounds: in the first, caches and arenas fill.
    pub start: f64,
    /// The median of the last tenth.
    pub end: f64,
    /// The most there was, from the second tenth on.
    pub most: f64,
    /// The median of the slopes between any two rounds (Theil and Sen), for one hour.
    pub per_hour: f64,
    /// Whether the end is above the start by more than is normal.
    pub grows: bool,
}

/// How every figure went; of fewer than ten rounds nothing can be said.
#[must_use]
pub fn courses(rounds: &[Held]) -> Vec<Course> {
    Figure::ALL.into_iter().filter_map(|figure| course(figure, rounds)).collect()
}

fn course(figure: Figure, rounds: &[Held]) -> Option<Course> {
    let points: Vec<(f64, f64)> = rounds.iter().map(|held| (held.at.as_secs_f64(), figure.of(held) as f64)).collect();
    let tenth = points.len() / 10;
    if tenth == 0 {
        return None;
    }
    let values = |points: &[(f64, f64)]| points.iter().map(|(_, value)| *value).collect::<Vec<_>>();
    let settled = &points[tenth..];
    let start = stats::median(&values(&settled[..tenth]))?;
    let end = stats::median(&values(&settled[settled.len() - tenth..]))?;
    Some(Course {
        figure,
        start,
        end,
        most: values(settled).into_iter().fold(start, f64::max),
        per_hour: slope(settled) * 3600.0,
        grows: end - start > figure.tolerance(start),
    })
}

/// The median of the slopes between pairs of points, of which so many are taken that it is done at once.
fn slope(points: &[(f64, f64)]) -> f64 {
    const MOST: usize = 400;
    let step = points.len().div_ceil(MOST).max(1);
    let some: Vec<_> = points.iter().step_by(step).collect();
    let mut slopes = Vec::new();
    for (index, (from_at, from)) in some.iter().enumerate() {
        let later = some[index + 1..].iter().filter(|(at, _)| at > from_at);
        slopes.extend(later.map(|(at, value)| (value - from) / (at - from_at)));
    }
    stats::median(&slopes).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(second: u64, memory_bytes: u64, descriptors: u64) -> Held {
        Held { at: Duration::from_secs(second), memory_bytes, descriptors, ..Held::default() }
    }

    fn of(rounds: &[Held], figure: Figure) -> Course {
        courses(rounds).into_iter().find(|course| course.figure == figure).unwrap()
    }

    #[test]
    fn a_leak_is_seen_and_a_warm_up_is_none() {
        let leaking: Vec<_> =
            (0..100).map(|second| round(second, 50_000_000 + second * 100_000, 9 + second / 30)).collect();
        let memory = of(&leaking, Figure::Memory);
        assert!(memory.grows && (memory.per_hour - 360_000_000.0).abs() < 1.0, "{memory:?}");
        assert!(of(&leaking, Figure::Descriptors).grows);
        let warming: Vec<_> =
            (0..100).map(|second| round(second, if second < 9 { 10 } else { 50_000_000 }, 9)).collect();
        assert!(
            courses(&warming).iter().all(|course| !course.grows && course.per_hour == 0.0),
            "{:?}",
            courses(&warming)
        );
    }

    #[test]
    fn of_a_few_rounds_nothing_is_said() {
        assert_eq!(courses(&[round(1, 2, 3); 9]), []);
    }

    #[test]
    fn this_process_holds_something() {
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), "").unwrap();
        fs::create_dir_all(state.path().join(format!("work-{}-x/guest", std::process::id()))).unwrap();
        fs::create_dir(state.path().join("work-1-others")).unwrap();
        let held = Held::of(std::process::id(), folder.path(), state.path()).unwrap();
        assert!(held.memory_bytes > 100_000 && held.descriptors >= 3 && held.threads >= 1, "{held:?}");
        assert_eq!(held.files, 4, "two below one, its own two below the other");
    }
}
