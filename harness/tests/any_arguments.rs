//! No argument of any verb makes wasiscope panic or hang: random command lines, read in this process and run in an empty folder.
//!
//! The random numbers of a run begin with `PROPTEST_RNG_SEED`, which a failure names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::CommandFactory;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use wasiscope::cli::Cli;
use wasiscope::properties;

/// What may stand for any value.
const WORDS: &[&[u8]] = &[
    b"",
    b"-",
    b"--",
    b"---",
    b"-x",
    b"=",
    b".",
    b"..",
    b"/",
    b"g.wat",
    b"g\xff.wat",
    b"f\xff",
    b"nothing.wasm",
    b"nothing.yaml",
    b"report.json",
    b"text",
    b"/dev/null",
    b"/dev/zero",
    b"\xff",
    b"a=\xff",
    b"\xff::\xfe",
    b"d::.",
    b"d::",
    b"::",
    b"A=1",
    b"0",
    b"1",
    b"-1",
    b"1/2",
    b"0x10",
    b"18446744073709551616",
    b"1ms",
    b"584542046090years",
    b"2%",
    b"phase.run=2%",
    b"phase.run",
    b"*",
    b"[",
    b"{a,",
    b"HEAD~1",
    b"table",
    b"json",
    b"off",
    b"cranelift",
    b"oracle:i32.load",
    b"grpc://",
    b"two\nlines",
    b"\x1b[31m",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x92\xa5",
];

/// Options that take long whatever else is said, or change the machine.
const LEFT_OUT: &[&str] = &["noise", "instructions", "set-clock", "capture-cost"];

fn words() -> impl Strategy<Value = OsString> {
    let random = vec(1..=u8::MAX, 0..6).prop_map(OsString::from_vec);
    prop_oneof![8 => select(WORDS).prop_map(|word| OsStr::from_bytes(word).to_owned()), 1 => random]
}

/// The options of a verb, by their long names.
fn options_of(verb: &clap::Command) -> Vec<String> {
    let long = verb.get_arguments().filter_map(clap::Arg::get_long).filter(|long| !LEFT_OUT.contains(long));
    long.map(str::to_owned).collect()
}

/// A verb with options, values and words in any order.
fn command_lines() -> impl Strategy<Value = Vec<OsString>> {
    let mut cli = Cli::command();
    cli.build();
    let verbs: Vec<(String, Vec<String>)> =
        cli.get_subcommands().map(|verb| (verb.get_name().to_owned(), options_of(verb))).collect();
    assert!(verbs.len() > 12, "{verbs:?}");
    select(verbs).prop_flat_map(|(verb, options)| {
        let option = if options.is_empty() { vec!["help".to_owned()] } else { options };
        let piece = prop_oneof![
            3 => words().prop_map(|word| vec![word]),
            2 => (select(option.clone()), words()).prop_map(|(option, word)| vec![format!("--{option}").into(), word]),
            1 => (select(option.clone()), words()).prop_map(|(option, word)| {
                let mut joined = OsString::from(format!("--{option}="));
                joined.push(word);
                vec![joined]
            }),
            1 => select(option).prop_map(|option| vec![format!("--{option}").into()]),
        ];
        vec(piece, 0..6).prop_map(move |pieces| {
            std::iter::once(OsString::from(&verb)).chain(pieces.into_iter().flatten()).collect()
        })
    })
}

/// Tries a property so many times.
fn hold(cases: u32, property: impl Fn(&[OsString])) {
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into());
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let tried = TestRunner::new(config).run(&command_lines(), |words| {
        property(&words);
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}\nagain with PROPTEST_RNG_SEED={seed}");
    }
}

#[test]
fn every_command_line_is_read_or_refused() {
    hold(3_000, |words| {
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        properties::arguments(&bytes.join(&0));
    });
}

/// What keeps a verb short, where its other arguments let it do anything.
fn bounds(verb: &OsStr) -> &'static [&'static str] {
    match verb.to_str().unwrap() {
        "run" => &["--processes", "1", "--iterations", "1", "--capture", "off"],
        "soak" => &["--processes", "1", "--iterations", "1", "--capture", "off", "--time", "1s"],
        "compare" => &["--processes", "1", "--iterations", "1", "--capture", "off"],
        "selftest" => &["--list"],
        _ => &[],
    }
}

#[test]
fn every_command_line_ends_with_a_documented_status() {
    /// Longer than any of these takes on a busy machine.
    const LONGEST: Duration = Duration::from_secs(60);
    hold(300, |words| {
        if words[0] == "doctor" {
            // It looks at the whole machine, whatever its arguments.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let guest = "(module (func (export \"_start\")))";
        for name in [&b"g.wat"[..], b"g\xff.wat"] {
            fs::write(folder.path().join(OsStr::from_bytes(name)), guest).unwrap();
        }
        fs::write(folder.path().join("text"), "only text").unwrap();
        fs::create_dir(folder.path().join(OsStr::from_bytes(b"f\xff"))).unwrap();
        let mut command = Command::new(common::WASISCOPE);
        command.current_dir(folder.path()).arg(&words[0]).args(bounds(&words[0])).args(&words[1..]);
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::NamedTempFile::new().unwrap());
        command.stdin(Stdio::null()).stdout(out).stderr(err.reopen().unwrap());
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > LONGEST {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{words:?} did not end");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = String::from_utf8_lossy(&fs::read(err.path()).unwrap()).into_owned();
        assert!(matches!(status.code(), Some(0..=4)), "{words:?}: {status}\n{said}");
        assert!(!said.contains("panicked"), "{words:?}\n{said}");
        assert!(status.code() == Some(0) || !said.trim().is_empty(), "{words:?}: {status} without a reason");
    });
}
