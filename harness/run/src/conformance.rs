//! Folders of guests with manifests, in the format of WebAssembly/wasi-testsuite: for `x.wasm` a file `x.json` beside it says
//! what the guest is given and how it must end. A guest without a manifest must exit with 0.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, anyhow};
use serde_json::{Map, Value};

use wasiscope_model::code::Code;
use wasiscope_model::{fail, names};
use wasiscope_scenario::plan::{Case, Directory, GuestSource, Input};
use wasiscope_scenario::{Engine, Expectation, ExpectedText, Limits};
use wasiscope_sys::files;

/// The guests of one folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// As its `manifest.json` names it, else the folder.
    pub name: String,
    /// Its guests, by name.
    pub tests: Vec<Test>,
}

/// One guest of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// The file's name without `.wasm`.
    pub name: String,
    /// The file.
    pub guest: PathBuf,
    /// What it is given, and how it must end; or why that cannot be done here.
    pub manifest: Result<Manifest, String>,
}

/// What a guest is given, and how it must end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// What it is given.
    pub input: Input,
    /// How it must end.
    pub expect: Expectation,
}

/// Every folder with guests at or below `folder`, by path.
///
/// # Errors
/// When a folder or manifest cannot be read, a manifest is not valid, or there is no guest at all.
pub fn suites(folder: &Path) -> anyhow::Result<Vec<Suite>> {
    if folder.is_file() {
        fail!(NotAFolder, "{}: a file; give its folder, and --only 'NAME/*' for one guest", folder.display());
    }
    let mut suites = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(folder) = pending.pop() {
        let mut guests = Vec::new();
        let entries = fs::read_dir(&folder).map_err(|error| Code::of_read(&error).error(error));
        let entries = entries.with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry.with_context(|| folder.display().to_string())?;
            let path = entry.path();
            // Links are not followed: they could lead in a circle.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            } else if is_guest(&path) {
                guests.push(path);
            }
        }
        pending.sort_by(|one, other| other.cmp(one));
        guests.sort();
        if !guests.is_empty() {
            let tests = guests.into_iter().map(test).collect::<anyhow::Result<_>>()?;
            suites.push(Suite { name: suite_name(&folder)?, tests });
        }
    }
    if suites.is_empty() {
        fail!(NothingMatches, "{}: no .wasm or .wat file in it or below it", folder.display());
    }
    Ok(suites)
}

fn is_guest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm" || extension == "wat")
}

fn suite_name(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("manifest.json");
    // Of `.` and `..` only the absolute path has a name.
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let fallback = || names::escaped(whole.file_name().unwrap_or(whole.as_os_str()));
    if !path.is_file() {
        return Ok(fallback());
    }
    Ok(object(&path)?.get("name").and_then(Value::as_str).map_or_else(fallback, str::to_owned))
}

fn test(guest: PathBuf) -> anyhow::Result<Test> {
    let name = names::escaped(guest.file_stem().unwrap_or_default());
    let path = guest.with_extension("json");
    let folder = guest.parent().unwrap_or(Path::new("."));
    // One that is there and cannot be read is an error, and not the same as none.
    let manifest = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => manifest(&Map::new(), folder)?,
        _ => manifest(&object(&path)?, folder)
            .map_err(|error| Code::InvalidManifest.error(error))
            .with_context(|| path.display().to_string())?,
    };
    Ok(Test { name, guest, manifest })
}

/// A JSON object in a file.
fn object(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let bytes = files::read(path).map_err(|error| Code::of_read(&error).error(error));
    let bytes = bytes.with_context(|| path.display().to_string())?;
    serde_json::from_slice(files::without_byte_order_mark(&bytes))
        .map_err(|error| Code::InvalidManifest.error(error))
        .with_context(|| format!("{} is not a manifest", path.display()))
}

