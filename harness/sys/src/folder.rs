//! Folders that guests are given. A guest works in a copy, and each pass finds the copy as the folder was at the start of
//! the run, whatever the pass before left in it.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Most bytes that are copied of one folder.
const COPY_LIMIT_BYTES: u64 = 1 << 30;
/// Most files and folders in it.
const COPY_LIMIT_ENTRIES: usize = 100_000;

/// Copies a folder with everything in it, times and permissions included. `to` must not exist.
///
/// Folders of the copy are always writable for their owner, so that it can be removed. If `to` lies inside `from`, the folder that holds
/// `to` is left out: the copy would contain itself.
///
/// # Errors
/// When something cannot be read or written, is neither file, folder nor link, or it is too much.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut left = Allowance { bytes: COPY_LIMIT_BYTES, entries: COPY_LIMIT_ENTRIES };
    // A link to the folder stands for the folder; links inside are a part of what the guest sees.
    let from = fs::canonicalize(from).map_err(|error| with_path(from, &error))?;
    let place = fs::canonicalize(to.parent().unwrap_or(Path::new("."))).map_err(|error| with_path(to, &error))?;
    copy_tree(&from, to, &place, &mut left)
}

/// Removes a folder with everything in it, if it is there.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What may still be copied.
struct Allowance {
    bytes: u64,
    entries: usize,
}

impl Allowance {
    fn take(&mut self, bytes: u64) -> io::Result<()> {
        let left = self.bytes.checked_sub(bytes).zip(self.entries.checked_sub(1));
        let Some((bytes, entries)) = left else {
            let most = wasiscope_model::units::bytes(COPY_LIMIT_BYTES);
            return Err(io::Error::other(format!("more than {most} or {COPY_LIMIT_ENTRIES} files")));
        };
        *self = Self { bytes, entries };
        Ok(())
    }
}

fn copy_tree(from: &Path, to: &Path, left_out: &Path, left: &mut Allowance) -> io::Result<()> {
    let about = |error: io::Error| with_path(from, &error);
    let metadata = fs::symlink_metadata(from).map_err(about)?;
    left.take(if metadata.is_file() { metadata.len() } else { 0 }).map_err(about)?;
    if metadata.is_dir() {
        fs::create_dir(to).map_err(|error| with_path(to, &error))?;
        for entry in fs::read_dir(from).map_err(about)? {
            let name = entry.map_err(about)?.file_name();
            if from.join(&name) != left_out {
                copy_tree(&from.join(&name), &to.join(&name), left_out, left)?;
            }
        }
        set_like(to, &metadata).map_err(|error| with_path(to, &error))
    } else {
        copy_leaf(from, to, &metadata).map_err(about)
    }
}

/// Copies a file, or a link as a link.
fn copy_leaf(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !metadata.is_file() {
        let kind = if metadata.file_type().is_fifo() { "a FIFO" } else { "neither a file nor a folder" };
        return Err(io::Error::other(format!("{kind}, which cannot be copied for each pass")));
    }
    fs::copy(from, to)?;
    set_like(to, metadata)
}

/// Gives a file or folder the permissions and times of another.
fn set_like(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let times = FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?);
    File::open(path)?.set_times(times)?;
    let mut permissions = metadata.permissions();
    if metadata.is_dir() {
        // Else nobody but root could take the copy away again.
        permissions.set_mode(permissions.mode() | 0o700);
    }
    fs::set_permissions(path, permissions)
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Tells whether a file has changed. The kernel sets the time of the last change, and nobody can set it back. But that clock ticks
/// slowly: two changes within a tick have the same time, which is why [`Workspace::settled`] is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
    is_folder: bool,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), changed: (metadata.ctime(), metadata.ctime_nsec()), is_folder: metadata.is_dir() }
    }
}

/// A folder in which a guest works, and what it must hold at the start of each pass.
#[derive(Debug)]
pub struct Workspace {
    /// The copy that nobody changes; `None` for a folder that starts empty.
    original: Option<PathBuf>,
    working: PathBuf,
    /// What is in the working copy, by path relative to it.
    stamps: BTreeMap<PathBuf, Stamp>,
    /// Changes before this time cannot be mistaken for later ones, in seconds and nanoseconds since 1970.
    settled: (i64, i64),
}

/// Longer than any file system's clock stands still: a tick of the slowest kernels is 10 ms.
const TICK_NS: i64 = 20_000_000;

/// A tick ago.
fn a_tick_ago() -> (i64, i64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    match now.tv_nsec - TICK_NS {
        nanoseconds if nanoseconds < 0 => (now.tv_sec - 1, nanoseconds + 1_000_000_000),
        nanoseconds => (now.tv_sec, nanoseconds),
    }
}

