//! What receivers get of a report, over gRPC, over HTTP and in Prometheus' text, is what the report says: all of it, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "telemetry/decoded.rs"]
mod decoded;
#[path = "telemetry/expected.rs"]
mod expected;
#[path = "telemetry/exposition.rs"]
mod exposition;
#[path = "telemetry/receivers.rs"]
mod receivers;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use common::{Run, WASISCOPE, fails_with, file, guest, is_bad_usage, root};
use decoded::{received, resource};
use expected::{Content, Figure, Figures, Series};
use receivers::{grpc, grpcs, http, https, identity, ok, taken};
use serde_json::{Value, json};
use wasiscope::code::Code;

/// Nothing of the environment that an exporter would heed.
fn quiet(command: &mut Command) -> &mut Command {
    for name in ["HEADERS", "TIMEOUT", "PROTOCOL"] {
        command.env_remove(format!("OTEL_EXPORTER_OTLP_{name}"));
        command.env_remove(format!("OTEL_EXPORTER_OTLP_METRICS_{name}"));
    }
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

fn export(folder: &Path, arguments: &[&str]) -> Output {
    quiet(&mut Command::new(WASISCOPE)).current_dir(folder).arg("export").args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A run of the guest whose kernel's side is stored beside this test, which so needs no privileges.
fn watched(folder: tempfile::TempDir, more: &[&str]) -> Run {
    let data = root().join("harness/tests/data");
    let (guest, capture) = (data.join("writes.wat"), data.join("capture.json"));
    let fixed = ["--arg", "7", "--processes", "2", "--iterations", "3", "--capture-replay"];
    let mut command = common::command(&folder);
    let output = quiet(&mut command).arg(guest).args(fixed).arg(capture).args(more).output().unwrap();
    Run { folder, output }
}

/// A report with experiments, which have spreads, and of which one is made a pipeline's.
fn experiments() -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: s\nkind: scheduler\nparts: [timers]\nengines: [cranelift]\nprocesses: 8\niterations: 1\n";
    let scenario = file(&folder, "s.yaml", text);
    let run = Run::in_folder(folder, &[&scenario, "--only", "{clock,sleep-0}/*", "--capture", "off"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let mut report = run.report();
    let case = &mut report["scenarios"][0]["cases"][0];
    let measurements = case["measurements"].as_array_mut().unwrap();
    let measurement = measurements.iter_mut().find(|of| of["spread"].is_object()).unwrap();
    measurement["metric"] = "probe_latency_us".into();
    measurement["unit"] = "us".into();
    case["facts"]["wasm_exec_count"] = json!(12_345_678_901_u64);
    case["facts"]["bpf_to_wasm_err.ring_full"] = json!(3);
    case["facts"]["bpf_to_wasm_err.decode"] = json!(0);
    fs::write(run.folder.path().join("report.json"), report.to_string()).unwrap();
    (run.folder, report)
}

/// A report that is made in no time.
fn small() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "one.wasm", guest(""));
    let run = Run::in_folder(folder, &[&guest, "--capture", "off", "--processes", "1", "--iterations", "1"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    run.folder
}

/// Both have the same, in words that a person can read.
fn assert_same<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    got: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) {
    let missing: Vec<_> = wanted.iter().filter(|(key, _)| !got.contains_key(key)).take(5).collect();
    assert!(missing.is_empty(), "missing: {missing:#?}");
    let more: Vec<_> = got.iter().filter(|(key, _)| !wanted.contains_key(key)).take(5).collect();
    assert!(more.is_empty(), "nobody asked for: {more:#?}");
    let differ: Vec<_> = got.iter().filter(|(key, value)| wanted[key] != **value).take(5).collect();
    let instead: Vec<_> = differ.iter().map(|(key, value)| (key, value, &wanted[key])).collect();
    assert!(instead.is_empty(), "got, and wanted: {instead:#?}");
}

/// What Prometheus' file must say of these figures.
fn samples(figures: &Figures, machine: &str) -> BTreeMap<Series, f64> {
    let mut samples = BTreeMap::new();
    for ((name, attributes), Figure { unit, kind, content }) in figures {
        if name == "wasiscope.kernel.syscall.latency" {
            continue; // It would be half of the file.
        }
        let is_plain = !name.starts_with("wasiscope.");
        let (suffix, scale) = match *unit {
            _ if is_plain => ("", 1.0),
            "ns" => ("_seconds", 1e9),
            "s" => ("_seconds", 1.0),
            "By" => ("_bytes", 1.0),
            "1/s" => ("_per_second", 1.0),
            _ => ("", 1.0),
        };
        let total = if *kind == "sum" && !is_plain { "_total" } else { "" };
        let name = format!("{}{suffix}{total}", name.replace('.', "_"));
        let label = |(name, value): (&String, &String)| {
            (name.strip_prefix("wasiscope.").unwrap_or(name).replace('.', "_"), value.clone())
        };
        let mut labels: BTreeMap<String, String> = attributes.iter().map(label).collect();
        labels.insert("machine".to_owned(), machine.to_owned());
        match content {
            Content::Number(value) => drop(samples.insert((name, labels), value / scale)),
            Content::Histogram { count, sum, .. } => {
                samples.insert((format!("{name}_count"), labels.clone()), *count as f64);
                samples.insert((format!("{name}_sum"), labels), sum.unwrap() / scale);
            }
        }
    }
    samples
}

/// The file's buckets grow to the count, and step where the report has something.
fn assert_buckets(exposition: &exposition::Exposition, figures: &Figures) {
    let mut series: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
    for ((name, labels), value) in &exposition.samples {
        if let Some(name) = name.strip_suffix("_bucket") {
            let mut labels = labels.clone();
            let le = labels.remove("le").unwrap().replace("+Inf", "inf").parse().unwrap();
            series.entry((name.to_owned(), labels)).or_default().push((le, *value));
        }
    }
    let mut steps: Vec<Vec<(f64, f64)>> = Vec::new();
    for ((name, labels), mut buckets) in series {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let count = exposition.samples[&(format!("{name}_count"), labels)];
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)));
        let below = std::iter::once(0.0).chain(buckets.iter().map(|(_, below)| *below)).collect::<Vec<_>>();
        let of = buckets.iter().zip(below).map(|((le, up_to), below)| (*le, up_to - below));
        steps.push(of.filter(|(_, more)| *more != 0.0).collect());
    }
    let scale = |name: &str| if name.starts_with("wasiscope.") { 1e9 } else { 1.0 };
    let wanted = figures.iter().filter(|((name, _), _)| name != "wasiscope.kernel.syscall.latency");
    let mut wanted: Vec<Vec<(f64, f64)>> = wanted
        .filter_map(|((name, _), figure)| match &figure.content {
            Content::Histogram { buckets, .. } => {
                Some(buckets.iter().map(|(bound, count)| (bound / scale(name), *count as f64)).collect())
            }
            Content::Number(_) => None,
        })
        .collect();
    let order = |one: &Vec<(f64, f64)>, other: &Vec<(f64, f64)>| one.partial_cmp(other).unwrap();
    steps.sort_by(order);
    wanted.sort_by(order);
    assert_eq!(steps, wanted);
}

