//! The one place where the code of an error is found again.

use std::error::Error;

use wasiscope_capture::CaptureError;
use wasiscope_guest::guest::GuestError;
use wasiscope_guest::module::ModuleError;
use wasiscope_model::code::{Code, Coded, CodedError};
use wasiscope_scenario::ScenarioError;
use wasiscope_sys::destination::DestinationError;
use wasiscope_sys::git::GitError;
use wasiscope_sys::report_file::ReadError;

use crate::execute::ExecuteError;
use crate::execute::source::NotRecorded;
use crate::history::HistoryError;
use crate::merge::Conflict;
use crate::snapshot::SnapshotError;

/// Every type of error with codes. Renderings turn theirs into a [`CodedError`] where they are called.
const TYPES: &[fn(&(dyn Error + 'static)) -> Option<Code>] = &[
    |error| error.downcast_ref().map(CodedError::code),
    |error| error.downcast_ref().and_then(of_run),
    of::<CaptureError>,
    of::<Conflict>,
    of::<DestinationError>,
    of::<GitError>,
    of::<GuestError>,
    of::<HistoryError>,
    of::<ModuleError>,
    of::<NotRecorded>,
    of::<ReadError>,
    of::<ScenarioError>,
    of::<SnapshotError>,
];

fn of<E: Coded + 'static>(error: &(dyn Error + 'static)) -> Option<Code> {
    error.downcast_ref::<E>().map(E::code)
}

/// Of a run without a report.
fn of_run(error: &ExecuteError) -> Option<Code> {
    match error {
        ExecuteError::Prepare(error) => code_of(error),
        ExecuteError::NotRecorded(error) => Some(error.code()),
        ExecuteError::NothingMeasured => Some(Code::Interrupted),
        ExecuteError::Journal(_) => Some(Code::CannotWrite),
    }
}

/// The code of an error: that of the outermost of its causes that has one.
#[must_use]
pub fn code_of(error: &anyhow::Error) -> Option<Code> {
    error.chain().find_map(|cause| TYPES.iter().find_map(|code| code(cause)))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_code_is_found_behind_contexts() {
        let error = Err::<(), _>(ModuleError::LfsPointer).context("a.wat").context("--stdin").unwrap_err();
        assert_eq!(code_of(&error), Some(Code::LfsPointer));
        let coded = anyhow::Error::new(Code::SameName.error(anyhow!("a").context("b"))).context("c");
        assert_eq!((code_of(&coded), format!("{coded:#}").as_str()), (Some(Code::SameName), "c: b: a"));
        assert_eq!(code_of(&anyhow!("a")), None);
    }

    #[test]
    fn a_run_that_cannot_begin_has_the_code_of_its_cause() {
        let error = ExecuteError::from(anyhow::Error::new(ModuleError::Component).context("a.wasm"));
        assert_eq!(code_of(&error.into()), Some(Code::Component));
    }
}
