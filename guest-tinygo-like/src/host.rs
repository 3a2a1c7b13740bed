//! The flavour's [`Host`]: each request is one WASI call.

use wasiscope_workloads::{Host, HostError};

use crate::wasi;

/// Standard output, the file a workload may open, and the marks.
///
/// A request that WASI refuses ends the program at once; the only errors returned are requests without an open file.
#[derive(Debug, Default)]
pub struct WasiHost {
    file: Option<wasi::Fd>,
}

impl Host for WasiHost {
    /// Inlined so that the caller sees that it never returns an error, and drops the code for that.
    #[inline(always)]
    fn mark(&mut self, mark: u64) -> Result<(), HostError> {
        wasi::mark(mark);
        Ok(())
    }

    #[inline(always)]
    fn print(&mut self, text: &str) -> Result<(), HostError> {
        wasi::write_all("print", wasi::STDOUT, text.as_bytes());
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<(), HostError> {
        self.file = Some(wasi::create(name));
        Ok(())
    }

    fn append(&mut self, byte: u8) -> Result<(), HostError> {
        let fd = self.file.ok_or(HostError { operation: "append", errno: None })?;
        wasi::write_all("append", fd, &[byte]);
        Ok(())
    }

    fn close(&mut self) -> Result<(), HostError> {
        let fd = self.file.take().ok_or(HostError { operation: "close", errno: None })?;
        wasi::close(fd);
        Ok(())
    }
}
