//! `wasiscope build`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::{Exit, ListFormat, coded, print, say, selection, tell_error};
use crate::code::{Coded, code_of};
use crate::guest::{self, Artifact, NoGuest};
use crate::kinds;
use crate::places::Places;
use crate::plan::{self, Case, GuestSource};
use crate::record::{Facts, Status};
use crate::report::sizes;
use crate::scenario::Scenario;
use crate::{executable, module, names, units};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Scenario names or paths, or with --size paths of .wasm files [default: every scenario]
    #[arg(value_name = "SCENARIO")]
    names: Vec<OsString>,
    /// Print where the bytes are: sections, functions, crates, compressed sizes, imports, exports
    #[arg(long)]
    size: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// A guest that is there, with the name it is printed under.
struct Built {
    name: String,
    artifact: Artifact,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let is_guest = |name: &&OsString| selection::is_guest(places, name);
    let (files, names): (Vec<&OsString>, Vec<&OsString>) = arguments.names.iter().partition(is_guest);
    let mut exit = Exit::Done;
    let mut built = Vec::new();
    for file in &files {
        let wasm = module::read(Path::new(file))?;
        let name = names::escaped(file);
        module::validate(&wasm).with_context(|| name.clone())?;
        built.push(Built { name, artifact: Artifact::of_bytes(Path::new(file), &wasm) });
    }
    if files.is_empty() || !names.is_empty() {
        let scenarios = if names.is_empty() {
            kinds::read_folder(&places.scenarios())?
        } else {
            selection::named_scenarios(places, names)?
        };
        exit = build_scenarios(places, &scenarios, &mut built);
    }
    let mut documents = Vec::new();
    for Built { name, artifact } in &built {
        let facts = if arguments.size { ledger(artifact).with_context(|| name.clone())? } else { Facts::new() };
        match arguments.format {
            ListFormat::Json => documents.push(document(name, artifact, facts)),
            ListFormat::Table if arguments.size => print(&(sizes::render(name, &facts) + "\n"))?,
            ListFormat::Table => print(&format!(
                "{name}  {}  {}  {} B ({})\n",
                names::escaped(artifact.path.as_os_str()),
                artifact.sha256,
                artifact.bytes,
                units::bytes(artifact.bytes),
            ))?,
        }
    }
    if arguments.format == ListFormat::Json {
        print(&format!("{:#}\n", Value::from(documents)))?;
    }
    Ok(exit)
}

fn build_scenarios(places: &Places, scenarios: &[Scenario], built: &mut Vec<Built>) -> Exit {
    let priced = scenarios.iter().flat_map(Scenario::prices).map(|(guard, _)| guard);
    let wanted: BTreeSet<_> = scenarios
        .iter()
        .flat_map(Scenario::cases)
        .chain(priced)
        .filter_map(|case| match case.guest {
            GuestSource::Built { flavour, workload } => Some((flavour, workload)),
            _ => None,
        })
        .collect();
    let mut exit = Exit::Done;
    let mut cases: Vec<Case> = scenarios.iter().flat_map(Scenario::cases).collect();
    plan::tell_apart(&mut cases);
    let named = |case: Case| (format!("{}/{}", case.workload, case.flavour), case.guest);
    let mut own: Vec<(String, GuestSource)> = cases.into_iter().map(named).collect();
    own.dedup();
    for (name, guest) in own {
        let artifact = match guest {
            // Built with all others below, or made when it is run.
            GuestSource::Built { .. } | GuestSource::Written { .. } | GuestSource::Modules => continue,
            GuestSource::File(path) => {
                let read = module::read(&path).map(|wasm| Artifact::of_bytes(&path, &wasm));
                read.map_err(|error| (code_of(&error), error.to_string()))
            }
            GuestSource::Cargo(own) => {
                let artifact = guest::build_own(places, &own, &mut |line| tell!("{line}"));
                artifact.map_err(|error| (Some(error.code()), error.to_string()))
            }
            GuestSource::Command(own) => {
                let built = guest::run_command(&own, &mut |line| tell!("{line}"));
                built.map_err(|error| (Some(error.code()), error.to_string()))
            }
        };
        match artifact {
            Ok(artifact) => built.push(Built { name, artifact }),
            Err((code, reason)) => {
                say(&coded(code, &format!("{name}: {reason}")));
                exit = Exit::CaseFailed;
            }
        }
    }
    for ((flavour, workload), result) in guest::build(places, &wanted, &mut |line| tell!("{line}")) {
        let name = format!("{workload}/{}", flavour.name());
        match result {
            Ok(artifact) => built.push(Built { name, artifact }),
            Err(NoGuest { status: Status::Skipped, reason, .. }) => tell!("skipped: {name}: {reason}"),
            Err(NoGuest { code, reason, .. }) => {
                tell_error(code, &format!("{name}: {reason}"));
                exit = Exit::CaseFailed;
            }
        }
    }
    exit
}

/// What the bytes alone say, of wasm and of native executables alike.
fn ledger(artifact: &Artifact) -> anyhow::Result<Facts> {
    let bytes = module::read(&artifact.path)?;
    if bytes.starts_with(b"\x7fELF") {
        return executable::facts(&bytes).map_err(anyhow::Error::msg);
    }
    Ok(module::facts(&bytes)?)
}

fn document(name: &str, artifact: &Artifact, facts: Facts) -> Value {
    json!({
        "name": name,
        "path": names::escaped(artifact.path.as_os_str()),
        "sha256": artifact.sha256,
        "bytes": artifact.bytes,
        "toolchain": artifact.toolchain,
        "flags": artifact.flags,
        "facts": facts,
    })
}
