//! What the command line says of the kernel's side of a run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::sinks::destination;
use crate::code::fail;
use crate::execute::source::{Live, Source};

#[derive(Debug, Args)]
pub(super) struct CaptureArguments {
    /// Watch the kernel: where possible, always (anything else is an error), or not at all
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) capture: When,
    /// Also count what the kernel programs themselves cost, in a pass of its own (needs CAP_SYS_ADMIN)
    #[arg(long)]
    pub(super) capture_cost: bool,
    /// Also store what the kernel programs gave, so that it can be replayed
    #[arg(long, value_name = "FILE")]
    capture_save: Option<PathBuf>,
    /// Take the kernel's side from a stored capture of the same scenarios; needs no privileges
    #[arg(long, value_name = "FILE", conflicts_with_all = ["capture", "capture_save", "capture_cost"])]
    capture_replay: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    #[default]
    Auto,
    On,
    Off,
}

impl CaptureArguments {
    /// Opens what is asked for.
    ///
    /// # Errors
    /// When it is required and cannot be had.
    pub(super) fn open(&self, trace: bool) -> anyhow::Result<Source> {
        if let Some(path) = &self.capture_replay {
            return Source::replayed(path);
        }
        if self.capture == When::Off {
            if self.capture_save.is_some() || self.capture_cost {
                fail!(
                    OptionDoesNotApply,
                    "--capture off leaves nothing for --capture-save to store and --capture-cost to count"
                );
            }
            return Ok(Source::Off);
        }
        let place = self.capture_save.as_deref().map(|path| destination("--capture-save", path)).transpose()?;
        let is_required = self.capture == When::On || place.is_some();
        match Source::live(Live { trace, program_costs: self.capture_cost }, place) {
            Err(error) if !is_required => Ok(Source::Unavailable(error)),
            opened => Ok(opened?),
        }
    }
}
