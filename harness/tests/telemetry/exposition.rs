//! A strict reader of Prometheus' text format, version 0.0.4: what it does not allow is a panic.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of a file, by name and labels; and each metric's type.
#[derive(Debug, Default)]
pub struct Exposition {
    pub samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
    pub types: BTreeMap<String, String>,
}

pub fn read(text: &str) -> Exposition {
    let mut exposition = Exposition::default();
    let mut helped = BTreeSet::new();
    // The metric whose lines these are, and those that are over.
    let (mut current, mut over) = (String::new(), BTreeSet::new());
    let body = text.strip_suffix('\n').expect("the last line ends with a line feed");
    for line in body.split('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, _) = rest.split_once(' ').expect("a text behind the name");
            assert_name(name, ":");
            assert!(helped.insert(name.to_owned()), "one HELP for {name}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type behind the name");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            assert!(over.insert(std::mem::replace(&mut current, name.to_owned())), "lines of one metric are together");
            assert!(!over.contains(name), "lines of {name} are together");
            assert!(exposition.types.insert(name.to_owned(), kind.to_owned()).is_none(), "one TYPE for {name}");
        } else if !line.starts_with('#') {
            let (name, labels, value) = sample(line);
            let is_histogram = exposition.types.get(&current).is_some_and(|kind| kind == "histogram");
            let suffix = name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("{name} among {current}"));
            let allowed: &[&str] = if is_histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{line}");
            assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
            let series = (name, labels);
            let twice = exposition.samples.insert(series.clone(), value);
            assert!(twice.is_none(), "{series:?} twice: node_exporter refuses the file");
        }
    }
    exposition
}

fn assert_name(name: &str, more: &str) {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || more.contains(letter);
    assert!(name.chars().all(allowed) && !name.starts_with(|first: char| first.is_ascii_digit()), "{name:?}");
    assert!(!name.is_empty());
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (name, mut rest) = line.split_once('{').unwrap_or_else(|| panic!("no labels in {line:?}"));
    assert_name(name, ":");
    let mut labels = BTreeMap::new();
    loop {
        let (label, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label in {rest:?}"));
        assert_name(label, "");
        let (value, behind) = quoted(behind);
        assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice in {line:?}");
        match behind.strip_prefix(',') {
            Some(behind) => rest = behind,
            None => {
                rest = behind.strip_prefix("} ").unwrap_or_else(|| panic!("{behind:?} behind the labels"));
                break;
            }
        }
    }
    assert!(!rest.contains(' '), "no time: node_exporter refuses it: {line:?}");
    // What Rust reads and Go does not.
    let value = rest.replace("+Inf", "inf").replace("-Inf", "-inf").replace("NaN", "nan");
    assert!(!rest.starts_with("inf") && !rest.starts_with("nan"), "{rest}");
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{rest:?} is no number")))
}

/// A quoted text up to its end, and what is behind.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                other => panic!("{other:?} is no escape"),
            },
            other => value.push(other),
        }
    }
    panic!("no end of {text:?}");
}
