//! What a guest writes to stdout or stderr, held in memory up to a limit.

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::limits::Limit;

/// One of the two streams. wasmtime-wasi's own pipe holds the bytes; it does not tell a write that it refuses from being
/// full, and a guest that writes exactly as much as it may does nothing wrong.
#[derive(Clone)]
pub struct OutputPipe {
    pipe: MemoryOutputPipe,
    cell: PhaseCell,
}

impl OutputPipe {
    pub fn new(most_bytes: u64, cell: PhaseCell) -> Self {
        Self { pipe: MemoryOutputPipe::new(usize::try_from(most_bytes).unwrap_or(usize::MAX)), cell }
    }

    /// All that was written.
    pub fn contents(&self) -> Bytes {
        self.pipe.contents()
    }
}

impl IsTerminal for OutputPipe {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputPipe {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.pipe.clone())
    }
}

#[async_trait]
impl Pollable for OutputPipe {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for OutputPipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.pipe.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.pipe.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.pipe.check_write()
    }

    /// What `fd_write` calls. As much as there is room for is kept.
    async fn blocking_write_and_flush(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        let room = self.pipe.check_write().unwrap_or(0);
        let fits = bytes.len() <= room;
        bytes.truncate(room);
        self.pipe.write(bytes)?;
        if fits {
            return Ok(());
        }
        self.cell.meet(Limit::Output);
        Err(StreamError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn only_a_write_that_is_refused_meets_the_limit() {
        let cell = PhaseCell::private(0);
        let output = OutputPipe::new(8, cell);
        let mut stream = output.p2_stream();
        assert!(stream.blocking_write_and_flush("12345678".into()).await.is_ok());
        assert_eq!(cell.limits_met(), []);
        assert!(stream.blocking_write_and_flush("9".into()).await.is_err());
        assert_eq!(cell.limits_met()[0].limit, Limit::Output);
        let other = OutputPipe::new(4, cell);
        assert!(other.p2_stream().blocking_write_and_flush("123456".into()).await.is_err());
        assert_eq!((&output.contents()[..], &other.contents()[..]), (&b"12345678"[..], &b"1234"[..]));
    }
}
