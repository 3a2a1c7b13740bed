//! What must arrive of a report, read from its JSON by this test alone.

use std::collections::BTreeMap;

use serde_json::Value;

/// A metric and its attributes.
pub type Series = (String, BTreeMap<String, String>);

/// What is told of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// As the protocol names it.
    pub unit: &'static str,
    pub kind: &'static str,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Number(f64),
    Histogram {
        count: u64,
        sum: Option<f64>,
        min: Option<f64>,
        max: Option<f64>,
        /// Those that are not empty: the bound and how many.
        buckets: Vec<(f64, u64)>,
    },
}

pub type Figures = BTreeMap<Series, Figure>;

struct Walk {
    figures: Figures,
}

impl Walk {
    fn add(&mut self, name: &str, unit: &'static str, kind: &'static str, labels: &[(&str, &str)], content: Content) {
        // A pipeline's reasons are called so and no more.
        let is_plain = |label: &str| name == "bpf_to_wasm_err" && label == "reason";
        let attribute = |(label, value): &(&str, &str)| {
            (if is_plain(label) { (*label).to_owned() } else { format!("wasiscope.{label}") }, (*value).to_owned())
        };
        let series = (name.to_owned(), labels.iter().map(attribute).collect());
        let twice = self.figures.insert(series.clone(), Figure { unit, kind, content });
        assert!(twice.is_none(), "{series:?} twice");
    }

    /// A number of the report; `null` is nothing.
    fn number(&mut self, name: &str, unit: &'static str, kind: &'static str, labels: &[(&str, &str)], value: &Value) {
        let value = match value {
            Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
            other => other.as_f64(),
        };
        if let Some(value) = value {
            self.add(name, unit, kind, labels, Content::Number(value));
        }
    }

    fn distribution(&mut self, name: &str, labels: &[(&str, &str)], of: &Value) {
        if of.is_null() {
            return;
        }
        let content = Content::Histogram {
            count: of["count"].as_u64().unwrap(),
            sum: of["sum"].as_f64(),
            min: of["min"].as_f64(),
            max: of["max"].as_f64(),
            buckets: buckets(&of["buckets"], 0.0),
        };
        self.add(name, "ns", "histogram", labels, content);
    }
}

fn buckets(of: &Value, more: f64) -> Vec<(f64, u64)> {
    let pairs = of.as_array().unwrap().iter();
    pairs.map(|pair| (pair[0].as_f64().unwrap() + more, pair[1].as_u64().unwrap())).collect()
}

/// Every figure of the report of one run.
pub fn figures(report: &Value) -> Figures {
    let mut walk = Walk { figures: Figures::new() };
    let start: jiff::Timestamp = report["started_at"].as_str().unwrap().parse().unwrap();
    let seconds = u64::try_from(start.as_nanosecond()).unwrap();
    let seconds = std::time::Duration::from_nanos(seconds).as_secs_f64();
    walk.number("wasiscope.run.start_time", "s", "gauge", &[], &seconds.into());
    walk.number("wasiscope.run.duration", "s", "gauge", &[], &report["duration_s"]);
    walk.number("wasiscope.run.interrupted", "1", "gauge", &[], &report["interrupted"]);
    walk.number("wasiscope.run.budget_spent", "1", "gauge", &[], &report["budget_spent"]);
    // Left out of the document when there is none.
    walk.number("wasiscope.run.noise", "{process}", "gauge", &[], &report["noise"].as_u64().unwrap_or(0).into());
    walk.number("wasiscope.machine.cpus", "{cpu}", "gauge", &[], &report["machine"]["cpus"]);
    walk.number("wasiscope.machine.memory", "By", "gauge", &[], &report["machine"]["memory_bytes"]);
    walk.number("wasiscope.machine.steal_ratio", "1", "gauge", &[], &report["machine"]["steal_ratio"]);
    let limits = &report["machine"]["limits"];
    walk.number("wasiscope.machine.cpu_quota", "{cpu}", "gauge", &[], &limits["cpu_quota"]);
    walk.number("wasiscope.machine.memory_limit", "By", "gauge", &[], &limits["memory_bytes"]);
    let (periods, time_ns) = throttled(&limits["throttled"]);
    walk.number("wasiscope.machine.throttled.periods", "{period}", "gauge", &[], &periods);
    walk.number("wasiscope.machine.throttled.time", "ns", "gauge", &[], &time_ns);
    capture(&mut walk, &report["capture"]);
    for scenario in report["scenarios"].as_array().unwrap() {
        let name = scenario["name"].as_str().unwrap();
        scenario["cases"].as_array().unwrap().iter().for_each(|of| case(&mut walk, &[("scenario", name)], of));
    }
    if report["reference"].is_object() {
        case(&mut walk, &[], &report["reference"]);
    }
    walk.figures
}

/// How often and, in nanoseconds, for how long; null where there is no quota.
fn throttled(throttled: &Value) -> (Value, Value) {
    let time_ns = throttled["time_us"].as_u64().map(|time_us| time_us * 1_000);
    (throttled["periods"].clone(), time_ns.into())
}

