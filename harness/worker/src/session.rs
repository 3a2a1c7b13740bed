//! How a worker of any engine begins: it says that it is up, reads its request, and gives up what it does not need.

use std::io::{self, BufRead, Write};

use anyhow::{Context, bail};
use wasiscope_ebpf_abi::Phase;
use wasiscope_sys::clock;

use super::cell::PhaseCell;
use super::heartbeat::Heartbeat;
use super::protocol::{Message, PROTOCOL, Request};
use super::{VERB, privileges, thread};

/// A worker that may begin.
pub struct Session {
    /// What to do.
    pub request: Request,
    /// Where to say in which phase that is.
    pub cell: PhaseCell,
}

impl Session {
    /// Begins as docs/worker-protocol.md says, with all that follows [`VERB`] in `arguments`; `None` when the request was refused.
    ///
    /// # Errors
    /// When the parent is gone, or does not keep to the protocol.
    pub fn open(arguments: &[String]) -> anyhow::Result<Option<Self>> {
        let (heartbeat, cell) = match arguments {
            [] => (None, PhaseCell::private(0)),
            [heartbeat] => (Some(heartbeat), PhaseCell::private(0)),
            [heartbeat, fd, index, slot] => {
                (Some(heartbeat), PhaseCell::mapped(fd.parse()?, index.parse()?, slot.parse()?)?)
            }
            _ => bail!("{VERB} takes no arguments, or HEARTBEAT_FD, or HEARTBEAT_FD CELLS_FD CELL_INDEX SLOT"),
        };
        send(&Message::Ready { at_ns: clock::monotonic_ns() })?;
        cell.enter(Phase::Outside);
        let cell = match heartbeat {
            Some(fd) => cell.with_heartbeat(Heartbeat::mapped(fd.parse()?)?),
            None => cell,
        };
        // Again, because exec has reset it if this binary has capabilities of its own.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let mut request: Request = serde_json::from_str(&line).context("malformed request from the parent")?;
        if request.protocol != PROTOCOL {
            let theirs = request.protocol;
            let reason =
                format!("the parent speaks version {theirs} of the worker protocol, this worker version {PROTOCOL}");
            return send(&Message::Refused { reason }).map(|()| None);
        }
        let parent = rustix::process::getppid().map(|now| now.as_raw_nonzero().get().cast_unsigned());
        if parent != Some(request.parent) {
            bail!("the process that started this worker is gone");
        }
        // Before any other thread is started. A machine that forbids it is measured all the same; the parent knows.
        let _ = request.cpu.map(thread::stay_on);
        if let Err(error) = privileges::give_up(&mut request.subject, &mut request.task, &cell) {
            return send(&Message::Refused { reason: error.to_string() }).map(|()| None);
        }
        Ok(Some(Self { request, cell }))
    }
}

/// Sends a message to the parent.
///
/// # Errors
/// When nobody takes it.
pub fn send(message: &Message) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    // One write, so that a worker killed in between leaves whole lines.
    io::stdout().write_all(&line)?;
    Ok(io::stdout().flush()?)
}
