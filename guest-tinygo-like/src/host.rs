//! The flavour's [`Host`]: each request is one WASI call.

use alloc::vec;

use wasiscope_workloads::{Host, HostError, PAGE_BYTES};

use crate::{heap, wasi};

/// Room for directory entries; names are of 255 bytes at most.
const LIST_BYTES: usize = 4096;

/// The standard streams, the file a workload may open, the clock, and the marks.
///
/// A request that WASI refuses ends the program at once; the only errors returned are requests without an open file,
/// and a memory that cannot grow.
#[derive(Debug, Default)]
pub struct WasiHost {
    file: Option<wasi::Fd>,
}

impl WasiHost {
    fn file(&self, operation: &'static str) -> Result<wasi::Fd, HostError> {
        self.file.ok_or(HostError { operation, errno: None })
    }
}

impl Host for WasiHost {
    /// Inlined so that the caller sees that it never returns an error, and drops the code for that.
    #[inline(always)]
    fn mark(&mut self, mark: u64) -> Result<(), HostError> {
        wasi::mark(mark);
        Ok(())
    }

    fn read_stdin(&mut self, buffer: &mut [u8]) -> Result<usize, HostError> {
        Ok(wasi::read("read_stdin", wasi::STDIN, buffer))
    }

    #[inline(always)]
    fn write_stdout(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        wasi::write_all("print", wasi::STDOUT, bytes);
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<(), HostError> {
        self.file = Some(wasi::create(name));
        Ok(())
    }

    fn open(&mut self, name: &str) -> Result<(), HostError> {
        self.file = Some(wasi::open(name));
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HostError> {
        Ok(wasi::read("read", self.file("read")?, buffer))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        wasi::write_all("write", self.file("write")?, bytes);
        Ok(())
    }

    fn close(&mut self) -> Result<(), HostError> {
        wasi::close(self.file("close")?);
        self.file = None;
        Ok(())
    }

    fn list(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<(), HostError> {
        wasi::list(&mut vec![0; LIST_BYTES], visit);
        Ok(())
    }

    fn clock_ns(&mut self) -> Result<u64, HostError> {
        Ok(wasi::clock_ns())
    }

    fn sleep_ns(&mut self, duration_ns: u64) -> Result<(), HostError> {
        wasi::sleep_ns(duration_ns);
        Ok(())
    }

    fn grow(&mut self) -> Result<&mut [u8], HostError> {
        heap::fresh_page::<PAGE_BYTES>().map(|page| &mut page[..]).ok_or(HostError { operation: "grow", errno: None })
    }
}
