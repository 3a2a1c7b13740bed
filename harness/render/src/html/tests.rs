use std::collections::BTreeMap;

use serde_json::{Value, json};
use wasiscope_ebpf_abi::Phase;

use super::*;
use crate::fixtures::{around, case, machine, report};
use crate::{View, Views};
use wasiscope_model::code::Code;
use wasiscope_model::comparison::{Comparison, Row};
use wasiscope_model::events::{Traced, TracedEvent};
use wasiscope_model::history::{Commit, History, Point, SCHEMA_VERSION, Series, Shift};
use wasiscope_model::kind::Named;
use wasiscope_model::record::{Failure, Outcome, Span, Status, Timeline};
use wasiscope_model::report::Git;
use wasiscope_model::report::Report;
use wasiscope_stats::Verdict;

/// Scenarios whose cases are shown one by one.
struct Workloads;

impl Named for Workloads {
    fn name(&self) -> &'static str {
        "workload"
    }
}

impl View for Workloads {}

const VIEWS: Views = &[&Workloads];

/// The history of one fact: its values by commit, the last of which is a step.
fn history(machine: String, case: &str, values: &[(String, f64)]) -> History {
    let commits: Vec<Commit> = values.iter().map(|(id, _)| Commit { id: id.clone(), subject: String::new() }).collect();
    let points = values.iter().enumerate().map(|(commit, (_, value))| Point {
        commit,
        value: *value,
        reports: 1,
        conditions: BTreeMap::new(),
    });
    let last = values.len() - 1;
    let step = Shift { at: last, before: values[0].1, after: values[last].1, p: None, besides: Vec::new() };
    let series = Series {
        machine,
        scenario: "s".into(),
        case: case.into(),
        metric: "size.wasm".into(),
        unit: String::new(),
        exact: true,
        normalised: false,
        points: points.collect(),
        steps: vec![step],
    };
    History {
        schema_version: SCHEMA_VERSION,
        commits,
        unmeasured: BTreeMap::new(),
        series: vec![series],
        left_out: Vec::new(),
    }
}

