//! What a metric is to OpenTelemetry and Prometheus. Which there are, `wasiscope-render` and [`kernel_figures`](crate::kernel_figures) say.

/// What a metric is.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name in OpenTelemetry. Prometheus has it with underscores and the unit.
    pub name: &'static str,
    /// Its unit, by UCUM: that of the report, so that values are the same numbers.
    pub unit: &'static str,
    /// How its values go together.
    pub kind: Kind,
    /// What it tells, for people.
    pub description: &'static str,
    /// Whether its name is used as it is, in every output.
    pub is_plain: bool,
}

/// How the values of a metric go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A state: values of two things added up mean nothing.
    Gauge,
    /// How much there was from the start of the run to its end.
    Sum,
    /// How many values lie where, likewise.
    Histogram,
}

impl Definition {
    /// A metric of wasiscope's own.
    #[must_use]
    pub const fn new(name: &'static str, unit: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, unit, kind, description, is_plain: false }
    }

    /// A metric that others make under the same name.
    #[must_use]
    pub const fn plain(name: &'static str, unit: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, unit, kind, description, is_plain: true }
    }
}
