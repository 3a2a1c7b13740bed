//! What a report says of its runs as a whole, and of the machine: the resource, and a few metrics.

use std::time::Duration;

use opentelemetry_semantic_conventions::resource as semantic;

use super::label::{self, Label, Text};
use super::{Metrics, Span, TelemetryError, Value, catalogue};
use wasiscope_model::report::Report;
use wasiscope_model::report::{CaptureReport, CaseReport, Machine};

/// One run: the report's only one, or one of those that it was joined from.
pub(crate) struct Run<'a> {
    pub(crate) time: Span,
    /// Which of several it is.
    pub(crate) labels: Vec<Label>,
    pub(crate) reference: Option<&'a CaseReport>,
    duration_s: f64,
    machine: &'a Machine,
    capture: &'a CaptureReport,
    report: &'a Report,
}

/// The runs of a report, of which there is at least one.
pub(crate) fn runs(report: &Report) -> Result<Vec<Run<'_>>, TelemetryError> {
    if report.sources.is_empty() {
        return Ok(vec![Run {
            time: span(&report.started_at, report.duration_s)?,
            labels: Vec::new(),
            reference: report.reference.as_ref(),
            duration_s: report.duration_s,
            machine: &report.machine,
            capture: &report.capture,
            report,
        }]);
    }
    let run = |(index, source)| {
        let source: &wasiscope_model::report::Source = source;
        Ok(Run {
            time: span(&source.started_at, source.duration_s)?,
            labels: vec![Label { name: "wasiscope.source", text: Text::Number(index as u64) }],
            reference: source.reference.as_ref(),
            duration_s: source.duration_s,
            machine: &source.machine,
            capture: &source.capture,
            report,
        })
    };
    report.sources.iter().enumerate().map(run).collect()
}

fn span(started_at: &str, duration_s: f64) -> Result<Span, TelemetryError> {
    let wrong = |what: String| TelemetryError::Time(what);
    let start: jiff::Timestamp = started_at.parse().map_err(|error| wrong(format!("started_at: {error}")))?;
    let start_ns = u64::try_from(start.as_nanosecond()).map_err(|_| wrong(format!("{started_at} is before 1970")))?;
    let duration = Duration::try_from_secs_f64(duration_s).map_err(|error| wrong(format!("duration_s: {error}")))?;
    let end_ns = u64::try_from(duration.as_nanos()).ok().and_then(|ns| start_ns.checked_add(ns));
    let end_ns = end_ns.ok_or_else(|| wrong(format!("{duration_s} seconds from {started_at} lead beyond 2554")))?;
    Ok(Span { start_ns, end_ns })
}

/// What all metrics of a machine have in common. Names by OpenTelemetry's semantic conventions, where those have one.
pub(crate) fn resource(report: &Report) -> Vec<Label> {
    let machine = &report.machine;
    let mut resource = vec![
        label::text(semantic::SERVICE_NAME, wasiscope_model::NAME),
        label::text(semantic::SERVICE_VERSION, &report.wasiscope),
        label::text(label::MACHINE, &machine.label()),
        label::text(semantic::HOST_ARCH, host_arch(&machine.arch)),
        label::text(semantic::OS_TYPE, os_type(&machine.os)),
    ];
    let known = [
        (semantic::HOST_NAME, machine.name.as_ref()),
        (semantic::HOST_CPU_MODEL_NAME, machine.cpu.as_ref()),
        // Of Linux, the version is that of the kernel; which distribution it is in, the report does not know.
        (semantic::OS_VERSION, machine.kernel.as_ref()),
        (semantic::VCS_REF_HEAD_REVISION, report.git.as_ref().map(|git| &git.commit)),
        ("wasiscope.tool.wasmtime", report.tools.get("wasmtime").and_then(Option::as_ref)),
        ("wasiscope.tool.rustc", report.tools.get("rustc").and_then(Option::as_ref)),
        ("wasiscope.tool.go", report.tools.get("go").and_then(Option::as_ref)),
    ];
    resource.extend(known.into_iter().filter_map(|(name, value)| Some(label::text(name, value?))));
    let dirty = report.git.as_ref().map(|git| Label { name: "wasiscope.dirty", text: Text::Flag(git.dirty) });
    resource.extend(dirty);
    resource
}

