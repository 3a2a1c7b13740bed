//! The progress bar: a consumer of the runner's events, on stderr, and only on a terminal. Notes and warnings are lines above it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::calibrate::Step;
use crate::compare::live;
use crate::execute::{Note, Observer, Warning};
use crate::runner::Event;

pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        // indicatif draws nothing when stderr is not a terminal, and honours NO_COLOR.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is a constant: it parses, or no run ever shows a bar.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} workers  {elapsed} (left {eta})  {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// One that counts so many of `what`.
    pub(super) fn of(length: usize, what: &str) -> Self {
        let this = Self::new();
        let template = format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}} (left {{eta}})  {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            this.0.set_style(style);
        }
        this.0.set_length(length as u64);
        this.0.enable_steady_tick(Duration::from_millis(200));
        this
    }

    /// The next of them is this one.
    pub(super) fn next(&self, name: &str) {
        self.0.set_message(name.to_owned());
    }

    /// It is done.
    pub(super) fn done(&self) {
        self.0.inc(1);
    }

    pub(super) fn on_comparison(&self, event: &live::Event<'_>) {
        self.0.enable_steady_tick(Duration::from_millis(200));
        match event {
            live::Event::Learning { id } => self.0.set_message(format!("facts of {id}")),
            live::Event::Watching { id } => self.0.set_message(format!("what the kernel does for {id}")),
            live::Event::Process { id, process, open, confirming } => {
                let what = if *confirming { "confirming" } else { "not settled" };
                self.0.inc(1);
                self.0.set_message(format!("{open} {what}: {id}, worker {}", process + 1));
            }
        }
    }

    pub(super) fn on_step(&self, step: Step) {
        self.0.enable_steady_tick(Duration::from_millis(200));
        let (message, done, all) = match step {
            Step::Comparison(index, count) => ("a guest against itself".to_owned(), index, count),
            Step::Trial(slowdown, index, count) => (format!("slower by {:.1} %", slowdown * 100.0), index, count),
        };
        self.0.set_length(u64::from(all));
        self.0.set_position(u64::from(done));
        self.0.set_message(message);
    }

    /// A line that stays, above the bar.
    pub(super) fn say(&self, line: &str) {
        self.0.suspend(|| tell!("{line}"));
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Observer for Progress {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned { workers } => {
                self.0.set_length(*workers as u64);
                self.0.enable_steady_tick(Duration::from_millis(200));
            }
            Event::Started { id } => self.0.set_message((*id).to_owned()),
            Event::Recorded(_) => self.0.inc(1),
            Event::NotCounted { id, reason } => self.say(&format!("instructions of {id}: {reason}")),
            Event::CaptureFailed(error) => self.say(&error.to_string()),
        }
    }

    fn on_comparison(&mut self, event: &live::Event<'_>) {
        Self::on_comparison(self, event);
    }

    fn on_note(&mut self, note: &Note) {
        self.say(&note.to_string());
    }

    fn on_warning(&mut self, warning: &Warning) {
        self.say(&format!("warning: {warning}"));
    }
}
