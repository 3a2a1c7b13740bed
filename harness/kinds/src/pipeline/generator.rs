//! The process whose system calls become events: it makes as many as it is told, at the rate it is told, and says how many it made.
//!
//! It speaks by `send` and `recv`, which are none of the calls that can be asked for: whatever it does besides, only the calls that it counts are
//! events.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use anyhow::Context;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde::{Deserialize, Serialize};

use super::{Call, Calls};
use wasiscope_sys::before_exec::inherited;
use wasiscope_sys::clock;

/// The hidden verb of the process: `wasiscope __generate SOCKET`.
pub const VERB: &str = "__generate";

/// Longest message either way.
const MESSAGE_BYTES: usize = 256;

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Calls to make.
    pub events: u32,
    /// In a second; `None` for as fast as it goes.
    pub per_second: Option<u32>,
    /// Which, in turns.
    pub calls: Calls,
}

/// What it says first: that all it does to get ready is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready;

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Calls that it made.
    pub events: u64,
    /// How long that took.
    pub elapsed_ns: u64,
}

/// Sends a message in one piece.
///
/// # Errors
/// When the other side is gone.
pub fn tell<M: Serialize>(socket: &OwnedFd, message: &M) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    send(socket, &bytes, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message; `None` when the other side is gone.
///
/// # Errors
/// When what came is no such message.
pub fn hear<M: for<'m> Deserialize<'m>>(socket: &OwnedFd) -> io::Result<Option<M>> {
    let mut bytes = [0; MESSAGE_BYTES];
    let (length, _) = recv(socket, &mut bytes, RecvFlags::empty())?;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes[..length])?))
}

/// Serves orders until nobody is there to give any.
///
/// # Errors
/// When it cannot make a call, or cannot be heard.
pub fn serve(arguments: &[String]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let fd: RawFd = arguments.first().and_then(|fd| fd.parse().ok()).unwrap_or(-1);
    let socket = inherited(fd).with_context(|| format!("{VERB} takes the number of a socket"))?;
    let devices = Devices { zero: File::open("/dev/zero")?, null: OpenOptions::new().write(true).open("/dev/null")? };
    tell(&socket, &Ready)?;
    while let Some(order) = hear::<Order>(&socket)? {
        tell(&socket, &devices.make(&order)?)?;
    }
    Ok(())
}

struct Devices {
    zero: File,
    null: File,
}

impl Devices {
    fn make(&self, order: &Order) -> io::Result<Made> {
        let calls: Vec<Call> = order.calls.iter().collect();
        let start_ns = clock::monotonic_ns();
        for event in 0..order.events {
            if let Some(per_second) = order.per_second {
                let due_ns = start_ns + u64::from(event) * 1_000_000_000 / u64::from(per_second.max(1));
                while clock::monotonic_ns() < due_ns {
                    std::hint::spin_loop();
                }
            }
            self.call(calls[event as usize % calls.len().max(1)])?;
        }
        Ok(Made { events: u64::from(order.events), elapsed_ns: clock::monotonic_ns().saturating_sub(start_ns) })
    }

    /// Each is one system call exactly, which std does not promise of its own.
    fn call(&self, call: Call) -> io::Result<()> {
        let mut byte = 0_u8;
        let result = match call {
            // SAFETY: the descriptor is open, and the kernel writes one byte into `byte`.
            Call::Read => unsafe { libc::read(self.zero.as_raw_fd(), (&raw mut byte).cast(), 1) as i64 },
            // SAFETY: the descriptor is open, and the kernel reads one byte from `byte`.
            Call::Write => unsafe { libc::write(self.null.as_raw_fd(), (&raw const byte).cast(), 1) as i64 },
            // SAFETY: the descriptor is open.
            Call::Lseek => unsafe { libc::lseek(self.zero.as_raw_fd(), 0, libc::SEEK_SET) },
            // SAFETY: takes nothing and cannot fail.
            Call::Getppid => i64::from(unsafe { libc::getppid() }),
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_carried_out_and_counted() {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let (ours, theirs) = (OwnedFd::from(ours), OwnedFd::from(theirs));
        let order = Order { events: 10, per_second: None, calls: Calls::of(&Call::ALL) };
        tell(&ours, &order).unwrap();
        assert_eq!(hear::<Order>(&theirs).unwrap(), Some(order));
        let devices = Devices {
            zero: File::open("/dev/zero").unwrap(),
            null: OpenOptions::new().write(true).open("/dev/null").unwrap(),
        };
        assert_eq!(devices.make(&order).unwrap().events, 10);
    }
}
