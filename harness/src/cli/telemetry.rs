//! Metrics for a receiver of OpenTelemetry, wherever a report is at hand.

use clap::Args;

use super::{coded, say};

use crate::code::{Code, CodedError, code_of};
use crate::report::Report;
use crate::report::telemetry::receiver::Receiver;
use crate::report::telemetry::send::send;
use crate::report::telemetry::{self, otlp};

/// The option that names a receiver.
pub(super) const OPTION: Option<&str> = Some("otlp");

#[derive(Debug, Args)]
pub(super) struct TelemetryArguments {
    /// Send every figure as metrics to a receiver of OpenTelemetry, such as its collector: http://HOST:4318 for HTTP (with the
    /// path /v1/metrics where none is given), grpc://HOST:4317 for gRPC, https and grpcs for either encrypted. With http and https,
    /// OTEL_EXPORTER_OTLP_PROTOCOL decides, or else port 4317 is gRPC; OTEL_EXPORTER_OTLP_HEADERS and _TIMEOUT hold, too. When
    /// it does not take them, the exit status is 4, unless it would be another one anyhow; the report is written before
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
}

/// The receiver, looked at before anything is run.
pub(super) struct MetricOutput(Receiver);

impl MetricOutput {
    /// `None` where none is named.
    pub(super) fn open(arguments: &TelemetryArguments) -> anyhow::Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok();
        let receiver = arguments.otlp.as_deref().map(|url| Receiver::new(url, variable).map_err(CodedError::from));
        Ok(receiver.transpose()?.map(Self))
    }

    /// Sends the metrics. [`Code::MetricsNotSent`] says that it was tried in vain.
    pub(super) fn send(&self, report: &Report, stop: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let Self(receiver) = self;
        let requests = otlp::requests(&telemetry::of(report).map_err(CodedError::from)?);
        let sent = send(receiver, &requests, stop).map_err(CodedError::from)?;
        for warning in &sent.warnings {
            tell!("warning: otlp: {warning}");
        }
        tell!("otlp: {} values sent to {}", sent.points, receiver.url);
        Ok(())
    }

    /// Likewise, for a run that is over and whose report is written, which is no reason to fail it; whether all went well.
    pub(super) fn send_or_tell(&self, report: &Report, stop: &dyn Fn() -> bool) -> bool {
        if report.interrupted {
            tell!("otlp: nothing sent of a run that was interrupted; `wasiscope export REPORT --otlp URL` sends it");
            return true;
        }
        match self.send(report, stop) {
            Ok(()) => true,
            Err(error) => {
                let code = code_of(&error);
                let is_in_vain = code == Some(Code::MetricsNotSent);
                let advice = if is_in_vain { "; `wasiscope export REPORT --otlp URL` tries it again" } else { "" };
                say(&coded(code, &format!("otlp: {error:#}{advice}")));
                false
            }
        }
    }
}
