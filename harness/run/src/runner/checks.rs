//! Checks: cases without a guest, of which one worker says all there is to say.

use std::path::Path;

use super::judge::judge_death;
use super::{Death, Prepared, Runner, label};
use wasiscope_capture::KernelEvents;
use wasiscope_kinds as kinds;
use wasiscope_model::code::Code;
use wasiscope_model::record::{CheckRecord, Failure, Outcome, Record, Status, Totals};
use wasiscope_scenario::plan::Case;
use wasiscope_worker::{Message, Request, Subject, Task};

/// Most failures that a report tells of one by one.
const FAILURES_SHOWN: usize = 10;

impl Runner<'_> {
    /// Runs a check in a worker, watched if there is capture, and records what it came to.
    pub(super) fn check(&mut self, index: usize, prepared: &Prepared) {
        let id = prepared.case.id();
        (self.on_event)(super::Event::Started { id: &id });
        let mut totals = Totals::default();
        let (outcome, kernel) = match self.check_request(prepared, false) {
            Ok(request) => self.checked(prepared, &request, &mut totals),
            Err(outcome) => (outcome, None),
        };
        let record = Record::Check(CheckRecord { case: index, id, outcome, totals, kernel });
        (self.on_event)(super::Event::Recorded(&record));
    }

    fn checked(
        &mut self,
        prepared: &Prepared,
        request: &Request,
        totals: &mut Totals,
    ) -> (Outcome, Option<KernelEvents>) {
        let (run, kernel) = self.watch(request, &label(prepared, &"check"));
        for message in &run.messages {
            if let Message::Checked(part) = message {
                add(totals, part);
            }
        }
        let refused = run.messages.iter().any(|message| matches!(message, Message::Refused { .. }));
        if run.death.is_some() || refused {
            let mut outcome = judge_death(&run, &prepared.case);
            let how = match &run.death {
                Some(Death::Lost(how)) => Some(how.clone()),
                Some(Death::TimedOut(_)) => outcome.detail.clone(),
                Some(Death::Interrupted) | None => None,
            };
            if let Some(how) = how {
                outcome.detail = Some(match self.culprit(prepared) {
                    Some(what) => {
                        let detail = format!("{how}; what it was at: {what}");
                        totals.failures.push(Failure {
                            expected: "a trap, or none, and a process that lives".to_owned(),
                            got: how,
                            wat: reproduction(&prepared.case, &what),
                            what,
                        });
                        detail
                    }
                    None => format!("{how}; what it was at is not known: it did not die again"),
                });
            }
            // What was found until then does not get lost by how it ended.
            let so_far = judge(totals);
            let outcome = if so_far.status == Status::Failed && outcome.expected { so_far } else { outcome };
            return (outcome, kernel);
        }
        (judge(totals), kernel)
    }

    /// What a worker was at when it died: it is run once more, and says before everything what it is about to do.
    fn culprit(&mut self, prepared: &Prepared) -> Option<String> {
        let request = self.check_request(prepared, true).ok()?;
        let run = self.workers.run(&request, None);
        run.death?;
        run.messages.into_iter().rev().find_map(|message| match message {
            Message::Trying { what } => Some(what),
            _ => None,
        })
    }

    fn check_request(&self, prepared: &Prepared, slowly: bool) -> Result<Request, Outcome> {
        let subject = subject(prepared, &self.settings.scratch.join("guest"))?;
        let (kind, spec) = (prepared.case.kind.to_owned(), prepared.case.spec.clone());
        let task = Task::Check { kind, spec, planted: self.settings.planted.clone(), slowly };
        Ok(Request::new(subject, self.settings.cpus.first().copied(), task))
    }
}

/// What was tried under this name as a command, if there is one that does it.
fn reproduction(case: &Case, name: &str) -> Option<String> {
    kinds::of(case.kind).reproduction(&case.spec, &case.engine, name)
}

