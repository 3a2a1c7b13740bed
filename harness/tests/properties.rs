//! Whatever comes from outside is refused with a reason or handled right: the properties that cargo-fuzz tries (docs/fuzzing.md), over its
//! seeds, and over documents made to get behind the readers' first checks.
//!
//! The random numbers of a run begin with `PROPTEST_RNG_SEED`, which a failure names; nothing is written down.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use common::root;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use serde_json::Value;
use wasiscope::properties;
use wasiscope::report::json;

/// Tries a property so many times on what `strategy` gives.
fn hold(property: impl Fn(&[u8]), cases: u32, strategy: impl Strategy<Value = Vec<u8>>) {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into());
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let tried = TestRunner::new(config).run(&strategy, |bytes| {
        property(&bytes);
        Ok(())
    });
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(reason, bytes)) => panic!(
            "{reason}\nagain with PROPTEST_RNG_SEED={seed}\nby these {} bytes: {}",
            bytes.len(),
            String::from_utf8(bytes.clone()).unwrap_or_else(|_| format!("{bytes:?}"))
        ),
        Err(abort) => panic!("{abort}"),
    }
}

/// The committed seeds of a target, by name.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = root().join("harness/fuzz/seeds").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds in {}", folder.display());
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_seed_keeps_its_property() {
    let mut broken = Vec::new();
    for (target, property) in properties::ALL {
        for (path, bytes) in seeds(target) {
            if std::panic::catch_unwind(|| property(&bytes)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_target_has_its_program_and_its_seeds() {
    let folder = root().join("harness/fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (target, _) in properties::ALL {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
        assert!(folder.join("fuzz_targets").join(target).with_extension("rs").is_file(), "{target}");
    }
    assert_eq!(fs::read_dir(folder.join("fuzz_targets")).unwrap().count(), properties::ALL.len());
    assert_eq!(fs::read_dir(folder.join("seeds")).unwrap().count(), properties::ALL.len());
}

/// What readers trip over, as JSON.
const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "1",
    "-1",
    "-0.0",
    "0.5",
    "7",
    "18446744073709551615",
    "9223372036854775808",
    "-9223372036854775808",
    "4294967295",
    "9007199254740993",
    "1.7976931348623157e308",
    "5e-324",
    "1e-300",
    "\"\"",
    "\"x\"",
    "\"<script>alert(1)</script>\"",
    "\"\\\" onload=alert(1) x=\\\"\"",
    "\"a|b\\n```\\n| c |\"",
    "\"\\u001b[31mred\\u0007\"",
    "\"\\u202eabc\\u0000\"",
    "\"run\"",
    "\"trap\"",
    "\"failed\"",
    "\"skipped\"",
    "\"traps\"",
    "\"scheduler\"",
    "\"pipeline\"",
    "\"workload\"",
    "\"phase.run\"",
    "\"probe_latency_us\"",
    "\"2026-11-24T00:00:00Z\"",
    "\"-262144-01-01T00:00:00Z\"",
    "[]",
    "[[]]",
    "[[0.0], [], [1.7976931348623157e308, 1.7976931348623157e308]]",
    "[[1,18446744073709551615],[1,18446744073709551615]]",
    "[[18446744073709551615, 3], [1, 3]]",
    "{}",
    "{\"a\": 18446744073709551615, \"b\": 18446744073709551615}",
];

/// One change of a document.
#[derive(Clone, Debug)]
enum Edit {
    /// The first of these that is of the same kind.
    Alike(Index, Vec<Value>),
    Put(Index, Value),
    Copy(Index, Index),
    Remove(Index),
    Repeat(Index, usize),
    Rename(Index, String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let value = || {
        prop_oneof![
            20 => select(VALUES).prop_map(|text| serde_json::from_str(text).unwrap()),
            3 => any::<u64>().prop_map(Value::from),
            2 => (0.0..1e12).prop_map(Value::from),
            1 => "\\PC{0,12}".prop_map(Value::from),
            1 => Just(Value::from("x".repeat(70_000))),
        ]
    };
    prop_oneof![
        12 => (any::<Index>(), vec(value(), 9)).prop_map(|(at, values)| Edit::Alike(at, values)),
        2 => (any::<Index>(), value()).prop_map(|(at, value)| Edit::Put(at, value)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(to, from)| Edit::Copy(to, from)),
        1 => any::<Index>().prop_map(Edit::Remove),
        2 => (any::<Index>(), 1..12_usize).prop_map(|(at, times)| Edit::Repeat(at, times)),
        1 => (any::<Index>(), "[a-z._<|]{0,8}").prop_map(|(at, name)| Edit::Rename(at, name)),
    ]
}

/// Whether one can stand where the other stood without being refused at once.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.is_u64() == other.is_u64(),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// Where every value of a document is.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(list) => list.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), all)),
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            pointers(value, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), all);
        }),
        _ => {}
    }
}

