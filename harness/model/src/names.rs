//! Names and paths of any bytes: as text that tells them apart, and as JSON that gives them back.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// A name as text. Control characters and bytes that are not UTF-8 are escaped, so that the text fits on one line and different names
/// stay different.
#[must_use]
pub fn escaped(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A word of a command line as any shell takes it.
#[must_use]
pub fn shell_word(word: &OsStr) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:@%+,-=".contains(byte);
    let bytes = word.as_bytes();
    if !bytes.is_empty() && bytes[0] != b'=' && bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = "'".to_owned();
    // What a page or a terminal could not show is left to printf.
    let spell_out = |text: &mut String, bytes: &[u8]| {
        text.push_str("'\"$(printf '");
        bytes.iter().for_each(|byte| _ = write!(text, "\\{byte:03o}"));
        text.push_str("')\"'");
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' => text.push_str("'\\''"),
                '\n' => text.push('\n'),
                _ if character.is_control() => {
                    spell_out(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => text.push(character),
            }
        }
        if !chunk.invalid().is_empty() {
            spell_out(&mut text, chunk.invalid());
        }
    }
    text + "'"
}

/// What files are called in ids: their names without extension, and where that does not tell them apart, as little more of each path
/// as does. Labels in `taken` are not given. Files that cannot be told apart have the same label.
#[must_use]
pub fn labels(files: &[&Path], taken: &BTreeSet<String>) -> Vec<String> {
    let mut labels: Vec<String> = files.iter().map(|file| label(file, (false, 0))).collect();
    let colliding: BTreeSet<String> = labels
        .iter()
        .filter(|label| taken.contains(*label) || labels.iter().filter(|other| other == label).count() > 1)
        .cloned()
        .collect();
    for stem in colliding {
        let group: Vec<usize> = (0..files.len()).filter(|at| label(files[*at], (false, 0)) == stem).collect();
        let others: BTreeSet<&String> =
            labels.iter().enumerate().filter(|(at, _)| !group.contains(at)).map(|(_, label)| label).collect();
        let depth = group.iter().map(|at| folders(files[*at]).len()).max().unwrap_or(0);
        let tells_apart = |candidates: &Vec<String>| {
            let distinct: BTreeSet<&String> = candidates.iter().collect();
            distinct.len() == candidates.len()
                && distinct.iter().all(|label| !taken.contains(*label) && !others.contains(*label))
        };
        // Files of one folder differ in their extensions only.
        let ways = [false, true].into_iter().flat_map(|whole| (0..=depth).map(move |folders| (whole, folders)));
        let mut candidates = ways.map(|way| group.iter().map(|at| label(files[*at], way)).collect());
        let Some(found) = candidates.find(tells_apart) else { continue };
        for (at, label) in group.into_iter().zip(found) {
            labels[at] = label;
        }
    }
    labels
}

/// A file's name, the whole of it or without its extension, with so many of its folders before it.
fn label(file: &Path, (whole, folder_count): (bool, usize)) -> String {
    let name = if whole { file.file_name() } else { file.file_stem() };
    let name = escaped(name.unwrap_or(file.as_os_str()));
    let folders = folders(file);
    let shown = &folders[folders.len().saturating_sub(folder_count)..];
    shown.iter().map(|folder| format!("{folder}-")).collect::<String>() + &name
}

