//! What no single value of a scenario can know: whether they fit together, and whether what they name is there.

use std::path::Path;

use super::super::diagnostic::Problem;
use super::super::has_price;
use super::super::{Expectation, Flavour, Kind, OwnGuest, Part, Scenario};
use crate::kinds::traps::Share;

/// Whether what the scenario names is there.
pub(in crate::scenario) fn check_files(scenario: &Scenario, text: &str) -> Result<(), Problem> {
    let missing = |key, what: &str, path: &Path| {
        let message = format!("no {what} `{}` (paths are relative to this file)", path.display());
        Err(Problem::at_key(text, key, message))
    };
    match &scenario.own {
        Some(OwnGuest::Wasm(path)) if !path.is_file() => missing("wasm", "file", path),
        Some(OwnGuest::Cargo(own)) if !own.dir.join("Cargo.toml").is_file() => missing("cargo", "crate in", &own.dir),
        _ => Ok(()),
    }
}

/// Reads the files that hold what guests must write.
pub(in crate::scenario) fn read_expected(scenario: &mut Scenario, text: &str) -> Result<(), Problem> {
    scenario.expect.read_files().map_err(|(path, error)| {
        let message = format!("cannot read `{}`: {error} (paths are relative to this file)", path.display());
        Problem::at_key(text, "expect", message)
    })
}

/// What no single value can know: combinations.
pub(super) fn check_whole(scenario: &Scenario) -> Result<(), (&'static str, String)> {
    if scenario.name.is_empty() {
        return Err(("name", "a scenario needs a name".to_owned()));
    }
    // It names a folder of snapshots, and begins the names of tests and links.
    if scenario.name.starts_with('.') || scenario.name.contains(|c: char| c.is_control() || "/\\:".contains(c)) {
        let message =
            format!("`{}` cannot name a scenario: leave out `/`, `\\`, `:` and a `.` at its start", scenario.name);
        return Err(("name", message));
    }
    if scenario.kind != Kind::Workload {
        return check_parts(scenario);
    }
    let from_catalogue = !scenario.workloads.is_empty() || !scenario.flavours.is_empty();
    if scenario.own.is_some() && from_catalogue {
        let key = if scenario.workloads.is_empty() { "flavours" } else { "workloads" };
        return Err((key, "a scenario with a guest of its own has no workloads and no flavours".to_owned()));
    }
    if scenario.own.is_none() {
        for (key, is_missing) in
            [("workloads", scenario.workloads.is_empty()), ("flavours", scenario.flavours.is_empty())]
        {
            if is_missing {
                return Err((
                    "name",
                    format!("`{key}` is missing: name some, or bring a guest with `wasm` or `cargo`"),
                ));
            }
        }
        if scenario.stub_imports {
            return Err(("stub_imports", "`stub_imports` is for a guest of the scenario's own".to_owned()));
        }
        if !scenario.args.is_empty() {
            return Err((
                "args",
                "`args` are for a guest of the scenario's own; a workload has its size `n`".to_owned(),
            ));
        }
    }
    check_listed_once(scenario)?;
    if scenario.expect.trap && scenario.expect.check.is_some() {
        return Err(("expect", "a guest that traps prints no check: leave out `check` or `outcome`".to_owned()));
    }
    if scenario.expect.trap && scenario.expect.exit_code != 0 {
        return Err(("expect", "a guest that traps has no exit code: leave out `exit_code` or `outcome`".to_owned()));
    }
    if scenario.expect.check.is_some() && scenario.workloads.len() > 1 {
        return Err(("expect", "one `check` cannot fit several workloads: list one workload".to_owned()));
    }
    Ok(())
}

