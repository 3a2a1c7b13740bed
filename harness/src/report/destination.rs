//! Where a report goes, looked at before anything is run.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A place that a report can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    path: PathBuf,
    /// Whether it is a file, or will be one: those are replaced whole. A device or a pipe is written into.
    is_file: bool,
}

/// Why a report cannot go there.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// Something else is there.
    #[error("{} is there and is no document of wasiscope: not overwritten; name another place", .0.display())]
    Occupied(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}: {reason}; name another place", path.display())]
    NotWritable {
        /// The place.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
}

impl Destination {
    /// Looks at `path`: a link is followed, the folder of a file is made if need be, and what is there must be a JSON
    /// document or empty.
    ///
    /// # Errors
    /// When a report cannot go there.
    pub fn check(path: &Path) -> Result<Self, DestinationError> {
        let not_writable = |reason| DestinationError::NotWritable { path: path.to_owned(), reason };
        let existing = match fs::canonicalize(path) {
            Ok(existing) => existing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = folder_of(path);
                fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)).map_err(not_writable)?;
                return Ok(Self { path: path.to_owned(), is_file: true });
            }
            Err(error) => return Err(not_writable(error)),
        };
        let kind = fs::metadata(&existing).map_err(not_writable)?.file_type();
        if kind.is_dir() {
            return Err(not_writable(io::ErrorKind::IsADirectory.into()));
        }
        if kind.is_file() {
            tempfile::tempfile_in(folder_of(&existing)).map_err(not_writable)?;
            if !may_be_replaced(&existing).map_err(not_writable)? {
                return Err(DestinationError::Occupied(path.to_owned()));
            }
        }
        Ok(Self { path: existing, is_file: kind.is_file() })
    }

    /// The path, with links followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether other files can lie beside it.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// Writes a report or a comparison; a file is replaced whole.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, report: &impl Serialize) -> io::Result<()> {
        self.write_with(|mut out| {
            serde_json::to_writer_pretty(&mut out, report)?;
            out.write_all(b"\n")
        })
    }

    /// Writes whatever `contents` writes, likewise.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_with(&self, contents: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        if !self.is_file {
            return buffered(&mut OpenOptions::new().write(true).open(&self.path)?, contents);
        }
        replace(&self.path, contents)
    }
}

/// Writes a file beside its place, syncs it, and renames it into it: what was there stays until then.
///
/// # Errors
/// When the disk refuses.
pub fn replace(path: &Path, contents: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path))?;
    buffered(file.as_file_mut(), contents)?;
    // tempfile makes files for the owner alone; a report is for everybody who can see its folder.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn buffered(file: &mut fs::File, contents: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut buffered = io::BufWriter::new(file);
    contents(&mut buffered)?;
    buffered.flush()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Guards against a slip of the hand, such as the name of a guest for that of a report: only what is empty, or begins as
/// reports, stored captures and timelines do, is replaced.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    let mut beginning = [0; 64];
    let length = fs::File::open(path)?.read(&mut beginning)?;
    let text: String = String::from_utf8_lossy(&beginning[..length]).split_whitespace().collect();
    let begins = ["{\"schema_version\":", "{\"displayTimeUnit\":"];
    Ok(["", "{}"].contains(&text.as_str()) || begins.iter().any(|begin| text.starts_with(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_report_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let guest = folder.path().join("guest.wat");
        fs::write(&guest, "(module)").unwrap();
        assert!(matches!(Destination::check(&guest), Err(DestinationError::Occupied(_))));
        let manifest = folder.path().join("package.json");
        fs::write(&manifest, "{\"name\": \"mine\"}").unwrap();
        assert!(matches!(Destination::check(&manifest), Err(DestinationError::Occupied(_))));
        let report = folder.path().join("report.json");
        fs::write(&report, " {\"schema_version\": 1}").unwrap();
        assert!(Destination::check(&report).is_ok());
        fs::write(&report, "").unwrap();
        assert!(Destination::check(&report).is_ok());
    }

    #[test]
    fn devices_stay_devices_and_links_stay_links() {
        let null = Destination::check(Path::new("/dev/null")).unwrap();
        assert!(!null.is_file());
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target.json"), folder.path().join("link.json"));
        fs::write(&target, "{}").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let destination = Destination::check(&link).unwrap();
        assert!(destination.is_file());
        assert_eq!(destination.path(), fs::canonicalize(&target).unwrap());
    }

    #[test]
    fn folders_are_made_and_refusals_name_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Destination::check(&folder.path().join("a/b/report.json")).is_ok());
        let error = Destination::check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("name another place"), "{error}");
    }
}