/// The folders that a file is in, from the root.
fn folders(file: &Path) -> Vec<String> {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut folders = Vec::new();
    for component in absolute.parent().map(Path::components).into_iter().flatten() {
        match component {
            Component::Normal(name) => folders.push(escaped(name)),
            Component::ParentDir => _ = folders.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    folders
}

/// A path in JSON: a string where it is UTF-8, else its bytes. For `#[serde(with = "names::path")]`.
pub mod path {
    use std::ffi::OsString;
    use std::fmt;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::{Serialize, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is neither a string nor a list of bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        deserializer.deserialize_any(PathVisitor)
    }

    struct PathVisitor;

    impl<'de> Visitor<'de> for PathVisitor {
        type Value = PathBuf;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a path: a string, or its bytes")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<PathBuf, E> {
            Ok(PathBuf::from(text))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<PathBuf, A::Error> {
            let mut path = Vec::new();
            while let Some(byte) = bytes.next_element::<u8>()? {
                path.push(byte);
            }
            Ok(PathBuf::from(OsString::from_vec(path)))
        }
    }
}

/// A path that may be missing, likewise. For `#[serde(default, with = "names::optional_path")]`.
pub mod optional_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Path(#[serde(with = "super::path")] PathBuf);

    /// Writes it.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.clone().map(Path).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is not a path.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Path>::deserialize(deserializer)?.map(|Path(path)| path))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
    struct Places {
        #[serde(with = "path")]
        one: PathBuf,
        #[serde(with = "optional_path")]
        other: Option<PathBuf>,
    }

    #[test]
    fn different_names_stay_different_and_on_one_line() {
        let text = |bytes: &[u8]| escaped(OsStr::from_bytes(bytes));
        assert_eq!(text(b"plain-\xc3\xa4"), "plain-ä");
        assert_eq!((text(b"a\xff"), text(b"a\xfe")), ("a\\xff".to_owned(), "a\\xfe".to_owned()));
        assert_eq!(text(b"two\nlines\x1b"), "two\\nlines\\u{1b}");
    }

    #[test]
    fn shells_read_words_back() {
        let words: [&[u8]; 8] =
            [b"plain/x.wasm", b"", b"two words", b"it's", b"$HOME `id`", b"=x", b"new\nline\ttab", b"a\xff\xfeb\x1b"];
        for word in words {
            let script = format!("printf %s {}", shell_word(OsStr::from_bytes(word)));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(output.stdout, word, "{script}");
        }
        assert_eq!(shell_word(OsStr::new("plain/x.wasm")), "plain/x.wasm");
    }

    #[test]
    fn files_of_one_name_are_told_apart_by_as_little_as_needed() {
        let of = |files: &[&str], taken: &[&str]| {
            let files: Vec<&Path> = files.iter().map(Path::new).collect();
            labels(&files, &taken.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(of(&["/p/A/b.wasm", "/p/B/c.wasm"], &[]), ["b", "c"]);
        assert_eq!(of(&["/p/A/b.wasm", "/p/B/b.wasm", "x.wat"], &[]), ["A-b", "B-b", "x"]);
        assert_eq!(of(&["/A/p/b.wasm", "/B/p/b.wasm"], &[]), ["A-p-b", "B-p-b"]);
        assert_eq!(of(&["/p/X.WASM", "/p/X.wasm", "/p/X"], &[]), ["X.WASM", "X.wasm", "X"]);
        assert_eq!(of(&["/p/A/b.wasm", "/p/B/b.wat"], &[]), ["A-b", "B-b"]);
        assert_eq!(of(&["/p/startup.wasm"], &["startup"]), ["p-startup"]);
        assert_eq!(of(&["/p/A/b.wasm", "/p/B/b.wasm", "/C/A-b.wasm"], &[]), ["p-A-b", "p-B-b", "A-b"]);
        assert_eq!(of(&["/p/b.wasm", "/p/../p/./b.wasm"], &[]), ["b", "b"], "one file twice");
        assert_eq!(of(&["/b.wasm", "/p/b.wasm"], &[]), ["b", "p-b"]);
        let bytes = [b"/p/a\xff.wasm", b"/p/a\xfe.wasm"].map(|name| Path::new(OsStr::from_bytes(name)));
        assert_eq!(labels(&bytes, &BTreeSet::new()), ["a\\xff", "a\\xfe"]);
    }

    #[test]
    fn paths_of_any_bytes_come_back_from_json() {
        for bytes in [&b"plain"[..], b"a\xffb", b""] {
            let path = PathBuf::from(OsStr::from_bytes(bytes));
            let places = Places { one: path.clone(), other: Some(path) };
            let json = serde_json::to_string(&places).unwrap();
            assert_eq!(serde_json::from_str::<Places>(&json).unwrap(), places, "{json}");
        }
    }
}