fn edited(mut document: Value, edits: &[Edit]) -> Value {
    for edit in edits {
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        // Not the document itself.
        all.remove(0);
        if all.is_empty() {
            break;
        }
        let parent_of = |at: &Index| {
            let at = &all[at.index(all.len())];
            let (parent, name) = at.rsplit_once('/').unwrap();
            (parent.to_owned(), name.replace("~1", "/").replace("~0", "~"))
        };
        match edit {
            Edit::Alike(at, values) => {
                let place = document.pointer_mut(&all[at.index(all.len())]).unwrap();
                if let Some(value) = values.iter().find(|value| alike(value, place)) {
                    *place = value.clone();
                }
            }
            Edit::Put(at, value) => *document.pointer_mut(&all[at.index(all.len())]).unwrap() = value.clone(),
            Edit::Copy(to, from) => {
                let value = document.pointer(&all[from.index(all.len())]).unwrap().clone();
                // Doubling again and again would fill the memory and try nothing new.
                if value.to_string().len() < 20_000 {
                    *document.pointer_mut(&all[to.index(all.len())]).unwrap() = value;
                }
            }
            Edit::Remove(at) => match (document.pointer_mut(&parent_of(at).0).unwrap(), parent_of(at).1) {
                (Value::Object(map), name) => _ = map.remove(&name),
                (Value::Array(list), index) => _ = list.remove(index.parse().unwrap()),
                _ => {}
            },
            Edit::Repeat(at, times) => {
                let (parent, name) = parent_of(at);
                if let Value::Array(list) = document.pointer_mut(&parent).unwrap() {
                    let value = list[name.parse::<usize>().unwrap()].clone();
                    if value.to_string().len() < 2_000 {
                        list.extend(std::iter::repeat_n(value, *times));
                    }
                }
            }
            Edit::Rename(at, to) => {
                let (parent, name) = parent_of(at);
                if let Value::Object(map) = document.pointer_mut(&parent).unwrap()
                    && let Some(value) = map.remove(&name)
                {
                    map.insert(to.clone(), value);
                }
            }
        }
    }
    document
}

/// The JSON seeds of a target, changed.
fn documents(target: &str) -> impl Strategy<Value = Value> + use<> {
    let all: Vec<Value> = seeds(target).iter().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).collect();
    (select(all), vec(edit(), 0..6)).prop_map(|(document, edits)| edited(document, &edits))
}

#[test]
fn reports_that_are_read_can_be_shown_and_kept() {
    let (tried, read) = (Cell::new(0), Cell::new(0));
    let property = |bytes: &[u8]| {
        tried.set(tried.get() + 1);
        read.set(read.get() + u32::from(json::parse(Path::new("it.json"), bytes).is_ok()));
        properties::report(bytes);
    };
    hold(property, 250, documents("report").prop_map(|report| report.to_string().into_bytes()));
    // Else hardly anything behind the reader was tried.
    assert!(read.get() * 3 > tried.get(), "{} of {} were read", read.get(), tried.get());
}

#[test]
fn comparisons_do_not_contradict_themselves() {
    let two = (documents("report"), vec(edit(), 0..4)).prop_map(|(base, edits)| {
        let new = edited(base.clone(), &edits);
        [base.to_string().as_bytes(), b"\0", new.to_string().as_bytes()].concat()
    });
    let one = documents("report").prop_map(|report| report.to_string().into_bytes());
    hold(properties::comparison, 120, prop_oneof![two, one]);
}

