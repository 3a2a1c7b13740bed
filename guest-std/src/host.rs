//! The flavour's [`Host`]: each request is what an ordinary program would write for it.

use std::fs::File;
use std::io::{self, Write as _};

use wasiscope_workloads::{Host, HostError};

mod imports {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        /// std offers no way to choose the precision, which is what carries a mark.
        pub fn clock_time_get(id: u32, precision: u64, time: *mut u64) -> u16;
    }
}

const CLOCK_MONOTONIC: u32 = 1;

/// Standard output, the file a workload may open, and the marks.
#[derive(Debug, Default)]
pub struct WasiHost {
    file: Option<File>,
}

/// Says what it was that failed.
fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> HostError {
    move |error| HostError { operation, errno: error.raw_os_error().and_then(|errno| errno.try_into().ok()) }
}

impl Host for WasiHost {
    fn mark(&mut self, mark: u64) -> Result<(), HostError> {
        let mut time = 0;
        // SAFETY: the pointer is to a live local that the host fills.
        match unsafe { imports::clock_time_get(CLOCK_MONOTONIC, mark, &raw mut time) } {
            0 => Ok(()),
            errno => Err(HostError { operation: "mark", errno: Some(errno) }),
        }
    }

    fn print(&mut self, text: &str) -> Result<(), HostError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("print"))
    }

    fn create(&mut self, name: &str) -> Result<(), HostError> {
        self.file = Some(File::create(name).map_err(failed("create"))?);
        Ok(())
    }

    fn append(&mut self, byte: u8) -> Result<(), HostError> {
        let Some(file) = &mut self.file else {
            return Err(HostError { operation: "append", errno: None });
        };
        file.write_all(&[byte]).map_err(failed("append"))
    }

    fn close(&mut self) -> Result<(), HostError> {
        // std closes by dropping, and keeps to itself whether that failed.
        self.file.take().map(drop).ok_or(HostError { operation: "close", errno: None })
    }
}
