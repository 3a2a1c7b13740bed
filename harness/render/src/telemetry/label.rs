//! Attributes. What they say comes from files that anybody may have written, so it is cut and cleaned here, once for all outputs.

use std::fmt;

use sha2::{Digest, Sha256};

/// The longest text, in characters: what is longer is cut.
const TEXT_MAX: usize = 256;

/// The attribute of a resource that says which machine it is.
pub(crate) const MACHINE: &str = "wasiscope.machine";

/// An attribute: its name, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// As OpenTelemetry writes it, with dots.
    pub name: &'static str,
    /// What it says.
    pub text: Text,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// A text.
    Plain(String),
    /// Yes or no.
    Flag(bool),
    /// A number by which things are told apart.
    Number(u64),
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => formatter.write_str(text),
            Self::Flag(flag) => flag.fmt(formatter),
            Self::Number(number) => number.fmt(formatter),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} = {}", self.name, self.text)
    }
}

/// An attribute with a text from a report.
pub(crate) fn text(name: &'static str, text: &str) -> Label {
    Label { name, text: Text::Plain(presentable(text)) }
}

/// `labels` and one more.
pub(crate) fn with(labels: &[Label], more: Label) -> Vec<Label> {
    let mut labels = labels.to_vec();
    labels.push(more);
    labels
}

/// A text as it is, if it can be shown; otherwise without what would steer a terminal, cut, and with the beginning of its hash, so that
/// two texts stay two.
fn presentable(text: &str) -> String {
    let steers = |letter: char| letter.is_control() && letter != '\n';
    if text.chars().count() <= TEXT_MAX && !text.chars().any(steers) {
        return text.to_owned();
    }
    let shown = text.chars().take(TEXT_MAX - 9).map(|letter| if steers(letter) { '\u{fffd}' } else { letter });
    let mut shown: String = shown.collect();
    shown.push('…');
    shown.push_str(&const_hex::encode(&Sha256::digest(text)[..4]));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_as_long_as_they_can_be_shown() {
        for text in ["", "json/std/cranelift", "a \"quoted\" back\\slash\nand line", &"é".repeat(TEXT_MAX)] {
            assert_eq!(presentable(text), text);
        }
    }

    #[test]
    fn others_are_cut_and_cleaned_and_still_differ() {
        let long = "x".repeat(10_000);
        let shown = presentable(&long);
        assert_eq!(shown.chars().count(), TEXT_MAX);
        assert_ne!(shown, presentable(&(long + "y")));
        let escapes = ["\u{1b}[2J", "\u{1b}\u{7f}[2J"].map(presentable);
        assert!(escapes.iter().all(|shown| !shown.contains(char::is_control)), "{escapes:?}");
        assert_ne!(escapes[0], escapes[1]);
        assert_ne!(presentable("\r"), presentable("\t"));
    }
}
