//! Records to a report: the one place where a report of a run is put together.

use super::{Depth, Executed, Measured};
use crate::runner::{Traced, Walk};
use crate::summary;
use wasiscope_capture::Coverage;
use wasiscope_model::record::Record;
use wasiscope_model::report::Report;
use wasiscope_model::report::{CaptureReport, SCHEMA_VERSION, ScenarioReport};
use wasiscope_stats as stats;
use wasiscope_sys::machine::{self, Interference};

impl Measured<'_> {
    /// The rows: every scenario with its cases and prices.
    #[must_use]
    pub fn scenarios(mut self) -> Vec<ScenarioReport> {
        let capture = self.capture();
        let coverage = self.coverage(&capture);
        self.take_scenarios(coverage)
    }

    /// The report of the run.
    pub(super) fn into_report(mut self) -> Executed {
        let capture = self.capture();
        let coverage = self.coverage(&capture);
        let scenarios = self.take_scenarios(coverage);
        let reference = (self.prepared.get(self.asked_for))
            .map(|reference| summary::case(self.asked_for, reference, &self.records, coverage));
        let Self { options, walk, .. } = self;
        let start = options.start;
        let meanwhile = match options.depth {
            Depth::Facts => Interference::default(),
            Depth::Measurements => start.counters.until_now(),
        };
        let root = &options.places.root;
        let report = Report {
            schema_version: SCHEMA_VERSION,
            wasiscope: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: start.at.to_string(),
            duration_s: start.instant.elapsed().as_secs_f64(),
            seed: options.seed,
            noise: options.noise,
            planted: options.planted,
            shard: options.shard,
            invocation: options.invocation,
            interrupted: walk == Walk::Interrupted,
            budget_spent: walk == Walk::BudgetSpent,
            confidence: stats::CONFIDENCE,
            git: machine::git(root),
            machine: machine::describe(meanwhile),
            tools: machine::tools(root, wasiscope_engines::WASMTIME_VERSION),
            capture,
            scenarios,
            sources: Vec::new(),
            reference,
        };
        Executed { report, walk, journal: options.journal, source: options.source }
    }

    fn capture(&mut self) -> CaptureReport {
        let mut capture = self.options.source.report(self.trouble.take());
        capture.ledger.events_lost = self.records.iter().map(Record::events_lost).sum();
        capture
    }

    fn coverage(&self, capture: &CaptureReport) -> Coverage {
        let mut coverage = Coverage::of(&capture.programs);
        coverage.lossless = self.options.source.is_live() && capture.ledger.counts_are_exact();
        coverage
    }

    fn take_scenarios(&mut self, coverage: Coverage) -> Vec<ScenarioReport> {
        let mut scenarios = summary::scenarios(&self.prepared[..self.asked_for], &self.records, coverage);
        for priced in std::mem::take(&mut self.prices) {
            match scenarios.iter_mut().find(|report| report.name == priced.name) {
                Some(report) => report.prices = priced.prices,
                None => scenarios.push(priced),
            }
        }
        for scenario in &mut scenarios {
            for case in &mut scenario.cases {
                let of_case = |traced: &&mut Traced| traced.scenario == scenario.name && traced.id == case.id;
                case.timeline = self.traced.iter_mut().find(of_case).map(|traced| std::mem::take(&mut traced.timeline));
            }
        }
        if !self.options.source.is_live() {
            // Nobody was watched, so nothing can be said of what watching costs.
            scenarios.iter_mut().flat_map(|scenario| &mut scenario.cases).for_each(|case| case.observer_ratio = None);
        }
        scenarios
    }
}