fn capture(walk: &mut Walk, capture: &Value) {
    let sees = matches!(capture["status"].as_str().unwrap(), "live" | "replayed");
    walk.number("wasiscope.capture.sees_kernel", "1", "gauge", &[], &sees.into());
    if !sees {
        return;
    }
    for (loss, count) in capture["ledger"].as_object().unwrap() {
        walk.number("wasiscope.capture.lost", "{event}", "sum", &[("loss", loss)], count);
    }
    for program in capture["programs"].as_array().unwrap() {
        let labels = [("program", program["name"].as_str().unwrap())];
        let attached = program["unavailable"].is_null().into();
        walk.number("wasiscope.capture.program.attached", "1", "gauge", &labels, &attached);
        walk.number("wasiscope.capture.program.runs", "{run}", "sum", &labels, &program["run_count"]);
        walk.number("wasiscope.capture.program.mean_time", "ns", "gauge", &labels, &program["mean_ns"]);
    }
}

fn case(walk: &mut Walk, context: &[(&str, &str)], case: &Value) {
    let of = |name: &'static str| (name, case[name].as_str().unwrap());
    let labels = [context, &[of("workload"), of("flavour"), of("engine")]].concat();
    let outcome = &case["outcome"];
    let add = |walk: &mut Walk, name: &str, unit, kind, more: &[(&str, &str)], value: &Value| {
        walk.number(name, unit, kind, &[&labels[..], more].concat(), value);
    };
    let status = ("outcome", outcome["status"].as_str().unwrap());
    add(walk, "wasiscope.case.expected", "1", "gauge", &[status], &outcome["expected"]);
    add(walk, "wasiscope.case.n", "1", "gauge", &[], &case["n"]);
    add(walk, "wasiscope.case.observer_ratio", "1", "gauge", &[], &case["observer_ratio"]);
    let disturbance = &case["disturbance"];
    let preemptions = &disturbance["preemptions_per_iteration"];
    add(walk, "wasiscope.case.preemptions_per_iteration", "1", "gauge", &[], preemptions);
    add(walk, "wasiscope.case.steal_ratio", "1", "gauge", &[], &disturbance["steal_ratio"]);
    let (periods, time_ns) = throttled(&disturbance["throttled"]);
    add(walk, "wasiscope.case.throttled.periods", "{period}", "gauge", &[], &periods);
    add(walk, "wasiscope.case.throttled.time", "ns", "gauge", &[], &time_ns);
    for (name, fact) in case["facts"].as_object().unwrap() {
        if name == "wasm_exec_count" {
            add(walk, name, "{execution}", "sum", &[], fact);
        } else if let Some(reason) = name.strip_prefix("bpf_to_wasm_err.") {
            add(walk, "bpf_to_wasm_err", "{error}", "sum", &[("reason", reason)], fact);
        } else if name == "bpf_to_wasm_err" {
            // What the reasons add up to.
        } else if fact.is_number() {
            let is_size = name.starts_with("size.") || name.ends_with("bytes");
            let (metric, unit) = if is_size { ("wasiscope.fact.size", "By") } else { ("wasiscope.fact.value", "1") };
            add(walk, metric, unit, "gauge", &[("fact", name)], fact);
        }
    }
    for of in case["measurements"].as_array().unwrap() {
        measurement(walk, &labels, of);
    }
    let phases = case["kernel"]["phases"].as_object().into_iter().flatten();
    for (name, figures) in
        phases.map(|(name, figures)| (name.as_str(), figures)).chain([("outside", &case["kernel"]["outside"])])
    {
        if figures.is_object() {
            phase(walk, &[&labels[..], &[("phase", name)]].concat(), figures);
        }
    }
}

