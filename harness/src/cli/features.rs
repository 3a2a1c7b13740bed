//! Options and verbs that a binary may be built without.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Each with its feature, and whether this binary has that.
const OF_FEATURES: &[(&str, &str, bool)] = &[
    ("html", "html", cfg!(feature = "html")),
    ("--html", "html", cfg!(feature = "html")),
    ("--otlp", "otlp", cfg!(feature = "otlp")),
    ("--parquet", "parquet", cfg!(feature = "parquet")),
];

/// Names the feature, where an option or a verb is unknown only for want of it; any other error is as it was.
pub(super) fn explained(command: &mut Command, error: clap::Error) -> clap::Error {
    let unknown = match error.kind() {
        ErrorKind::UnknownArgument => error.get(ContextKind::InvalidArg),
        ErrorKind::InvalidSubcommand => error.get(ContextKind::InvalidSubcommand),
        _ => None,
    };
    let Some(ContextValue::String(word)) = unknown else { return error };
    let missing = OF_FEATURES.iter().find(|(name, _, is_there)| name == word && !is_there);
    match missing {
        Some((name, feature, _)) => command.error(
            error.kind(),
            format!("this binary was built without `{name}`: install wasiscope with `--features {feature}`"),
        ),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::parse::parse;
    use super::*;

    #[test]
    fn what_a_feature_adds_is_there_or_the_error_names_the_feature() {
        for (word, feature, is_there) in OF_FEATURES {
            let of_option = ["wasiscope", "run", word, "http://localhost"];
            let of_verb = ["wasiscope", word, "report.json", "--out=pages"];
            let words = if word.starts_with("--") { of_option } else { of_verb };
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            match parse(&words) {
                Ok(_) => assert!(is_there, "{word}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(!is_there && said.contains(&format!("with `--features {feature}`")), "{word}: {said}");
                }
            }
        }
    }
}
