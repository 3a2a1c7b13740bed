//! Metrics for others, wherever a report is at hand: to a receiver of OpenTelemetry, and as a file for Prometheus.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::run::destination;
use crate::report::Report;
use crate::report::destination::Destination;
use crate::report::telemetry::receiver::Receiver;
use crate::report::telemetry::send::{SendError, send};
use crate::report::telemetry::{self, otlp, prometheus};

#[derive(Debug, Args)]
pub(super) struct TelemetryArguments {
    /// Send every figure as metrics to a receiver of OpenTelemetry, such as its collector: http://HOST:4318 for HTTP (with the
    /// path /v1/metrics where none is given), grpc://HOST:4317 for gRPC, https and grpcs for either encrypted. With http and https,
    /// OTEL_EXPORTER_OTLP_PROTOCOL decides, or else port 4317 is gRPC; OTEL_EXPORTER_OTLP_HEADERS and _TIMEOUT hold, too. When
    /// it does not take them, the exit status is 4, unless it would be another one anyhow; the report is written before
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,
    /// Write every figure as a text file for Prometheus, by way of node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub(super) prometheus: Option<PathBuf>,
}

impl TelemetryArguments {
    pub(super) fn is_asked_for(&self) -> bool {
        self.otlp.is_some() || self.prometheus.is_some()
    }
}

/// Where metrics go, looked at before anything is run.
pub(super) struct Outlets {
    receiver: Option<Receiver>,
    file: Option<Destination>,
}

impl Outlets {
    pub(super) fn open(arguments: &TelemetryArguments) -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let receiver = arguments.otlp.as_deref().map(|url| Receiver::new(url, variable)).transpose()?;
        let file = arguments.prometheus.as_deref().map(|path| destination("--prometheus", path)).transpose()?;
        Ok(Self { receiver, file })
    }

    pub(super) fn file(&self) -> Option<&Destination> {
        self.file.as_ref()
    }

    /// Writes the file, where one is wanted.
    pub(super) fn write(&self, report: &Report) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let telemetry = telemetry::of(report)?;
        let written = file.write_with(|out| prometheus::write(&telemetry, out));
        written.with_context(|| format!("cannot write {}", file.path().display()))?;
        tell!("prometheus: {}", file.path().display());
        Ok(())
    }

    /// Sends the metrics, where that is wanted. An error of type [`SendError`] says that it was tried in vain.
    pub(super) fn send(&self, report: &Report, stop: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let Some(receiver) = &self.receiver else { return Ok(()) };
        let requests = otlp::requests(&telemetry::of(report)?);
        let sent = send(receiver, &requests, stop)?;
        for warning in &sent.warnings {
            tell!("warning: otlp: {warning}");
        }
        tell!("otlp: {} values sent to {}", sent.points, receiver.url);
        Ok(())
    }

    /// Likewise, for a run that is over and whose report is written, which is no reason to fail it; whether all went well.
    pub(super) fn send_or_tell(&self, report: &Report, stop: &dyn Fn() -> bool) -> bool {
        if self.receiver.is_some() && report.interrupted {
            tell!("otlp: nothing sent of a run that was interrupted; `wasiscope export REPORT --otlp URL` sends it");
            return true;
        }
        match self.send(report, stop) {
            Ok(()) => true,
            Err(error) => {
                let advice =
                    if error.is::<SendError>() { "; `wasiscope export REPORT --otlp URL` tries it again" } else { "" };
                tell!("error: otlp: {error:#}{advice}");
                false
            }
        }
    }
}
