//! The child process without an engine: what parent and worker say to each other, the cell in which a worker stores its current
//! phase, its heartbeat, its limits, its privileges, and native guests, which need no engine.
//!
//! It knows no engine and no statistics. docs/worker-protocol.md describes the protocol for whoever writes another worker.

pub mod answer;
pub mod cell;
pub mod heartbeat;
mod kind;
pub mod limits;
pub mod native;
pub mod privileges;
pub mod protocol;
pub mod session;
mod shared;
pub mod thread;
pub mod written;

pub use kind::{Job, Kind, Kinds, Sender};
pub use limits::{Limit, LimitMet};
pub use privileges::confinement;
pub use protocol::{
    Ending, EndingContext, Folder, GuestInput, Iteration, LastMark, Message, PROTOCOL, Pace, ProtocolLine, Request,
    Subject, Task, Timed,
};
pub use wasiscope_model::comparison::Side;
pub use written::{Output, Written};

/// The hidden verb that makes the executable a worker: `wasiscope __worker [HEARTBEAT_FD [CELLS_FD CELL_INDEX SLOT]]`.
pub const VERB: &str = "__worker";

/// The hidden verb of a process that only keeps a processor busy: `wasiscope __busy CPU`, where `-` is any.
pub const BUSY_VERB: &str = "__busy";
