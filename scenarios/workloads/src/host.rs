//! What a workload may ask of the flavour it runs in.

use core::fmt;

/// The flavour's side of a workload: everything that leaves the guest.
///
/// At most one file is open at a time; that is all that any workload needs.
pub trait Host {
    /// Tells whoever runs the guest that `mark` (one of the `MARK_` constants) has been reached.
    ///
    /// # Errors
    /// If the host refused the call.
    fn mark(&mut self, mark: u64) -> Result<(), HostError>;

    /// Writes `text` to standard output, exactly as it is and before returning.
    ///
    /// # Errors
    /// If not all of it could be written.
    fn print(&mut self, text: &str) -> Result<(), HostError>;

    /// Creates, or truncates, the file `name` in the preopened directory and makes it the open file.
    ///
    /// # Errors
    /// If there is no such directory or it cannot be written to.
    fn create(&mut self, name: &str) -> Result<(), HostError>;

    /// Writes `byte` at the end of the open file, unbuffered: one call of this is one write.
    ///
    /// # Errors
    /// If no file is open or the byte was not written.
    fn append(&mut self, byte: u8) -> Result<(), HostError>;

    /// Closes the open file.
    ///
    /// # Errors
    /// If no file is open or closing it failed.
    fn close(&mut self) -> Result<(), HostError>;
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

/// A host that only counts: for computing a check natively, without output and without files.
#[derive(Clone, Debug, Default)]
pub struct CountingHost {
    /// Calls of [`Host::print`].
    pub prints: u64,
    /// Calls of [`Host::append`] that succeeded.
    pub appends: u64,
    is_open: bool,
}

impl CountingHost {
    fn require_open(&self, operation: &'static str) -> Result<(), HostError> {
        if self.is_open { Ok(()) } else { Err(HostError { operation, errno: None }) }
    }
}

impl Host for CountingHost {
    fn mark(&mut self, _mark: u64) -> Result<(), HostError> {
        Ok(())
    }

    fn print(&mut self, _text: &str) -> Result<(), HostError> {
        self.prints += 1;
        Ok(())
    }

    fn create(&mut self, _name: &str) -> Result<(), HostError> {
        self.is_open = true;
        Ok(())
    }

    fn append(&mut self, _byte: u8) -> Result<(), HostError> {
        self.require_open("append")?;
        self.appends += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), HostError> {
        self.require_open("close")?;
        self.is_open = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_appended_without_an_open_file() {
        let mut host = CountingHost::default();
        assert!(host.append(b'a').is_err());
        assert!(host.close().is_err());
        host.create("writes.dat").expect("creating always works");
        host.append(b'a').expect("the file is open");
        host.close().expect("the file is open");
        assert!(host.append(b'b').is_err());
        assert_eq!(host.appends, 1);
    }
}