fn measurement(walk: &mut Walk, labels: &[(&str, &str)], of: &Value) {
    let metric = of["metric"].as_str().unwrap();
    let labels = [labels, &[("metric", metric)]].concat();
    walk.number("wasiscope.measurement.samples", "{sample}", "gauge", &labels, &of["summary"]["n"]);
    walk.number("wasiscope.measurement.processes", "{process}", "gauge", &labels, &of["summary"]["processes"]);
    let report_unit = of["unit"].as_str().unwrap();
    let (name, unit) = match report_unit {
        "ns" => ("duration", "ns"),
        "bytes" => ("size", "By"),
        "1/s" => ("rate", "1/s"),
        _ => ("value", "1"),
    };
    let plain_labels = labels[..labels.len() - 1].to_vec();
    let labels = if name == "value" { [&labels[..], &[("unit", report_unit)]].concat() } else { labels };
    let full = format!("wasiscope.measurement.{name}");
    for statistic in ["median", "ci_low", "ci_high", "min", "max", "mad", "p95"] {
        let labels = [&labels[..], &[("statistic", statistic)]].concat();
        walk.number(&full, unit, "gauge", &labels, &of["summary"][statistic]);
    }
    let spread = &of["spread"];
    if spread.is_null() {
        return;
    }
    for statistic in ["p50", "p90", "p99", "max", "watched_mean"] {
        let path = format!("spread.{statistic}");
        walk.number(&full, unit, "gauge", &[&labels[..], &[("statistic", &path)]].concat(), &spread[statistic]);
    }
    let samples: Vec<Vec<f64>> = serde_json::from_value(of["samples"].clone()).unwrap();
    let all: Vec<f64> = samples.into_iter().flatten().collect();
    let fractions = all.iter().any(|sample| sample.fract() != 0.0);
    // A flow's samples are not in the report, but their sum is; its buckets are of samples rounded up.
    let flowed = spread["sum"].as_f64();
    let in_buckets = || spread["buckets"].as_array().unwrap().iter().map(|bucket| bucket[1].as_u64().unwrap()).sum();
    let content = Content::Histogram {
        count: if flowed.is_some() { in_buckets() } else { all.len() as u64 },
        sum: flowed.or_else(|| Some(all.iter().sum())),
        min: None,
        max: spread["max"].as_f64(),
        buckets: buckets(&spread["buckets"], if fractions && flowed.is_none() { 1.0 } else { 0.0 }),
    };
    if metric == "probe_latency_us" {
        walk.add(metric, "us", "histogram", &plain_labels, content);
    } else {
        walk.add(&format!("wasiscope.measurement.spread.{name}"), unit, "histogram", &labels, content);
    }
}

fn phase(walk: &mut Walk, labels: &[(&str, &str)], of: &Value) {
    const COUNTS: [(&str, &str, &str, &str, &str); 19] = [
        ("/iterations", "iterations", "{iteration}", "", ""),
        ("/migrations", "migrations", "{migration}", "", ""),
        ("/faults/user", "faults", "{fault}", "mode", "user"),
        ("/faults/kernel", "faults", "{fault}", "mode", "kernel"),
        ("/switches/voluntary", "switches", "{switch}", "switch", "voluntary"),
        ("/switches/involuntary", "switches", "{switch}", "switch", "involuntary"),
        ("/off_cpu_ns/blocked", "off_cpu.time", "ns", "reason", "blocked"),
        ("/off_cpu_ns/runnable", "off_cpu.time", "ns", "reason", "runnable"),
        ("/mapped_bytes", "memory", "By", "operation", "mapped"),
        ("/unmapped_bytes", "memory", "By", "operation", "unmapped"),
        ("/protected_bytes", "memory", "By", "operation", "protected"),
        ("/advised_bytes", "memory", "By", "operation", "advised"),
        ("/created/threads", "created", "{task}", "task", "thread"),
        ("/created/processes", "created", "{task}", "task", "process"),
        ("/block_io/reads", "block_io.requests", "{request}", "direction", "read"),
        ("/block_io/writes", "block_io.requests", "{request}", "direction", "write"),
        ("/block_io/others", "block_io.requests", "{request}", "direction", "other"),
        ("/block_io/read_bytes", "block_io.size", "By", "direction", "read"),
        ("/block_io/written_bytes", "block_io.size", "By", "direction", "write"),
    ];
    let mut count = |name: &str, unit, more: &[(&str, &str)], value: &Value| {
        walk.number(&format!("wasiscope.kernel.{name}"), unit, "sum", &[labels, more].concat(), value);
    };
    for (path, name, unit, label, value) in COUNTS {
        let labels: &[(&str, &str)] = if label.is_empty() { &[] } else { &[(label, value)] };
        count(name, unit, labels, of.pointer(path).unwrap_or(&Value::Null));
    }
    for (mode, regions) in [("user", "user_by_region"), ("kernel", "kernel_by_region")] {
        for (region, faults) in of["faults"][regions].as_object().unwrap() {
            count("region.faults", "{fault}", &[("mode", mode), ("region", region)], faults);
        }
    }
    for (signal, times) in of["signals"].as_object().into_iter().flatten() {
        count("signals", "{signal}", &[("signal", signal)], times);
    }
    for (name, calls) in of["syscalls"].as_object().unwrap() {
        let label = [("syscall", name.as_str())];
        count("syscalls", "{call}", &label, &calls["count"]);
        count("syscall.errors", "{call}", &label, &calls["errors"]);
        count("syscall.time", "ns", &label, &calls["total_ns"]);
    }
    for (name, calls) in of["syscalls"].as_object().unwrap() {
        let labels = [labels, &[("syscall", name.as_str())]].concat();
        walk.distribution("wasiscope.kernel.syscall.latency", &labels, &calls["latency_ns"]);
    }
    walk.distribution("wasiscope.kernel.run_queue", labels, &of["run_queue_ns"]);
    walk.distribution("wasiscope.kernel.futex_wait", labels, &of["futex_waits_ns"]);
    for reason in ["blocked", "runnable"] {
        let labels = [labels, &[("reason", reason)]].concat();
        walk.distribution("wasiscope.kernel.off_cpu.span", &labels, &of["off_cpu_ns"][format!("{reason}_spans")]);
    }
}
