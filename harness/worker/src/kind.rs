//! What workers do for kinds of scenario that have more in mind than the phases.

use wasiscope_model::kind::Named;

use super::cell::PhaseCell;
use super::protocol::{Message, Subject, Task};

/// Sends a message to the parent.
pub type Sender<'a> = &'a mut dyn FnMut(&Message) -> anyhow::Result<()>;

/// What a kind is asked to do in a worker.
pub struct Job<'a> {
    /// [`Task::Check`], [`Task::Experiment`] or [`Task::Flow`].
    pub task: &'a Task,
    /// With what.
    pub subject: &'a Subject,
    /// Where the worker says which phase it is in.
    pub cell: PhaseCell,
}

/// The worker's side of a kind.
pub trait Kind: Named + Sync {
    /// Does the task.
    ///
    /// # Errors
    /// When the engine refuses, or the parent does not listen any more. What goes wrong with a guest is a message.
    fn work(&self, job: Job<'_>, _send: Sender<'_>) -> anyhow::Result<()> {
        anyhow::bail!("scenarios of `kind: {}` have no task like {:?}", self.name(), job.task)
    }

    /// Serves as a process of its own, if `verb` is one of this kind's.
    fn serve(&self, _verb: &str, _arguments: &[String]) -> Option<anyhow::Result<()>> {
        None
    }
}

/// The worker's sides of all kinds.
pub type Kinds = &'static [&'static dyn Kind];
