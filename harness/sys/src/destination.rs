//! Where a report goes, looked at before anything is run.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wasiscope_model::code::{Code, Coded};

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

impl Coded for DestinationError {
    fn code(&self) -> Code {
        match self {
            Self::Occupied(_) => Code::WouldOverwrite,
            Self::NotWritable { .. } => Code::CannotWrite,
        }
    }
}

impl Destination {
    /// Looks at `path`: a link is followed, the folder of a file is made if need be, and what is there must be a document of
    /// this tool's or empty.
    ///
    /// # Errors
    /// When a report cannot go there.
    pub fn check(path: &Path) -> Result<Self, DestinationError> {
        let not_writable = |reason| DestinationError::NotWritable { path: path.to_owned(), reason };
        let kind = match fs::metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = folder_of(path);
                fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)).map_err(not_writable)?;
                return Ok(Self { path: path.to_owned(), is_file: true });
            }
            Err(error) => return Err(not_writable(error)),
        };
        if kind.is_dir() {
            return Err(not_writable(io::ErrorKind::IsADirectory.into()));
        }
        // A pipe behind /dev/stdout has no path of its own, and the link must not be taken for a file that is to come.
        if !kind.is_file() {
            return Ok(Self { path: path.to_owned(), is_file: false });
        }
        let existing = fs::canonicalize(path).map_err(not_writable)?;
        tempfile::tempfile_in(folder_of(&existing)).map_err(not_writable)?;
        if !may_be_replaced(&existing).map_err(not_writable)? {
            return Err(DestinationError::Occupied(path.to_owned()));
        }
        Ok(Self { path: existing, is_file: true })
    }

    /// The path; links to files are followed.
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

    /// Writes whatever `contents` writes, likewise, and gives what it gives.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_with<T>(&self, contents: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<T>) -> io::Result<T> {
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
pub fn replace<T>(path: &Path, contents: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<T>) -> io::Result<T> {
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path))?;
    let written = buffered(file.as_file_mut(), contents)?;
    // tempfile makes files for the owner alone; a report is for everybody who can see its folder.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(written)
}

fn buffered<T>(file: &mut fs::File, contents: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<T>) -> io::Result<T> {
    let mut buffered = io::BufWriter::new(file);
    let written = contents(&mut buffered)?;
    buffered.flush()?;
    Ok(written)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Guards against a slip of the hand, such as the name of a guest for that of a report: only what is empty, or begins as
/// reports, stored captures, timelines, pages, metrics and tests do, is replaced, and tables that say they are this tool's.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    let mut beginning = [0; 128];
    let mut file = fs::File::open(path)?;
    let length = file.read(&mut beginning)?;
    if beginning.starts_with(PARQUET) {
        return is_own_table(&mut file);
    }
    let text: String = String::from_utf8_lossy(&beginning[..length]).split_whitespace().collect();
    let begins = [
        "{\"schema_version\":",
        "{\"displayTimeUnit\":",
        "<!DOCTYPEhtml><!--wasiscope-->",
        "<?xmlversion=\"1.0\"encoding=\"UTF-8\"?><testsuitesname=\"wasiscope\"",
        "#wasiscope",
    ];
    Ok(["", "{}"].contains(&text.as_str()) || begins.iter().any(|begin| text.starts_with(begin)))
}

/// What a Parquet file begins and ends with.
const PARQUET: &[u8] = b"PAR1";

/// Whether a Parquet file names this tool as its author. It does so at its end, of which the last eight bytes tell the length.
fn is_own_table(file: &mut fs::File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut tail = [0; 8];
    if length < 12 || file.seek(SeekFrom::End(-8)).and_then(|_| file.read_exact(&mut tail)).is_err() {
        return Ok(false);
    }
    let [a, b, c, d, end @ ..] = tail;
    let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
    if end != *PARQUET || footer + 8 > length {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(length - 8 - footer))?;
    let mut metadata = Vec::new();
    file.take(footer).read_to_end(&mut metadata)?;
    let author = format!("{} ", wasiscope_model::NAME).into_bytes();
    Ok(metadata.windows(author.len()).any(|bytes| bytes == author))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

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
    fn only_own_tables_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("samples.parquet");
        let with_footer = |footer: &[u8]| {
            let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
            fs::write(&table, [PARQUET, b"columns", footer, &length, PARQUET].concat()).unwrap();
            Destination::check(&table)
        };
        assert!(with_footer(b"schema wasiscope 0.1.0 end").is_ok());
        assert!(matches!(with_footer(b"schema somebody-else 7"), Err(DestinationError::Occupied(_))));
        for damaged in [&b"PAR1"[..], b"PAR1 and nothing more", b"PAR1wasiscope 0.1.0\xff\xff\xff\xffPAR1"] {
            fs::write(&table, damaged).unwrap();
            assert!(matches!(Destination::check(&table), Err(DestinationError::Occupied(_))));
        }
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
    fn a_pipe_without_a_name_is_written_into() {
        let (mut reader, writer) = io::pipe().unwrap();
        let destination = Destination::check(Path::new(&format!("/proc/self/fd/{}", writer.as_raw_fd()))).unwrap();
        assert!(!destination.is_file());
        destination.write(&1).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "1\n");
    }

    #[test]
    fn folders_are_made_and_a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Destination::check(&folder.path().join("a/b/report.json")).is_ok());
        let refused = Destination::check(folder.path());
        assert!(matches!(refused, Err(DestinationError::NotWritable { path, .. }) if path == folder.path()));
    }
}