impl Workspace {
    /// Of a working copy that is as it should be now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(original: Option<PathBuf>, working: PathBuf) -> io::Result<Self> {
        let settled = a_tick_ago();
        let stamps = if original.is_some() { stamps_in(&working)? } else { BTreeMap::new() };
        Ok(Self { original, working, stamps, settled })
    }

    /// Whether what is at `path` is as it should be, where its stamp is `found`.
    fn is_unchanged(&self, path: &Path, found: Stamp) -> io::Result<bool> {
        match (self.stamps.get(path), &self.original) {
            (Some(known), _) if *known != found => Ok(known.is_folder && found.is_folder),
            (Some(known), Some(original)) if !known.is_folder && known.changed >= self.settled => {
                is_alike(&original.join(path), &self.working.join(path))
            }
            (known, _) => Ok(known.is_some()),
        }
    }

    /// Puts back whatever has changed since the start or the last call.
    ///
    /// # Errors
    /// When something cannot be removed or copied.
    pub fn restore(&mut self) -> io::Result<()> {
        let looked = a_tick_ago();
        let found = stamps_in(&self.working)?;
        let mut kept = BTreeMap::new();
        // Deepest first, so that folders are empty when it is their turn.
        for (path, stamp) in found.iter().rev() {
            let place = self.working.join(path);
            if self.is_unchanged(path, *stamp)? {
                kept.insert(path.clone(), *stamp);
            } else {
                let removed = if stamp.is_folder { fs::remove_dir(&place) } else { fs::remove_file(&place) };
                removed.map_err(|error| with_path(&place, &error))?;
            }
        }
        if kept == self.stamps {
            self.settled = looked;
            return Ok(());
        }
        let Some(original) = &self.original else { return Ok(()) };
        let mut folders = Vec::new();
        for (path, known) in &self.stamps {
            let (from, to) = (original.join(path), self.working.join(path));
            let metadata = fs::symlink_metadata(&from)?;
            let put_back = match kept.get(path) {
                Some(stamp) if stamp == known => continue,
                Some(_) => Ok(()),
                None if known.is_folder => fs::create_dir(&to),
                None => copy_leaf(&from, &to, &metadata),
            };
            put_back.map_err(|error| with_path(&to, &error))?;
            if known.is_folder {
                folders.push((to, metadata));
            }
        }
        // A folder's own times change with what is put into it.
        folders.iter().rev().try_for_each(|(folder, metadata)| set_like(folder, metadata))?;
        self.settled = a_tick_ago();
        self.stamps = stamps_in(&self.working)?;
        Ok(())
    }
}

