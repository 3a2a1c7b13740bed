//! docs/worker-protocol.md is true: its request has every key, does what the page says, and another version is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::root;
use serde_json::{Map, Value, json};
use wasiscope::scenario::EngineSettings;
use wasiscope::worker::Request;

fn page() -> String {
    std::fs::read_to_string(root().join("docs/worker-protocol.md")).unwrap()
}

/// The request of the page, for a guest that does nothing.
fn request(folder: &Path) -> Value {
    let page = page();
    let (_, rest) = page.split_once("```json\n").expect("the page has a request");
    let (text, _) = rest.split_once("```").expect("which ends");
    let guest = folder.join("guest.wasm");
    let wasm = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start")))"#).unwrap();
    std::fs::write(&guest, wasm).unwrap();
    std::fs::create_dir(folder.join("own")).unwrap();
    let text = text
        .replace("GUEST", guest.to_str().unwrap())
        .replace("FOLDER", folder.join("own").to_str().unwrap())
        .replace("PARENT", &std::process::id().to_string());
    serde_json::from_str(&text).expect("the request is JSON")
}

/// What the worker says to a request.
fn messages(request: &Value) -> Vec<Value> {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_wasiscope"))
        .arg("__worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(worker.stdin.take().unwrap(), "{request}").unwrap();
    let output = worker.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The paths of all keys: `subject`, `subject.guest`, …
fn keys(object: &Map<String, Value>) -> BTreeSet<String> {
    let below = |(key, value): (&String, &Value)| {
        let inner = value.as_object().map(keys).unwrap_or_default();
        let inner: Vec<String> = inner.into_iter().map(|inner| format!("{key}.{inner}")).collect();
        [key.clone()].into_iter().chain(inner)
    };
    object.iter().flat_map(below).collect()
}

#[test]
fn the_page_has_every_key_of_a_request_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let on_page = request(folder.path());
    let request: Request = serde_json::from_value(on_page.clone()).unwrap();
    let settings: EngineSettings = serde_json::from_value(on_page["subject"]["engine"].clone()).unwrap();
    let mut sent = serde_json::to_value(request).unwrap();
    sent["subject"]["engine"] = serde_json::to_value(settings).unwrap();
    let sent = sent.as_object().unwrap();
    assert_eq!(keys(on_page.as_object().unwrap()), keys(sent));
    let explained = |key: &str| page().contains(&format!("\n| `{key}` |"));
    let mut outer: Vec<String> = sent.keys().filter(|key| *key != "subject").cloned().collect();
    outer.extend(sent["subject"].as_object().unwrap().keys().map(|key| format!("subject.{key}")));
    assert_eq!(outer.iter().filter(|key| !explained(key)).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_request_of_the_page_gives_two_iterations() {
    let folder = tempfile::tempdir().unwrap();
    let said = messages(&request(folder.path()));
    assert!(said[0]["ready"]["at_ns"].is_u64(), "{said:?}");
    let iterations: Vec<&Value> = said.iter().filter_map(|message| message.get("iteration")).collect();
    assert_eq!((said.len(), iterations.len()), (3, 2), "{said:?}");
    for iteration in iterations {
        assert_eq!(iteration["ending"], "returned");
        let phases: Vec<&str> =
            iteration["timed"].as_array().unwrap().iter().filter_map(|timed| timed["phase"].as_str()).collect();
        for phase in ["engine", "compile", "link", "instantiate", "run", "teardown"] {
            assert!(phases.contains(&phase), "no {phase} in {phases:?}");
        }
    }
}

#[test]
fn another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(folder.path());
    request["protocol"] = json!(2);
    let said = messages(&request);
    assert!(said[1]["refused"]["reason"].as_str().is_some_and(|reason| reason.contains("version 2")), "{said:?}");
}
