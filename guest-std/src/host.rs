//! The flavour's [`Host`]: each request is what an ordinary program would write for it.

use std::fs::{File, read_dir};
use std::io::{self, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use wasiscope_workloads::{Host, HostError};

use crate::platform::{Marks, fresh_page};

/// The standard streams, the file a workload may open, the clock, and the marks.
#[derive(Debug, Default)]
pub struct StdHost {
    file: Option<File>,
    first_reading: Option<Instant>,
    marks: Marks,
}

impl StdHost {
    /// Says, where nobody was told as they were reached, when the marks were.
    pub(crate) fn report_marks(&self) -> io::Result<()> {
        self.marks.report()
    }

    fn file(&mut self, operation: &'static str) -> Result<&mut File, HostError> {
        self.file.as_mut().ok_or(HostError { operation, errno: None })
    }
}

/// Says what it was that failed.
fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> HostError {
    move |error| HostError { operation, errno: error.raw_os_error().and_then(|errno| errno.try_into().ok()) }
}

impl Host for StdHost {
    fn mark(&mut self, mark: u64) -> Result<(), HostError> {
        self.marks.mark(mark)
    }

    fn read_stdin(&mut self, buffer: &mut [u8]) -> Result<usize, HostError> {
        io::stdin().lock().read(buffer).map_err(failed("read_stdin"))
    }

    fn write_stdout(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("print"))
    }

    fn create(&mut self, name: &str) -> Result<(), HostError> {
        self.file = Some(File::create(name).map_err(failed("create"))?);
        Ok(())
    }

    fn open(&mut self, name: &str) -> Result<(), HostError> {
        self.file = Some(File::open(name).map_err(failed("open"))?);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HostError> {
        self.file("read")?.read(buffer).map_err(failed("read"))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        self.file("write")?.write_all(bytes).map_err(failed("write"))
    }

    fn close(&mut self) -> Result<(), HostError> {
        // std closes by dropping, and keeps to itself whether that failed.
        self.file.take().map(drop).ok_or(HostError { operation: "close", errno: None })
    }

    fn list(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<(), HostError> {
        for entry in read_dir(".").map_err(failed("list"))? {
            visit(entry.map_err(failed("list"))?.file_name().as_encoded_bytes());
        }
        Ok(())
    }

    fn clock_ns(&mut self) -> Result<u64, HostError> {
        let now = Instant::now();
        let passed = now.duration_since(*self.first_reading.get_or_insert(now));
        // A reading past the year 2500 stands still.
        Ok(passed.as_nanos().try_into().unwrap_or(u64::MAX))
    }

    fn sleep_ns(&mut self, duration_ns: u64) -> Result<(), HostError> {
        thread::sleep(Duration::from_nanos(duration_ns));
        Ok(())
    }

    fn grow(&mut self) -> Result<&mut [u8], HostError> {
        fresh_page().ok_or(HostError { operation: "grow", errno: None })
    }
}