/// What a scenario can say that is made of parts.
fn check_parts(scenario: &Scenario) -> Result<(), (&'static str, String)> {
    let has = |part| scenario.parts.contains(&part);
    if scenario.kind == Kind::Pipeline && scenario.own.is_some() {
        if !scenario.flavours.is_empty() {
            return Err(("flavours", "a handler that is brought along has no flavours: leave them out".to_owned()));
        }
        if has(Part::Misbehaving) {
            return Err((
                "parts",
                "the part `misbehaving` brings its own handlers: leave out `wasm` and `cargo`".to_owned(),
            ));
        }
    } else if scenario.own.is_some() {
        let kind = scenario.kind.name();
        return Err((
            "kind",
            format!("a scenario of `kind: {kind}` brings its own guests: leave out `wasm` and `cargo`"),
        ));
    }
    for (key, is_there) in [
        ("args", !scenario.args.is_empty()),
        ("stub_imports", scenario.stub_imports),
        ("expect", scenario.expect != Expectation::default()),
    ] {
        if is_there {
            let kind = scenario.kind.name();
            return Err((
                key,
                format!("`{key}` is not for scenarios of `kind: {kind}`: what must come of them is known"),
            ));
        }
    }
    if let Some(other) = scenario.parts.iter().find(|part| !scenario.kind.parts().contains(part)) {
        let all: Vec<&str> = scenario.kind.parts().iter().map(|part| part.name()).collect();
        let (kind, other) = (scenario.kind.name(), other.name());
        return Err(("parts", format!("part `{other}` is none of `kind: {kind}`: write some of {}", all.join(", "))));
    }
    if let Some(part) = repeated(scenario.parts.iter().map(|part| part.name())) {
        return Err(("parts", format!("part `{part}` is listed twice")));
    }
    if scenario.share == Share::Full && !has(Part::Matrix) {
        return Err(("share", "`share` is that of the part `matrix`, which is not listed".to_owned()));
    }
    if !scenario.workloads.is_empty() && !has(Part::Price) {
        return Err(("workloads", "`workloads` are for the part `price`, which is not listed".to_owned()));
    }
    if !scenario.flavours.is_empty() && !scenario.parts.iter().any(|part| part.is_of_flavours()) {
        let parts = scenario.kind.parts().iter().filter(|part| part.is_of_flavours()).map(|part| part.name());
        let message =
            format!("`flavours` are for the parts {}, of which none is listed", parts.collect::<Vec<_>>().join(", "));
        return Err(("flavours", message));
    }
    // Others have no guests that make mistakes, and outside wasm there is no engine to ask.
    let can_be = |flavour: &Flavour| match scenario.kind {
        Kind::Scheduler => *flavour != Flavour::Native,
        // Others export no function of a program's.
        _ => matches!(flavour, Flavour::TinygoLike | Flavour::Std),
    };
    if let Some(other) = scenario.flavours.iter().find(|flavour| !can_be(flavour)) {
        let message =
            format!("flavour `{}` is not for this kind of scenario: write `tinygo-like` or `std`", other.name());
        return Err(("flavours", message));
    }
    if has(Part::Price) && !has_price(&scenario.engines) {
        let pair = if scenario.kind == Kind::Scheduler { "cranelift-epoch" } else { "cranelift-checked" };
        let message = format!(
            "the part `price` needs an engine that makes checks and one that is the same without: for example `cranelift` \
             and `{pair}`"
        );
        return Err(("parts", message));
    }
    check_listed_once(scenario)
}

/// Ids of cases must be unique.
fn check_listed_once(scenario: &Scenario) -> Result<(), (&'static str, String)> {
    if let Some(name) = repeated(scenario.workloads.iter().map(|workload| workload.name.as_str())) {
        return Err(("workloads", format!("workload `{name}` is listed twice: case ids would not be unique")));
    }
    if let Some(name) = repeated(scenario.flavours.iter().map(|flavour| flavour.name())) {
        return Err(("flavours", format!("flavour `{name}` is listed twice")));
    }
    if let Some(name) = repeated(scenario.engines.iter().map(|engine| engine.name.as_str())) {
        return Err(("engines", format!("engine `{name}` is listed twice: give each configuration its own name")));
    }
    Ok(())
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
