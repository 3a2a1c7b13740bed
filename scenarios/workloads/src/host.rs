//! What a workload may ask of the flavour it runs in.

use core::fmt;
use heap::string::String;
use heap::vec;
use heap::vec::Vec;

/// How much memory [`Host::grow`] gives: one page of wasm.
pub const PAGE_BYTES: usize = 64 * 1024;

/// The flavour's side of a workload: everything that leaves the guest.
///
/// At most one file is open at a time; that is all that any workload needs.
pub trait Host {
    /// Tells whoever runs the guest that `mark` (one of the `MARK_` constants) has been reached.
    ///
    /// # Errors
    /// If the host refused the call.
    fn mark(&mut self, mark: u64) -> Result<(), HostError>;

    /// Reads from standard input what is there, and says how many bytes of `buffer` that filled: none at its end.
    ///
    /// # Errors
    /// If it could not be read.
    fn read_stdin(&mut self, buffer: &mut [u8]) -> Result<usize, HostError>;

    /// Writes all of `bytes` to standard output, before returning.
    ///
    /// # Errors
    /// If not all of them could be written.
    fn write_stdout(&mut self, bytes: &[u8]) -> Result<(), HostError>;

    /// Creates, or truncates, the file `name` in the preopened directory and makes it the open file, for writing.
    ///
    /// # Errors
    /// If there is no such directory or it cannot be written to.
    fn create(&mut self, name: &str) -> Result<(), HostError>;

    /// Makes the file `name` in the preopened directory the open file, for reading from its beginning.
    ///
    /// # Errors
    /// If there is no such file or it cannot be read.
    fn open(&mut self, name: &str) -> Result<(), HostError>;

    /// Reads what comes next in the open file, and says how many bytes of `buffer` that filled: none at its end.
    ///
    /// # Errors
    /// If no file is open for reading or it could not be read.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HostError>;

    /// Writes `bytes` at the end of the open file, unbuffered: one call of this is one write.
    ///
    /// # Errors
    /// If no file is open for writing or not all of them were written.
    fn write(&mut self, bytes: &[u8]) -> Result<(), HostError>;

    /// Closes the open file.
    ///
    /// # Errors
    /// If no file is open or closing it failed.
    fn close(&mut self) -> Result<(), HostError>;

    /// Tells `visit` the name of everything in the preopened directory, in any order and without `.` and `..`.
    ///
    /// # Errors
    /// If there is no such directory or it cannot be read.
    fn list(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<(), HostError>;

    /// Nanoseconds on the monotonic clock, from wherever it began.
    ///
    /// # Errors
    /// If the clock could not be read.
    fn clock_ns(&mut self) -> Result<u64, HostError>;

    /// Sleeps for `duration_ns` nanoseconds, on whatever timer the host has.
    ///
    /// # Errors
    /// If the host refused to.
    fn sleep_ns(&mut self, duration_ns: u64) -> Result<(), HostError>;

    /// Gets [`PAGE_BYTES`] from the system that nobody has used before, all of them zero. A guest never gives them
    /// back.
    ///
    /// # Errors
    /// If the system gives no more.
    fn grow(&mut self) -> Result<&mut [u8], HostError>;

    /// Writes `text` to standard output, exactly as it is and before returning.
    ///
    /// # Errors
    /// If not all of it could be written.
    #[inline(always)]
    fn print(&mut self, text: &str) -> Result<(), HostError> {
        self.write_stdout(text.as_bytes())
    }
}

/// A request that the host did not fulfil.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError {
    /// What was asked for, for example the name of the [`Host`] method.
    pub operation: &'static str,
    /// The system's own number for the reason (in a guest, a WASI `errno`), if it gave one.
    pub errno: Option<u16>,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Some(errno) => write!(f, "{} failed with errno {errno}", self.operation),
            None => write!(f, "{} failed", self.operation),
        }
    }
}

impl core::error::Error for HostError {}

