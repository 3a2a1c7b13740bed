//! In place of `telemetry.rs` without the feature `otlp`: no option names a receiver, so there is none.

use clap::Args;

use crate::report::Report;

/// The option that names a receiver.
pub(super) const OPTION: Option<&str> = None;

#[derive(Debug, Args)]
pub(super) struct TelemetryArguments {}

/// No receiver can be made.
pub(super) enum MetricOutput {}

impl MetricOutput {
    #[expect(clippy::unnecessary_wraps, reason = "a receiver can be one that is refused")]
    pub(super) const fn open(_: &TelemetryArguments) -> anyhow::Result<Option<Self>> {
        Ok(None)
    }

    pub(super) const fn send(&self, _: &Report, _: &dyn Fn() -> bool) -> anyhow::Result<()> {
        match *self {}
    }

    pub(super) const fn send_or_tell(&self, _: &Report, _: &dyn Fn() -> bool) -> bool {
        match *self {}
    }
}
