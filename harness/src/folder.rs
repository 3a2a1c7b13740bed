//! Folders that guests are given. A guest works in a copy, and each pass finds the copy as the folder was at the start of
//! the run, whatever the pass before left in it.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Most bytes that are copied of one folder.
const COPY_LIMIT_BYTES: u64 = 1 << 30;
/// Most files and folders in it.
const COPY_LIMIT_ENTRIES: usize = 100_000;

/// Copies a folder with everything in it, times and permissions included. `to` must not exist. Where it lies inside `from`, the folder
/// that it is made in is left out: a copy that held itself would have no end.
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
            let most = crate::units::bytes(COPY_LIMIT_BYTES);
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
    fs::set_permissions(path, metadata.permissions())
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// By what a file is known to be unchanged: the kernel sets the time of the last change, and nobody can set it back.
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
}

impl Workspace {
    /// Of a working copy that is as it should be now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(original: Option<PathBuf>, working: PathBuf) -> io::Result<Self> {
        let stamps = if original.is_some() { stamps_in(&working)? } else { BTreeMap::new() };
        Ok(Self { original, working, stamps })
    }

    /// Puts back whatever has changed since the start or the last call.
    ///
    /// # Errors
    /// When something cannot be removed or copied.
    pub fn restore(&mut self) -> io::Result<()> {
        let found = stamps_in(&self.working)?;
        if found == self.stamps {
            return Ok(());
        }
        // Deepest first, so that folders are empty when it is their turn.
        for (path, stamp) in found.iter().rev() {
            let place = self.working.join(path);
            match self.stamps.get(path) {
                Some(known) if known == stamp || known.is_folder && stamp.is_folder => {}
                _ if stamp.is_folder => fs::remove_dir(place)?,
                _ => fs::remove_file(place)?,
            }
        }
        let Some(original) = &self.original else { return Ok(()) };
        let mut folders = Vec::new();
        for (path, known) in &self.stamps {
            let (from, to) = (original.join(path), self.working.join(path));
            let metadata = fs::symlink_metadata(&from)?;
            match found.get(path) {
                Some(stamp) if stamp == known => continue,
                Some(stamp) if stamp.is_folder && known.is_folder => {}
                _ if known.is_folder => fs::create_dir(&to)?,
                _ => copy_leaf(&from, &to, &metadata)?,
            }
            if known.is_folder {
                folders.push((to, metadata));
            }
        }
        // A folder's own times change with what is put into it.
        folders.iter().rev().try_for_each(|(folder, metadata)| set_like(folder, metadata))?;
        self.stamps = stamps_in(&self.working)?;
        Ok(())
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
    use std::os::unix::fs::{PermissionsExt, symlink};

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
