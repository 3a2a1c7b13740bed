//! How a case is expected to end, and what it must write.

use std::path::{Path, PathBuf};

use regex::{Regex, RegexBuilder};

/// How a case is expected to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Whether a wasm trap is the expected ending.
    pub trap: bool,
    /// What the trap's message may say, one of these; nothing for any.
    pub messages: Vec<&'static str>,
    /// The check that the guest must print, where the catalogue does not know it.
    pub check: Option<String>,
    /// The exit code of a guest that does not trap.
    pub exit_code: i32,
    /// What it must write to standard output; anything when `None`.
    pub stdout: Option<ExpectedText>,
    /// What it must write to standard error; anything when `None`.
    pub stderr: Option<ExpectedText>,
}

impl Expectation {
    /// Whether what the guest writes must be seen to judge it.
    #[must_use]
    pub const fn judges_output(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Reads the files that are named, so that nothing is read while guests run.
    ///
    /// # Errors
    /// When one cannot be read: which, and why.
    pub(super) fn read_files(&mut self) -> Result<(), (PathBuf, std::io::Error)> {
        for text in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            if let ExpectedText::File(path) = text {
                let bytes = wasiscope_sys::files::read(path).map_err(|error| (path.clone(), error))?;
                *text = ExpectedText::Exactly(bytes);
            }
        }
        Ok(())
    }
}

/// What a guest must write to one of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedText {
    /// These bytes and no others.
    Exactly(Vec<u8>),
    /// Something that the pattern matches.
    Pattern(Pattern),
    /// The contents of a file, which is read with the scenario.
    File(PathBuf),
}

impl ExpectedText {
    /// The same with a path that is relative to `folder`.
    pub(super) fn in_folder(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }
}

/// A regular expression that matches anywhere in the text; `^` and `$` match at the ends of lines.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// When it is not a regular expression.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(pattern).multi_line(true).build();
        compiled.map(Self).map_err(|error| format!("`{pattern}` is not a regular expression: {error}"))
    }

    /// Whether it matches anywhere in `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}