#[test]
fn what_a_worker_says_ends_in_a_row() {
    let all: Vec<Value> = seeds("messages")
        .iter()
        .flat_map(|(_, bytes)| bytes[1..].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>())
        .filter_map(|line| serde_json::from_slice(&line).ok())
        .collect();
    let message = (select(all), vec(edit(), 0..3)).prop_map(|(message, edits)| edited(message, &edits).to_string());
    let line = prop_oneof![
        12 => message.prop_map(|message| message.into_bytes()),
        1 => vec(any::<u8>(), 0..40),
        1 => (0..30_000_usize).prop_map(|length| vec![b' '; length]),
    ];
    let said = (any::<u8>(), vec(line, 0..9), any::<bool>()).prop_map(|(first, lines, whole)| {
        let mut bytes = vec![first];
        bytes.extend(lines.join(&b'\n'));
        bytes.extend(whole.then_some(b'\n'));
        bytes
    });
    hold(properties::messages, 400, said);
}

/// Numbers that sums trip over.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(u64::MAX / 2 + 1), 0..5_000_u64, any::<u64>()]
}

#[test]
fn what_the_kernel_counts_is_all_there() {
    let key = (any::<u8>(), 0..16_u8, prop_oneof![0..600_u16, any::<u16>()], prop_oneof![0..9_u16, any::<u16>()]);
    let key = key.prop_map(|(phase, kind, bucket, id)| {
        u64::from(id) << 48 | u64::from(bucket) << 32 | u64::from(phase % 24) << 8 | u64::from(kind)
    });
    let counter = (key, [number(), number(), number(), number()]);
    let words = |words: Vec<u64>| words.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    let counters = vec(counter, 0..40)
        .prop_map(move |all| words(all.into_iter().flat_map(|(key, of)| [vec![key], of.to_vec()].concat()).collect()));
    let events =
        vec((number(), number(), number(), number(), number(), any::<[u8; 16]>(), 0..16_u64, 0..24_u64), 0..20);
    let events = events.prop_map(move |all| {
        all.into_iter()
            .flat_map(|(at, duration, id, detail, thread, name, kind, phase)| {
                let mut bytes = words(vec![at, duration, id, detail, thread, phase << 8 | kind]);
                bytes.extend(name);
                bytes
            })
            .collect()
    });
    let records = vec((prop_oneof![0..64_u32, any::<u32>()], 0..4_u32, vec(any::<u8>(), 0..80)), 0..40);
    let ring = (prop_oneof![Just(0_u64), number()], prop_oneof![0..4_096_u64, number()], records).prop_map(
        |(read, written, records)| {
            let mut bytes = [read.to_le_bytes(), written.to_le_bytes()].concat();
            for (length, flags, record) in records {
                bytes.extend((length & 0x3fff_ffff | flags << 30).to_ne_bytes());
                bytes.extend([0; 4]);
                bytes.extend(record.iter().chain([0; 8].iter()).take((length as usize).min(256).next_multiple_of(8)));
            }
            bytes
        },
    );
    let flow = vec(prop_oneof![0..9_u64, number()], 0..90).prop_map(words);
    let of = |kind: u8, bytes: BoxedStrategy<Vec<u8>>| bytes.prop_map(move |bytes| [vec![kind], bytes].concat());
    let all = prop_oneof![
        of(0, counters.boxed()),
        of(1, events.boxed()),
        of(2, ring.boxed()),
        of(3, flow.boxed()),
        documents("events").prop_map(|recording| recording.to_string().into_bytes()),
    ];
    hold(properties::events, 400, all);
}

