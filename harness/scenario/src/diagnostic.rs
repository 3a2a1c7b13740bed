//! Errors that point into a scenario file and name what was probably meant.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use wasiscope_model::code::{Code, Coded};

/// Why a scenario cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file has a mistake. The text says where it is, shows the line, and says what to write instead.
    #[error("{text}")]
    Invalid {
        /// What kind of mistake it is.
        code: Code,
        /// The whole message.
        text: String,
    },
    /// The file exists but cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// The file is something else.
    #[error("cannot read {}: {reason}", path.display())]
    NotAScenario {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// A path was given and nothing is there.
    #[error("no scenario file {}", .0.display())]
    NoFile(PathBuf),
    /// The folder of scenarios is not there.
    #[error(
        "no scenario folder {} ({reason}): run inside a project that has one, name the project with --root, or give \
         the path of a scenario or a .wasm file",
        path.display()
    )]
    NoFolder {
        /// What was looked for in it, where it was one scenario.
        name: Option<String>,
        /// Where it was looked for.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// Two files say the same name, which begins the ids of both.
    #[error("{} and {} are both named `{name}`: give one another name", one.display(), other.display())]
    SameName {
        /// The name.
        name: String,
        /// A file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
    },
    /// A name was given that no file has.
    #[error("no scenario `{name}`{}; there are: {}", did_you_mean(nearest.as_deref()), present.join(", "))]
    NoScenario {
        /// The name given.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
        /// Every name that exists.
        present: Vec<String>,
    },
}

impl Coded for ScenarioError {
    fn code(&self) -> Code {
        match self {
            Self::Invalid { code, .. } => *code,
            Self::Unreadable { reason, .. } => Code::of_read(reason),
            Self::NotAScenario { .. } => Code::NotAScenario,
            Self::NoFile(_) => Code::NoSuchFile,
            Self::NoFolder { .. } => Code::NoScenarioFolder,
            Self::SameName { .. } => Code::SameName,
            Self::NoScenario { .. } => Code::NoSuchScenario,
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// The candidate that a person who typed `name` most likely meant; `None` when nothing is close.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.4)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// A problem at a place in a text, not yet tied to a file.
#[derive(Debug)]
pub struct Problem {
    message: String,
    place: Place,
}

/// Where in a text it is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Nowhere that could be pointed at.
    Nowhere,
    /// Line and column, both from 1.
    At(usize, usize),
    /// At a key: the first that is called so, at the top level if there is one.
    Key(&'static str),
}

impl Problem {
    /// From an error of the YAML reader. Its own mention of the place is cut off: the rendering shows it better.
    pub(super) fn of_yaml(error: &serde_yaml::Error) -> Self {
        let message = error.to_string();
        let Some(location) = error.location() else { return Self { message, place: Place::Nowhere } };
        let (line, column) = (location.line(), location.column());
        let suffix = format!(" at line {line} column {column}");
        Self { message: message.strip_suffix(&suffix).unwrap_or(&message).to_owned(), place: Place::At(line, column) }
    }

    /// At a key, for what is wrong with a combination of values.
    #[must_use]
    pub const fn of_key(key: &'static str, message: String) -> Self {
        Self { message, place: Place::Key(key) }
    }

    /// The key that the reader did not know, if that is what is wrong.
    pub(super) fn unknown_key(&self) -> Option<&str> {
        quoted(self.message.strip_prefix("unknown field ")?).next()
    }

    /// Serde and this crate say `unknown field`, or `unknown` and what the name is of, behind the path of the value if it has one.
    fn code(&self) -> Code {
        let behind_path = self.message.split_once(": ").filter(|(path, _)| !path.contains(' ')).map(|(_, rest)| rest);
        match behind_path.unwrap_or(&self.message).strip_prefix("unknown ") {
            Some(rest) if rest.starts_with("field ") => Code::UnknownKey,
            Some(_) => Code::UnknownName,
            None => Code::InvalidScenario,
        }
    }

    /// The same place with other words.
    pub(super) fn with_message(self, message: String) -> Self {
        Self { message, ..self }
    }

    /// Line and column in the text.
    fn line_and_column(&self, text: &str) -> Option<(usize, usize)> {
        match self.place {
            Place::Nowhere => None,
            Place::At(line, column) => Some((line, column)),
            Place::Key(key) => place_of_key(text, key),
        }
    }

    pub(super) fn in_file(self, path: &Path, text: &str) -> ScenarioError {
        let suggestion = suggestion(&self.message);
        let path = path.display().to_string();
        // In a file of blank lines there is nothing to point at.
        let Some((line, column)) = self.line_and_column(text).filter(|_| !text.trim().is_empty()) else {
            return ScenarioError::Invalid { code: self.code(), text: format!("{path}: {}", self.message) };
        };
        let label = suggestion.map(|name| format!("did you mean `{name}`?")).unwrap_or_default();
        let word = quoted(&self.message).next();
        let span = span_of(text, line, column, word);
        let snippet = Snippet::source(text).path(&path).annotation(AnnotationKind::Primary.span(span).label(label));
        let report = [Level::ERROR.primary_title(&self.message).element(snippet)];
        let rendered = Renderer::plain().render(&report).to_string();
        // The caller prefixes `error:` itself, to this error as to any other.
        let text = rendered.strip_prefix("error: ").unwrap_or(&rendered).to_owned();
        ScenarioError::Invalid { code: self.code(), text }
    }
}

/// A key at the top level, else the first within a section.
fn place_of_key(text: &str, key: &str) -> Option<(usize, usize)> {
    let top = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')).then_some(1);
    let within = |line: &str| {
        let found = line.match_indices(key).find(|(at, _)| {
            let is_bounded = line[..*at].chars().next_back().is_none_or(|before| " {,".contains(before));
            is_bounded && line[at + key.len()..].starts_with(':')
        });
        found.map(|(at, _)| line[..at].chars().count() + 1)
    };
    let place = |column_of: &dyn Fn(&str) -> Option<usize>| {
        text.lines().enumerate().find_map(|(index, line)| Some((index + 1, column_of(line)?)))
    };
    place(&top).or_else(|| place(&within))
}

/// Names in backticks, in order.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

/// serde and this crate both say "unknown … `x`, expected one of `a`, `b`": the nearest of what was expected.
fn suggestion(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("unknown ")?;
    let mut names = quoted(rest);
    let wrong = names.next()?;
    nearest(wrong, names)
}

/// The bytes to underline: the offending word when it stands on that line at or behind the place, else one character.
/// (The reader's place is the word itself for values, but the start of the mapping for unknown keys.)
fn span_of(text: &str, line: usize, column: usize, word: Option<&str>) -> Range<usize> {
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let start_of_line = starts.take(line).last().unwrap_or(0);
    let rest_of_line = text[start_of_line..].lines().next().unwrap_or("");
    let offset: usize = rest_of_line.chars().take(column - 1).map(char::len_utf8).sum();
    let at = start_of_line + offset;
    if let Some(word) = word.filter(|word| !word.is_empty())
        && let Some(found) = rest_of_line[offset..].find(word)
    {
        return at + found..at + found + word.len();
    }
    // Behind the end of a line, or of the file, there is nothing to underline but the last thing that is written, or the first.
    let here = rest_of_line[offset..].chars().next().map(|character| (at, character));
    let before = || text[..at].trim_end().char_indices().next_back();
    let behind = || text.char_indices().find(|(_, character)| !character.is_whitespace());
    let (at, character) = here.or_else(before).or_else(behind).unwrap_or((0, '\n'));
    at..at + character.len_utf8()
}
