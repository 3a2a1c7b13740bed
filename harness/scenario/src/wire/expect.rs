//! The key `expect` as written.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer};

use super::super::expect::{Expectation, ExpectedText, Pattern};
use super::scalars::{FromText, from_text};
use super::{FromNameOrMap, NameOrMap};

from_text!(WirePattern);

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WireExpectation {
    outcome: WireOutcome,
    check: Option<String>,
    exit_code: i32,
    stdout: Option<WireText>,
    stderr: Option<WireText>,
}

impl WireExpectation {
    pub(super) fn expectation(self, folder: &Path) -> Expectation {
        let text = |text: Option<WireText>| text.map(|text| text.0.in_folder(folder));
        Expectation {
            trap: self.outcome == WireOutcome::Trapped,
            messages: Vec::new(),
            check: self.check,
            exit_code: self.exit_code,
            stdout: text(self.stdout),
            stderr: text(self.stderr),
        }
    }
}

/// The text itself, `{pattern: …}` or `{file: …}`.
struct WireText(ExpectedText);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TextMap {
    pattern: Option<WirePattern>,
    file: Option<PathBuf>,
}

struct WirePattern(Pattern);

impl WirePattern {
    fn from_text(text: &str) -> Result<Self, String> {
        Pattern::new(text).map(Self)
    }
}

impl FromNameOrMap for WireText {
    type Map = TextMap;
    const EXPECTING: &'static str = "the text itself, {pattern: …} or {file: …}";

    fn from_name(text: &str) -> Result<Self, String> {
        Ok(Self(ExpectedText::Exactly(text.as_bytes().to_vec())))
    }

    fn from_map(map: TextMap) -> Result<Self, String> {
        match (map.pattern, map.file) {
            (Some(pattern), None) => Ok(Self(ExpectedText::Pattern(pattern.0))),
            (None, Some(file)) => Ok(Self(ExpectedText::File(file))),
            _ => Err("write either `pattern` or `file`".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for WireText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrMap(PhantomData))
    }
}

#[derive(Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireOutcome {
    #[default]
    Ok,
    Trapped,
}