/// A manifest of either form: keys for everything, or a list of operations. What wasiscope does not do is said in the inner
/// result; a guest of which part of the manifest were ignored might pass for the wrong reason.
fn manifest(keys: &Map<String, Value>, folder: &Path) -> anyhow::Result<Result<Manifest, String>> {
    let mut manifest = Manifest { input: Input { no_own_folder: true, ..Input::default() }, ..Manifest::default() };
    let Some(operations) = keys.get("operations") else {
        for (key, value) in keys {
            if let Err(unsupported) = read_key(&mut manifest, key, value, folder)? {
                return Ok(Err(unsupported));
            }
        }
        return Ok(Ok(manifest));
    };
    if let Some(other) = keys.keys().find(|key| !["operations", "proposals", "world"].contains(&key.as_str())) {
        return Ok(Err(format!("its manifest has the key `{other}` beside `operations`")));
    }
    if let Some(proposals) = keys.get("proposals") {
        let proposals = proposals.as_array().context("`proposals` is not a list")?;
        if !proposals.is_empty() {
            return Ok(Err(format!("needs the proposals {}", Value::from(proposals.clone()))));
        }
    }
    if let Some(world) = keys.get("world").filter(|world| *world != "wasi:cli/command") {
        return Ok(Err(format!("is for the world {world}")));
    }
    let mut done = BTreeSet::new();
    for operation in operations.as_array().context("`operations` is not a list")? {
        let operation = operation.as_object().context("an operation is not an object")?;
        let kind = operation.get("type").and_then(Value::as_str).context("an operation has no `type`")?;
        let (what, allowed): (&str, &[&str]) = match kind {
            "run" => ("run", &["args", "env", "dirs", "root", "stdin"]),
            "wait" => ("wait", &["exit_code"]),
            "read" => match operation.get("id").map_or(Some("stdout"), Value::as_str) {
                Some("stdout") => ("stdout", &[]),
                Some("stderr") => ("stderr", &[]),
                _ => return Ok(Err("reads from neither stdout nor stderr".to_owned())),
            },
            other => return Ok(Err(format!("needs the operation `{other}`"))),
        };
        if !done.insert(what) {
            return Ok(Err(format!("has the operation `{kind}` twice")));
        }
        let read = if kind == "read" {
            let nothing = Value::from("");
            read_key(&mut manifest, what, operation.get("payload").unwrap_or(&nothing), folder)?
        } else {
            read_keys(&mut manifest, operation, allowed, folder)?
        };
        if let Err(unsupported) = read {
            return Ok(Err(unsupported));
        }
    }
    Ok(Ok(manifest))
}

/// The keys of an operation besides its type.
fn read_keys(
    manifest: &mut Manifest,
    keys: &Map<String, Value>,
    allowed: &[&str],
    folder: &Path,
) -> anyhow::Result<Result<(), String>> {
    for (key, value) in keys.iter().filter(|(key, _)| *key != "type") {
        if !allowed.contains(&key.as_str()) {
            return Ok(Err(format!("an operation of its manifest has the key `{key}`, which wasiscope does not know")));
        }
        if let Err(unsupported) = read_key(manifest, key, value, folder)? {
            return Ok(Err(unsupported));
        }
    }
    Ok(Ok(()))
}

fn read_key(manifest: &mut Manifest, key: &str, value: &Value, folder: &Path) -> anyhow::Result<Result<(), String>> {
    let Manifest { input, expect } = manifest;
    let wrong = || anyhow!("`{key}` cannot be {value}");
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    // What a guest is given are strings of C.
    let word = |value: &Value| text(value).and_then(|text| if text.contains('\0') { Err(wrong()) } else { Ok(text) });
    match key {
        _ if value.is_null() => {}
        "args" => input.args = value.as_array().ok_or_else(wrong)?.iter().map(word).collect::<Result<_, _>>()?,
        "env" => {
            let pairs = value.as_object().ok_or_else(wrong)?;
            if pairs.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
                return Err(wrong());
            }
            input.environment =
                pairs.iter().map(|(name, value)| Ok((name.clone(), word(value)?))).collect::<anyhow::Result<_>>()?;
        }
        "dirs" => {
            for name in value.as_array().ok_or_else(wrong)? {
                input.directories.push(directory(folder, &text(name)?, None)?);
            }
        }
        "root" => input.directories.push(directory(folder, &text(value)?, Some("/"))?),
        "stdin" => input.stdin = Some(text(value)?.into_bytes().into()),
        "exit_code" => {
            // Preview 1 has no others.
            let codes = 0..126;
            let code = value.as_i64().and_then(|code| i32::try_from(code).ok());
            expect.exit_code = code.filter(|code| codes.contains(code)).ok_or_else(wrong)?;
        }
        "stdout" => expect.stdout = Some(ExpectedText::Exactly(text(value)?.into_bytes())),
        "stderr" => expect.stderr = Some(ExpectedText::Exactly(text(value)?.into_bytes())),
        other => return Ok(Err(format!("its manifest has the key `{other}`, which wasiscope does not know"))),
    }
    Ok(Ok(()))
}