/// Whether two files, or two links, hold the same and have the same time.
fn is_alike(one: &Path, other: &Path) -> io::Result<bool> {
    let (metadata, of_other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    if metadata.is_symlink() {
        return Ok(of_other.is_symlink() && fs::read_link(one)? == fs::read_link(other)?);
    }
    let same = |of: fn(&Metadata) -> i64| of(&metadata) == of(&of_other);
    if metadata.len() != of_other.len() || !same(MetadataExt::mtime) || !same(MetadataExt::mtime_nsec) {
        return Ok(false);
    }
    let (mut left, mut right) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    loop {
        let (bytes, of_other) = (left.fill_buf()?, right.fill_buf()?);
        let length = bytes.len().min(of_other.len());
        if bytes[..length] != of_other[..length] || (length == 0 && bytes.len() != of_other.len()) {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
        left.consume(length);
        right.consume(length);
    }
}

/// Everything in a folder, at any depth; the folder itself is not part of it.
fn stamps_in(folder: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut stamps = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(inside) = pending.pop() {
        for entry in fs::read_dir(folder.join(&inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                pending.push(path.clone());
            }
            stamps.insert(path, Stamp::of(&metadata));
        }
    }
    Ok(stamps)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Paths with their contents, links with their targets, folders with nothing.
    fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, String)> {
        let of = |path: PathBuf| {
            let place = folder.join(&path);
            let metadata = fs::symlink_metadata(&place).unwrap();
            let text = if metadata.is_symlink() {
                fs::read_link(&place).unwrap().display().to_string()
            } else if metadata.is_dir() {
                "folder".to_owned()
            } else {
                fs::read_to_string(&place).unwrap()
            };
            (path, (metadata.mode(), text))
        };
        stamps_in(folder).unwrap().into_keys().map(of).collect()
    }

    fn filled() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let original = scratch.path().join("original");
        fs::create_dir_all(original.join("a/b")).unwrap();
        fs::write(original.join("a/b/one"), "1").unwrap();
        fs::write(original.join("two"), "2").unwrap();
        fs::set_permissions(original.join("two"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("a/b/one", original.join("link")).unwrap();
        let working = scratch.path().join("working");
        copy(&original, &working).unwrap();
        (scratch, original, working)
    }

    #[test]
    fn a_copy_is_like_the_original() {
        let (_scratch, original, working) = filled();
        assert_eq!(contents(&original), contents(&working));
        let modified = |folder: &Path| fs::metadata(folder.join("two")).unwrap().modified().unwrap();
        assert_eq!(modified(&original), modified(&working));
    }

    #[test]
    fn whatever_a_guest_does_is_undone() {
        type Deed = fn(&Path);
        let deeds: [Deed; 9] = [
            |folder| fs::write(folder.join("new"), "").unwrap(),
            |folder| fs::create_dir_all(folder.join("c/d/e")).unwrap(),
            |folder| fs::remove_dir_all(folder.join("a")).unwrap(),
            |folder| fs::write(folder.join("two"), "3").unwrap(),
            |folder| fs::rename(folder.join("two"), folder.join("a/b/one")).unwrap(),
            |folder| {
                fs::remove_file(folder.join("link")).unwrap();
                fs::create_dir(folder.join("link")).unwrap();
            },
            |folder| {
                fs::remove_dir_all(folder.join("a")).unwrap();
                fs::write(folder.join("a"), "a file now").unwrap();
            },
            |folder| fs::set_permissions(folder.join("two"), fs::Permissions::from_mode(0o644)).unwrap(),
            |folder| {
                // The same length, and the old times put back.
                let times =
                    FileTimes::new().set_modified(fs::metadata(folder.join("two")).unwrap().modified().unwrap());
                fs::write(folder.join("two"), "9").unwrap();
                File::open(folder.join("two")).unwrap().set_times(times).unwrap();
            },
        ];
        let (_scratch, original, working) = filled();
        let mut workspace = Workspace::new(Some(original.clone()), working.clone()).unwrap();
        for (index, deed) in deeds.iter().enumerate() {
            deed(&working);
            workspace.restore().unwrap();
            assert_eq!(contents(&working), contents(&original), "deed {index}");
        }
    }

    #[test]
    fn a_change_that_the_file_systems_clock_does_not_show_is_undone() {
        let (_scratch, original, working) = filled();
        let mut workspace = Workspace::new(Some(original.clone()), working.clone()).unwrap();
        let times = FileTimes::new().set_modified(fs::metadata(working.join("two")).unwrap().modified().unwrap());
        fs::write(working.join("two"), "9").unwrap();
        File::open(working.join("two")).unwrap().set_times(times).unwrap();
        // As it is when both fall into one tick.
        workspace.stamps = stamps_in(&working).unwrap();
        workspace.restore().unwrap();
        assert_eq!(contents(&working), contents(&original));
    }

    #[test]
    fn a_copy_of_a_read_only_folder_can_be_restored_and_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let (original, working) = (scratch.path().join("original"), scratch.path().join("working"));
        fs::create_dir_all(original.join("ro")).unwrap();
        fs::write(original.join("ro/file"), "text").unwrap();
        fs::set_permissions(original.join("ro"), fs::Permissions::from_mode(0o555)).unwrap();
        copy(&original, &working).unwrap();
        assert_eq!(fs::metadata(working.join("ro")).unwrap().mode() & 0o777, 0o755);
        let mut workspace = Workspace::new(Some(original.clone()), working.clone()).unwrap();
        fs::rename(working.join("ro"), working.join("moved")).unwrap();
        workspace.restore().unwrap();
        assert_eq!(fs::read_to_string(working.join("ro/file")).unwrap(), "text");
        remove(&working).unwrap();
        fs::set_permissions(original.join("ro"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_folder_that_starts_empty_is_empty_again() {
        let scratch = tempfile::tempdir().unwrap();
        let mut workspace = Workspace::new(None, scratch.path().to_owned()).unwrap();
        fs::create_dir_all(scratch.path().join("x/y")).unwrap();
        symlink("nowhere", scratch.path().join("x/link")).unwrap();
        workspace.restore().unwrap();
        assert_eq!(contents(scratch.path()), BTreeMap::new());
    }

    #[test]
    fn a_copy_inside_its_original_does_not_hold_itself() {
        let original = tempfile::tempdir().unwrap();
        fs::write(original.path().join("file"), "text").unwrap();
        let place = original.path().join("target/work");
        fs::create_dir_all(&place).unwrap();
        copy(original.path(), &place.join("copy")).unwrap();
        let inside: Vec<PathBuf> = contents(&place.join("copy")).into_keys().collect();
        assert_eq!(inside, [Path::new("file"), Path::new("target")]);
    }

    #[test]
    fn what_cannot_be_copied_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let from = scratch.path().join("from");
        fs::create_dir(&from).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let error = copy(&from, &scratch.path().join("to")).unwrap_err().to_string();
        assert!(error.contains("pipe") && error.contains("FIFO"), "{error}");
    }
}