/// Keys and values of scenarios, right and wrong.
const KEYS: &[&str] = &[
    "name",
    "description",
    "kind",
    "default",
    "workloads",
    "flavours",
    "wasm",
    "cargo",
    "parts",
    "share",
    "calls",
    "maps",
    "args",
    "engines",
    "processes",
    "iterations",
    "limits",
    "expect",
    "tolerance",
    "budgets",
    "proceses",
    "<<",
    "? ",
    "\"\"",
    "null",
    "1",
];
const WORDS: &[&str] = &[
    "a",
    "''",
    "~",
    "hello",
    "[hello]",
    "[]",
    "[hello, hello]",
    "[{name: sha256, n: 18446744073709551616}]",
    "[{name: sha256, n: 1e3}]",
    "std",
    "[std, native]",
    "[go]",
    "traps",
    "scheduler",
    "pipeline",
    "workload",
    "[matrix]",
    "[price]",
    "[rates, settings]",
    "full",
    "[read, write]",
    "[joint]",
    "guest.wasm",
    "../a/b.wasm",
    "..",
    "{dir: ., bin: a}",
    "{dir: ., bin: a/b}",
    "{dir: ., bin: \"\", target: wasm32}",
    "[cranelift]",
    "[cranelift, cranelift-checked]",
    "[{name: mine, compiler: winch, opt_level: none}]",
    "[{name: \"a\\tb\", fuel: true}]",
    "[{name: x, memory_reservation: 16EiB, memory_guard: 0}]",
    "0",
    "1",
    "4294967296",
    "1000001",
    "-1",
    "0x10",
    ".inf",
    ".nan",
    "{wall: 0s}",
    "{wall: 584542046090years}",
    "{wall: 2s, memory: 99999999999999999999GiB, stack: 1B}",
    "{wall: 18446744073709551615s}",
    "{outcome: trapped}",
    "{outcome: ok, check: ''}",
    "{phase.run: 3%}",
    "{phase.run: NaN%}",
    "{phase.run: 1e400%}",
    "{size.wasm: any, \"*\": 20KiB}",
    "{\"[\": 1}",
    "&a [*a]",
    "*a",
    "&a b",
    "!!binary aGVsbG8=",
    "!x y",
    "|\n  text\n  more",
    "\"\\u001b[31m\"",
    "\"\\ud800\"",
    "- a\n- b",
    "{",
    "[",
    "\t",
    "\r",
    "\u{2028}",
    "\u{feff}",
    "%YAML 1.2\n---",
    "---",
    "...",
    "[[[[[[[[[[[[[[[[",
    "<script>",
    "💥",
];

#[test]
fn scenarios_that_are_read_are_valid() {
    let files: Vec<String> =
        seeds("scenario").into_iter().filter_map(|(_, bytes)| String::from_utf8(bytes).ok()).collect();
    // A line takes another value, or is another line.
    let change = (any::<Index>(), select(KEYS), select(WORDS), 0..4_u8);
    let ending = select(&["\n", "\r\n", "\r", "\u{2028}", "\n\n"][..]);
    let changed = (select(files), vec(change, 1..5), prop_oneof![5 => Just("\n"), 1 => ending]).prop_map(
        |(text, changes, end)| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for (at, key, word, how) in changes {
                lines.push(String::new());
                let at = at.index(lines.len());
                match (how, lines[at].split_once(": ").map(|(own, _)| own.to_owned())) {
                    (0, Some(own)) => lines[at] = format!("{own}: {word}"),
                    (1, _) => lines[at] = word.to_owned(),
                    (2, _) => lines.insert(at, format!("{key}: {word}")),
                    _ => lines[at] = format!("{key}: {word}"),
                }
            }
            lines.join(end).into_bytes()
        },
    );
    hold(properties::scenario, 3_000, changed);
}

#[test]
fn modules_add_up_or_are_refused() {
    let modules: Vec<Vec<u8>> = seeds("wasm").into_iter().map(|(_, bytes)| bytes).collect();
    let change =
        (any::<Index>(), 0..4_u8, prop_oneof![Just(0), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()], 1..20_usize);
    let changed = (select(modules), vec(change, 0..6)).prop_map(|(mut bytes, changes)| {
        for (at, how, byte, length) in changes {
            // Not the first word, without which nothing is read.
            let at = 4 + at.index(bytes.len().max(5) - 4);
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at <= bytes.len() => bytes.insert(at, byte),
                2 if at + length <= bytes.len() => _ = bytes.drain(at..at + length),
                3 if at + length <= bytes.len() => bytes.extend_from_within(at..at + length),
                _ => {}
            }
        }
        bytes
    });
    hold(properties::wasm, 1_500, changed);
}