fn directory(folder: &Path, name: &str, guest: Option<&str>) -> anyhow::Result<Directory> {
    let host = std::path::absolute(folder.join(name))?;
    if !host.is_dir() {
        fail!(NotAFolder, "no folder `{name}` beside the guest");
    }
    Ok(Directory { host, guest: guest.unwrap_or(name).to_owned(), shared: false })
}

impl Test {
    /// The guest as a case of a suite: run for its facts, and not timed.
    #[must_use]
    pub fn case(&self, suite: &str, engine: &Engine, limits: Limits) -> Case {
        let Manifest { input, expect } = self.manifest.clone().unwrap_or_default();
        let guest = GuestSource::File(self.guest.clone());
        Case {
            input,
            expect,
            limits,
            processes: 0,
            iterations: 1,
            ..Case::of_guest(suite, &self.name, "custom", engine.clone(), guest)
        }
    }
}

/// Failures that are known, with their reasons, by suite and test: the format of the testsuite's `expectations/`.
pub type KnownFailures = BTreeMap<String, BTreeMap<String, String>>;

/// Reads known failures.
///
/// # Errors
/// When the file cannot be read or has another format.
pub fn known_failures(path: &Path) -> anyhow::Result<KnownFailures> {
    serde_json::from_value(Value::Object(object(path)?))
        .map_err(|error| Code::InvalidManifest.error(error))
        .with_context(|| format!("{}: write {{\"SUITE\": {{\"TEST\": \"REASON\"}}}}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> anyhow::Result<Result<Manifest, String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data.dir")).unwrap();
        manifest(&serde_json::from_str(json).unwrap(), folder.path())
    }

    #[test]
    fn both_forms_say_the_same() {
        let keys = read(
            r#"{"args": ["a", "b"], "env": {"K": "v"}, "dirs": ["data.dir"], "exit_code": 33, "stdout": "out", "stdin": "in"}"#,
        );
        let keys = keys.unwrap().unwrap();
        assert_eq!((keys.input.args.len(), keys.expect.exit_code), (2, 33));
        assert_eq!(keys.expect.stdout, Some(ExpectedText::Exactly(b"out".to_vec())));
        assert_eq!((keys.input.directories[0].guest.as_str(), keys.input.no_own_folder), ("data.dir", true));
        assert_eq!(keys.input.stdin.as_deref(), Some(&b"in"[..]));
        let operations = read(
            r#"{"operations": [{"type": "run", "args": ["a", "b"], "env": {"K": "v"}},
                {"type": "read", "payload": "out"}, {"type": "wait", "exit_code": 33}]}"#,
        );
        let operations = operations.unwrap().unwrap();
        assert_eq!(operations.input.args, keys.input.args);
        assert_eq!(operations.input.environment, keys.input.environment);
        assert_eq!(operations.expect, keys.expect);
    }

    #[test]
    fn what_cannot_be_done_is_no_error_and_is_not_ignored() {
        let unsupported = |json: &str| read(json).unwrap().unwrap_err();
        assert!(unsupported(r#"{"operations": [{"type": "run"}, {"type": "connect"}]}"#).contains("`connect`"));
        assert!(unsupported(r#"{"operations": [], "proposals": ["http"]}"#).contains("http"));
        assert!(unsupported(r#"{"umask": 7}"#).contains("`umask`"));
        for json in [
            r#"{"operations": [], "exit_code": 3}"#,
            r#"{"operations": [{"type": "read", "payload": "a"}, {"type": "read", "payload": "b"}]}"#,
            r#"{"operations": [{"type": "wait", "exit_code": 3}, {"type": "wait"}]}"#,
            r#"{"operations": [{"type": "read", "id": "exit_code", "payload": 3}]}"#,
            r#"{"operations": [{"type": "wait", "args": ["a"]}]}"#,
        ] {
            assert!(!unsupported(json).is_empty(), "{json}");
        }
    }

    #[test]
    fn a_manifest_with_a_wrong_value_is_an_error() {
        assert!(read(r#"{"args": "a"}"#).unwrap_err().to_string().contains("`args`"));
        assert!(read(r#"{"exit_code": 1.5}"#).unwrap_err().to_string().contains("`exit_code`"));
        for json in [
            r#"{"args": ["a\u0000b"]}"#,
            r#"{"env": {"A=B": "c"}}"#,
            r#"{"env": {"": "c"}}"#,
            r#"{"exit_code": -1}"#,
            r#"{"operations": [], "proposals": "http"}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
        assert!(read(r#"{"dirs": ["nowhere"]}"#).unwrap_err().to_string().contains("`nowhere`"));
    }
}
