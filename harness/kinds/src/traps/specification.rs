//! Which files of the specification's test suite are about memories, tables and traps, and where in them the assertions are. Without the
//! feature `spec-tests` there are none.

#[cfg(feature = "spec-tests")]
use std::io::Read;
use std::ops::Range;
#[cfg(feature = "spec-tests")]
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// Group, name and place in [`TEXTS`] of each file, by name: `build/` takes them from the whole suite.
#[cfg(feature = "spec-tests")]
static FILES: &[(Group, &str, Range<usize>)] = &include!(concat!(env!("OUT_DIR"), "/specification.rs"));
#[cfg(not(feature = "spec-tests"))]
static FILES: &[(Group, &str, Range<usize>)] = &[];

/// The texts of all files, one after the other.
#[cfg(feature = "spec-tests")]
static TEXTS: LazyLock<String> = LazyLock::new(|| {
    let packed = include_bytes!(concat!(env!("OUT_DIR"), "/specification.deflate"));
    let mut texts = String::new();
    let unpacked = flate2::read::DeflateDecoder::new(&packed[..]).read_to_string(&mut texts);
    unpacked.expect("what was packed is text");
    texts
});
#[cfg(not(feature = "spec-tests"))]
static TEXTS: &str = "";

/// Files that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Loads, stores and everything else about memories.
    Memory,
    /// Everything about tables.
    Table,
    /// Traps, whatever they come from.
    Traps,
}

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, with the proposal that it belongs to where it is not part of the standard's latest version.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// A part of a file that can be run alone, after those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive<'a> {
    /// Its text.
    pub text: &'a str,
    /// The line that it begins in.
    pub line: usize,
}

impl Directive<'_> {
    /// Whether a trap must come of it.
    #[must_use]
    pub fn expects_trap(&self) -> bool {
        ["assert_trap", "assert_exhaustion"].contains(&self.keyword())
    }

    /// Whether it is about modules that no engine may accept: nothing runs then, so it is not for here.
    #[must_use]
    pub fn is_of_validation(&self) -> bool {
        ["assert_invalid", "assert_malformed", "assert_unlinkable"].contains(&self.keyword())
    }

    /// Whether it makes an instance that the following ones may be about.
    #[must_use]
    pub fn defines_module(&self) -> bool {
        self.keyword() == "module"
    }

    fn keyword(&self) -> &str {
        let inside = self.text.strip_prefix('(').unwrap_or(self.text).trim_start();
        inside.split(|c: char| c.is_whitespace() || c == '(' || c == ')').next().unwrap_or_default()
    }
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Table, Self::Traps];

    /// The first part of a case's id.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "spec-memory",
            Self::Table => "spec-table",
            Self::Traps => "spec-traps",
        }
    }

    /// Its files, by name.
    #[must_use]
    pub fn files(self) -> Vec<File> {
        let own = FILES.iter().filter(|(group, ..)| *group == self);
        own.map(|(_, name, at)| File { name, text: &TEXTS[at.clone()] }).collect()
    }
}

/// The parts of a file in order, by its outermost parentheses. Comments and strings are no parentheses.
#[must_use]
pub fn directives(text: &str) -> Vec<Directive<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut depth, mut start, mut at) = (Vec::new(), 0_usize, 0, 0);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => at = end_of_string(bytes, at),
            (b';', Some(b';')) => at = text[at..].find('\n').map_or(bytes.len(), |length| at + length),
            (b'(', Some(b';')) => at = end_of_comment(bytes, at),
            (b'(', _) => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            (b')', _) => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let line = 1 + text[..start].matches('\n').count();
                    found.push(Directive { text: &text[start..=at], line });
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The place of the quotation mark that ends a string.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at
}

/// The last place of a comment in brackets, which may hold others.
fn end_of_comment(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'(', b';') => {
                depth += 1;
                at += 1;
            }
            (b';', b')') => {
                depth -= 1;
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_falls_into_its_directives() {
        let text = "(module) ;; (not this)\n(; nor (; this ;) (x) ;)\n(assert_trap (invoke \"a)\\\"(\") \"out\")\n";
        let found = directives(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].text, found[0].line), ("(module)", 1));
        assert_eq!((found[1].text, found[1].line), ("(assert_trap (invoke \"a)\\\"(\") \"out\")", 3));
        assert!(found[1].expects_trap() && !found[0].expects_trap() && found[0].defines_module());
    }

    #[cfg(feature = "spec-tests")]
    #[test]
    fn every_group_has_files_with_assertions_and_no_file_is_in_two() {
        let mut names = std::collections::BTreeSet::new();
        for group in Group::ALL {
            let files = group.files();
            let assertions: usize =
                files.iter().flat_map(|file| directives(file.text)).filter(Directive::expects_trap).count();
            assert!(assertions > 10, "{}: {assertions}", group.name());
            for file in files {
                assert!(names.insert(file.name), "{}", file.name);
            }
        }
        for name in ["memory_trap", "table_get", "traps", "memory64/memory_trap64", "bulk-memory/memory_copy"] {
            assert!(names.contains(name), "{name} of {names:?}");
        }
    }

    /// The parser of the text format itself must see as many.
    #[cfg(feature = "spec-tests")]
    #[test]
    fn directives_are_those_that_the_parser_sees() {
        for group in Group::ALL {
            for file in group.files() {
                let buffer = wast::parser::ParseBuffer::new(file.text).expect("tokens");
                let Ok(script) = wast::parser::parse::<wast::Wast<'_>>(&buffer) else { continue };
                assert_eq!(directives(file.text).len(), script.directives.len(), "{}", file.name);
            }
        }
    }
}
