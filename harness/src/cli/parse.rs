//! From the words of the command line to a verb: which of them is not UTF-8, and how the same run is asked for again.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use super::{Cli, features, sinks, telemetry};
use crate::names;
use crate::report::Report;
use crate::report::document::Invocation;

/// Where results go and how they are printed is no part of a run, nor is what goes into a file of its own.
fn is_output(id: &str) -> bool {
    let outputs = ["out", "capture_save", "format"].into_iter().chain(telemetry::OPTION);
    outputs.chain(sinks::options::<Report>()).any(|option| option == id)
}

/// Reads the command line. `run` knows afterwards how it was asked for.
///
/// # Errors
/// When it is none of wasiscope's, or asks for help; [`clap::Error::exit`] prints it and ends the process.
pub(super) fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(words).map_err(|error| match error.kind() {
        ErrorKind::InvalidUtf8 => not_utf8(&mut command, words),
        _ => features::explained(&mut command, error),
    })?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if let Some(("run", matches)) = matches.subcommand() {
        command.build();
        if let Some(run) = command.find_subcommand("run") {
            cli.set_invocation(invocation(run, matches));
        }
    }
    Ok(cli)
}

/// Says which word is not UTF-8, where it would have to be: clap does not.
fn not_utf8(command: &mut Command, words: &[OsString]) -> clap::Error {
    let is_text = |word: &OsString| word.to_str().is_some();
    let replaced = |word: &OsString| OsString::from(word.to_string_lossy().into_owned());
    // Names of files may be of any bytes. A word is at fault if it alone is as it was, and the same is said.
    let is_at_fault = |command: &mut Command, fault: usize| {
        let alone = words.iter().enumerate().map(|(at, word)| if at == fault { word.clone() } else { replaced(word) });
        command.try_get_matches_from_mut(alone).is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8)
    };
    let suspects: Vec<usize> = (0..words.len()).filter(|at| !is_text(&words[*at])).collect();
    let at_fault = suspects.iter().copied().find(|at| is_at_fault(command, *at)).or(suspects.first().copied());
    let which = at_fault.map_or_else(String::new, |at| {
        let before =
            at.checked_sub(1).map(|before| &words[before]).filter(|word| word.as_encoded_bytes().starts_with(b"-"));
        let before = before.map(|option| format!(" after `{}`", names::escaped(option))).unwrap_or_default();
        format!("argument {at}, `{}`{before}, ", names::escaped(&words[at]))
    });
    command.error(
        ErrorKind::InvalidUtf8,
        format!("{which}is not UTF-8: only names of files and folders may be of any bytes"),
    )
}

/// How this run is asked for once more: its options as they were given, but for those that say where results go.
fn invocation(run: &Command, matches: &ArgMatches) -> Invocation {
    let (mut options, mut positionals, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for argument in run.get_arguments() {
        let id = argument.get_id().as_str();
        if is_output(id) || matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = || matches.get_raw(id).into_iter().flatten();
        let Some(long) = argument.get_long() else {
            let into = if argument.is_last_set() { &mut last } else { &mut positionals };
            into.extend(values().map(names::shell_word));
            continue;
        };
        if !argument.get_action().takes_values() {
            options.push(format!("--{long}"));
            continue;
        }
        for value in values() {
            options.push(option(long, value));
        }
    }
    if !last.is_empty() {
        last.insert(0, "--".to_owned());
    }
    let folder = env::current_dir().map(|folder| names::shell_word(folder.as_os_str()));
    Invocation { folder: folder.unwrap_or_default(), options, operands: [positionals, last].concat() }
}

/// An option with its value, in one word where the value would be taken for another option.
fn option(long: &str, value: &OsStr) -> String {
    if value.is_empty() || value.as_encoded_bytes().starts_with(b"-") {
        let mut word = OsString::from(format!("--{long}="));
        word.push(value);
        return names::shell_word(&word);
    }
    format!("--{long} {}", names::shell_word(value))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn error(words: &[&[u8]]) -> String {
        let words: Vec<OsString> = words.iter().map(|word| OsString::from_vec(word.to_vec())).collect();
        parse(&words).unwrap_err().to_string()
    }

    #[test]
    fn the_argument_that_is_not_utf8_is_named() {
        let said = error(&[b"wasiscope", b"run", b"a\xfe.wasm", b"--arg", b"x\xff"]);
        assert!(said.contains("argument 4, `x\\xff` after `--arg`, is not UTF-8"), "{said}");
        let said = error(&[b"wasiscope", b"run", b"a\xfe.wasm", b"--env=A=\xff"]);
        assert!(said.contains("argument 3, `--env=A=\\xff`, is not UTF-8"), "{said}");
    }

    #[test]
    fn a_run_is_asked_for_again_with_what_decides_it() {
        let words = [
            "wasiscope",
            "run",
            "--out",
            "r.json",
            "my guest.wasm",
            "--arg=-x",
            "--arg",
            "it's",
            "--env",
            "A=1",
            "--no-dir",
            "--root",
            "/p",
            "--processes",
            "2",
            "--format",
            "json",
            "--",
            "more",
        ];
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let cli = parse(&words).unwrap();
        let asked = cli.invocation().unwrap();
        let mut options = asked.options.clone();
        options.sort();
        assert_eq!(options, ["--arg 'it'\\''s'", "--arg=-x", "--env A=1", "--no-dir", "--processes 2", "--root /p"]);
        assert_eq!(asked.operands, ["'my guest.wasm'", "--", "more"]);
    }
}