/// What the worker of a check needs to know of its case.
fn subject(prepared: &Prepared, directory: &Path) -> Result<Subject, Outcome> {
    let subject = super::subject(prepared, directory, None)?;
    Ok(Subject { name: prepared.case.workload.clone(), ..subject })
}

fn add(totals: &mut Totals, part: &Totals) {
    for (name, tally) in &part.tallies {
        totals.tallies.entry(name.clone()).or_default().add(*tally);
    }
    totals.caught.add(part.caught);
    for (phase, count) in &part.entered {
        let sum = totals.entered.entry(*phase).or_default();
        *sum = sum.saturating_add(*count);
    }
    for (reason, count) in &part.unsupported {
        let sum = totals.unsupported.entry(reason.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    totals.facts.extend(part.facts.clone());
    let room = FAILURES_SHOWN.saturating_sub(totals.failures.len());
    totals.failures.extend(part.failures.iter().take(room).cloned());
}

/// What all parts together came to.
fn judge(totals: &Totals) -> Outcome {
    let all = totals.all();
    if all.tried == 0 {
        let reasons: Vec<&str> = totals.unsupported.keys().map(String::as_str).collect();
        let detail = if reasons.is_empty() { "nothing was tried".to_owned() } else { reasons.join("; ") };
        let expected = !reasons.is_empty();
        let code = if expected { Code::NotOffered } else { Code::NothingTried };
        return Outcome { expected, ..Outcome::because(Status::Skipped, code, format!("not offered: {detail}")) };
    }
    if all.passed == all.tried {
        return Outcome::ok();
    }
    let Some(wrong) = all.tried.checked_sub(all.passed) else {
        let detail = format!("the worker says that {} of {} are as they must be", all.passed, all.tried);
        return Outcome::because(Status::Failed, Code::WrongCounts, detail);
    };
    let first = totals.failures.first().map(|failure| format!("; first {}: {}", failure.what, failure.got));
    Outcome::because(
        Status::Failed,
        Code::CheckFailed,
        format!("{wrong} of {} are not as they must be{}", all.tried, first.unwrap_or_default()),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use wasiscope_model::record::Tally;

    fn totals(tried: u64, passed: u64, unsupported: u64) -> Totals {
        let reasons = BTreeMap::from([("threads are not enabled".to_owned(), unsupported)]);
        Totals {
            tallies: BTreeMap::from([("i32.load".to_owned(), Tally { tried, passed, unsupported })]),
            unsupported: reasons.into_iter().filter(|(_, count)| *count > 0).collect(),
            ..Totals::default()
        }
    }

    #[test]
    fn one_cell_that_is_wrong_is_a_failed_row() {
        assert_eq!(judge(&totals(10, 10, 0)), Outcome::ok());
        assert_eq!(judge(&totals(10, 10, 5)), Outcome::ok());
        let failed = judge(&totals(10, 9, 0));
        assert_eq!((failed.status, failed.code, failed.expected), (Status::Failed, Some(Code::CheckFailed), false));
    }

    #[test]
    fn more_that_passed_than_was_tried_is_a_failed_row() {
        let failed = judge(&totals(1, u64::MAX, 0));
        assert_eq!((failed.status, failed.expected), (Status::Failed, false));
        let mut sum = totals(u64::MAX, u64::MAX, u64::MAX);
        add(&mut sum, &totals(u64::MAX, 1, 1));
        assert_eq!((sum.all().tried, sum.all().passed), (u64::MAX, u64::MAX));
    }

    #[test]
    fn what_an_engine_does_not_offer_is_skipped_and_says_why() {
        let skipped = judge(&totals(0, 0, 7));
        assert_eq!((skipped.status, skipped.code, skipped.expected), (Status::Skipped, Some(Code::NotOffered), true));
        assert!(skipped.detail.is_some_and(|detail| detail.contains("threads are not enabled")));
        let nothing = judge(&Totals::default());
        assert_eq!((nothing.code, nothing.expected), (Some(Code::NothingTried), false));
    }
}
