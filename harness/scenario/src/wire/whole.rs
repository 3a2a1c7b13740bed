//! What no single value of a scenario can know: whether they fit together, and whether what they name is there.

use std::io;
use std::path::Path;

use wasiscope_sys::files;

use super::super::diagnostic::Problem;
use super::super::kind::Common;
use super::super::{OwnSource, Scenario};

/// Whether what the scenario names is there.
pub(crate) fn check_files(scenario: &Scenario) -> Result<(), Problem> {
    let missing = |key, what: &str, path: &Path| {
        let message = format!("no {what} `{}` (paths are relative to this file)", path.display());
        Err(Problem::of_key(key, message))
    };
    for guest in &scenario.own {
        match &guest.source {
            OwnSource::Wasm(path) if !path.is_file() => return missing("wasm", "file", path),
            OwnSource::Cargo(own) if !own.dir.join("Cargo.toml").is_file() => {
                return missing("cargo", "crate in", &own.dir);
            }
            OwnSource::Command(own) if !own.dir.is_dir() => return missing("command", "folder", &own.dir),
            _ => {}
        }
    }
    match scenario.input.directories.iter().find(|folder| !folder.host.is_dir()) {
        Some(folder) => missing("dir", "folder", &folder.host),
        None => Ok(()),
    }
}

/// Reads what guests are given as standard input, and the files that hold what they must write.
pub(crate) fn read_files(scenario: &mut Scenario) -> Result<(), Problem> {
    let unreadable = |key, path: &Path, error: &io::Error| {
        let message = format!("cannot read `{}`: {error} (paths are relative to this file)", path.display());
        Problem::of_key(key, message)
    };
    if let Some(path) = &scenario.stdin {
        let bytes = files::read(path).map_err(|error| unreadable("stdin", path, &error))?;
        scenario.input.stdin = Some(bytes.into());
    }
    scenario.expect.read_files().map_err(|(path, error)| unreadable("expect", &path, &error))
}

/// A name ends up in ids, links and the names of folders.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() {
        return Err(Problem::of_key("name", "a scenario needs a name".to_owned()));
    }
    // It names a folder of snapshots, and begins the names of tests and links.
    if name.starts_with('.') || name.contains(|c: char| c.is_control() || "/\\:".contains(c)) {
        let message = format!("`{name}` cannot name a scenario: leave out `/`, `\\`, `:` and a `.` at its start");
        return Err(Problem::of_key("name", message));
    }
    Ok(())
}

/// Ids of cases must be unique.
pub(super) fn check_listed_once(common: &Common) -> Result<(), Problem> {
    if let Some(name) = repeated(common.workloads.iter().flatten().map(|workload| workload.name.as_str())) {
        return Err(Problem::of_key(
            "workloads",
            format!("workload `{name}` is listed twice: case ids would not be unique"),
        ));
    }
    if let Some(name) = repeated(common.flavours.iter().flatten().map(|flavour| flavour.name())) {
        return Err(Problem::of_key("flavours", format!("flavour `{name}` is listed twice")));
    }
    if let Some(name) = repeated(common.engines.iter().map(|engine| engine.name.as_str())) {
        return Err(Problem::of_key(
            "engines",
            format!("engine `{name}` is listed twice: give each configuration its own name"),
        ));
    }
    Ok(())
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
