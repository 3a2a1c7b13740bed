//! `wasiscope suite`, by which the crate `wasiscope-test` makes tests of cases.

use std::io::{Write, stdout};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Exit;
use crate::code::code_of;
use crate::places::Places;
use crate::suite::{self, PROTOCOL};

const ABOUT: &str = "\
An answer is one JSON object on stdout, with `protocol`, the version of this format, and `wasiscope`, the version of this command. It has \
`error`, and the `code` of it, where the question could not be answered. Paths are absolute, or relative to the project's root.";

#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub(super) struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Every case of every scenario: its test's name, file, where the report of a measurement goes
    List,
    /// Run a case once, and compare its facts with snapshots/ and its budgets
    Facts {
        /// SCENARIO::WORKLOAD/FLAVOUR/ENGINE, as `list` names it
        test: String,
    },
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let answer = match &arguments.question {
        Question::List => serde_json::to_value(suite::list(places)).map_err(anyhow::Error::from),
        Question::Facts { test } => suite::facts(places, test).and_then(|facts| Ok(serde_json::to_value(facts)?)),
    };
    let (mut answer, exit) = match answer {
        Ok(answer) => (answer, Exit::Done),
        Err(error) => {
            let code = code_of(&error);
            (json!({"error": format!("{error:#}"), "code": code}), Exit::of(&error))
        }
    };
    answer["protocol"] = Value::from(PROTOCOL);
    answer["wasiscope"] = Value::from(env!("CARGO_PKG_VERSION"));
    // Not as people see it: whoever asks gets every character as it is.
    stdout().write_all(format!("{answer}\n").as_bytes())?;
    Ok(exit)
}
