//! `wasiscope build`.

use std::collections::BTreeSet;

use clap::Args;

use super::{Exit, print, selection};
use crate::guest::{self, NoGuest};
use crate::places::Places;
use crate::plan::{self, GuestSource};
use crate::record::Status;
use crate::units;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Scenario names or paths [default: every scenario]
    scenarios: Vec<String>,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let scenarios = if arguments.scenarios.is_empty() {
        crate::scenario::read_folder(&places.scenarios())?
    } else {
        selection::named_scenarios(places, &arguments.scenarios)?
    };
    let wanted: BTreeSet<_> = scenarios
        .iter()
        .flat_map(plan::matrix)
        .filter_map(|case| match case.guest {
            GuestSource::Built { flavour, workload } => Some((flavour, workload)),
            GuestSource::File(_) => None,
        })
        .collect();
    let built = guest::build(places, &wanted, &mut |line| eprintln!("{line}"));
    let mut exit = Exit::Done;
    for ((flavour, workload), result) in &built {
        match result {
            Ok(artifact) => print(&format!(
                "{workload}/{}  {}  {}  {} B ({})\n",
                flavour.name(),
                artifact.path.display(),
                artifact.sha256,
                artifact.bytes,
                units::bytes(artifact.bytes),
            ))?,
            Err(NoGuest { status: Status::Skipped, reason }) => {
                eprintln!("skipped: {workload}/{}: {reason}", flavour.name());
            }
            Err(NoGuest { reason, .. }) => {
                eprintln!("error: {workload}/{}: {reason}", flavour.name());
                exit = Exit::CaseFailed;
            }
        }
    }
    Ok(exit)
}