/// Text as a hostile guest would print it.
const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`&<!--\u{202e}evil";

/// A report in which whatever comes from elsewhere is hostile.
fn hostile(text: &str) -> Report {
    let mut bad = case(text, text, &around(1_000));
    for part in [&mut bad.id, &mut bad.workload, &mut bad.flavour, &mut bad.engine] {
        *part = text.to_owned();
    }
    bad.args = vec![text.to_owned()];
    bad.outcome = Outcome { detail: Some(text.to_owned()), ..Outcome::because(Status::Failed, Code::WrongOutput, "") };
    bad.facts.insert("check".into(), text.into());
    bad.facts.insert("size.wasm".into(), 10.into());
    bad.facts.insert(format!("size.section.{text}"), 10.into());
    bad.facts.insert("functions.largest".into(), json!([{"name": text, "bytes": 1}]));
    bad.measurements[0].metric = text.to_owned();
    let happened = Traced::Call { name: text.to_owned(), duration_ns: 5, returned: 0 };
    bad.timeline = Some(Timeline {
        spans: vec![Span { phase: Phase::Run, start_ns: 0, end_ns: 10 }],
        events: vec![TracedEvent {
            at_ns: 1,
            thread: 1,
            thread_name: Some(text.into()),
            phase: Phase::Run,
            what: happened,
        }],
    });
    bad.failures = vec![Failure { what: text.into(), expected: text.into(), got: text.into(), wat: Some(text.into()) }];
    let mut report = report(vec![bad], None);
    report.scenarios[0].name = text.to_owned();
    report.scenarios[0].kind = text.to_owned();
    report.machine = machine(Some(text));
    report.machine.cpu = Some(text.to_owned());
    report.machine.kernel = Some(text.to_owned());
    report.tools = BTreeMap::from([(text.to_owned(), Some(text.to_owned()))]);
    report.git = Some(Git { commit: text.to_owned(), dirty: true });
    report.capture.reason = Some(text.to_owned());
    report.started_at = text.to_owned();
    report.wasiscope = text.to_owned();
    report
}

/// The tags that a page would run or fetch something by, beside its own one script.
fn is_harmless(page: &str) {
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains("<img"));
    assert!(!page.contains("onerror=alert(2)>"), "an attribute got through");
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(!page.contains("<!--\u{202e}"));
    for scheme in ["http://", "https://", "//cdn"] {
        for attribute in ["src=", "href="] {
            assert!(!page.contains(&format!("{attribute}\"{scheme}")), "{attribute}{scheme}");
        }
    }
}

#[test]
fn hostile_text_stays_text_on_every_page() {
    let report = hostile(HOSTILE);
    is_harmless(&report_page(&report, VIEWS));
    let comparison: Comparison = serde_json::from_value(json!({
        "schema_version": 1, "wasiscope": HOSTILE, "base": {"label": HOSTILE, "git": {"commit": HOSTILE, "dirty": false},
        "machine": null, "tools": {}}, "new": {"label": HOSTILE, "git": null, "machine": null, "tools": {}}, "verdict": "regressed",
        "seed": 1, "confidence": 0.99, "interrupted": false, "budget_spent": false, "warnings": [HOSTILE],
        "facts": [{"case": HOSTILE, "fact": HOSTILE, "base": HOSTILE, "new": [HOSTILE]}],
        "kernel": [{"case": HOSTILE, "phase": HOSTILE, "what": HOSTILE, "unit": HOSTILE, "base": 1.0, "new": 2.0}],
        "rows": [row(HOSTILE), Row::without_figures(HOSTILE, Verdict::Inconclusive, HOSTILE)],
    }))
    .unwrap();
    is_harmless(&comparison_page(&comparison));
    let entry = Entry {
        href: "page.html".into(),
        started_at: HOSTILE.into(),
        commit: Some(HOSTILE.into()),
        is_of_commit: true,
        scenarios: vec![HOSTILE.into()],
        machine: HOSTILE.into(),
        failed: true,
    };
    let values = [HOSTILE, "other"].map(|commit| (commit.to_owned(), 10.0));
    let mut hostile = history(HOSTILE.to_owned(), HOSTILE, &values);
    hostile.series[0].scenario = HOSTILE.to_owned();
    hostile.series[0].metric = HOSTILE.to_owned();
    is_harmless(&index_page(&hostile, &[entry]));
}

fn row(text: &str) -> Row {
    Row {
        metric: text.to_owned(),
        ratio: Some(1.05),
        ci_low: Some(1.04),
        ci_high: Some(1.06),
        base: Some(100.0),
        new: Some(105.0),
        tolerance: 0.005,
        log_ratios: vec![0.05; 10],
        base_workers: vec![100.0; 10],
        new_workers: vec![105.0; 10],
        ..Row::without_figures(text, Verdict::Regressed, text)
    }
}

#[test]
fn a_megabyte_in_every_field_is_cut() {
    let page = report_page(&hostile(&"long ".repeat(200_000)), VIEWS);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("more characters"));
}

#[test]
fn links_hold_on_to_ids_whatever_is_in_them() {
    assert_eq!(link_to("startup/hello/std/cranelift"), "#startup/hello/std/cranelift");
    assert_eq!(link_to("a b\"<é"), "#a%20b%22%3C%C3%A9");
    let page = report_page(&report(vec![case("w/f/e", "1", &around(1_000))], None), VIEWS);
    for id in ["s", "s/w/f/e", "s/w/f/e/phase.run", "/environment"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[test]
fn nothing_on_the_page_needs_a_network_and_its_policy_says_so() {
    let page = report_page(&report(vec![case("w/f/e", "1", &around(1_000))], None), VIEWS);
    assert!(page.contains("default-src 'none'; style-src 'sha256-"));
    assert!(!page.contains(" style=\"") && !page.contains(" onclick="), "the policy would refuse these");
    assert_eq!(
        page,
        report_page(&report(vec![case("w/f/e", "1", &around(1_000))], None), VIEWS),
        "same input, same bytes"
    );
}

#[test]
fn the_document_comes_out_of_the_page_as_it_went_in() {
    let report = report(vec![case("w/f/e", "1", &around(1_000))], None);
    let page = report_page(&report, VIEWS);
    let packed = page.split("data:application/zstd;base64,").nth(1).unwrap().split('"').next().unwrap();
    let json = zstd::decode_all(&STANDARD.decode(packed).unwrap()[..]).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&json).unwrap(), report);
}

#[test]
fn what_cannot_be_seen_is_not_drawn() {
    // A hundred thousand samples, and ten thousand cases.
    let mut many = case("w/f/e", "1", &[]);
    let samples: Vec<Vec<f64>> =
        (0..10).map(|p| (0..10_000).map(|i| f64::from(1_000 + (i * 7 + p) % 500)).collect()).collect();
    let summary = wasiscope_stats::summarise(&samples).unwrap();
    many.measurements = case("w/f/e", "1", &[1]).measurements;
    many.measurements[0].samples = samples;
    many.measurements[0].summary = summary;
    let page = report_page(&report(vec![many], None), VIEWS);
    let drawn = page.split("base64,").next().unwrap().len();
    assert!(drawn < 200_000, "{drawn} bytes without the document");
    let cases = (0..10_000).map(|index| case(&format!("w{index}/f/e"), "1", &[])).collect();
    let page = report_page(&report(cases, None), VIEWS);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
}

#[test]
fn a_frozen_report_has_this_page() {
    let frozen: Value = json!([["spawn", 1_600_000], ["compile", 33_000_000], ["run", 250_000]]);
    let mut of_case = case("hello/std/cranelift", "1", &around(250_000));
    of_case.facts.insert("size.wasm".into(), 46_593.into());
    of_case.facts.insert("size.section.code".into(), 39_274.into());
    for phase in frozen.as_array().unwrap() {
        let mut measurement = case("", "", &around(phase[1].as_u64().unwrap())).measurements.remove(0);
        measurement.metric = format!("phase.{}", phase[0].as_str().unwrap());
        if measurement.metric != "phase.run" {
            of_case.measurements.push(measurement);
        }
    }
    let happened = Traced::Call { name: "mmap".to_owned(), duration_ns: 4_000, returned: 0 };
    of_case.timeline = Some(Timeline {
        spans: vec![Span { phase: Phase::Run, start_ns: 1_000, end_ns: 9_000 }],
        events: vec![TracedEvent { at_ns: 2_000, thread: 1, thread_name: None, phase: Phase::Run, what: happened }],
    });
    insta::assert_snapshot!("report_page", body(&report_page(&report(vec![of_case], None), VIEWS)));
}

/// Style, script and the packed document have tests of their own, and would drown the rest.
fn body(page: &str) -> String {
    let body = page.split("<body>").nth(1).unwrap().split("<script>").next().unwrap();
    body.split("base64,").next().unwrap().replace("><", ">\n<")
}

#[test]
fn a_frozen_comparison_has_this_page() {
    let comparison: Comparison = serde_json::from_value(json!({
        "schema_version": 1, "wasiscope": "0.1.0", "base": {"label": "main", "git": null, "machine": null, "tools": {}},
        "new": {"label": "HEAD", "git": {"commit": "0123456789abcdef", "dirty": false}, "machine": null, "tools": {}}, "verdict": "regressed",
        "seed": 1, "confidence": 0.99, "interrupted": false, "budget_spent": false, "warnings": ["a warning"],
        "facts": [{"case": "w/f/e", "fact": "size.wasm", "base": 10, "new": 12}],
        "kernel": [{"case": "w/f/e", "phase": "run", "what": "mmap calls", "unit": "count", "base": 1.0, "new": 2.5}],
        "rows": [Row { metric: "phase.run".into(), unit: "ns".into(), ..row("w/f/e") }, Row::without_figures("v/f/e", Verdict::Inconclusive, "only in new")],
    }))
    .unwrap();
    insta::assert_snapshot!("comparison_page", body(&comparison_page(&comparison)));
}

#[test]
fn frozen_reports_have_this_index() {
    let commit = |day: u32| format!("{day}").repeat(40);
    let entry = |day: u32| Entry {
        href: format!("{day}.html"),
        started_at: format!("2026-01-0{day}T00:00:00Z"),
        commit: Some(commit(day)),
        is_of_commit: true,
        scenarios: vec!["s".into()],
        machine: machine(None).label(),
        failed: false,
    };
    let values = [(1, 40_000.0), (2, 40_000.0), (3, 41_000.0)].map(|(day, bytes)| (commit(day), bytes));
    let history = history(machine(None).label(), "hello/std/cranelift", &values);
    insta::assert_snapshot!("index_page", body(&index_page(&history, &[1, 2, 3].map(entry))));
}