/// A host that stays within the process: for computing a check natively, without input, output, files and time.
///
/// Standard input is empty, what is printed is only counted, files are kept in memory, and the clock goes on by one
/// nanosecond whenever it is read and by as much as is asked for when sleeping.
#[derive(Clone, Debug, Default)]
pub struct CountingHost {
    /// Writes to standard output.
    pub prints: u64,
    /// Calls of [`Host::write`] that succeeded.
    pub writes: u64,
    files: Vec<(String, Vec<u8>)>,
    open: Option<Open>,
    now_ns: u64,
    page: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    file: usize,
    /// Where the next read begins; none if it is open for writing.
    read_offset: Option<usize>,
}

impl CountingHost {
    fn position(&self, name: &str) -> Option<usize> {
        self.files.iter().position(|(known, _)| known == name)
    }
}

/// What a request gets that does not fit what came before it.
const fn misuse(operation: &'static str) -> HostError {
    HostError { operation, errno: None }
}

impl Host for CountingHost {
    fn mark(&mut self, _mark: u64) -> Result<(), HostError> {
        Ok(())
    }

    fn read_stdin(&mut self, _buffer: &mut [u8]) -> Result<usize, HostError> {
        Ok(0)
    }

    fn write_stdout(&mut self, _bytes: &[u8]) -> Result<(), HostError> {
        self.prints += 1;
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<(), HostError> {
        let file = self.position(name).unwrap_or_else(|| {
            self.files.push((name.into(), Vec::new()));
            self.files.len() - 1
        });
        self.files[file].1.clear();
        self.open = Some(Open { file, read_offset: None });
        Ok(())
    }

    fn open(&mut self, name: &str) -> Result<(), HostError> {
        let file = self.position(name).ok_or(misuse("open"))?;
        self.open = Some(Open { file, read_offset: Some(0) });
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HostError> {
        let Some(Open { file, read_offset: Some(offset) }) = &mut self.open else { return Err(misuse("read")) };
        let rest = &self.files[*file].1[*offset..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        *offset += len;
        Ok(len)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        let Some(Open { file, read_offset: None }) = self.open else { return Err(misuse("write")) };
        self.files[file].1.extend_from_slice(bytes);
        self.writes += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), HostError> {
        self.open.take().map(|_| ()).ok_or(misuse("close"))
    }

    fn list(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<(), HostError> {
        self.files.iter().for_each(|(name, _)| visit(name.as_bytes()));
        Ok(())
    }

    fn clock_ns(&mut self) -> Result<u64, HostError> {
        self.now_ns = self.now_ns.saturating_add(1);
        Ok(self.now_ns)
    }

    fn sleep_ns(&mut self, duration_ns: u64) -> Result<(), HostError> {
        self.now_ns = self.now_ns.saturating_add(duration_ns);
        Ok(())
    }

    fn grow(&mut self) -> Result<&mut [u8], HostError> {
        self.page = vec![0; PAGE_BYTES];
        Ok(&mut self.page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_without_an_open_file() {
        let mut host = CountingHost::default();
        assert!(host.write(b"a").is_err());
        assert!(host.close().is_err());
        host.create("writes.dat").expect("creating always works");
        host.write(b"a").expect("the file is open");
        host.close().expect("the file is open");
        assert!(host.write(b"b").is_err());
        assert_eq!(host.writes, 1);
    }

    #[test]
    fn files_are_kept() {
        let mut host = CountingHost::default();
        assert!(host.open("a").is_err());
        for text in [&b"longer"[..], b"text"] {
            host.create("a").expect("creating always works");
            host.write(text).expect("the file is open");
            assert!(host.read(&mut [0]).is_err(), "it is open for writing");
        }
        host.open("a").expect("the file is there");
        assert!(host.write(b"b").is_err(), "it is open for reading");
        let mut buffer = [0; 3];
        assert_eq!(host.read(&mut buffer), Ok(3));
        assert_eq!(&buffer, b"tex");
        assert_eq!(host.read(&mut buffer), Ok(1));
        assert_eq!(host.read(&mut buffer), Ok(0));
        let mut names = Vec::new();
        host.list(&mut |name| names.push(name.to_vec())).expect("listing always works");
        assert_eq!(names, [b"a"]);
    }
}
