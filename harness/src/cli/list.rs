//! `wasiscope list`.

use std::fmt::Write;

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;
use wasiscope_workloads::WORKLOADS;

use super::{Exit, ListFormat, print};
use crate::guest;
use crate::places::Places;
use crate::scenario::{Flavour, engine};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    // Without a project, engines, flavours and workloads are what there is.
    let folder = places.scenarios();
    let scenarios = if folder.exists() { crate::kinds::read_folder(&folder)? } else { Vec::new() };
    let text = match arguments.format {
        ListFormat::Json => {
            let document = json!({
                "scenarios": scenarios.iter().map(|scenario| json!({
                    "name": scenario.name,
                    "description": scenario.description,
                    "default": scenario.default,
                })).collect::<Vec<_>>(),
                "workloads": WORKLOADS.iter().map(|workload| json!({
                    "name": workload.name,
                    "summary": workload.summary,
                    "default_n": workload.default_n,
                    "flavours": flavours(places, workload.name),
                })).collect::<Vec<_>>(),
                "flavours": Flavour::ALL.map(|flavour| json!({
                    "name": flavour.name(),
                    "summary": flavour.summary(),
                })),
                "engines": engine::presets().map(|(program, preset)| json!({
                    "name": preset.name,
                    "program": program.name,
                    "summary": preset.summary,
                    "settings": preset.settings,
                })).collect::<Vec<_>>(),
            });
            format!("{document:#}\n")
        }
        ListFormat::Table => {
            let mut text = String::new();
            let rows = scenarios.iter().map(|scenario| {
                let mark = if scenario.default { " (default)" } else { "" };
                (scenario.name.clone(), format!("{}{mark}", scenario.description))
            });
            let none = ("(none)".to_owned(), format!("there is no folder {}", folder.display()));
            let none = scenarios.is_empty().then_some(none);
            section(&mut text, "scenarios", rows.chain(none));
            section(
                &mut text,
                "workloads",
                WORKLOADS.iter().map(|workload| {
                    let flavours = flavours(places, workload.name).join(", ");
                    let flavours = if flavours.is_empty() { String::new() } else { format!("; {flavours}") };
                    let size = format!("[n = {}{flavours}]", workload.default_n);
                    (workload.name.to_owned(), format!("{} {size}", workload.summary))
                }),
            );
            section(
                &mut text,
                "flavours",
                Flavour::ALL.into_iter().map(|flavour| (flavour.name().to_owned(), flavour.summary().to_owned())),
            );
            section(
                &mut text,
                "engines",
                engine::presets().map(|(_, preset)| (preset.name.to_owned(), preset.summary.to_owned())),
            );
            text
        }
    };
    print(&text)?;
    Ok(Exit::Done)
}

/// The flavours that a workload is to be had in.
fn flavours(places: &Places, workload: &str) -> Vec<&'static str> {
    guest::flavours_of(places, workload).into_iter().map(Flavour::name).collect()
}

fn section(text: &mut String, title: &str, rows: impl Iterator<Item = (String, String)>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    for (name, summary) in rows {
        table.add_row([name, summary]);
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{title}\n{}\n", table.trim_fmt());
}