/// The convention's name of a processor architecture, where it has one of its own.
fn host_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// The convention's name of an operating system, where it has one of its own.
fn os_type(os: &str) -> &str {
    match os {
        "macos" => "darwin",
        other => other,
    }
}

/// The metrics of a run as a whole.
pub(crate) fn add(metrics: &mut Metrics, run: &Run<'_>) {
    let Run { report, machine, capture, .. } = run;
    let seconds = Duration::from_nanos(run.time.start_ns).as_secs_f64();
    let flag = |flag: bool| Some(Value::Count(flag.into()));
    let (limits, throttled) = (&machine.limits, machine.limits.throttled);
    let whole = [
        (&catalogue::RUN_START, Some(Value::Real(seconds))),
        (&catalogue::RUN_DURATION, Some(Value::Real(run.duration_s))),
        (&catalogue::RUN_NOISE, Some(Value::Count(report.noise.into()))),
        (&catalogue::RUN_INTERRUPTED, flag(report.interrupted)),
        (&catalogue::RUN_BUDGET_SPENT, flag(report.budget_spent)),
        (&catalogue::MACHINE_CPUS, Some(Value::Count(machine.cpus as u64))),
        (&catalogue::MACHINE_MEMORY, machine.memory_bytes.map(Value::Count)),
        (&catalogue::MACHINE_STEAL, machine.steal_ratio.map(Value::Real)),
        (&catalogue::MACHINE_CPU_QUOTA, limits.cpu_quota.map(Value::Real)),
        (&catalogue::MACHINE_MEMORY_LIMIT, limits.memory_bytes.map(Value::Count)),
        (&catalogue::MACHINE_THROTTLED_PERIODS, throttled.map(|of| Value::Count(of.periods))),
        (&catalogue::MACHINE_THROTTLED_TIME, throttled.map(|of| Value::Count(of.time_us.saturating_mul(1_000)))),
        (&catalogue::CAPTURE_LIVE, flag(capture.status.sees_kernel())),
    ];
    for (definition, value) in whole {
        if let Some(value) = value {
            metrics.add(definition, run.labels.clone(), run.time, value);
        }
    }
    add_capture(metrics, run);
}

fn add_capture(metrics: &mut Metrics, run: &Run<'_>) {
    // A capture that there was not has lost nothing, and that is no good news.
    if !run.capture.status.sees_kernel() {
        return;
    }
    let ledger = run.capture.ledger;
    let lost = [
        ("ring_dropped", ledger.ring_dropped),
        ("map_full", ledger.map_full),
        ("recursion_missed", ledger.recursion_missed),
        ("switches_unseen", ledger.switches_unseen),
        ("events_lost", ledger.events_lost),
    ];
    for (kind, count) in lost {
        let labels = label::with(&run.labels, label::text("wasiscope.loss", kind));
        metrics.add(&catalogue::CAPTURE_LOST, labels, run.time, Value::Count(count));
    }
    for program in &run.capture.programs {
        let values = [
            (&catalogue::PROGRAM_ATTACHED, Some(Value::Count(program.unavailable.is_none().into()))),
            (&catalogue::PROGRAM_RUNS, program.run_count.map(Value::Count)),
            (&catalogue::PROGRAM_TIME, program.mean_ns.map(Value::Real)),
        ];
        for (definition, value) in values {
            if let Some(value) = value {
                let labels = label::with(&run.labels, label::text("wasiscope.program", &program.name));
                metrics.add(definition, labels, run.time, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_lies_where_it_was_to_the_nanosecond() {
        let Span { start_ns, end_ns } = span("2026-11-24T10:00:00.000000007Z", 1.5).unwrap();
        assert_eq!((start_ns % 1_000_000_000, end_ns - start_ns), (7, 1_500_000_000));
    }

    #[test]
    fn times_that_are_none_are_named() {
        for (started_at, duration_s, part) in [
            ("yesterday", 1.0, "started_at"),
            ("1969-12-31T23:59:59Z", 1.0, "before 1970"),
            ("2026-11-24T10:00:00Z", -1.0, "duration_s"),
            ("2026-11-24T10:00:00Z", 1e15, "beyond"),
        ] {
            let error = span(started_at, duration_s).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
