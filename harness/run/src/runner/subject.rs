//! From a case with its guest to what a worker needs to know of it.

use std::io;
use std::path::{Path, PathBuf};

use super::Prepared;
use super::known::Known;
use wasiscope_guest::guest::NoGuest;
use wasiscope_model::code::Code;
use wasiscope_model::record::{Outcome, Status};
use wasiscope_scenario::plan::{GUEST_NAME, Input};
use wasiscope_sys::folder;
use wasiscope_worker::{Folder, GuestInput, Subject};

/// The part of a case's input that lies in files, where workers find it.
#[derive(Clone, Debug, Default)]
pub struct InputFiles {
    /// For each folder of the input, in the same order: the copy that every pass starts from; `None` for a shared one.
    pub originals: Vec<Option<PathBuf>>,
    /// What the guest reads from standard input.
    pub stdin: Option<PathBuf>,
}

/// What a worker needs to know of a case, with what is known of its guest already; `directory` is made if need be.
pub(super) fn subject(prepared: &Prepared, directory: &Path, known: Option<&Known>) -> Result<Subject, Outcome> {
    let Prepared { case, guest, .. } = prepared;
    let artifact = guest.as_ref().map_err(NoGuest::outcome)?;
    let failed = |place: &Path, error: io::Error| {
        let reason = format!("cannot make the guest's folder {}: {error}", place.display());
        Outcome::because(Status::Failed, Code::CannotWrite, reason)
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let folders = folders(prepared, directory).map_err(|(place, error)| failed(&place, error))?;
    // Folders and standard input are where the files were put.
    let Input {
        argv0,
        args,
        environment,
        directories: _,
        no_own_folder: _,
        stdin: _,
        invoke,
        start_first,
        stub_imports,
    } = case.input.clone();
    let (own_folder, stdin) = (case.input.has_own_folder(), prepared.files.stdin.clone());
    let input = GuestInput { args, environment, own_folder, folders, stdin, invoke, start_first, stub_imports };
    Ok(Subject {
        guest: artifact.path.clone(),
        native: case.is_native(),
        marked: known.is_some_and(|known| known.marked),
        traps_after: known.and_then(|known| known.traps_after),
        name: argv0.unwrap_or_else(|| GUEST_NAME.to_owned()),
        input,
        tells_output: case.expect.judges_output(),
        directory: directory.to_owned(),
        program: case.engine.program.map_or("", |program| program.name).to_owned(),
        engine: case.engine.opaque().unwrap_or_default(),
        code: None,
        limits: case.limits,
    })
}

/// The folders of a guest whose own folder is `directory`, with fresh copies beside it of those that are not shared.
fn folders(prepared: &Prepared, directory: &Path) -> Result<Vec<Folder>, (PathBuf, io::Error)> {
    let mut folders = Vec::new();
    for (index, given) in prepared.case.input.directories.iter().enumerate() {
        let original = prepared.files.originals.get(index).cloned().flatten();
        let place = match &original {
            Some(original) => {
                let mut name = directory.file_name().unwrap_or_default().to_owned();
                name.push(format!("-given-{index}"));
                let place = directory.with_file_name(name);
                let made = folder::remove(&place).and_then(|()| folder::copy(original, &place));
                made.map_err(|error| (place.clone(), error))?;
                place
            }
            None => given.host.clone(),
        };
        folders.push(Folder { place, guest: given.guest.clone(), original });
    }
    Ok(folders)
}
