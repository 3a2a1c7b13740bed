//! From cases to cases with guests: built, found, or copied.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::guest::{self, Artifact};
use crate::module;
use crate::places::Places;
use crate::plan::{Case, GuestSource};
use crate::runner::Prepared;
use crate::scenario::EngineSettings;
use crate::traps::{self, Check, Reserved};

/// Builds or finds the guest of every case. What cannot be built becomes a failed row.
pub(super) fn prepare(
    places: &Places,
    cases: Vec<Case>,
    scratch: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Prepared>> {
    let wanted: BTreeSet<_> = cases
        .iter()
        .filter_map(|case| match &case.guest {
            GuestSource::Built { flavour, workload } => Some((*flavour, workload.clone())),
            _ => None,
        })
        .collect();
    let built = guest::build(places, &wanted, say);
    let mut prepared = Vec::with_capacity(cases.len());
    for case in cases {
        let guest = match &case.guest {
            GuestSource::Built { flavour, workload } => built[&(*flavour, workload.clone())].clone(),
            GuestSource::File(path) => Ok(own_copy(path, scratch)?),
            GuestSource::Cargo(own) => guest::build_own(places, own, say).map_err(Into::into),
            GuestSource::Check(check) => Ok(brought_along(*check, case.engine.settings)),
            GuestSource::Experiment(experiment) => Ok(written(scratch, &experiment.workload(), experiment.guest())?),
            GuestSource::Trap { depth } => {
                Ok(written(scratch, &format!("depth-{depth}"), &traps::trapping_at(*depth))?)
            }
        };
        prepared.push(Prepared { case, guest, watch: true });
    }
    Ok(prepared)
}

/// A guest of this tool's own, assembled.
fn written(scratch: &Path, name: &str, text: &str) -> anyhow::Result<Artifact> {
    let path = scratch.join(format!("{name}.wasm"));
    fs::write(&path, module::assemble(text)?)?;
    Ok(Artifact::of_file(&path)?)
}

/// What a check's worker brings along, which is in no file.
fn brought_along(check: Check, settings: EngineSettings) -> Artifact {
    let (sha256, bytes) = check.fingerprint(Reserved::of(settings));
    Artifact { path: PathBuf::new(), sha256, bytes, toolchain: None, flags: None }
}

/// A file that somebody may change or delete while it is being measured is copied first; text is assembled.
fn own_copy(path: &Path, scratch: &Path) -> anyhow::Result<Artifact> {
    let name = path.with_extension("wasm");
    let copy = scratch.join(name.file_name().unwrap_or(OsStr::new("guest.wasm")));
    fs::write(&copy, module::read(path)?)?;
    Ok(Artifact::of_file(&copy)?)
}
