//! What no single value of a scenario can know: whether they fit together, and whether what they name is there.

use std::path::Path;

use super::super::diagnostic::Problem;
use super::super::kind::Common;
use super::super::{OwnGuest, Scenario};

/// Whether what the scenario names is there.
pub(crate) fn check_files(scenario: &Scenario) -> Result<(), Problem> {
    let missing = |key, what: &str, path: &Path| {
        let message = format!("no {what} `{}` (paths are relative to this file)", path.display());
        Err(Problem::of_key(key, message))
    };
    match &scenario.own {
        Some(OwnGuest::Wasm(path)) if !path.is_file() => missing("wasm", "file", path),
        Some(OwnGuest::Cargo(own)) if !own.dir.join("Cargo.toml").is_file() => missing("cargo", "crate in", &own.dir),
        _ => Ok(()),
    }
}

/// Reads the files that hold what guests must write.
pub(crate) fn read_expected(scenario: &mut Scenario) -> Result<(), Problem> {
    scenario.expect.read_files().map_err(|(path, error)| {
        let message = format!("cannot read `{}`: {error} (paths are relative to this file)", path.display());
        Problem::of_key("expect", message)
    })
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