fn label(report: &Value) -> String {
    let machine: wasiscope::report::document::Machine = serde_json::from_value(report["machine"].clone()).unwrap();
    machine.label()
}

#[test]
fn a_run_sends_over_http_and_writes_for_prometheus_what_its_report_says() {
    let (address, got) = http(vec![ok()]);
    let folder = tempfile::tempdir().unwrap();
    let run = watched(folder, &["--otlp", &format!("http://{address}"), "--prometheus", "wasiscope.prom"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.report();
    let wanted = expected::figures(&report);
    let kinds = |kind: &str| wanted.values().filter(|figure| figure.kind == kind).count();
    assert!(kinds("gauge") > 50 && kinds("sum") > 200 && kinds("histogram") > 50, "a report with everything");
    assert_same(&received(&got, &report), &wanted);
    assert!(run.stderr().contains(&format!("otlp: {} values sent", wanted.len())), "{}", run.stderr());

    let requests = got.lock().unwrap().clone();
    let (_, headers) = &requests[0];
    assert!(headers[0].starts_with("POST /v1/metrics HTTP/1.1"), "{headers:?}");
    assert!(
        headers.iter().any(|header| header.to_lowercase() == "content-type: application/x-protobuf"),
        "{headers:?}"
    );

    let resource = resource(&got);
    let of_machine = |name: &str| report["machine"][name].as_str().unwrap();
    let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    for (name, value) in [
        ("service.name", "wasiscope"),
        ("service.version", report["wasiscope"].as_str().unwrap()),
        ("os.type", "linux"),
        ("os.version", of_machine("kernel")),
        ("host.arch", arch),
        ("vcs.ref.head.revision", report["git"]["commit"].as_str().unwrap()),
        ("wasiscope.dirty", &report["git"]["dirty"].to_string()),
        ("wasiscope.machine", &label(&report)),
    ] {
        assert_eq!(resource[name], value, "{name}");
    }

    let text = fs::read_to_string(run.folder.path().join("wasiscope.prom")).unwrap();
    let mut exposition = exposition::read(&text);
    let info: Vec<_> = exposition.samples.extract_if(.., |(name, _), _| name == "wasiscope_run_info").collect();
    let [((_, info), value)] = info.try_into().unwrap();
    assert_eq!((&info["vcs_ref_head_revision"], value), (&resource["vcs.ref.head.revision"], 1.0));
    let mut plain = exposition.samples.clone();
    plain.retain(|(name, _), _| !name.ends_with("_bucket"));
    assert_same(&plain, &samples(&wanted, &label(&report)));
    assert_buckets(&exposition, &wanted);
}

#[test]
fn a_report_of_experiments_and_pipelines_arrives_over_grpc() {
    let (folder, report) = experiments();
    let wanted = expected::figures(&report);
    let has =
        |what: &str| wanted.keys().any(|(name, labels)| name == what || labels.values().any(|value| value == what));
    assert!(["probe_latency_us", "ci_low", "spread.p99"].into_iter().all(has), "a report with everything");
    let (address, got) = grpc(vec![Ok(taken(0, ""))]);
    let url = format!("grpc://{address}");
    let output = export(folder.path(), &["report.json", "--otlp", &url, "--prometheus", "w.prom"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same(&received(&got, &report), &wanted);
    let text = fs::read_to_string(folder.path().join("w.prom")).unwrap();
    let exposition = exposition::read(&text);
    let types = ["probe_latency_us", "wasm_exec_count", "bpf_to_wasm_err"].map(|name| exposition.types[name].clone());
    assert_eq!(types, ["histogram", "counter", "counter"]);
    assert_buckets(&exposition, &wanted);
    let mut plain = exposition.samples;
    plain.retain(|(name, _), _| !name.ends_with("_bucket") && name != "wasiscope_run_info");
    assert_same(&plain, &samples(&wanted, &label(&report)));
}

#[test]
fn headers_and_protocol_of_the_environment_hold() {
    let folder = small();
    let (address, got) = grpc(vec![Ok(taken(0, ""))]);
    let mut command = Command::new(WASISCOPE);
    quiet(&mut command).current_dir(folder.path()).args([
        "export",
        "report.json",
        "--otlp",
        &format!("http://{address}"),
    ]);
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%2Cb");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let headers = got.lock().unwrap()[0].1.clone();
    assert!(headers.contains(&"x-tenant: a,b".to_owned()), "{headers:?}");
    let output = command.env("OTEL_EXPORTER_OTLP_HEADERS", "secret").output().unwrap();
    fails_with(&output, Code::InvalidReceiver, &["OTEL_EXPORTER_OTLP_HEADERS"]);
}

/// Numbers that are 0 become numbers that are nowhere else, so that none can stand in the place of another.
fn tell_apart(value: &mut Value, next: &mut u64) {
    match value {
        Value::Number(number) if number.as_u64() == Some(0) => {
            *next += 1;
            *value = (*next).into();
        }
        // What is counted in buckets has to add up.
        Value::Object(of) if !of.contains_key("buckets") && !of.contains_key("blocked") => {
            of.values_mut().for_each(|value| tell_apart(value, next));
        }
        _ => {}
    }
}

#[test]
fn no_figure_of_the_kernel_stands_in_the_place_of_another() {
    let run = watched(tempfile::tempdir().unwrap(), &[]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let mut report = run.report();
    let mut next = 1_000_000_000;
    tell_apart(&mut report["scenarios"][0]["cases"][0]["kernel"], &mut next);
    tell_apart(&mut report["capture"]["ledger"], &mut next);
    assert!(next > 1_000_000_100, "most are 0 in so small a run");
    fs::write(run.folder.path().join("apart.json"), report.to_string()).unwrap();
    let (address, got) = grpc(vec![Ok(taken(0, ""))]);
    let output = export(run.folder.path(), &["apart.json", "--otlp", &format!("grpc://{address}")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_same(&received(&got, &report), &expected::figures(&report));
}

#[test]
fn an_encrypted_receiver_is_spoken_to_when_it_is_trusted_and_only_then() {
    let folder = small();
    let identity = identity(&folder.path().join("receiver.pem"));
    for (scheme, (address, got)) in [("https", https(vec![ok()], &identity)), ("grpcs", grpcs(&identity))] {
        let url = format!("{scheme}://localhost:{}", address.port());
        let mut command = Command::new(WASISCOPE);
        quiet(&mut command).current_dir(folder.path()).args(["export", "report.json", "--otlp", &url]);
        let output = command.env("SSL_CERT_FILE", "receiver.pem").output().unwrap();
        assert_eq!((output.status.code(), got.lock().unwrap().len()), (Some(0), 1), "{}", stderr(&output));
        // Another one that calls itself the same.
        receivers::identity(&folder.path().join("other.pem"));
        let output = command.env("SSL_CERT_FILE", "other.pem").output().unwrap();
        fails_with(&output, Code::MetricsNotSent, &["certificate"]);
        assert_eq!(got.lock().unwrap().len(), 1);
    }
}

#[test]
fn a_receiver_that_is_busy_is_asked_again_and_gets_the_same() {
    let folder = small();
    let (address, got) = http(vec![("503 Service Unavailable", "retry-after: 0\r\n", Vec::new()), ok()]);
    let output = export(folder.path(), &["report.json", "--otlp", &format!("http://{address}")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let requests = got.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].0 == requests[1].0, "the same points, of the same time");

    let (address, got) = grpc(vec![Err(tonic::Code::Unavailable), Ok(taken(0, ""))]);
    let output = export(folder.path(), &["report.json", "--otlp", &format!("grpc://{address}")]);
    assert_eq!((output.status.code(), got.lock().unwrap().len()), (Some(0), 2), "{}", stderr(&output));
}

/// The answer of a receiver is an error of this code, or a warning; either has `value`.
#[track_caller]
fn assert_answered(output: &Output, code: Option<Code>, value: &str) {
    if let Some(code) = code {
        return fails_with(output, code, &[value]);
    }
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    let is_warning = |line: &str| line.starts_with("warning: otlp: ") && line.contains(value);
    assert!(stderr(output).lines().any(is_warning), "{}", stderr(output));
}

#[test]
fn what_a_receiver_rejects_is_a_warning_and_what_it_refuses_an_error() {
    let folder = small();
    let partial = prost::Message::encode_to_vec(&taken(2, "two are too old"));
    for (answer, code, value) in [
        (("200 OK", "", partial), None, "2 values: two are too old"),
        (
            ("400 Bad Request", "", b"no such tenant".to_vec()),
            Some(Code::MetricsNotSent),
            "400 Bad Request: no such tenant",
        ),
        (
            ("307 Temporary Redirect", "location: http://elsewhere/\r\n", Vec::new()),
            Some(Code::MetricsNotSent),
            "http://elsewhere/",
        ),
        (("200 OK", "", b"<html>".to_vec()), Some(Code::MetricsNotSent), ""),
    ] {
        let (address, got) = http(vec![answer]);
        let output = export(folder.path(), &["report.json", "--otlp", &format!("http://{address}")]);
        assert_answered(&output, code, value);
        assert_eq!(got.lock().unwrap().len(), 1, "not asked again");
    }
    for (answer, code, value) in [
        (Ok(taken(0, "soon to be refused")), None, "soon to be refused"),
        (Err(tonic::Code::PermissionDenied), Some(Code::MetricsNotSent), ""),
    ] {
        let (address, got) = grpc(vec![answer]);
        let output = export(folder.path(), &["report.json", "--otlp", &format!("grpc://{address}")]);
        assert_answered(&output, code, value);
        assert_eq!(got.lock().unwrap().len(), 1, "not asked again");
    }
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_run_whose_receiver_is_down_keeps_its_report() {
    for scheme in ["http", "grpc"] {
        let folder = tempfile::tempdir().unwrap();
        let guest = file(&folder, "one.wasm", guest(""));
        let mut command = common::command(&folder);
        let url = format!("{scheme}://{}", nobody());
        let fixed = ["--capture", "off", "--processes", "1", "--iterations", "1", "--otlp"];
        let output = quiet(&mut command).arg(guest).args(fixed).arg(&url).output().unwrap();
        let values = ["os error 111", "(4 attempts)", "wasiscope export REPORT --otlp URL"];
        fails_with(&output, Code::MetricsNotSent, &values);
        let run = Run { folder, output };
        assert_eq!(run.report()["scenarios"][0]["cases"][0]["outcome"]["status"], "ok");
        assert!(!run.stdout().is_empty(), "the result is printed all the same");
    }
}

#[test]
fn a_case_that_failed_is_told_before_a_receiver_that_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let guest = file(&folder, "one.wasm", guest("unreachable"));
    let mut command = common::command(&folder);
    let fixed = ["--capture", "off", "--processes", "1", "--iterations", "1", "--otlp"];
    let output = quiet(&mut command).arg(guest).args(fixed).arg(format!("http://{}", nobody())).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn mistakes_are_errors_before_anything_runs() {
    let folder = small();
    let here = folder.path();
    let report = fs::read(here.join("report.json")).unwrap();
    fs::write(here.join("again.json"), &report).unwrap();
    fs::write(here.join("mine.prom"), "node_boots_total 1\n").unwrap();
    for (arguments, code, value) in [
        (&["report.json", "--otlp", "localhost:4318"][..], Code::InvalidReceiver, "http://HOST:4318"),
        (
            &["report.json", "--otlp", "grpc://localhost/v1/metrics"],
            Code::InvalidReceiver,
            "grpc://localhost/v1/metrics",
        ),
        (&["report.json", "--prometheus", "report.json"], Code::SameFile, "--prometheus report.json"),
        (&["report.json", "--prometheus", "mine.prom"], Code::WouldOverwrite, "--prometheus FILE"),
        (&["report.json", "again.json", "--prometheus", "w.prom"], Code::OptionDoesNotApply, "wasiscope merge"),
        (&["report.json", "--parquet", "w.both", "--prometheus", "w.both"], Code::SameFile, "w.both"),
        (&["report.json", "nothing.json", "--otlp", "http://127.0.0.1:9"], Code::NoSuchFile, "nothing.json"),
    ] {
        fails_with(&export(here, arguments), code, &[value]);
    }
    is_bad_usage(&export(here, &["report.json"]), &["--prometheus <FILE>|--otlp <URL>"]);
    assert_eq!(fs::read(here.join("report.json")).unwrap(), report);
    let run = Run::new(&["nothing.wasm", "--otlp", "collector"]);
    run.fails_with(Code::NoSuchFile, &["nothing.wasm"]);
    let never = Run::new(&[here.join("one.wasm").to_str().unwrap(), "--otlp", "collector"]);
    never.fails_with(Code::InvalidReceiver, &["collector"]);
    assert!(!never.folder.path().join("report.json").exists());
}

#[test]
fn hostile_texts_are_labels_and_nothing_else() {
    let folder = small();
    let here = folder.path();
    let mut report: Value = serde_json::from_slice(&fs::read(here.join("report.json")).unwrap()).unwrap();
    let hostile = "a\"} 1\nwasiscope_forged{x=\"\\";
    report["scenarios"][0]["name"] = hostile.into();
    report["machine"]["cpu"] = "\u{1b}]0;title\u{7}".into();
    report["machine"]["name"] = "über \"M\"\n# TYPE up counter\n".into();
    let case = &mut report["scenarios"][0]["cases"][0];
    case["workload"] = "é".repeat(5_000).into();
    case["facts"] = json!({"fuel\n}": 1, "size.\\": 2});
    fs::write(here.join("hostile.json"), report.to_string()).unwrap();
    let (address, got) = grpc(vec![Ok(taken(0, ""))]);
    let url = format!("grpc://{address}");
    for _ in ["made", "replaced"] {
        let output = export(here, &["hostile.json", "--prometheus", "h.prom", "--otlp", &url]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let text = fs::read_to_string(here.join("h.prom")).unwrap();
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'));
    let exposition = exposition::read(&text);
    assert!(exposition.samples.keys().all(|(name, _)| name.starts_with("wasiscope_") && !name.contains("forged")));
    let names: Vec<&String> = exposition.samples.keys().filter_map(|(_, labels)| labels.get("scenario")).collect();
    assert!(!names.is_empty() && names.iter().all(|name| *name == hostile));
    let facts: Vec<&String> = exposition.samples.keys().filter_map(|(_, labels)| labels.get("fact")).collect();
    assert!(facts.contains(&&"fuel\n}".to_owned()) && facts.contains(&&"size.\\".to_owned()), "{facts:?}");
    let longest = exposition.samples.keys().flat_map(|(_, labels)| labels.values()).map(|value| value.chars().count());
    assert!(longest.max() <= Some(256));
    assert_eq!(resource(&got)["host.name"], "über \"M\"\n# TYPE up counter\n", "the protocol has lengths, not quotes");
}

#[test]
fn a_report_larger_than_a_request_arrives_whole() {
    let folder = small();
    let here = folder.path();
    let mut report: Value = serde_json::from_slice(&fs::read(here.join("report.json")).unwrap()).unwrap();
    let fact = |index: u32| (format!("size.crate.{index:08}.{}", "x".repeat(100)), json!(index));
    let facts: serde_json::Map<String, Value> = (0..30_000).map(fact).collect();
    report["scenarios"][0]["cases"][0]["facts"] = facts.into();
    fs::write(here.join("large.json"), report.to_string()).unwrap();
    // The server is the official one, and has the limit of 4 MiB that they all have.
    let (address, got) = grpc(vec![Ok(taken(0, ""))]);
    let output = export(here, &["large.json", "--otlp", &format!("grpc://{address}")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(got.lock().unwrap().len() > 1, "in parts");
    assert_same(&received(&got, &report), &expected::figures(&report));
}
