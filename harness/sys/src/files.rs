//! Files that a user names, read whole: regular files, pipes and devices alike. There is a limit to their size and to how long a pipe may
//! stay silent.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Most bytes of a regular file.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// Most bytes of a pipe or a device, all of which is kept in memory.
const STREAM_BYTES_MAX: u64 = 256 << 20;
/// Most bytes that a compressed file may unpack to.
const UNPACKED_BYTES_MAX: u64 = FILE_BYTES_MAX;

/// How long somebody may take to open a named pipe for writing.
const WRITER_WAIT: Duration = Duration::from_secs(10);
/// How long a pipe may stay silent.
const SILENCE_MAX: Duration = Duration::from_secs(120);

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the first bytes of a file show it to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// WebAssembly in binary format.
    Wasm,
    /// WebAssembly in text format.
    Wat,
    /// A report or another JSON document of this tool, compressed or not.
    Document,
    /// Anything else; a scenario is.
    Other,
}

/// Tells what a file holds by its bytes.
#[must_use]
pub fn content_of(bytes: &[u8]) -> Content {
    if bytes.starts_with(b"\0asm") {
        return Content::Wasm;
    }
    if Packing::of(bytes).is_some() {
        return Content::Document;
    }
    let text = without_byte_order_mark(bytes).trim_ascii_start();
    if text.starts_with(b"(") || text.starts_with(b";;") {
        return Content::Wat;
    }
    // A scenario can begin with a brace, too.
    let beginning: Vec<u8> = text.iter().take(200).filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
    if beginning.starts_with(b"{\"schema_version\":") { Content::Document } else { Content::Other }
}

/// Tells what a file holds. `None` when there is no such file, or it cannot be read.
#[must_use]
pub fn content_at(path: &Path) -> Option<Content> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.is_dir() {
        return None;
    }
    if !metadata.is_file() {
        return read(path).ok().map(|bytes| content_of(&bytes));
    }
    let mut beginning = Vec::new();
    File::open(path).ok()?.take(4096).read_to_end(&mut beginning).ok()?;
    Some(content_of(&beginning))
}

/// A text without the byte-order mark that some editors put before it.
#[must_use]
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Reads a file whole. What comes through a pipe is remembered, because it can be read only once.
///
/// # Errors
/// When it cannot be read, is a folder or a terminal, is too large, or is a pipe from which nothing comes.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"));
    }
    if metadata.is_file() {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        return within(bytes, FILE_BYTES_MAX);
    }
    let mut streams = STREAMS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let key = (metadata.dev(), metadata.ino());
    // What went wrong once is not waited for again.
    let read = || read_stream(path, metadata.file_type().is_fifo()).map_err(|error| (error.kind(), error.to_string()));
    let came = streams.entry(key).or_insert_with(read);
    came.clone().map_err(|(kind, reason)| io::Error::new(kind, reason))
}

/// Reads a JSON document whole: unpacked if it is compressed, without a byte-order mark.
///
/// # Errors
/// As [`read`], and when it cannot be unpacked.
pub fn read_document(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = read(path)?;
    let bytes = match Packing::of(&bytes) {
        Some(packing) => packing.unpack(&bytes)?,
        None => bytes,
    };
    Ok(if bytes.starts_with(BYTE_ORDER_MARK) { without_byte_order_mark(&bytes).to_vec() } else { bytes })
}

/// What came through a pipe or a device, or why nothing did.
type Stream = Result<Vec<u8>, (io::ErrorKind, String)>;

/// All that were read, by device and inode.
static STREAMS: OnceLock<Mutex<HashMap<(u64, u64), Stream>>> = OnceLock::new();

/// How a file is compressed.
#[derive(Clone, Copy)]
enum Packing {
    Zstd,
    Gzip,
}

impl Packing {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            _ => None,
        }
    }

    fn unpack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        match self {
            Self::Zstd => zstd::Decoder::new(bytes)?.take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut unpacked)?,
            Self::Gzip => {
                flate2::read::MultiGzDecoder::new(bytes).take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut unpacked)?
            }
        };
        within(unpacked, UNPACKED_BYTES_MAX)
    }
}

fn within(bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 > limit {
        let reason = format!("more than {}, which is the most that is read", wasiscope_model::units::bytes(limit));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Reads a pipe or a device to its end.
fn read_stream(path: &Path, is_pipe: bool) -> io::Result<Vec<u8>> {
    // Opening a named pipe would wait for a writer, and for ever.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.is_terminal() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a terminal: name a file or a pipe"));
    }
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    let mut last_heard = Instant::now();
    loop {
        match file.read(&mut chunk) {
            // Of a pipe that nobody has opened yet, this is not the end.
            Ok(0) if is_pipe && bytes.is_empty() && !has_ended(&file)? => {
                if last_heard.elapsed() > WRITER_WAIT {
                    let reason = format!("nothing has opened this pipe for writing within {}", shown(WRITER_WAIT));
                    return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
                }
                wait_for_input(&file)?;
            }
            Ok(0) => return Ok(bytes),
            Ok(count) => {
                bytes.extend_from_slice(&chunk[..count]);
                last_heard = Instant::now();
                if bytes.len() as u64 > STREAM_BYTES_MAX {
                    return within(bytes, STREAM_BYTES_MAX);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if last_heard.elapsed() > SILENCE_MAX {
                    let reason = format!("nothing has come from it for {}", shown(SILENCE_MAX));
                    return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
                }
                wait_for_input(&file)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn shown(time: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(time)
}

/// Whether all writers of a pipe have come and gone.
fn has_ended(file: &File) -> io::Result<bool> {
    let mut events = [PollFd::new(file, PollFlags::IN)];
    poll(&mut events, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(events[0].revents().contains(PollFlags::HUP))
}

/// Waits a moment, or until there is something to read.
fn wait_for_input(file: &File) -> io::Result<()> {
    match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 200_000_000 })) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_decide_what_a_file_is() {
        for (bytes, content) in [
            (&b"\0asm\x01\0\0\0"[..], Content::Wasm),
            (b"\xef\xbb\xbf\r\n  (module)", Content::Wat),
            (b";; a comment\n(module)", Content::Wat),
            (b"\xef\xbb\xbf{\r\n  \"schema_version\": 1}", Content::Document),
            (b"\x28\xb5\x2f\xfd", Content::Document),
            (b"\x1f\x8b\x08", Content::Document),
            (b"{name: a}", Content::Other),
            (b"name: a\n", Content::Other),
            (b"", Content::Other),
        ] {
            assert_eq!(content_of(bytes), content, "{bytes:?}");
        }
    }

    #[test]
    fn compressed_documents_are_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"{}").unwrap();
        for packed in [zstd::bulk::compress(b"{}", 1).unwrap(), gzip.finish().unwrap(), b"\xef\xbb\xbf{}".to_vec()] {
            fs::write(&path, packed).unwrap();
            assert_eq!(read_document(&path).unwrap(), b"{}");
        }
        fs::write(&path, b"\x28\xb5\x2f\xfd and nothing more").unwrap();
        assert!(read_document(&path).is_err());
    }

    #[test]
    fn a_pipe_is_read_once_and_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                std::thread::sleep(Duration::from_millis(300));
                fs::write(path, "from a pipe").unwrap();
            }
        });
        assert_eq!(read(&path).unwrap(), b"from a pipe");
        assert_eq!(read(&path).unwrap(), b"from a pipe");
        writer.join().unwrap();
    }

    #[test]
    fn devices_without_end_and_folders_are_refused() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(Path::new("/")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
    }
}
